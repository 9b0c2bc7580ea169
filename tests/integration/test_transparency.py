#!/usr/bin/env python3
"""The system calls of a program's own threads are those of a plain run, but for a short list.

On sockets: the same calls in the same order, on the same descriptors, with the same arguments and
results, but that a request goes by a call with a list of buffers, where it is given a context. Elsewhere: nothing is
missing, and what was added is in ADDED, and not more often.
"""

import os
import pathlib
import re
import signal
import socketserver
import threading
from collections import Counter

from support import case, servers, system_calls
from support.process import clean_environment, run, wait_until
from support.servers import program

# What may be added in a program's first thread, how often, and why.
ADDED = {
    # The loader maps the object, and two that are empty since glibc 2.34 but needed before.
    "openat libwirespan.so": 1, "openat libpthread.so.0": 1, "openat libdl.so.2": 1,
    "read": 3, "newfstatat": 3, "fstat": 3, "close": 3,
    # Start: whether this program is to be observed.
    "readlink /proc/self/exe": 1,
    # The first connection: who this process is.
    "getpid": 1, "getrandom": 2,
    # Our thread: the C library makes it, with all signals blocked. By the same call the kernel tells whether a page
    # can be read, once for each from which a request is sent: seven requests, each on two pages at most, by chance.
    "clone3": 1, "clone": 1, "rt_sigaction": 1, "rt_sigprocmask": 4 + 7 * 2,
    # The end: our thread finishes first.
    "futex": 12,
}
# What may be missing: the loader maps its cache once for all threads, and ours may have come first.
MISSING = {"openat /etc/ld.so.cache": 1, "futex": 1000}
# How a thread begins; one that is made when the program ends may get no further.
BEGINNING = {"set_robust_list", "rseq", "prctl", "exit"}
# Segment, slab, tables of connections, the thread's stack, the object's parts; together.
MEMORY_CALLS = 60
# Asked of the kernel at the first use of a descriptor: once, or twice if it was not seen being made.
CLASSIFYING = ("getsockname(", "getpeername(", "getsockopt(")
CLASSIFYING_CALLS = 2

PYTHON = """
import requests, sys
session = requests.Session()
session.trust_env = False
for number in range(5):
    print(session.get(f'{sys.argv[1]}/hello?n={number}').status_code)
print(session.post(f'{sys.argv[1]}/hello', data=b'x' * 1000).text)
print(requests.get(f'{sys.argv[1]}/hello', headers={'Connection': 'close'}).text)
"""

NODE = """
const http = require('http');
const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
const get = (number) => new Promise((resolve, reject) => {
    http.get(`${process.argv[1]}/hello?n=${number}`, { agent }, (answer) => {
        answer.resume();
        answer.on('end', () => resolve(answer.statusCode));
    }).on('error', reject);
});
(async () => {
    for (let number = 0; number < 10; number++) console.log(await get(number));
    agent.destroy();
})();
"""


# A request with the context in it: what is beside it must be the plain call's.
WITH_CONTEXT = re.compile(
    r'(sendmsg|writev)\((\d+<socket \d+>), (?:\{msg_name=NULL, msg_namelen=0, msg_iov=)?'
    r'\[\{iov_base="(.*?)", iov_len=(\d+)\}, \{iov_base="traceparent: 00-[0-9a-f-]{52}\\r\\n", iov_len=70\}, '
    r'\{iov_base="(.*?)", iov_len=(\d+)\}\](?:, msg_iovlen=3, msg_controllen=0, msg_flags=0\}, (.*)|, 3)\) = (\d+)')


# The same in one of several buffers, which became two.
SPREAD = re.compile(
    r'((?:sendmsg|writev)\(.*\{iov_base=".*?)", iov_len=(\d+)\}, '
    r'\{iov_base="traceparent: 00-[0-9a-f-]{52}\\r\\n", iov_len=70\}, \{iov_base="(.*?)", iov_len=(\d+)(\}.*?\]'
    r'(?:, msg_iovlen=|, ))(\d+)(.*\) = )(\d+)')


def without_context(call):
    """The call that the program made, and the result that it was given."""
    found = WITH_CONTEXT.fullmatch(call)
    if not found:
        found = SPREAD.fullmatch(call)
        if not found:
            return call
        start, first_size, rest, rest_size, end, buffers, flags, result = found.groups()
        size = int(first_size) + int(rest_size)
        return f'{start}{rest}", iov_len={size}{end}{int(buffers) - 2}{flags}{int(result) - 70}'
    name, socket, first, first_size, rest, rest_size, flags, result = found.groups()
    start = f'({socket}, "{first}{rest}", {int(first_size) + int(rest_size)}'
    end = f") = {int(result) - 70}"
    return f"sendto{start}, {flags}, NULL, 0{end}" if name == "sendmsg" else f"write{start}{end}"


