"""The real servers: redis-server and nginx, on loopback and on free ports."""

import os
import pathlib
import shutil

from support.process import Daemon, clean_environment, free_port, wait_until
from support.truth import Exchange


def program(name: str) -> str:
    """The path of a program that tools/install brings. Its absence is a failure, not a skip."""
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if not found:
        raise AssertionError(f"{name} is not installed: run tools/install test")
    return found


class RedisServer(Daemon):
    """A redis-server without persistence."""

    def __init__(self, folder: pathlib.Path, *options: str, environment: dict[str, str] | None = None):
        self.port = free_port()
        super().__init__(
            [program("redis-server"), "--port", self.port, "--bind", "127.0.0.1", "--save", "",
             "--appendonly", "no", "--dir", folder, "--maxclients", "500", *options],
            environment or clean_environment(), folder / f"redis-{self.port}.log",
        )

    def __enter__(self) -> "RedisServer":
        return self.started(lambda: wait_until(self._is_ready, 30, "redis-server to be ready"))

    def _is_ready(self) -> bool:
        if self.process.poll() is not None:
            raise AssertionError(f"redis-server ended: {self.said()[-2000:]}")
        return "Ready to accept connections" in self.said()


NGINX_MAIN = """
daemon off;
worker_processes {workers};
pid {folder}/nginx.pid;
error_log stderr warn;
{user}
{main}
events {{ worker_connections 1024; }}
http {{
    include /etc/nginx/mime.types;
    log_format truth escape=json '$connection\\t$request_method\\t$request_uri\\t$status\\t'
        '$body_bytes_sent\\t$request_length\\t$msec\\t$request_time\\t$http_traceparent\\t$remote_port';
    access_log {access_log};
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    sendfile on;
    keepalive_requests 1000000;
    server {{
        listen 127.0.0.1:{port} backlog=1024{tls};
        root {folder}/www;
        {server}
    }}
    {http}
}}
"""


LOG_LATE_NS = 250_000_000


class Nginx(Daemon):
    """An nginx with a generated configuration; its files lie in FOLDER/www."""

    def __init__(self, folder: pathlib.Path, environment: dict[str, str] | None = None, *, workers: int = 1,
                 server: str = "", http: str = "", main: str = "", access_log: bool = True,
                 before: list | None = None, certificate: tuple[str, str] | None = None,
                 user: str = "root root", http2: bool = False):
        self.port = free_port()
        self.scheme = "https" if certificate else "http"
        if certificate:
            server = f"ssl_certificate {certificate[0]}; ssl_certificate_key {certificate[1]}; {server}"
        self.folder = folder
        self.access_log = folder / "access.log"
        (folder / "www").mkdir(parents=True, exist_ok=True)
        configuration = folder / "nginx.conf"
        configuration.write_text(
            NGINX_MAIN.format(
                workers=workers, folder=folder, port=self.port, server=server, http=http, main=main,
                tls=(" ssl" if certificate else "") + (" http2" if http2 else ""),
                access_log=f"{self.access_log} truth" if access_log else "off",
                # Workers that give up root could not read a private folder.
                user=f"user {user};" if os.geteuid() == 0 else "",
            )
        )
        super().__init__(
            [*(before or []), program("nginx"), "-p", folder, "-c", configuration],
            environment or clean_environment(), folder / "nginx.log",
        )

    def __enter__(self) -> "Nginx":
        return self.started(lambda: self.await_port(self.port))

    def truth(self) -> list[Exchange]:
        """What the access log says, in the order of completion. Times are to the millisecond."""
        found = []
        for line in self.access_log.read_text().splitlines():
            connection, method, target, status, body, _, ended, took, traceparent, port = line.split("\t")
            ended_ns = int(float(ended) * 1e9)
            exchange = Exchange(
                int(connection), int(port), method, target, "HTTP/1.1", {"traceparent": traceparent},
                # The log's clock ticks in milliseconds, and was read before nginx last waited for a processor: a
                # bound, not a moment.
                received_ns=ended_ns + LOG_LATE_NS, answered_ns=ended_ns - int(float(took) * 1e9) - LOG_LATE_NS,
            )
            exchange.status, exchange.response_body = int(status), int(body)
            found.append(exchange)
        return found

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"


APACHE = """
ServerRoot /usr/lib/apache2
ServerName localhost
PidFile {folder}/apache.pid
Mutex file:{folder}
ErrorLog /dev/stderr
Listen 127.0.0.1:{port}
LoadModule mpm_event_module modules/mod_mpm_event.so
LoadModule authz_core_module modules/mod_authz_core.so
LoadModule proxy_module modules/mod_proxy.so
LoadModule proxy_http_module modules/mod_proxy_http.so
ProxyPass / {target}/
"""


class Apache(Daemon):
    """An Apache httpd that passes all it gets to `target`."""

    def __init__(self, folder: pathlib.Path, environment: dict[str, str], target: str):
        self.port = free_port()
        configuration = folder / "apache.conf"
        configuration.write_text(APACHE.format(folder=folder, port=self.port, target=target))
        super().__init__([program("apache2"), "-f", configuration, "-X"], environment, folder / "apache.log")

    def __enter__(self) -> "Apache":
        return self.started(lambda: self.await_port(self.port))
