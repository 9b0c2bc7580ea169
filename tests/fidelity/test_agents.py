#!/usr/bin/env python3
"""The same work under OpenTelemetry's agents for Node and Python, and under wirespan.

Each client and server span of an agent's must be there among ours, below the same one and in the same trace, as far
as both know the spans in question. What is otherwise, and why, stands in agents_differences.txt, a line each: what is
not there fails, and so does a line that nothing needs. Spans are told by what the work put into paths, keys and
numbers of arguments."""

import fnmatch
import http.client
import itertools
import pathlib
import re
import sys
import threading
from collections import defaultdict
from dataclasses import dataclass, field

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "integration"))

from peer import Peer  # pylint: disable=wrong-import-position
from support import case, spans  # pylint: disable=wrong-import-position
from support.process import TREE, Daemon, clean_environment, free_port, run, wait_until  # pylint: disable=wrong-import-position
from support.servers import RedisServer, program  # pylint: disable=wrong-import-position

sys.path.append(str(TREE / "tests" / "support"))
from collector import Collector  # pylint: disable=wrong-import-position

FRONTS = HERE / "fronts"
DIFFERENCES = HERE / "agents_differences.txt"
REQUESTS = {1: 3, 5: 10}  # by concurrency
KINDS = {spans.SERVER: "SERVER", spans.CLIENT: "CLIENT", 4: "PRODUCER", 5: "CONSUMER"}


@dataclass
class Told:
    """A span, whoever made it."""

    key: str | None  # None: nothing that the work caused, or of no kind that is compared
    span_id: str
    trace_id: str
    parent_id: str
    links: list[str]  # to traces


@dataclass
class Traces:
    """All spans of one run, and what is to be known of those that have a key."""

    told: list[Told] = field(default_factory=list)

    def __post_init__(self):
        self.by_id = {one.span_id: one for one in self.told}
        keyed: dict[str, list[Told]] = defaultdict(list)
        for one in self.told:
            if one.key:
                keyed[one.key].append(one)
        repeated = [key for key, found in keyed.items() if len(found) > 1]
        assert not repeated, f"more than one span of {repeated}"
        self.keyed = {key: found[0] for key, found in keyed.items()}

    def above(self, one: Told, known: set[str]) -> str | None:
        """The key of the nearest span on the way up that both know."""
        while one := self.by_id.get(one.parent_id):
            if one.key in known:
                return one.key
        return None


def path_of(url: str) -> str:
    return "/" + url.split("://", 1)[1].split("/", 1)[1] if "://" in url else url


def key_of(name: str, kind: int, attributes: dict) -> str | None:
    """What tells the work's span from all others, for ours and theirs alike."""
    url = attributes.get("url.full") or attributes.get("url.path") or attributes.get("http.url") or attributes.get(
        "http.target")
    if url and (found := re.match(r"/(c|w|inner|ws)/.*", path_of(url))) and kind in (spans.CLIENT, spans.SERVER):
        method = attributes.get("http.request.method") or attributes.get("http.method")
        return f"{KINDS[kind]} {method} {found[0]}"
    statement = attributes.get("db.query.text") or attributes.get("db.statement") or ""
    if kind == spans.CLIENT and (found := re.match(r"(?i)get (id:\S+)", statement)):
        return f"CLIENT GET {found[1]}"
    if kind == spans.CLIENT and statement.startswith(("MGET ", "EXISTS ")):
        return f"CLIENT {statement.split()[0]} {len(statement.split()) - 1}"
    if name == "job.submit" and "job.id" in attributes:
        return f"submit {attributes['job.id']}"
    if kind == spans.CLIENT and (found := re.search(r"\bjob-\d+\b", statement)) and "evalsha" in statement.lower():
        return f"submit {found[0]}"
    return None


def ours(files: list[pathlib.Path]) -> Traces:
    found = [span for file in files for span in spans.read_file(file)]
    spans.check_ids(found)
    return Traces([
        Told(key_of(span.name, span.kind, span.attributes), span.span_id, span.trace_id, span.parent_id,
             [link["traceId"] for link in span.links]) for span in found
    ])


def theirs(collected: list[dict]) -> Traces:
    return Traces([
        Told(key_of(span["name"], span["kind"], span["attributes"]), span["span_id"], span["trace_id"],
             span.get("parent_span_id", ""), []) for span in collected
    ])


def differences(agents: Traces, found: Traces) -> list[tuple[str, tuple[str, ...], str]]:
    """Kind, the keys of which one explains it, and what exactly."""
    known = set(agents.keyed) & set(found.keyed)
    result = [("missing", (key,), "") for key in sorted(set(agents.keyed) - known)]
    for key in sorted(known):
        above, own = agents.above(agents.keyed[key], known), found.above(found.keyed[key], known)
        if above != own:
            result.append(("parent", (key,), f"{above} in the agent's, {own} in ours"))
    for one, other in itertools.combinations(sorted(known), 2):
        is_one = agents.keyed[one].trace_id == agents.keyed[other].trace_id
        if is_one != (found.keyed[one].trace_id == found.keyed[other].trace_id):
            result.append(("trace", (one, other), f"one in {'the agent' if is_one else 'our'}'s only"))
    return result


@dataclass(frozen=True)
class Known:
    """A line of the file: AGENT KINDS PATTERN # REASON."""

    kind: str
    pattern: str

    def explains(self, kind: str, keys: tuple[str, ...]) -> bool:
        return kind == self.kind and any(fnmatch.fnmatchcase(key, self.pattern) for key in keys)


