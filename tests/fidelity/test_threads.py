#!/usr/bin/env python3
"""Threads that block: a request is read, worked for and answered by one thread."""

from fidelity import FRONTS, PHASES, Front, Suite, main


class Threads(Suite):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.bin = cls.install()

    def gunicorn(self, name: str, *options, application="flask_front:application", **more) -> None:
        self.check(Front(
            name, [self.bin / "gunicorn", "--bind", "127.0.0.1:{port}", "--chdir", FRONTS, "--backlog", 64, *options,
                   application], **more,
        ))

    def test_standard_library(self):
        self.check(Front("ThreadingHTTPServer", [self.bin / "python", FRONTS / "threads_front.py", "{port}"],
                         least=EVERYWHERE))

    def test_gunicorn_sync(self):
        self.gunicorn("gunicorn sync", "--workers", 2, least=EVERYWHERE)

    def test_gunicorn_gthread(self):
        self.gunicorn("gunicorn gthread", "--worker-class", "gthread", "--threads", 8, least=EVERYWHERE)

    def test_pools(self):
        self.gunicorn("gunicorn gthread", "--worker-class", "gthread", "--threads", 8,
                      modes=("pool", "shared", "queue"), least=POOLS)

    def test_consumers(self):
        """What the first of many requests begins serves others while that one is not answered yet."""
        for mode in "consumer", "queue":
            self.gunicorn("gunicorn gthread", "--worker-class", "gthread", "--threads", 8, modes=(mode,),
                          phases=PHASES[3:5], least={mode: 0.95})

    def test_loops(self):
        for workers, options in (("sync", ()), ("gthread", ("--threads", 8))):
            self.gunicorn(f"gunicorn {workers}", "--worker-class", workers, *options, modes=("loop", "others"),
                          phases=(PHASES[0], *PHASES[3:]), least={"loop": 1.0, "others": 0})

    def test_django(self):
        self.gunicorn("Django, gthread", "--worker-class", "gthread", "--threads", 8, least=EVERYWHERE,
                      application="django_front:by_wsgi")

    def test_django_asgi(self):
        """Its views run in threads, to which its own tasks hand them."""
        self.check(Front("Django, uvicorn", [
            self.bin / "uvicorn", "--port", "{port}", "--app-dir", FRONTS, "--log-level", "warning", "--lifespan", "off",
            "--loop", "asyncio", "--http", "h11", "django_front:by_asgi"], modes=("seq", "async"),
            least={"seq": 0.95, "async": 0.95}))

    def test_gevent(self):
        self.gunicorn("gunicorn gevent", "--worker-class", "gevent", modes=("seq", "queue"),
                      least={"seq": 0.95, "queue": 1.0})


EVERYWHERE = {"seq": 1.0}
POOLS = {"pool": 1.0, "shared": 1.0, "queue": 1.0}

if __name__ == "__main__":
    main()
