#!/usr/bin/env python3
"""OpenSSL 1.1, which Debian 12 has no more: curl of the release before, unpacked and not installed. By option (foreign),
because that release will not be in the archive for ever."""

import os
import pathlib
import subprocess

from support import case

from kept import download, kept  # support.case has its folder in the path

PACKAGES = ("curl", "libcurl4", "libssl1.1", "libldap-2.4-2")


def install(home: pathlib.Path) -> None:
    apt = download(home, "deb", "bullseye", "download", *[f"{name}/bullseye" for name in PACKAGES])
    for package in apt.glob("*.deb"):
        subprocess.run(["dpkg-deb", "--extract", package, home / "root"], check=True)


class OpenSsl11(case.ClientCase):
    tls = True

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        root = kept("openssl11", install) / "root"
        cls.curl = root / "usr" / "bin" / "curl"
        [library] = (root / "usr" / "lib").glob("*/libssl.so.1.1")
        cls.environment |= {"LD_LIBRARY_PATH": str(library.parent)}

    def test_curl(self):
        said = subprocess.run([self.curl, "--version"], env=os.environ | self.environment, check=True,
                              stdout=subprocess.PIPE).stdout
        self.assertIn(b" OpenSSL/1.1.", said)
        names = ("hello?n=1", "redirect?n=2", "chunked?n=3", "big?n=4", "missing?n=5", "empty?n=6", "hello?n=7")
        self.check(self.curl, "-sL", "--noproxy", "*", *[f"{self.url}/{name}" for name in names], least=8)

    def test_an_upload(self):
        body = self.folder / "body"
        body.write_bytes(b"x" * 2_000_000)
        self.check(self.curl, "-s", "-H", "Expect: 100-continue", "-T", body, self.url + "/echo?n=1", least=1)


if __name__ == "__main__":
    case.main()
