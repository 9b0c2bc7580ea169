#!/usr/bin/env python3
"""API (Python), queue, worker (Node) and service (Python), each a process of its own and none of them changed: one tree
where the job carries its context, else two traces that are linked both ways."""

import http.client
import socket
import socketserver
import subprocess
import sys
import threading

from support import answering, case, losses, spans
from support.process import clean_environment, run
from test_jobs import JOBS, Jobs, by_job, named

COUNT = 3
IDS = [f"4c1b4e0a-93d7-4f6a-8a52-0000000000{number:02}" for number in range(COUNT)]


class Recorder(socketserver.StreamRequestHandler):
    """Stands before Redis, and keeps what clients send."""

    def handle(self):
        with socket.create_connection(("127.0.0.1", self.server.redis)) as redis:
            def back() -> None:
                while answer := redis.recv(65536):
                    self.connection.sendall(answer)
                self.connection.shutdown(socket.SHUT_WR)

            thread = threading.Thread(target=back)
            thread.start()
            kept = bytearray()
            while part := self.connection.recv(65536):
                kept += part
                redis.sendall(part)
            redis.shutdown(socket.SHUT_WR)
            thread.join()
        with self.server.lock:
            self.server.streams.append(bytes(kept))


class Chain(Jobs):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.node_folder = cls.install_queues()

    def setUp(self):
        super().setUp()
        self.recorder = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Recorder)
        self.recorder.daemon_threads = False
        self.recorder.redis, self.recorder.lock, self.recorder.streams = self.redis.port, threading.Lock(), []
        self.addCleanup(self.recorder.server_close)
        threading.Thread(target=self.recorder.serve_forever, daemon=True).start()
        self.addCleanup(self.recorder.shutdown)

    def environment(self, name: str, is_observed: bool, **variables: str) -> dict[str, str]:
        self.files[name] = self.new_path(f"{name}.jsonl")
        return case.preload_environment(self.files[name], **variables) if is_observed else clean_environment()

    def chain(self, is_observed: bool = True, **variables: str) -> list[bytes]:
        """Runs it, one job after the other; returns what Redis was sent, a text for each connection."""
        self.files = {}
        port = str(self.recorder.server_address[1])
        service = subprocess.Popen(
            [sys.executable, answering.__file__, "ok"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            env=self.environment("service", is_observed),
        )
        self.addCleanup(service.stdout.close)
        try:
            with subprocess.Popen(
                [str(self.python), JOBS / "chain_api.py", port, str(COUNT)], stdout=subprocess.PIPE,
                env=self.environment("api", is_observed, **variables),
            ) as api:
                api_port = int(api.stdout.readline())
                for job in IDS:
                    connection = http.client.HTTPConnection("127.0.0.1", api_port, timeout=20)
                    connection.request("POST", f"/{job}")
                    self.assertEqual(connection.getresponse().status, 202)
                    connection.close()
                self.assertEqual(api.wait(30), 0)
            worker = run(
                ["node", JOBS / "broker_worker.mjs", port, int(service.stdout.readline()), COUNT + 1],
                self.environment("worker", is_observed) | {"NODE_FOLDER": self.node_folder}, 40,
            )
            self.assertEqual(worker.code, 0, worker.errors)
        finally:
            service.communicate(timeout=20)
        self.recorder.shutdown()
        self.recorder.server_close()  # waits for the connections' threads
        return sorted(self.recorder.streams)

    def collected(self) -> list[spans.Span]:
        found = []
        for file in self.files.values():
            lost, told = losses.told(spans.read_file(file))
            self.assertEqual(lost, {})
            found += told
        spans.check_ids(found)
        return found

    def view(self) -> str:
        command = case.BUILD / "src" / "command" / "wirespan"
        finished = run([command, "view", "--width", "160", *self.files.values()], clean_environment(LC_ALL="C.UTF-8"))
        self.assertEqual(finished.code, 0, finished.errors)
        return finished.output.decode()

    def parts(self, found: list[spans.Span], job: str) -> tuple:
        """The request, the steps of its job, the attempt, its call, and who served that."""
        request = next(span for span in found if span.kind == spans.SERVER and span.get("url.path") == f"/{job}")
        steps = [by_job(found, name)[job] for name in ("job.submit", "job.save_redis", "job.claim", "job.complete")]
        attempt = by_job(found, "job.process")[job]
        served = next(span for span in found if span.kind == spans.SERVER and span.get("url.query") == f"job={job}&")
        call = next(span for span in found if span.span_id == served.parent_id)
        return request, steps, attempt, call, served

    def check_job(self, attempt: spans.Span, call: spans.Span, served: spans.Span) -> None:
        self.assertEqual((call.trace_id, call.parent_id), (attempt.trace_id, attempt.span_id))
        self.assertEqual((served.trace_id, served.parent_id), (call.trace_id, call.span_id))

    def test_jobs_that_carry_their_context(self):
        self.chain(WIRESPAN_JOB_CONTEXT="true")
        found = self.collected()
        for job in IDS:
            request, steps, attempt, call, served = self.parts(found, job)
            self.assertEqual(request.parent_id, "")
            for span in (*steps, attempt):
                self.assertEqual((span.trace_id, span.parent_id), (request.trace_id, request.span_id), span.name)
            self.check_job(attempt, call, served)
            below = [span for span in found if span.trace_id == request.trace_id]
            roots = [span for span in below if span.parent_id not in {each.span_id for each in below}]
            self.assertEqual(roots, [request])
        self.assertEqual(len({self.parts(found, job)[0].trace_id for job in IDS}), COUNT)

    def test_jobs_that_carry_nothing(self):
        self.chain()
        found = self.collected()
        trees = [tree for tree in self.view().split("\n\n") if "job.process" in tree]
        self.assertEqual(len(trees), COUNT)
        for job in IDS:
            request, steps, attempt, call, served = self.parts(found, job)
            self.assertEqual({span.trace_id for span in (*steps, attempt, call, served)}, {attempt.trace_id})
            self.assertNotEqual(request.trace_id, attempt.trace_id)
            self.check_job(attempt, call, served)
            ways = {(span.trace_id, link["traceId"]) for span in found for link in span.links}
            self.assertLessEqual({(request.trace_id, attempt.trace_id), (attempt.trace_id, request.trace_id)}, ways)
            [tree] = [tree for tree in trees if f"/{job}" in tree]
            self.assertIn(" with 1 joined ", tree.splitlines()[0])
            for name in ("POST", "job.save_redis", "job.submit", "job.claim", "process.http_request", f"/x?job={job}&"):
                self.assertIn(name, tree)

    def test_without_being_asked_redis_gets_what_it_would(self):
        plain = self.chain(is_observed=False)
        self.doCleanups()
        self.setUp()
        self.assertEqual(self.chain(), plain)

    def test_what_redis_gets_when_asked(self):
        """The same commands, but for two fields of each job, of the request that stored it."""
        plain = self.chain(is_observed=False)
        self.doCleanups()
        self.setUp()
        got = self.chain(WIRESPAN_JOB_CONTEXT="true")
        found = self.collected()
        for job in IDS:
            request = self.parts(found, job)[0]
            fields = (b"$12\r\njob_trace_id\r\n$32\r\n" + request.trace_id.encode() + b"\r\n" +
                      b"$11\r\njob_span_id\r\n$16\r\n" + request.span_id.encode() + b"\r\n")
            self.assertEqual(sum(stream.count(fields) for stream in got), 1)
            got = [stream.replace(fields, b"") for stream in got]
        self.assertEqual([stream.replace(b"*22\r\n$4\r\nHSET", b"*18\r\n$4\r\nHSET") for stream in got], plain)


del Jobs
if __name__ == "__main__":
    case.main()
