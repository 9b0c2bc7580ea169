#!/usr/bin/env python3
"""What services' bodies say: OpenAI's API by its own clients, ComfyUI, A1111, Triton; and that nothing else is told."""

import http.server
import json
import threading

from support import case, comfyui_server, spans
from support.comfyui_server import ComfyuiServer
from support.object_store import ObjectStore
from support.openai_server import OpenaiServer
from support.process import clean_environment, run
from support.servers import program

OWN = ("gen_ai.", "openai.", "image.", "comfyui.", "workflow.", "a1111.", "model.", "wirespan.body")
HEADERS = {
    "openai.processing_ms": 41, "openai.ratelimit.limit_requests": 10000, "openai.ratelimit.remaining_requests": 9999,
    "openai.ratelimit.limit_tokens": 200000, "openai.ratelimit.remaining_tokens": 199990,
}
IMAGE_HEADERS = {name: value for name, value in HEADERS.items() if not name.endswith("_tokens")}
CHAT = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "openai.api.type": "chat_completions"}
CHAT_USAGE = {
    "gen_ai.usage.input_tokens": 9, "gen_ai.usage.output_tokens": 12, "gen_ai.usage.cache_read.input_tokens": 4,
    "gen_ai.usage.reasoning.output_tokens": 3,
}
RESPONSE = {
    "gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "openai.api.type": "responses",
    "gen_ai.request.model": "gpt-4.1", "gen_ai.response.id": "resp_1", "gen_ai.response.model": "gpt-4.1-r",
    "gen_ai.usage.input_tokens": 36, "gen_ai.usage.output_tokens": 87, "gen_ai.usage.cache_read.input_tokens": 5,
    "gen_ai.usage.reasoning.output_tokens": 6,
}
ANSWER = {
    **CHAT, **CHAT_USAGE, **HEADERS, "gen_ai.request.model": "gpt-4o-mini", "gen_ai.request.max_tokens": 64,
    "gen_ai.request.temperature": 0.5, "gen_ai.response.id": "chatcmpl-1",
    "gen_ai.response.model": "gpt-4o-mini-2024-07-18", "gen_ai.response.finish_reasons": ["stop"],
    "openai.response.service_tier": "default", "openai.response.system_fingerprint": "fp_1",
}
STREAM = {
    **CHAT, **CHAT_USAGE, **HEADERS, "gen_ai.request.model": "gpt-4o-mini", "gen_ai.request.stream": True,
    "gen_ai.response.id": "chatcmpl-2", "gen_ai.response.model": "gpt-4o-mini-s",
    "gen_ai.response.finish_reasons": ["length"],
}
COMPLETION = {
    **HEADERS, "gen_ai.operation.name": "text_completion", "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "davinci", "gen_ai.request.max_tokens": 5, "gen_ai.response.id": "cmpl-1",
    "gen_ai.response.model": "davinci", "gen_ai.response.finish_reasons": ["length"],
    "gen_ai.usage.input_tokens": 9, "gen_ai.usage.output_tokens": 12,
}
EMBEDDINGS = {
    **HEADERS, "gen_ai.operation.name": "embeddings", "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "text-embedding-3-small", "gen_ai.request.encoding_formats": ["float"],
    "gen_ai.response.model": "text-embedding-3-small", "gen_ai.usage.input_tokens": 8,
}
IMAGES = {
    **IMAGE_HEADERS, "gen_ai.operation.name": "generate_content", "gen_ai.provider.name": "openai",
    "gen_ai.output.type": "image", "gen_ai.request.model": "dall-e-3", "gen_ai.request.choice.count": 2,
    "image.size": "1024x1024", "image.quality": "hd", "image.style": "vivid", "image.count": 2,
    "gen_ai.usage.input_tokens": 10, "gen_ai.usage.output_tokens": 20,
}
CODED = {**CHAT, **HEADERS, "gen_ai.request.model": "brotli", "wirespan.body.unread": "br"}
REFUSED = {
    **CHAT, **HEADERS, "gen_ai.request.model": "no-such-model", "openai.error.code": "model_not_found",
    "openai.error.type": "invalid_request_error",
}
SETTINGS = {"gen_ai.request.top_p": 0.25, "gen_ai.request.choice.count": 1, "gen_ai.request.seed": 7}

