#!/usr/bin/env python3
"""Whole traces of real processes, API to worker to services, as the texts of tests/golden.

    tests/integration/test_golden.py --update      writes the texts, for reading before they are committed
"""

import http.client
import json
import os
import re
import subprocess
import sys

from golden.services import Services
from support import case, losses, normal, servers, spans
from support.process import clean_environment, run
from support.servers import RedisServer
from support.tls_front import TlsFront

UPDATES = "--update" in sys.argv
if UPDATES:
    sys.argv.remove("--update")
PROGRAMS = case.TREE / "tests" / "integration" / "golden"
GOLDEN = case.TREE / "tests" / "golden"
COMMAND = case.BUILD / "src" / "command" / "wirespan"
CREATED = "2026-11-21T12:00:00.000Z"
WORKFLOW = "9a1e6f04-3c52-4d0b-8f7e-aaaaaaaaaaaa"

# What spans.md of the seeds asks of the bytes, by span. What is in no golden trace stands in absent.txt, with the reason.
WANTED = {
    # http.request.received, which only the profile `architecture` calls so.
    "POST": "http.request.method url.path http.request.body.size request.id client.address client.session_id "
            "auth.api_key_present job.service_required job.priority customer.id workflow.id",
    "workflow.start": "workflow.id workflow.type workflow.total_steps user.id",
    "workflow.step_submit": "workflow.id workflow.total_steps workflow.step_number job.id workflow.step_type",
    "workflow.step_complete": "workflow.id workflow.step_number job.id",
    "workflow.step_fail": "workflow.id error.type",
    "workflow.complete": "workflow.id",
    "workflow.cancel": "",
    "workflow.timeout": "",
    "job.submit": "job.id job.type job.priority messaging.destination.name job.payload_size_bytes "
                  "queue.priority_score customer.id user.id submittedBy",
    "job.save_redis": "job.id redis.operation redis.key_pattern redis.queue trace.context_stored",
    "job.claim": "worker.id worker.machine_id worker.capabilities matching.function matching.scan_limit "
                 "matching.match_duration_ms queue.wait_time_ms trace.context_retrieved trace.parent_id",
    "job.process": "job.id job.type job.retry_count worker.id worker.machine_id processing.start_time "
                   "processing.actual_duration_ms processing.status external_service.name external_service.endpoint "
                   "machine.gpu_count",
    "job.complete": "job.id job.duration_ms",
    "job.fail": "job.id error.type exception.stacktrace",
    "job.retry": "recovery.attempted recovery.strategy",
    "job.requeue": "recovery.attempted recovery.strategy",
    "job.timeout": "error.type",
    "job.send_complete_msg": "event.type redis.channel",
    "job.archive": "job.archive.location",
    "process.http_request": "http.request.method http.response.status_code url.full server.address server.port "
                            "http.request.body.size http.response.body.size gen_ai.request.model request.id "
                            "gen_ai.usage.input_tokens image.size image.quality image.style image.format "
                            "openai.ratelimit.remaining_requests",
    "process.poll_completion": "url.full poll.attempts poll.interval_ms http.response.status_code",
    "process.ws_connect": "url.full websocket.subprotocol websocket.compressed websocket.session_id",
    "process.ws_send": "comfyui.message.type websocket.message.size",
    "process.ws_progress": "comfyui.message.type comfyui.prompt_id comfyui.node comfyui.progress.value comfyui.progress.max",
    "process.execute_comfyui": "comfyui.prompt_id comfyui.node_count workflow.model workflow.steps workflow.seed "
                               "workflow.cfg_scale workflow.resolution comfyui.queue_remaining execution.duration_ms",
    "process.image_generation": "image.count image.format http.response.body.size",
    "process.image_upload": "storage.provider storage.operation storage.path storage.size",
    "storage.download": "storage.operation storage.path storage.size",
    "process.cdn_test": "url.full cdn.test_result cdn.response_time_ms",
    "process.download_model": "url.full model.file model.size model.download.bytes_per_second model.download.resumed",
    "triton.infer": "model.name model.version",
    "websocket.event.broadcast": "",
}
EVENTS = {
    "POST": "job.submission.started job.submission.completed",
    "job.process": "job.progress", "job.fail": "exception",
    "process.execute_comfyui": "submitted execution.started progress.updated execution.completed results.retrieved",
}
MATCHING = """#!lua name=matching
redis.register_function('findMatchingJob', function(keys, args)
  local id, job = redis.call('ZPOPMAX', 'jobs:pending')[1], {}
  local fields = redis.call('HGETALL', 'job:' .. id)
  for i = 1, #fields, 2 do job[fields[i]] = fields[i + 1] end
  return cjson.encode({ jobId = id, job = job })
end)"""
# What nothing outside a program shows is in no trace.
NEVER = {"process.validate_output", "job.preprocessing", "job.postprocessing", "process.execute_simulation"}


