#!/usr/bin/env python3
"""Python as a witness changes nothing that a program can see: over fork, threads, sub-interpreters and the end.
How often it is right, tests/fidelity says."""

from support import case, spans
from support.process import clean_environment, run

# Serves itself: 40 requests, five at a time over kept connections, each of which calls the server again.
SERVES = r"""
import asyncio, contextvars, gc, os, sys, threading, weakref

async def ask(path, connection=None):
    reader, writer = connection or await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: here\r\n\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    await reader.readexactly(2)
    if connection is None:
        writer.close()

async def serve(reader, writer):
    while True:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            return writer.close()
        path = head.split()[1].decode()
        if path.startswith("/outer"):
            await within(path)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

async def within(path):
    await asyncio.sleep(0.002)
    await asyncio.gather(*(ask(f"/inner/{path[7:]}") for _ in range(2)))

async def client(first):
    connection = await asyncio.open_connection("127.0.0.1", port)
    for number in range(first, 40, 5):
        await ask(f"/outer/{number}", connection)
    connection[1].close()

async def main():
    global port
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    await asyncio.gather(*(client(first) for first in range(5)))
    await after()
    server.close()

async def after():
    pass
"""
RUNS = "asyncio.run(main())\nprint('done')\n"

ENDINGS = {
    "return": "",
    "exit in the loop": "async def after(): sys.exit(3)\n",
    "_exit": "async def after():\n    print('gone', flush=True); os._exit(4)\n",
    # What the child sends is not the parent's request's, and it serves for itself.
    "fork": r"""
async def within(path):
    if path == "/outer/7":
        child = os.fork()
        if child == 0:
            import http.client
            other = http.client.HTTPConnection("127.0.0.1", port)
            other.connect(); other.close()
            os._exit(0)
        print(os.waitpid(child, 0)[1])
    await ask(f"/inner/{path[7:]}")
""",
    "fork before": """
children = []
if os.fork() == 0:
    asyncio.run(main()); os._exit(0)
print(os.wait()[1])
""",
    "daemon threads": r"""
async def after():
    import http.client
    def call():
        try:
            while True:
                other = http.client.HTTPConnection("127.0.0.1", port)
                other.request("GET", "/thread"); other.getresponse().read(); other.close()
        except (OSError, http.client.HTTPException):
            pass # the server has ended
    for _ in range(3):
        threading.Thread(target=call, daemon=True).start()
    await asyncio.sleep(0.05)
""",
    "a loop in a thread": "asyncio_run = asyncio.run\n"
                          "thread = threading.Thread(target=lambda: asyncio_run(main())); thread.start(); thread.join()\n",
    "an interpreter beside": r"""
async def within(path):
    import _xxsubinterpreters as interpreters
    if path == "/outer/7":
        one = interpreters.create()
        interpreters.run_string(one, "import contextvars; contextvars.ContextVar('x').set(1)")
        interpreters.destroy(one)
    await ask(f"/inner/{path[7:]}")
""",
    "many variables": r"""
kept = [contextvars.ContextVar(f"v{number}") for number in range(500)]
for number, variable in enumerate(kept):
    variable.set(number)
async def after():
    print(all(variable.get() == number for number, variable in enumerate(kept)))
""",
    "interrupted": r"""
import signal
async def after():
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    signal.signal(signal.SIGALRM, lambda *_: None)
    await asyncio.gather(*(client(first) for first in range(5)))
    signal.setitimer(signal.ITIMER_REAL, 0)
""",
    # As many live contexts after the fifth round as after the second.
    "nothing leaks": r"""
def count():
    gc.collect()
    return sum(type(one) is contextvars.Context for one in gc.get_objects())
async def after():
    counts = []
    for _ in range(5):
        await asyncio.gather(*(client(first) for first in range(5)))
        await asyncio.sleep(0.1)
        counts.append(count())
    print(max(counts[1:]) - min(counts[1:]) < 10)
""",
}


class PythonCauses(case.Case):
    def both(self, text: str, **environment: str) -> list[spans.Span]:
        """The same plain and preloaded; the spans."""
        file = self.new_path("spans.jsonl")
        script = self.folder / "serves.py"
        script.write_text(text)
        arguments = ["/usr/bin/python3", "-X", "faulthandler", script]
        plain = run(arguments, clean_environment(), 60)
        preloaded = run(arguments, case.preload_environment(file, **environment), 60)
        self.assertEqual((plain.code, plain.output, plain.errors), (preloaded.code, preloaded.output, preloaded.errors))
        return spans.read_file(file)

    @staticmethod
    def shares(found: list[spans.Span]) -> tuple[int, int, int]:
        """How many inner calls have the right parent, none, and a wrong one."""
        outer = {span.span_id: span.get("url.path") for span in found if span.kind == spans.SERVER}
        counts = [0, 0, 0]
        for span in found:
            if span.kind == spans.CLIENT and "/inner/" in span.get("url.full", ""):
                number = span.get("url.full").rpartition("/")[2]
                is_right = outer.get(span.parent_id) == f"/outer/{number}"
                counts[0 if is_right else 2 if span.parent_id else 1] += 1
        return tuple(counts)

    def test_same(self):
        for name, text in ENDINGS.items():
            with self.subTest(name):
                right, none, wrong = self.shares(self.both(SERVES + text + RUNS))
                print(f"    {name:24} right {right:3} none {none:3} wrong {wrong}")
                self.assertEqual(wrong, 0)
                self.assertGreater(right + none, 0)
                if name not in ("a loop in a thread", "fork before"):
                    self.assertEqual(none, 0)

    def test_what_is_not_proven_is_linked(self):
        """A task that nobody waits for may work for anybody; the request that began it is a candidate."""
        found = self.both(SERVES + r"""
tasks = []
async def within(path):
    tasks.append(asyncio.create_task(ask(f"/inner/{path[7:]}")))
    await asyncio.sleep(0.05)
""" + RUNS)
        self.assertEqual(self.shares(found), (0, 40, 0))
        outer = {span.span_id: span for span in found if span.kind == spans.SERVER}
        linked = 0
        for span in found:
            if span.kind == spans.CLIENT and "/inner/" in span.get("url.full", ""):
                number = span.get("url.full").rpartition("/")[2]
                for link in span.links:
                    candidate = outer[link["spanId"]]
                    self.assertEqual((candidate.get("url.path"), candidate.trace_id), (f"/outer/{number}", link["traceId"]))
                    linked += 1
        # The first requests are read before there is a witness.
        self.assertGreaterEqual(linked, 30)

    def test_switched_off(self):
        right, none, wrong = self.shares(self.both(SERVES + RUNS, WIRESPAN_PYTHON_WITNESS="false"))
        self.assertEqual(wrong, 0)
        self.assertLess(right, none)


if __name__ == "__main__":
    case.main()