GRAPH = {
    "3": {"class_type": "KSampler", "inputs": {"seed": 42, "steps": 20, "cfg": 7.5, "model": ["4", 0]}},
    "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "sd.safetensors"}},
    "5": {"class_type": "EmptyLatentImage", "inputs": {"width": 512, "height": 768, "batch_size": 1}},
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "the prompt that nobody may see"}},
}
HISTORY = {"p-1": {
    "prompt": [5, "p-1", GRAPH, {}, ["9"]], "status": {"status_str": "success", "completed": True},
    "outputs": {"9": {"images": [{"filename": "a.png"}, {"filename": "b.png"}]}},
}}
# method, target, request, answer, what the span says, and its name
OTHERS = [
    ("POST", "/prompt", {"prompt": GRAPH, "client_id": "c"}, {"prompt_id": "p-1", "number": 5, "node_errors": {}}, {
        "comfyui.operation": "prompt", "comfyui.prompt_id": "p-1", "comfyui.queue_number": 5, "comfyui.node_count": 4,
        "workflow.model": "sd.safetensors", "workflow.steps": 20, "workflow.seed": 42, "workflow.cfg_scale": 7.5,
        "workflow.width": 512, "workflow.height": 768, "workflow.resolution": "512x768",
    }, "POST"),
    ("GET", "/history/p-1", None, HISTORY, {
        "comfyui.operation": "history", "comfyui.prompt_id": "p-1", "comfyui.status": "success",
        "comfyui.image_count": 2,
    }, "GET"),
    ("POST", "/sdapi/v1/txt2img", {"prompt": "nobody", "steps": 4, "cfg_scale": 1e0, "width": 64}, {"images": ["A", "B"]}, {
        "a1111.operation": "txt2img", "workflow.steps": 4, "workflow.cfg_scale": 1.0, "workflow.width": 64,
        "image.count": 2,
    }, "POST"),
    ("POST", "/v2/models/resnet/infer", {"inputs": [{"data": [1] * 5000}]}, {
        "model_name": "resnet", "model_version": "1", "outputs": [{"data": [0.5] * 5000}],
    }, {"model.name": "resnet", "model.version": "1"}, "triton.infer"),
    # What only looks like a service's, and what is none.
    ("POST", "/prompt", {"prompt": {"x": 1}}, {"accepted": True}, {}, "POST"),
    ("POST", "/v1/chat/completions", {"messages": []}, {"id": "x"}, {}, "POST"),
    ("POST", "/jobs", {"model": "nobody"}, {"id": "nobody"}, {}, "POST"),
    ("POST", "/prompt", {"prompt": GRAPH}, "not JSON at all", {}, "POST"),
]

SUBMITTED = {name: value for name, value in OTHERS[0][4].items() if name.startswith(("comfyui.", "workflow."))}
# What becomes of each prompt: the events of its span, and its error.
RUNS = {
    "p-1": (["submitted", "execution.started", "progress.updated", "execution.completed"], None),
    "p-old": (["submitted", "execution.started", "progress.updated", "execution.completed"], None),
    "p-failed": (["submitted", "execution.started", "execution.failed"], "RuntimeError"),
    "p-cancelled": (["submitted", "execution.started", "execution.cancelled"], None),
    "p-early": (["submitted", "execution.started", "progress.updated", "execution.completed"], None),
}
MESSAGE_VALUES = {
    "comfyui.node": "node", "comfyui.progress.value": "value", "comfyui.progress.max": "max",
    "comfyui.error.type": "exception_type", "comfyui.node_type": "node_type",
}

# Of these some are submitted by the WebSocket, every second one with an id of the client's.
ASKED = ["p-1", "p-old", "p-failed", "p-cancelled"]

SIZE = 11600
# Of each request to an object store: method, operation, bucket, path, size.
OBJECTS = {
    "s3": [
        ("PUT", "upload", "bucket", "out/a%20b.png", SIZE), ("GET", "download", "bucket", "out/a%20b.png", SIZE),
        ("HEAD", "head", "bucket", "out/a%20b.png", None), ("GET", "list", "bucket", None, None),
        ("GET", "download", "bucket", "out/a%20b.png", SIZE), ("DELETE", "delete", "bucket", "out/a%20b.png", None),
        ("GET", "download", "bucket", "missing", None),
    ],
    "azure_blob": [
        ("PUT", "upload", "container", "out/b.png", SIZE), ("GET", "download", "container", "out/b.png", SIZE),
        ("GET", "download", "container", "out/b.png", SIZE), ("DELETE", "delete", "container", "out/b.png", None),
    ],
    # Where it goes stands in the body, beside what is sent, and in the answer.
    "gcs": [("POST", "upload", "bucket", "out/c.png", 11843), ("GET", "download", "bucket", "out%2Fc.png", SIZE)],
}