def job(number: int, kind: str, **more: str) -> dict[str, str]:
    return {"id": f"0f5c4b6e-7d1a-4b8e-9c3f-{number:012d}", "job_type": kind, "priority": "75", "status": "pending",
            "created_at": CREATED, "customer_id": "cust-1", "user_id": "user-1", "client_session_id": "session-1",
            "prompt": "a secret lighthouse", **more}


class Golden(case.Case):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.python = cls.install_runtimes() / "venv" / "bin" / "python"
        cls.services = cls.enter(Services())
        folder = case.TREE / "tests" / "support"
        environment = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
        finished = run([folder / "runtimes", folder / "queues"], environment, 600)
        assert finished.code == 0, finished.errors.decode()
        cls.node_folder = finished.output.decode().strip() + "/node"

    def setUp(self):
        server = RedisServer(self.new_path("redis").parent)
        self.redis = server.__enter__()
        self.addCleanup(server.__exit__, None, None, None)
        self.redis_port, self.url = self.redis.port, f"http://127.0.0.1:{self.services.port}"
        self.trust: dict[str, str] = {}
        self.more: dict[str, str] = {}

    def environment(self, file, name: str) -> dict[str, str]:
        return case.preload_environment(
            file, OTEL_SERVICE_NAME=name, NODE_FOLDER=self.node_folder, WIRESPAN_PRODUCER="traced", **self.trust,
            **self.more,
        )

    def put_tls_before(self) -> None:
        """From here on Redis and the services are asked over TLS."""
        certificate, key = case.make_certificate(self.new_path("key").parent, "localhost")
        fronts = []
        for upstream in (self.redis.port, self.services.port):
            front = TlsFront(certificate, key, upstream)
            front.__enter__()
            self.addCleanup(front.__exit__, None, None, None)
            fronts.append(front.port)
        self.trust = {"SSL_CERT_FILE": certificate}
        self.redis_port, self.url = fronts[0], f"https://127.0.0.1:{fronts[1]}"

    def submit(self, jobs: list[dict], api: str, file) -> int:
        """Posts the jobs to an API of that kind. Returns its port."""
        program = [self.python, PROGRAMS / "api.py"] if api == "python" else ["node", PROGRAMS / "api.mjs"]
        arguments = [*program, self.redis_port, len(jobs)]
        with subprocess.Popen([str(argument) for argument in arguments], stdout=subprocess.PIPE,
                              env=self.environment(file, "api")) as child:
            port = int(child.stdout.readline())
            for one in jobs:
                client = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
                client.request("POST", "/api/jobs", json.dumps(one), {
                    "User-Agent": "browser", "Connection": "close", "X-Request-Id": "request-1", "X-API-Key": "a secret key",
                })
                self.assertEqual(client.getresponse().status, 202)
                client.close()
            self.assertEqual(child.wait(20), 0)
        return port

    def traces(self, jobs: list[dict], api: str = "python", *more: str, claims: int = 0) -> list[dict]:
        """The spans of both, as if they had run at the same time everywhere."""
        files = [self.new_path("api.jsonl"), self.new_path("worker.jsonl")]
        port = self.submit(jobs, api, files[0])
        finished = run(
            [str(argument) for argument in (
                self.python, PROGRAMS / "worker.py", self.redis_port, len(jobs) + claims, self.url, *more
            )],
            self.environment(files[1], "worker"),
        )
        self.assertEqual(finished.code, 0, finished.errors.decode())
        requests = []
        for file in files:
            lost, found = losses.told(spans.read_file(file))
            self.assertEqual(lost, {})
            spans.check_ids(found)
            requests += [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        text = json.dumps(requests)
        for secret in ("secret lighthouse", "secret key"):
            self.assertNotIn(secret, text)
        names = {
            self.url.replace("http", "ws"): "ws://127.0.0.1:18188", str(self.redis_port): "16379", self.url: "http://127.0.0.1:18188", self.url.rpartition(":")[2]: "18188",
            str(port): "13331",
        }
        return normal.normalise(requests, names)

    def compare(self, name: str, text: str) -> None:
        path = GOLDEN / name
        if UPDATES:
            path.write_text(text, encoding="utf-8")
        self.assertEqual(text, path.read_text(encoding="utf-8") if path.exists() else "", name)

    def check(self, name: str, resources: list[dict]) -> None:
        self.compare(f"{name}.txt", normal.as_tree(resources))
        file = self.new_path("normal.jsonl")
        file.write_text(json.dumps({"resourceSpans": resources}) + "\n", encoding="utf-8")
        drawn = run([COMMAND, "view", "--width=100", "--color=never", file], clean_environment(TZ="UTC", LC_ALL="C.UTF-8"))
        self.assertEqual(drawn.code, 0, drawn.errors.decode())
        text = drawn.output.decode()
        self.assertTrue(all(len(line) <= 100 for line in text.splitlines()))
        self.compare(f"view-{name}.txt", text)

    def test_an_image_of_openai_by_an_api_in_python(self):
        self.check("openai", self.traces([job(1, "openai_image")]))

    def test_an_image_of_openai_over_tls(self):
        self.put_tls_before()
        self.check("openai", self.traces([job(1, "openai_image")]))

    def test_an_image_of_openai_by_an_api_in_node(self):
        self.check("openai-node", self.traces([job(1, "openai_image")], "node"))

    def test_an_image_of_openai_by_an_api_in_node_over_tls(self):
        self.put_tls_before()
        self.check("openai-node", self.traces([job(1, "openai_image")], "node"))

    def test_a_graph_of_comfyui_over_tls(self):
        self.put_tls_before()
        self.check("comfyui", self.traces([job(2, "comfyui")]))

    def test_a_graph_of_comfyui_that_went_by_websocket(self):
        self.check("comfyui-asked", self.traces([job(2, "comfyui_asked")], "python", "connected"))

    def test_a_graph_of_comfyui_that_went_by_websocket_over_tls(self):
        self.put_tls_before()
        self.check("comfyui-asked", self.traces([job(2, "comfyui_asked")], "python", "connected"))

    def test_brokered_jobs_that_are_tried_again_and_too_slow(self):
        """What a function of the server's hands out, with the context that the API has stored in it."""
        loaded = run([
            servers.program("redis-cli"), "-p", self.redis.port, "-x", "FUNCTION", "LOAD",
        ], clean_environment(), given=MATCHING.encode())
        self.assertEqual(loaded.output, b"matching\n")
        self.more = {"WIRESPAN_JOB_CONTEXT": "true"}
        jobs = [job(5, "unsteady"), job(6, "slow", priority="50")]
        self.check("brokered", self.traces(jobs, "python", "brokered", claims=1))

    def test_a_picture_that_is_upscaled(self):
        self.check("upscale", self.traces([job(4, "upscale")]))

    def test_a_picture_that_is_upscaled_over_tls(self):
        self.put_tls_before()
        self.check("upscale", self.traces([job(4, "upscale")]))

    def test_a_graph_of_comfyui(self):
        self.check("comfyui", self.traces([job(2, "comfyui")]))

    def test_a_graph_of_comfyui_that_is_told_of(self):
        self.check("comfyui-told", self.traces([job(2, "comfyui_told")]))

    def test_a_graph_of_comfyui_that_is_told_of_over_tls(self):
        self.put_tls_before()
        self.check("comfyui-told", self.traces([job(2, "comfyui_told")]))

    def test_a_service_that_refuses(self):
        only = {"workflow_id": WORKFLOW, "current_step": "1", "total_steps": "1"}
        self.check("refused", self.traces([job(3, "refused", **only)]))

    def test_names_by_profile(self):
        jobs = [job(1, "openai_image"), job(2, "comfyui_told", priority="74"), job(3, "refused", priority="73"),
                job(4, "upscale", priority="72"), job(6, "slow", priority="71")]
        for profile in ("architecture", "guide"):
            with self.subTest(profile):
                self.more = {"WIRESPAN_PROFILE": profile}
                self.compare(f"names-{profile}.txt", normal.as_names(self.traces(jobs)))

    def test_a_workflow(self):
        self.check_workflow()

    def test_a_workflow_over_tls(self):
        self.put_tls_before()
        self.check_workflow()

    def check_workflow(self) -> None:
        steps = [job(number, kind, workflow_id=WORKFLOW, current_step=str(number), total_steps="3",
                     priority=str(80 - number))
                 for number, kind in ((1, "openai_image"), (2, "comfyui"), (3, "openai_image"))]
        self.check("workflow", self.traces(steps))


class Attributes(case.Case):
    maxDiff = None

    """Of the texts alone."""

    def test_each_is_there_or_named_with_the_reason(self):
        there: dict[str, set] = {}
        for path in GOLDEN.glob("*.txt"):
            span = ""
            if path.name.startswith(("view-", "names-", "absent")):
                continue
            for line in path.read_text(encoding="utf-8").splitlines():
                begins = re.match(r" +(\S.*) #\d+ [A-Z]+( ok| ERROR)? by ", line)
                if begins:
                    span = begins[1]
                    there.setdefault(span, set())
                elif (told := re.match(r" +(?:\* )?([a-zA-Z_][\w.]*)", line)) and span:
                    there[span].add(told[1])
        absent = {}
        for line in (GOLDEN / "absent.txt").read_text(encoding="utf-8").splitlines():
            if line and not line.startswith("#"):
                what, _, why = line.partition(": ")
                self.assertTrue(why, line)
                absent[what] = why
        missing = []
        for span, attributes in WANTED.items():
            if span not in there:
                if span not in absent:
                    missing.append(span)
                continue
            self.assertNotIn(span, absent, "it is there")
            for attribute in [*attributes.split(), *EVENTS.get(span, "").split()]:
                is_named = f"{span} {attribute}" in absent
                if attribute in there[span]:
                    self.assertFalse(is_named, f"{span} {attribute} is there")
                elif not is_named:
                    missing.append(f"{span} {attribute}")
        self.assertEqual("\n".join(missing), "")
        self.assertEqual(NEVER & set(there), set())


if __name__ == "__main__":
    case.main()
