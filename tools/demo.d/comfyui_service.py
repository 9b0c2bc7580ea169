#!/usr/bin/env python3
"""A small service that speaks like ComfyUI: a graph by POST /prompt, its progress by WebSocket.

Prints the port that it listens on, serves until it is ended.
    GET  /ws?clientId=ID    the socket on which a client hears of its prompts
    POST /prompt            {"client_id", "prompt": graph} -> {"prompt_id", "number", "node_errors"}
    GET  /view?filename=N   the image
"""
import asyncio
import itertools
import uuid

from aiohttp import web

IMAGE = b"\x89PNG\r\n\x1a\n" + bytes(20000)
STEPS = 5


class Comfy:
    def __init__(self):
        self.sockets: dict[str, web.WebSocketResponse] = {}
        self.numbers = itertools.count(1)
        self.running: set[asyncio.Task] = set()

    async def socket(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        client = request.query["clientId"]
        self.sockets[client] = socket
        await socket.send_json({"type": "status", "data": {"status": {"exec_info": {"queue_remaining": 0}}, "sid": client}})
        async for _ in socket:
            pass
        self.sockets.pop(client, None)
        return socket

    async def prompt(self, request: web.Request) -> web.Response:
        body = await request.json()
        prompt_id = str(uuid.uuid4())
        task = asyncio.create_task(self.execute(body["client_id"], prompt_id, body["prompt"]))
        self.running.add(task)
        task.add_done_callback(self.running.discard)
        return web.json_response({"prompt_id": prompt_id, "number": next(self.numbers), "node_errors": {}})

    async def execute(self, client: str, prompt_id: str, graph: dict):
        socket = self.sockets[client]

        async def tell(kind: str, **data):
            await socket.send_json({"type": kind, "data": {**data, "prompt_id": prompt_id}})

        await tell("execution_start")
        await tell("execution_cached", nodes=[])
        for node in graph:
            await tell("executing", node=node)
            if graph[node]["class_type"] == "KSampler":
                for step in range(1, STEPS + 1):
                    await asyncio.sleep(0.05)
                    await tell("progress", node=node, value=step, max=STEPS)
        await tell("executed", node=node, output={"images": [{"filename": f"{prompt_id}.png", "type": "output"}]})
        await tell("executing", node=None)

    async def view(self, _: web.Request) -> web.Response:
        return web.Response(body=IMAGE, content_type="image/png")


async def main():
    comfy = Comfy()
    app = web.Application()
    app.add_routes([web.get("/ws", comfy.socket), web.post("/prompt", comfy.prompt), web.get("/view", comfy.view)])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
