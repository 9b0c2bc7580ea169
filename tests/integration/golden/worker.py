"""A blocking worker for the jobs of api.py. usage: REDIS-PORT COUNT URL
The services are at URL: OpenAI's images, ComfyUI, a store of blobs that is its own delivery network. With SSL_CERT_FILE it
asks Redis over TLS. What stands behind URL: "connected" opens the WebSocket of ComfyUI before there is a job, "brokered" claims by a function
of the server's."""

import http.client
import json
import os
import ssl
import subprocess
import sys
import time
import urllib.parse

import redis
import websockets.sync.client

AUTHORITY = os.environ.get("SSL_CERT_FILE")
client = redis.Redis(
    port=int(sys.argv[1]), decode_responses=True, protocol=2, driver_info=None,
    ssl=AUTHORITY is not None, ssl_ca_certs=AUTHORITY,
)
place = urllib.parse.urlsplit(sys.argv[3])


def ask(method: str, path: str, body: bytes = b"", **headers: str):
    kind = http.client.HTTPSConnection if place.scheme == "https" else http.client.HTTPConnection
    connection = kind(place.hostname, place.port, timeout=20)
    connection.request(method, path, body, {"User-Agent": "worker", **headers})
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    if answer.status >= 400:
        raise RuntimeError(f"{path} said {answer.status}")
    return json.loads(content) if content.startswith(b"{") else content


def keep(job: str, picture: bytes) -> None:
    path = f"/devstore/pictures/{job}.png"
    ask("PUT", path, picture, **{"x-ms-blob-type": "BlockBlob", "x-ms-version": "2024-11-04"})
    ask("HEAD", path)


def openai_image(job: str, fields: dict) -> None:
    wanted = {"model": "gpt-image-1", "prompt": fields["prompt"], "size": "1024x1024", "quality": "high", "n": 1}
    answer = ask("POST", "/v1/images/generations", json.dumps(wanted).encode(), **{"Content-Type": "application/json"})
    keep(job, answer["data"][0]["b64_json"].encode())


def graph_of(fields: dict) -> dict:
    return {
        "3": {"class_type": "KSampler", "inputs": {"seed": 7, "steps": 20, "cfg": 8.0}},
        "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "flux.safetensors"}},
        "5": {"class_type": "EmptyLatentImage", "inputs": {"width": 512, "height": 768}},
        "6": {"class_type": "CLIPTextEncode", "inputs": {"text": fields["prompt"]}},
    }


def comfyui(job: str, fields: dict) -> None:
    """Asks how far it is until it is done."""
    graph = graph_of(fields)
    submitted = ask("POST", "/prompt", json.dumps({"prompt": graph}).encode(), **{"Content-Type": "application/json"})
    while not ask("GET", f"/history/{submitted['prompt_id']}"):
        time.sleep(0.02)
    keep(job, b"picture")


def connect():
    url = f"{place.scheme.replace('http', 'ws')}://{place.netloc}/ws?clientId=worker"
    trust = {"ssl": ssl.create_default_context(cafile=AUTHORITY)} if place.scheme == "https" else {}
    return websockets.sync.client.connect(url, compression=None, user_agent_header="worker", proxy=None, **trust)


def comfyui_asked(job: str, fields: dict) -> None:
    """Submits by a WebSocket that was there before."""
    SOCKET.send(json.dumps({"type": "prompt", "data": {"prompt": graph_of(fields)}}))
    while json.loads(SOCKET.recv())["type"] != "execution_success":
        pass
    keep(job, b"picture")


def upscale(job: str, fields: dict) -> None:
    """Fetches a model, by itself and by a program, a picture, and has it upscaled."""
    ask("GET", "/models/upscaler.safetensors")
    trust = ["--ca-certificate", AUTHORITY] if place.scheme == "https" else []
    subprocess.run(["wget", "--quiet", "--user-agent=wget", "--no-hsts", *trust, "--output-document=/dev/null",
                    f"{sys.argv[3]}/models/upscaler.onnx"], check=True)
    ask("GET", "/devstore/pictures/small.png", **{"x-ms-version": "2024-11-04"})
    inputs = [{"name": "picture", "datatype": "FP32", "shape": [1], "data": [0.25]}]
    ask("POST", "/v2/models/upscaler/infer", json.dumps({"inputs": inputs}).encode())
    keep(job, b"larger")


def comfyui_told(job: str, fields: dict) -> None:
    """Is told how far it is, by WebSocket."""
    with connect() as socket:
        prompt = {"prompt": graph_of(fields), "client_id": "worker"}
        submitted = ask("POST", "/prompt", json.dumps(prompt).encode(), **{"Content-Type": "application/json"})
        socket.send('{"type": "feature_flags", "data": {}}')
        while json.loads(socket.recv())["type"] != "execution_success":
            pass
    ask("GET", f"/history/{submitted['prompt_id']}")
    keep(job, b"picture")


def refuse(job: str, fields: dict) -> None:
    ask("POST", "/v1/images/generations", json.dumps({"model": "no-such-model"}).encode())


def unsteady(job: str, fields: dict) -> None:
    """Works at the second try."""
    ask("GET", "/devstore/pictures/small.png", **{"x-ms-version": "2024-11-04"})
    if fields.get("retry_count") != "1":
        raise ConnectionError


def slow(job: str, fields: dict) -> None:
    """Takes too long."""
    raise TimeoutError


KINDS = {"unsteady": unsteady, "slow": slow, "openai_image": openai_image, "comfyui": comfyui, "comfyui_told": comfyui_told, "refused": refuse,
         "comfyui_asked": comfyui_asked, "upscale": upscale}
SOCKET = connect() if sys.argv[4:] == ["connected"] else None


def claim() -> tuple[str, dict]:
    if sys.argv[4:] == ["brokered"]:
        can = json.dumps({"worker_id": "comfyui-1-worker-0", "services": ["unsteady", "slow"]})
        found = json.loads(client.fcall("findMatchingJob", 0, can, 100))
        return found["jobId"], found["job"]
    claimed = client.zpopmax("jobs:pending")
    name = claimed[0][0]
    return name, client.hgetall(f"job:{name}")


for _ in range(int(sys.argv[2])):
    name, told = claim()
    client.hset(f"job:{name}", mapping={"status": "processing", "worker_id": "comfyui-1-worker-0"})
    try:
        KINDS[told["job_type"]](name, told)
    except RuntimeError as error:
        client.hset(f"job:{name}", mapping={"status": "failed", "error": str(error)})
        client.zadd("jobs:failed", {name: 1})
        continue
    except ConnectionError:
        client.hset(f"job:{name}", mapping={"status": "pending", "retry_count": 1})
        client.zadd("jobs:pending", {name: 99})
        continue
    except TimeoutError:
        client.hset(f"job:{name}", "status", "timeout")
        continue
    client.hset(f"job:{name}", "progress", 100)
    client.hset(f"job:{name}", "status", "completed")
    client.publish("complete_job", json.dumps({"type": "job_completed", "job_id": name}))
    client.zadd("jobs:completed", {name: 1})
if SOCKET is not None:
    SOCKET.close()
