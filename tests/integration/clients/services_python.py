"""Asks services by http.client: services_python.py URL JSON. JSON is a list of [method, target, body]."""

import http.client
import json
import sys

connection = http.client.HTTPConnection(sys.argv[1].removeprefix("http://"))
for method, target, body in json.loads(sys.argv[2]):
    connection.request(method, target, body, {"Content-Type": "application/json"})
    print(connection.getresponse().read().decode())