class Answers(socketserver.StreamRequestHandler):
    """Each answer leaves in one piece, so that when a client reads it does not change how often."""

    def handle(self):
        self.connection.setsockopt(6, 1, 1)  # TCP_NODELAY
        while head := self.read_head():
            for line in head:
                if line.lower().startswith(b"content-length:"):
                    self.rfile.read(int(line.split(b":")[1]))
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello")
            if b"connection: close\r\n" in [line.lower() for line in head]:
                return

    def read_head(self):
        head = []
        while line := self.rfile.readline():
            if line == b"\r\n":
                break
            head.append(line)
        return head


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True


class Transparency(case.Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server = Server(("127.0.0.1", 0), Answers)
        cls.addClassCleanup(cls.server.server_close)
        threading.Thread(target=cls.server.serve_forever, daemon=True).start()
        cls.addClassCleanup(cls.server.shutdown)
        cls.port = cls.server.server_address[1]
        cls.url = f"http://127.0.0.1:{cls.port}"

    # ---- runs ----

    def trace(self, arguments, environment):
        folder = self.new_path("calls")
        finished = run(*system_calls.command(folder, arguments, environment), 120)
        self.assertEqual(finished.code, 0, finished.errors.decode(errors="replace")[-2000:])
        return finished, system_calls.threads(folder)

    def both(self, *arguments, **variables):
        """The threads of a plain run and of a preloaded one, the exporter's left out."""
        run(arguments, clean_environment(**variables))  # what is cached on disk is there now
        plain, of_plain = self.trace(arguments, clean_environment(**variables))
        file = self.new_path("spans.jsonl")
        preloaded, of_preloaded = self.trace(arguments, case.preload_environment(file, **variables))
        self.assertEqual((plain.output, plain.errors), (preloaded.output, preloaded.errors))
        self.assertGreater(file.stat().st_size, 0, "nothing was observed")
        for thread in of_preloaded:
            thread.on_sockets = [without_context(call) for call in thread.on_sockets]
            for number, calls in thread.by_socket.items():
                thread.by_socket[number] = [without_context(call) for call in calls]
        return of_plain, self.without_exporter(of_preloaded)

    def without_exporter(self, threads):
        own = [thread for thread in threads if not thread.is_exporters]
        self.assertEqual(len(threads) - len(own), 1, "the exporter has one thread")
        return own

    # ---- sockets ----

    def without_classifying(self, calls, plain):
        """`calls` without those that were added, and how many those were."""
        wanted = Counter(call for call in plain if call.startswith(CLASSIFYING))
        kept, added = [], 0
        for call in calls:
            if not call.startswith(CLASSIFYING):
                kept.append(call)
            elif wanted[call] > 0:
                wanted[call] -= 1
                kept.append(call)
            else:
                added += 1
        return kept, added

    def check_sockets(self, plain, preloaded):
        """Call by call."""
        self.assertGreater(len(plain.on_sockets), 0)
        kept, added = self.without_classifying(preloaded.on_sockets, plain.on_sockets)
        self.assertEqual(plain.on_sockets, kept)
        self.assertLessEqual(added, CLASSIFYING_CALLS * len(plain.sockets))

    def check_each_socket(self, plain, preloaded):
        """Socket by socket, for event loops: how often one asks in vain is a matter of time."""
        self.assertGreater(len(plain.by_socket), 0)
        self.assertEqual(plain.by_socket.keys(), preloaded.by_socket.keys())
        for number, calls in plain.by_socket.items():
            kept, added = self.without_classifying(preloaded.by_socket[number], calls)
            self.assertEqual(self.certain(calls), self.certain(kept))
            self.assertLessEqual(added, CLASSIFYING_CALLS)

    @staticmethod
    def certain(calls):
        """What does not depend on when bytes arrive: interest is announced before or after."""
        # Nor on the time of day, which stands in answers.
        answered = [re.sub(r'"(?:[^"\\]|\\.)*"', '""', call) for call in calls if " EAGAIN " not in call]
        interest = Counter(call for call in answered if call.startswith("epoll_ctl"))
        return [call for call in answered if not call.startswith("epoll_ctl")], interest

    # ---- the rest ----

    @staticmethod
    def without_folder(others):
        """Objects by their name alone: the loader tries folders."""
        counted = Counter()
        for key, count in others.items():
            name, _, path = key.partition(" ")
            ours = path.rsplit("/", 1)[-1] if path.endswith(("libwirespan.so", "libpthread.so.0", "libdl.so.2")) else path
            counted[f"{name} {ours}" if path else name] += count
        return counted

    def check_others(self, plain, preloaded, uncertain=frozenset()):
        before, after = self.without_folder(plain.others), self.without_folder(preloaded.others)
        ignored = system_calls.WAITS | system_calls.MEMORY | uncertain
        missing = {key: count for key, count in (before - after).items() if key not in ignored}
        self.assertEqual({key: count for key, count in missing.items() if count > MISSING.get(key, 0)}, {})
        added = {key: count for key, count in (after - before).items() if key not in ignored}
        self.assertEqual({key: count for key, count in added.items() if count > ADDED.get(key, 0)}, {})
        # The first use of a descriptor asks once whether it is a socket.
        self.assertLessEqual(preloaded.asked_whether_socket - plain.asked_whether_socket, preloaded.opened)
        if not uncertain:
            memory = sum(after[name] - before[name] for name in system_calls.MEMORY)
            self.assertLessEqual(memory, MEMORY_CALLS)

    def check_other_threads(self, plain, preloaded, uncertain=frozenset()):
        """Nothing of ours happens in a thread that opens no connection."""
        self.assertEqual(len(plain), len(preloaded))
        before, after = (sum((self.without_folder(thread.others) for thread in threads), Counter())
                         for threads in (plain, preloaded))
        self.assertEqual(sorted(call for thread in plain for call in thread.on_sockets),
                         sorted(call for thread in preloaded for call in thread.on_sockets))
        ignored = system_calls.WAITS | system_calls.MEMORY | BEGINNING | uncertain
        self.assertEqual({key for key in after if key not in before and key not in ignored}, set())

    # ---- programs ----

    def test_c_client(self):
        plain, preloaded = self.both(case.COMPILED / "calls", self.port)
        self.check_sockets(plain[0], preloaded[0])
        self.check_others(plain[0], preloaded[0])
        self.check_other_threads(plain[1:], preloaded[1:])
        # The waits, too: what they wait for is certain here.
        for name in system_calls.WAITS:
            self.assertEqual(plain[0].others[name], preloaded[0].others[name])

    def test_python_requests(self):
        python = self.install_runtimes() / "venv" / "bin" / "python"
        plain, preloaded = self.both(python, "-c", PYTHON, self.url, PYTHONHASHSEED="0", PYTHONDONTWRITEBYTECODE="1")
        self.check_sockets(plain[0], preloaded[0])
        self.check_others(plain[0], preloaded[0])
        self.check_other_threads(plain[1:], preloaded[1:])

    def test_node_http(self):
        uncertain = frozenset(system_calls.OTHER_THREADS | {"read", "write", "epoll_ctl"})
        node = program("node")
        plain, preloaded = self.both(node, "-e", NODE, self.url)
        for main in plain[0], preloaded[0]:
            # V8 maps its built-in code once more, near the rest, unless that lies there by chance: one time in fifty.
            times = main.others.pop(f"openat {node}", 0)
            main.others.subtract({key: times for key in ("openat /proc/self/maps", "fstat", "close")})
        self.check_each_socket(plain[0], preloaded[0])
        self.check_others(plain[0], preloaded[0], uncertain)
        self.check_other_threads(plain[1:], preloaded[1:], uncertain)

    def test_redis_cli(self):
        with servers.RedisServer(self.folder) as redis:
            plain, preloaded = self.both(
                program("redis-cli"), "-h", "127.0.0.1", "-p", redis.port, "-r", "20", "SET", "key", "value"
            )
        self.check_sockets(plain[0], preloaded[0])
        self.check_others(plain[0], preloaded[0])
        self.check_other_threads(plain[1:], preloaded[1:])

    def test_nginx(self):
        """One process, which serves a hundred requests, ten on a connection."""
        plain, (preloaded, *others) = self.serve(clean_environment()), self.without_exporter(
            self.serve(case.preload_environment(self.new_path("spans.jsonl")))
        )
        self.assertEqual((len(plain), others), (1, []))
        self.check_each_socket(plain[0], preloaded)
        self.check_others(plain[0], preloaded)

    def serve(self, environment):
        calls, folder = self.new_path("calls"), self.folder / "nginx"
        (folder / "www").mkdir(parents=True, exist_ok=True)
        (folder / "www" / "small").write_bytes(b"0123456789" * 100)
        before, environment = system_calls.command(calls, [], environment)
        with servers.Nginx(folder, environment, main="master_process off;", before=before) as nginx:
            urls = [f"{nginx.url}/small"] * 10
            for _ in range(10):
                finished = run([program("curl"), "-s", "--noproxy", "*", "-H", "Host: here", *urls], clean_environment())
                self.assertEqual(finished.output, b"0123456789" * 1000)
            # It sees all clients leave, and then ends: it, not strace, which follows.
            process = int((folder / "nginx.pid").read_text())
            wait_until(lambda: self.count_sockets(process) == 1, 30, "the last client to leave")
            os.kill(process, signal.SIGQUIT)
            wait_until(lambda: nginx.process.poll() is not None, 30, "nginx to end")
        return system_calls.threads(calls)

    @staticmethod
    def count_sockets(process):
        count = 0
        for entry in pathlib.Path(f"/proc/{process}/fd").iterdir():
            try:
                count += os.readlink(entry).startswith("socket:")
            except FileNotFoundError:
                pass  # closed since it was listed
        return count


if __name__ == "__main__":
    case.main()
