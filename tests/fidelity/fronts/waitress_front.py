"""usage: waitress_front.py PORT: the application of flask_front by waitress, whose main thread reads all requests."""

import sys

import waitress
from flask_front import application

waitress.serve(application, host="127.0.0.1", port=int(sys.argv[1]), threads=8)
