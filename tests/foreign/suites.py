"""The suites that compare_suites.py knows: how each is had, run, and read test by test."""
import concurrent.futures
import contextlib
import hashlib
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import time
import xml.etree.ElementTree

HERE = pathlib.Path(__file__).resolve().parent
sys.path.append(str(HERE.parent / "support"))
from kept import download, kept, unpack  # pylint: disable=wrong-import-position

WORST_FIRST = ("failed", "passed", "skipped")


def excluded(suite: str, part: str) -> list[str]:
    """The tests of a part that excluded.txt names: 'suite part test  # reason' on each line."""
    found = []
    for line in (HERE / "excluded.txt").read_text().splitlines():
        fields, _, reason = line.partition("#")
        if fields.strip():
            named_suite, named_part, test = fields.split()
            if not reason.strip():
                raise ValueError(f"excluded.txt gives no reason for {test}")
            if (named_suite, named_part) == (suite, part):
                found.append(test)
    return found


def run_command(command: list[str], environment: dict[str, str], folder: pathlib.Path,
                deadline: float) -> tuple[str, str]:
    """How the command ended, and what it said. Past the deadline its session is ended."""
    process = subprocess.Popen(command, cwd=folder, env=environment, stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        output, _ = process.communicate(timeout=deadline)
        ending = f"exit {process.returncode}" if process.returncode >= 0 else \
            f"signal {signal.Signals(-process.returncode).name}"
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
        ending = "did not end before the deadline"
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    return ending, output.decode(errors="backslashreplace")


def read_junit(path: pathlib.Path) -> dict[str, str]:
    """Each test's status. A name that comes more than once has the worst of its statuses."""
    results: dict[str, str] = {}
    if not path.exists() or path.stat().st_size == 0:
        return results
    for case in xml.etree.ElementTree.parse(path).iter("testcase"):
        name = "::".join(filter(None, (case.get("classname"), case.get("name"))))
        status = "passed"
        if case.find("failure") is not None or case.find("error") is not None:
            status = "failed"
        elif case.find("skipped") is not None or case.get("status") == "notrun":
            status = "skipped"
        before = results.get(name, status)
        results[name] = min(before, status, key=WORST_FIRST.index)
    return results


class Suite(contextlib.AbstractContextManager):
    def __init__(self, scratch: pathlib.Path, environment: dict[str, str]):
        self.scratch = scratch
        self.environment = environment

    def __exit__(self, *_) -> None:
        return None

    def must_have_spans(self, part: str) -> bool:
        return False

    def run(self, part: str, without: list[str], environment: dict[str, str], folder: pathlib.Path,
            deadline: float) -> tuple[dict[str, str], str]:
        raise NotImplementedError


class CPython(Suite):
    """The interpreter's own tests; a part is one of its modules, or some of a module's. Debian has them in a package
    apart."""

    python = "/usr/bin/python3"
    # test_asyncio in two: what touches sockets and TLS without waiting for times to pass, and all else, some of which
    # does nothing but wait. Module by module, because the limit for a test is one for each name.
    asyncio_sockets = [f"test_asyncio.test_{name}" for name in (
        "sslproto", "sock_lowlevel", "streams", "server", "unix_events", "buffered_proto", "selector_events",
        "transports", "sendfile")]

    def modules(self, part: str) -> list[str]:
        if part == "asyncio_sockets":
            return self.asyncio_sockets
        if part == "asyncio_rest":
            command = [self.python, "-c", "import test.test_asyncio as tests; print(tests.__path__[0])"]
            folder = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
            found = sorted(f"test_asyncio.{path.stem}" for path in pathlib.Path(folder).glob("test_*.py"))
            return [name for name in found if name not in self.asyncio_sockets]
        return [part]

    def must_have_spans(self, part: str) -> bool:
        return part in ("test_httplib", "test_httpservers", "test_urllib2_localnet")

    def run(self, part, without, environment, folder, deadline):
        junit = folder / "junit.xml"
        command = [self.python, "-m", "test", "-v", "--timeout", "280", "--tempdir", str(folder), "--junit-xml", str(junit)]
        if part == "test_socketserver":
            command += ["-u", "network"]  # which is loopback here
        for name in without:
            command += ["-i", name]
        ending, output = run_command([*command, *self.modules(part)], environment, folder, deadline)
        return {**read_junit(junit), "the run": ending}, output


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def redis_server(environment: dict[str, str], folder: pathlib.Path):
    """A redis-server on loopback, which is observed or not as its clients are. Yields its port."""
    port = free_port()
    log = folder / "redis-server.log"
    with open(log, "wb") as output:
        process = subprocess.Popen(
            ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder),
             "--enable-debug-command", "local"],
            env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True)
    try:
        deadline = time.monotonic() + 30
        while b"Ready to accept connections" not in log.read_bytes():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"redis-server does not start: {log.read_text()[-2000:]}")
            time.sleep(0.01)
        yield port
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise RuntimeError("redis-server does not end") from None
    if process.returncode != 0:
        raise RuntimeError(f"redis-server ended with {process.returncode}: {log.read_text()[-2000:]}")


