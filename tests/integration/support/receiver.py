"""The counting receiver: where the spans of the load tests go."""

import json
import pathlib
import subprocess
import urllib.request
from dataclasses import dataclass

from support.process import Hung, clean_environment, wait_until


@dataclass
class Request:
    """One export request as it arrived."""

    milliseconds: int
    spans: int
    status: int
    size: int


class Receiver:
    """Runs until the `with` block ends. With a port, on that port: a receiver that comes back."""

    def __init__(self, program: pathlib.Path, port: int = 0):
        self.process = subprocess.Popen(
            [str(program), str(port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=clean_environment(),
            start_new_session=True,
        )
        line = self.process.stdout.readline().split()
        assert line, "the receiver did not start"
        self.port = int(line[1])

    def __enter__(self) -> "Receiver":
        return self

    def __exit__(self, *ignored) -> None:
        self.end()

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.stdin.close()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                raise Hung("the receiver did not end") from None
        self.process.stdout.close()

    @property
    def environment(self) -> dict[str, str]:
        """What makes a program export to it."""
        return {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{self.port}"}

    def _get(self, path: str) -> str:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"http://127.0.0.1:{self.port}{path}", timeout=30) as response:
            return response.read().decode()

    def counts(self) -> dict[str, int]:
        return json.loads(self._get("/counts"))

    def requests(self) -> list[Request]:
        return [Request(*map(int, line.split())) for line in self._get("/requests").splitlines()]

    def answer(self, status: int = 200, delay_ms: int = 0, reject: int = 0, retry_after: int = 0,
               most_bytes: int = 0) -> None:
        """What requests are answered from now on."""
        self._get(
            f"/mode?status={status}&delay_ms={delay_ms}&reject={reject}&retry_after={retry_after}&most_bytes={most_bytes}"
        )

    def await_spans(self, count: int, deadline_seconds: float = 30) -> None:
        wait_until(lambda: self.counts()["spans"] >= count, deadline_seconds, f"{count} spans")
