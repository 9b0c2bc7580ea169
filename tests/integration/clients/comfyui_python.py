"""Prompts of ComfyUI, waited for by its WebSocket: comfyui_python.py ADDRESS GRAPH ID ... Prints what came."""

import http.client
import json
import sys

from websockets.sync.client import connect

address, graph = sys.argv[1], json.loads(sys.argv[2])
ends = ("execution_success", "execution_error", "execution_interrupted")
connection = http.client.HTTPConnection(address)


def ask(method, target, body=None):
    connection.request(method, target, body, {"Content-Type": "application/json"})
    return json.loads(connection.getresponse().read())


with connect(f"ws://{address}/ws?clientId=c-1", proxy=None) as session:
    for wanted in sys.argv[3:]:
        request = {"prompt": graph, "client_id": "c-1", "extra_data": {"wanted_id": wanted}}
        prompt_id = ask("POST", "/prompt", json.dumps(request))["prompt_id"]
        ask("GET", "/queue")
        for message in session:
            if isinstance(message, bytes):
                continue
            said = json.loads(message)
            print(said["type"])
            over = said["type"] == "executing" and said["data"]["node"] is None
            if over or said["type"] in ends[1:]:
                break
        ask("GET", f"/history/{prompt_id}")