class RedisPy(Suite):
    """The Python client's own tests, from its source archive, against a redis-server for each run."""

    # A part is a set of files; those for a cluster, modules, or certificates that the archive lacks
    # are in none.
    parts = {
        "commands": ["test_commands.py", "test_pipeline.py", "test_scripting.py", "test_encoding.py",
                     "test_function.py", "test_lock.py", "test_hash.py"],
        "connections": ["test_connection.py", "test_connection_pool.py", "test_connect.py", "test_retry.py",
                        "test_credentials.py", "test_sentinel.py", "test_multiprocessing.py", "test_monitor.py",
                        "test_pubsub.py"],
        "asyncio": ["test_asyncio"],
    }
    pins = HERE / "redis-py.txt"

    def __enter__(self):
        self.home = kept(f"redis-py-{hashlib.sha256(self.pins.read_bytes()).hexdigest()[:16]}", self.install)
        return self

    def install(self, home: pathlib.Path) -> None:
        release = next(line for line in self.pins.read_text().splitlines() if line.startswith("redis=="))
        pip = [home / "venv" / "bin" / "pip", "--quiet", "--disable-pip-version-check"]
        for command in (
            ["/usr/bin/python3", "-m", "venv", "--clear", home / "venv"],
            [*pip, "install", "--no-deps", "--requirement", self.pins],
            [*pip, "download", "--no-deps", "--no-binary", "redis", "--dest", home, release],
        ):
            subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
        unpack(home / f"redis-{release.partition('==')[2]}.tar.gz", home / "source", ("tests/",))

    def must_have_spans(self, part):
        return True

    def run(self, part, without, environment, folder, deadline):
        junit = folder / "junit.xml"
        tests = self.home / "source" / "tests"
        command = [self.home / "venv" / "bin" / "python", "-B", "-m", "pytest", "-q", "-p", "no:cacheprovider",
                   "-o", "asyncio_mode=auto", "--timeout", "60", "-W", "ignore", "--rootdir", tests.parent,
                   "-m", "not onlycluster and not redismod and not ssl", "--junit-xml", junit,
                   "--ignore", tests / "test_asyncio" / "test_cluster.py",
                   "--ignore", tests / "test_asyncio" / "test_search.py"]
        for name in without:
            command += ["--deselect", f"tests/{name}"]
        with redis_server(environment, folder) as port:
            command += ["--redis-url", f"redis://127.0.0.1:{port}/0"]
            command += [tests / name for name in self.parts[part]]
            ending, output = run_command([str(word) for word in command], environment, tests.parent, deadline)
        return {**read_junit(junit), "the run": ending}, output


class Node(Suite):
    """Node's own tests of a module, from Debian's source package of Node 18, with the official build of that version: it
    carries an OpenSSL of its own. A part is what the names of its files begin with."""

    files = ("test/common/", "test/fixtures/", "test/parallel/test-https-", "test/parallel/test-tls-")

    def __enter__(self):
        runtimes = subprocess.run([HERE.parent / "support" / "runtimes"], check=True, stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, text=True).stdout.strip()
        self.node = pathlib.Path(runtimes) / "node" / "node_modules" / "node18" / "bin" / "node"
        self.home = kept("node18-tests", self.install)
        return self

    def install(self, home: pathlib.Path) -> None:
        apt = download(home, "deb-src", "bookworm", "source", "--download-only", "--only-source", "--tar-only", "nodejs")
        [archive] = [path for path in apt.glob("nodejs_*.orig.tar.xz")]
        unpack(archive, home / "source", self.files)

    def must_have_spans(self, part):
        return True

    def run(self, part, without, environment, folder, deadline):
        ends = time.monotonic() + deadline
        tests = [path for path in sorted((self.home / "source" / "test" / "parallel").glob(f"test-{part}-*.js"))
                 if path.stem not in without]

        def run_one(path: pathlib.Path) -> tuple[str, str]:
            flags = re.search(r"^// Flags: (.*)$", path.read_text(errors="replace"), re.MULTILINE)
            words = flags[1].split() if flags else []
            return run_command([str(self.node), *words, str(path)], environment, folder, min(60, max(1, ends - time.monotonic())))

        results, outputs = {}, []
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            for path, (ending, output) in zip(tests, pool.map(run_one, tests)):
                skipped = re.search(r"^1\.\.0 # Skipped", output, re.MULTILINE)
                results[path.stem] = "skipped" if skipped else "passed" if ending == "exit 0" else "failed"
                if ending != "exit 0":
                    outputs.append(f"{path.stem}: {ending}\n{output[-1500:]}")
        return results, "\n".join(outputs)


SUITES = {"cpython": CPython, "node": Node, "redis-py": RedisPy}
