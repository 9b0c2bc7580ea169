"""hiredis from 1.0 on, with TLS: Debian's next release has it, whose source is built and not installed."""

import pathlib
import subprocess

from kept import download, kept, unpack  # support.case has its folder in the path

CLIENTS = pathlib.Path(__file__).resolve().parents[1] / "clients"
LIBRARIES = ["-lhiredis_ssl", "-lhiredis", "-levent", "-lssl", "-lcrypto"]


def install(home: pathlib.Path) -> None:
    apt = download(home, "deb-src", "trixie", "source", "--download-only", "--only-source", "--tar-only", "hiredis")
    [archive] = apt.glob("hiredis_*.orig.tar.gz")
    unpack(archive, home / "source", ("",))
    subprocess.run(["make", "--silent", "USE_SSL=1", f"PREFIX={home / 'root'}", "install"], cwd=home / "source", check=True,
                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def build(name: str, folder: pathlib.Path) -> pathlib.Path:
    """Builds one of the clients with it."""
    root = kept("hiredis-1", install) / "root"
    program = folder / name
    subprocess.run(
        ["cc", "-D_GNU_SOURCE", f"-I{root / 'include'}", "-o", program, CLIENTS / f"{name}.c", CLIENTS / "script.c",
         CLIENTS / "hiredis_way_secure.c", f"-L{root / 'lib'}", f"-Wl,-rpath,{root / 'lib'}", *LIBRARIES],
        check=True, stdin=subprocess.DEVNULL)
    return program
