"""What jobs of RQ do: ask a server over HTTP; every third one fails."""

import http.client
import os


def resize(number: int, secret: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", int(os.environ["HTTP_PORT"]), timeout=20)
    connection.request("GET", f"/x?n={number}&secret_size={len(secret)}")
    connection.getresponse().read()
    connection.close()
    if number % 3 == 2:
        raise RuntimeError(f"no room for {number}")
    return number
