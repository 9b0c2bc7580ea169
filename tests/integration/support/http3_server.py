"""A server of HTTP/3, and a libcurl that speaks it: from Debian's backports, unpacked and not installed."""

import pathlib
import re
import socket
import subprocess
from dataclasses import dataclass

from support.process import Daemon, clean_environment, wait_until

from kept import download, kept  # support.case has its folder in the path

PACKAGES = ("libcurl3-gnutls", "libnghttp3-9", "libngtcp2-16", "libngtcp2-crypto-gnutls8", "ngtcp2-server")


def install(home: pathlib.Path) -> None:
    release = "bookworm-backports"
    apt = download(home, "deb", release, "download", *[f"{name}/{release}" for name in PACKAGES])
    for package in apt.glob("*.deb"):
        subprocess.run(["dpkg-deb", "--extract", package, home / "root"], check=True)


def root() -> pathlib.Path:
    return kept("http3", install) / "root"


def libraries() -> pathlib.Path:
    """For LD_LIBRARY_PATH: with it libcurl-gnutls.so.4 speaks HTTP/3."""
    return next((root() / "usr" / "lib").glob("*/libcurl-gnutls.so.4")).parent


@dataclass
class Request:
    method: str
    target: str
    fields: dict[str, str]


class Http3Server(Daemon):
    """Serves the files of FOLDER/www, and N bytes as /N; its log tells of each request."""

    def __init__(self, folder: pathlib.Path, certificate: tuple[str, str]):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        super().__init__(
            [root() / "usr" / "sbin" / "gtlsserver", "-d", folder / "www", "127.0.0.1", self.port, certificate[1],
             certificate[0]],
            clean_environment(LD_LIBRARY_PATH=str(libraries())), folder / "http3.log",
        )

    def __enter__(self) -> "Http3Server":
        return self.started(lambda: wait_until(self._is_bound, 30, "the server of HTTP/3 to be up"))

    def _is_bound(self) -> bool:
        if self.process.poll() is not None:
            raise AssertionError(f"{self.name} ended: {self.said()[-2000:]}")
        # A try to bind the port would be in the server's way.
        return f" 0100007F:{self.port:04X} " in pathlib.Path("/proc/net/udp").read_text(encoding="ascii")

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"

    def requests(self) -> list[Request]:
        """In the order in which they came."""
        found = []
        for block in re.findall(r"request headers started\n(.*?)headers ended\n", self.said(), re.DOTALL):
            fields = dict(re.findall(r"^http: stream \S+ \[(:?[^:]+): (.*)\]$", block, re.MULTILINE))
            found.append(Request(fields.pop(":method"), fields.pop(":path"), fields))
        return found