def read_known(name: str) -> list[Known]:
    lines = [line for line in DIFFERENCES.read_text().splitlines() if line and not line.startswith("#")]
    assert len(lines) <= 10, f"{len(lines)} known differences"
    assert all(line.partition("#")[2].strip() for line in lines), "a difference without a reason"
    known = []
    for line in lines:
        agent, kinds, pattern = line.partition("#")[0].strip().split(" ", 2)
        if agent == name:
            known += [Known(kind, pattern.strip()) for kind in kinds.split(",")]
    return known


class Agents(case.Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        finished = run([TREE / "tests/support/runtimes", TREE / "tools/bench.d/packages"], clean_environment(), 900)
        assert finished.code == 0, finished.errors.decode()
        cls.runtimes = pathlib.Path(finished.output.decode().strip())
        cls.peer = cls.enter(Peer())

    # ---- runs ----

    def ask(self, port: int) -> int:
        """All the requests; returns how many jobs they asked for."""
        failed: list = []
        first = 0

        def work(numbers: range) -> None:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            try:
                for number in numbers:
                    connection.request("GET", f"/w/{number}")
                    answer = connection.getresponse()
                    answer.read()
                    if answer.status != 200:
                        failed.append(answer.status)
            except OSError as error:
                failed.append(error)
            connection.close()

        for clients, requests in REQUESTS.items():
            threads = [threading.Thread(target=work, args=(range(first + one, first + requests, clients),))
                       for one in range(clients)]
            first += requests
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        self.assertEqual(failed, [])
        return first

    def do_work(self, front: list, worker: list, environments: tuple[dict, dict]) -> None:
        """The front is asked, and ends; then the worker does what it was handed, and ends."""
        with RedisServer(self.folder) as redis:
            where = {"TEST_PEER": f"http://127.0.0.1:{self.peer.port}", "TEST_REDIS": str(redis.port),
                     "PYTHONDONTWRITEBYTECODE": "1"}
            port = free_port()
            with Daemon([*front, port], {**environments[0], **where}, self.folder / "front.log", FRONTS,
                        keep_stdin=True) as daemon:
                daemon.started(lambda: daemon.await_port(port, 60))
                try:
                    jobs = self.ask(port)
                except AssertionError as error:
                    raise AssertionError(f"{error}; it said {daemon.said()[-3000:]}") from None
                daemon.process.stdin.close()
                daemon.process.stdin = None
                self.assertEqual(daemon.process.wait(30), 0, daemon.said()[-3000:])
            said = (self.folder / "front.log").read_text(errors="replace")
            finished = run([str(part).replace("{jobs}", str(jobs)) for part in worker], {**environments[1], **where},
                           60, FRONTS)
            self.assertEqual(finished.code, 0, said[-2000:] + finished.errors.decode()[-3000:])

    def under_agent(self, front: list, worker: list, environment: dict) -> Traces:
        with Collector() as collector:
            environment = clean_environment(
                OTEL_TRACES_EXPORTER="otlp", OTEL_METRICS_EXPORTER="none", OTEL_LOGS_EXPORTER="none",
                OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf", OTEL_BSP_SCHEDULE_DELAY="100",
                OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{collector.port}", OTEL_NODE_RESOURCE_DETECTORS="none",
                OTEL_SEMCONV_STABILITY_OPT_IN="http,database", **environment,
            )
            self.do_work(front, worker, (environment, environment))
            return theirs(collector.spans)

    def under_wirespan(self, front: list, worker: list, environment: dict) -> Traces:
        files = [self.new_path("spans.jsonl"), self.new_path("spans.jsonl")]
        self.do_work(front, worker, tuple(case.preload_environment(file, **environment) for file in files))
        return ours(files)

    # ---- the comparison ----

    def compare(self, name: str, agents: Traces, found: Traces, least: int) -> None:
        self.assertGreaterEqual(len(agents.keyed), least, sorted(agents.keyed))
        known = read_known(name)
        needed = set()
        complaints = []
        for kind, keys, what in differences(agents, found):
            reasons = [one for one in known if one.explains(kind, keys)]
            needed.update(reasons)
            if not reasons:
                complaints.append(f"{kind} {' and '.join(keys)}: {what}")
        print(f"    {name}: {len(agents.keyed)} spans of the agent's, "
              f"{len(set(agents.keyed) & set(found.keyed))} of them ours, {len(found.keyed)} of ours")
        complaints += [f"no difference is any more: {one}" for one in known if one not in needed]
        self.assertEqual(complaints, [], "\n".join(complaints))

    def test_node(self):
        modules = self.runtimes / "node" / "node_modules"
        node = program("node")
        front, worker = [node, FRONTS / "agents_front.js"], [node, FRONTS / "agents_worker.js", "{jobs}"]
        agents = self.under_agent(front, worker, {
            "NODE_PATH": str(modules), "NODE_OPTIONS": "--require @opentelemetry/auto-instrumentations-node/register",
        })
        found = self.under_wirespan(front, worker, {"NODE_PATH": str(modules)})
        for number in range(sum(REQUESTS.values())):
            submitted, request = found.keyed[f"submit job-{number}"], found.keyed[f"SERVER GET /w/{number}"]
            self.assertIn(request.trace_id, submitted.links)
        self.compare("node", agents, found, 150)

    def test_python(self):
        folder = self.runtimes / "venv" / "bin"
        front = [folder / "python", FRONTS / "agents_front.py"]
        worker = [folder / "python", FRONTS / "agents_worker.py", "{jobs}"]
        agent = [folder / "python", folder / "opentelemetry-instrument"]
        agents = self.under_agent([*agent, *front], [*agent, *worker], {})
        found = self.under_wirespan(front, worker, {})
        self.compare("python", agents, found, 80)


if __name__ == "__main__":
    case.main()
