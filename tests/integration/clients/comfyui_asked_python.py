"""Prompts of ComfyUI, submitted by its WebSocket: comfyui_asked_python.py ADDRESS GRAPH ID ... Prints what came.
Every second one has its id from here."""

import json
import sys

from websockets.sync.client import connect

address, graph = sys.argv[1], json.loads(sys.argv[2])
with connect(f"ws://{address}/ws?clientId=c-1", proxy=None) as session:
    for number, wanted in enumerate(sys.argv[3:]):
        session.send(json.dumps({"type": "feature_flags", "data": {"prompt": "nobody"}}) if number else "not JSON: nobody")
        if number % 2 == 0:
            message = {"type": "prompt", "data": {"prompt": graph, "extra_data": {"wanted_id": wanted}}}
        else:
            message = {"type": "queue_prompt", "prompt": graph, "prompt_id": wanted}
        session.send(json.dumps(message))
        for answer in session:
            if isinstance(answer, bytes):
                continue
            said = json.loads(answer)
            print(said["type"])
            over = said["type"] == "executing" and said["data"]["node"] is None
            if over or said["type"] in ("execution_error", "execution_interrupted"):
                break