class Answers(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):  # pylint: disable=arguments-differ
        pass

    def do_GET(self):  # pylint: disable=invalid-name
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        content = json.dumps(self.server.answers.pop(0)).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_POST = do_GET  # pylint: disable=invalid-name


class AnswerServer:
    """Gives prepared answers, one by one."""

    def __init__(self, answers):
        self.answers = answers

    def __enter__(self):
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
        self.server.answers = list(self.answers)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


class Services(case.Case):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        runtimes = cls.install_runtimes()
        cls.python = runtimes / "venv" / "bin" / "python"
        cls.packages = runtimes / "node" / "node_modules"

    def observe(self, *command, plain=True, kinds=(spans.CLIENT,)):
        """The client's spans of these kinds; what it prints must be the same without the preload."""
        file = self.new_path("spans.jsonl")
        seen = run(list(command), case.preload_environment(file), 60)
        self.assertEqual(seen.code, 0, seen.errors.decode())
        if plain:
            self.assertEqual(run(list(command), clean_environment(), 60).output, seen.output)
        text = file.read_text(encoding="utf-8")
        for secret in ("nobody", "sk-secret", "org-secret", "a.png", "AKIASECRET", "c2stc2"):
            self.assertNotIn(secret, text)
        found = [span for span in spans.read_file(file) if span.kind in kinds]
        spans.check_ids(found)
        return sorted(found, key=lambda span: span.start_ns)

    def check(self, found, expected):
        """`expected` is a row of names and attributes; a stream's first chunk came within its span."""
        self.assertEqual([span.name for span in found], [name for name, _ in expected])
        for span, (_, attributes) in zip(found, expected):
            said = {name: value for name, value in span.attributes.items() if name.startswith(OWN)}
            first = said.pop("gen_ai.response.time_to_first_chunk", None)
            self.assertEqual(first is not None, "gen_ai.request.stream" in attributes)
            if first is not None:
                self.assertTrue(0 < round(first * 1e9) <= span.end_ns - span.start_ns, first)
            self.assertEqual(said, attributes)

    def test_openai_by_python(self):
        for coding, coded in ((None, 1), ("gzip", 9), ("deflate", 9), ("bare", 9)):
            with self.subTest(coding=coding), OpenaiServer(coding) as server:
                found = self.observe(self.python, case.CLIENTS / "openai_python.py", server.url)
                self.check_openai_by_python(found)
                # Twice: preloaded and plain.
                self.assertEqual(server.server.coded, 2 * coded)

    def check_openai_by_python(self, found):
        self.check(found, [
            ("chat gpt-4o-mini", {**ANSWER, **SETTINGS, "gen_ai.output.type": "json_object"}),
            ("chat gpt-4o-mini", STREAM),
            ("text_completion davinci", COMPLETION),
            ("embeddings text-embedding-3-small", EMBEDDINGS),
            ("generate_content dall-e-3", IMAGES),
            ("chat gpt-4.1", {
                **RESPONSE, **HEADERS, "gen_ai.request.max_tokens": 99, "openai.response.status": "completed",
            }),
            ("chat gpt-4.1", {**RESPONSE, **HEADERS, "gen_ai.request.stream": True}),
            ("chat brotli", CODED),
            ("chat no-such-model", REFUSED),
        ])
        self.assertEqual({span.get("request.id") for span in found}, {"req_123"})
        self.assertEqual(found[-1].get("error.type"), "404")

    def test_openai_by_node(self):
        module = self.packages / "openai" / "index.mjs"
        for coding in (None, "gzip"):
            with self.subTest(coding=coding), OpenaiServer(coding) as server:
                found = self.observe(program("node"), case.CLIENTS / "openai_node.mjs", module, server.url)
                self.check_openai_by_node(found)
                self.assertEqual(server.server.coded > 0, coding is not None)

    def check_openai_by_node(self, found):
        self.check(found, [
            ("chat gpt-4o-mini", ANSWER),
            ("chat gpt-4o-mini", STREAM),
            ("chat gpt-4.1", {
                **RESPONSE, **HEADERS, "gen_ai.request.max_tokens": 99, "openai.response.status": "completed",
            }),
        ])

    def test_others(self):
        requests = [
            [method, target, None if body is None else json.dumps(body)] for method, target, body, *_ in OTHERS
        ]
        with AnswerServer([answer for _, _, _, answer, *_ in OTHERS]) as server:
            found = self.observe(
                self.python, case.CLIENTS / "services_python.py", server.url, json.dumps(requests), plain=False
            )
        self.check(found, [(name, attributes) for *_, attributes, name in OTHERS])

    def test_comfyui_by_python(self):
        for coding in (None, "shared", "alone"):
            with self.subTest(coding=coding), ComfyuiServer(coding) as server:
                self.check_comfyui(self.observe(
                    self.python, case.CLIENTS / "comfyui_python.py", server.address, json.dumps(GRAPH), *RUNS,
                    kinds=(spans.CLIENT, spans.INTERNAL),
                ), coding)

    def test_comfyui_by_node(self):
        with ComfyuiServer("shared") as server:
            self.check_comfyui(self.observe(
                program("node"), case.CLIENTS / "comfyui_node.js", self.packages / "ws", server.address,
                json.dumps(GRAPH), *RUNS, kinds=(spans.CLIENT, spans.INTERNAL),
            ), "shared")

    def check_comfyui(self, found, coding):
        runs = [span for span in found if span.name == "process.execute_comfyui"]
        self.assertEqual([span.get("comfyui.prompt_id") for span in runs], list(RUNS))
        session = next(span for span in found if span.name == "websocket")
        self.assertEqual(session.get("websocket.compressed"), coding is not None)
        for run_span in runs:
            self.check_run(run_span, found)
        # Of no run: nothing but these and HTTP.
        self.assertEqual(
            {span.name for span in found}, {"websocket", "process.execute_comfyui", "process.ws_progress", "GET", "POST"}
        )

    def check_run(self, run_span, found):
        prompt_id = run_span.get("comfyui.prompt_id")
        said = {name: value for name, value in run_span.attributes.items() if name.startswith(OWN)}
        number = list(RUNS).index(prompt_id) + 1
        # The service's word that it has one prompt left came before the answer to those that were too early.
        said.pop("comfyui.queue_remaining", None)
        self.assertEqual(said, {**SUBMITTED, "comfyui.prompt_id": prompt_id, "comfyui.queue_number": number})
        events, error = RUNS[prompt_id]
        self.assertEqual([event["name"] for event in run_span.events], events)
        self.assertEqual(run_span.get("error.type"), error)
        self.assertEqual(run_span.get("wirespan.run.end"), None)
        below = [span for span in found if span.parent_id == run_span.span_id]
        self.assertEqual({span.trace_id for span in below}, {run_span.trace_id})
        self.assertEqual({span.get("wirespan.parent.source") for span in below}, {"content"})
        requests = [span for span in below if span.name == "POST"]
        self.assertEqual([span.get("comfyui.prompt_id") for span in requests], [prompt_id])
        messages = [span for span in below if span.name == "process.ws_progress"]
        told = [
            message for message in comfyui_server.script(prompt_id)
            if isinstance(message, dict) and message["type"] != "status"
        ]
        if "early" in prompt_id:
            # Whichever thread of the client's was first: nothing is lost but, perhaps, messages' spans.
            self.assertIn(run_span.get("wirespan.run.messages"), (len(told) - 1, len(told)))
            self.assertLessEqual(len(messages), 32)
            return
        # Whatever came behind the end is none of the run's.
        told = told[:-1] if prompt_id == "p-1" else told
        self.assertEqual(run_span.get("wirespan.run.messages"), len(told))
        self.assertEqual(len(messages), min(len(told), 32))
        for span, message in zip(messages, told):
            data = message["data"]
            expected = {"comfyui.message.type": message["type"], "comfyui.prompt_id": prompt_id}
            for name, key in MESSAGE_VALUES.items():
                if data.get(key) is not None:
                    expected[name] = data[key]
            if "node_id" in data:
                expected["comfyui.node"] = data["node_id"]
            if "nodes" in data:
                expected["comfyui.cached_nodes"] = len(data["nodes"])
            said = {name: value for name, value in span.attributes.items() if name.startswith(OWN)}
            self.assertEqual(said, expected)
            self.assertGreater(span.get("websocket.message.size"), 0)
            self.assertTrue(run_span.start_ns <= span.start_ns <= span.end_ns <= run_span.end_ns)

    def test_comfyui_asked_by_python(self):
        for coding in (None, "shared", "alone"):
            with self.subTest(coding=coding), ComfyuiServer(coding) as server:
                self.check_asked(self.observe(
                    self.python, case.CLIENTS / "comfyui_asked_python.py", server.address, json.dumps(GRAPH), *ASKED,
                    kinds=(spans.CLIENT, spans.INTERNAL),
                ))

    def test_comfyui_asked_by_node(self):
        for coding in (None, "shared"):
            with self.subTest(coding=coding), ComfyuiServer(coding) as server:
                self.check_asked(self.observe(
                    program("node"), case.CLIENTS / "comfyui_asked_node.js", self.packages / "ws", server.address,
                    json.dumps(GRAPH), *ASKED, kinds=(spans.CLIENT, spans.INTERNAL),
                ))

    def check_asked(self, found):
        """Prompts that went by the WebSocket: a run from there to its end, what was sent below it."""
        runs = [span for span in found if span.name == "process.execute_comfyui"]
        self.assertEqual([span.get("comfyui.prompt_id") for span in runs], ASKED)
        handshake = next(span for span in found if span.name == "GET")
        self.assertEqual(handshake.get("websocket.session_id"), "c-1")
        for number, run_span in enumerate(runs):
            prompt_id = run_span.get("comfyui.prompt_id")
            wanted = {name: value for name, value in SUBMITTED.items() if name not in ("comfyui.operation",
                                                                                    "comfyui.queue_number")}
            said = {name: value for name, value in run_span.attributes.items() if name.startswith(OWN)}
            self.assertEqual(said, {**wanted, "comfyui.prompt_id": prompt_id, "comfyui.queue_remaining": 1})
            events, error = RUNS[prompt_id]
            self.assertEqual([event["name"] for event in run_span.events], events)
            self.assertEqual(run_span.get("error.type"), error)
            below = [span for span in found if span.parent_id == run_span.span_id]
            sent = [span for span in below if span.name == "process.ws_send"]
            self.assertEqual(len(sent), 1)
            self.assertEqual(sent[0].start_ns, run_span.start_ns)
            self.assertEqual(sent[0].get("comfyui.message.type"), "queue_prompt" if number % 2 else "prompt")
            self.assertEqual(sent[0].get("comfyui.prompt_id"), prompt_id if number % 2 else None)
            self.assertGreater(sent[0].get("websocket.message.size"), 0)
            # The socket is another trace's: it was there before.
            self.assertEqual([link["spanId"] for link in sent[0].links], [handshake.span_id])
            told = [span for span in below if span.name == "process.ws_progress"]
            self.assertEqual(len(told), min(run_span.get("wirespan.run.messages"), 32))
            self.assertEqual({span.get("comfyui.prompt_id") for span in told}, {prompt_id})
        # Nothing but these: what else was sent, and the answers, are counted by the session.
        names = {span.name for span in found}
        self.assertEqual(
            names, {"GET", "websocket", "process.execute_comfyui", "process.ws_send", "process.ws_progress"}
        )

    def test_object_stores(self):
        with ObjectStore() as store:
            found = self.observe(self.python, case.CLIENTS / "objects_python.py", store.url)
        # Google's client asks for the bucket, too, of which there is nothing.
        found = [span for span in found if span.get("storage.operation") or span.get("model.file")]
        model = found.pop()
        said = [
            (span.get("storage.provider"), span.name, span.get("storage.operation"), span.get("storage.bucket"),
             span.get("storage.path"), span.get("storage.size"))
            for span in found
        ]
        self.assertEqual(said, [(store, *row) for store, rows in OBJECTS.items() for row in rows])
        self.assertEqual(
            [span.get("request.id") for span in found], ["AMZ1"] * 7 + ["AZ-1"] * 4 + ["GOOG-1"] * 2
        )
        self.assertEqual(model.get("model.file"), "sd.safetensors")
        self.assertEqual(model.get("model.size"), 300000)
        self.assertIs(model.get("model.download.resumed"), False)
        self.assertGreater(model.get("model.download.bytes_per_second"), 0)


if __name__ == "__main__":
    case.main()
