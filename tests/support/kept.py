"""What suites fetch and keep from run to run, in folders of the cache, and files of Debian's archive without installing
them."""
import fcntl
import os
import pathlib
import subprocess
import tarfile


def cache_folder() -> pathlib.Path:
    chosen = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.environ.get("HOME", "/tmp"), ".cache")
    return pathlib.Path(chosen) / "wirespan"


def kept(name: str, install) -> pathlib.Path:
    """A folder of the cache that `install` has filled, now or earlier."""
    home = cache_folder() / name
    home.mkdir(parents=True, exist_ok=True)
    # Tests of one run start together: one installs, the others wait.
    with open(home / "lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (home / "complete").exists():
            install(home)
            (home / "complete").touch()
    return home


def download(home: pathlib.Path, kind: str, distribution: str, *words: str) -> pathlib.Path:
    """Runs apt-get with these words in a folder below `home`, which it returns, on the archive that this system's
    packages are from. `kind` is deb or deb-src."""
    apt = home / "apt"
    for folder in ("lists/partial", "cache/archives/partial"):
        (apt / folder).mkdir(parents=True, exist_ok=True)
    known = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(ORIGIN) $(CODENAME) $(COMPONENT) $(REPO_URI)", "Created-By: Packages"],
        check=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True).stdout
    archive = next(line.split()[3] for line in known.splitlines() if line.startswith("Debian bookworm main "))
    (apt / "sources.list").write_text(
        f"{kind} [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] {archive} {distribution} main\n")
    command = ["apt-get", "-qq", "-o", f"Dir::Etc::SourceList={apt}/sources.list", "-o", "Dir::Etc::SourceParts=/dev/null",
               "-o", f"Dir::State::Lists={apt}/lists", "-o", f"Dir::Cache={apt}/cache", "-o", "APT::Sandbox::User="]
    for step in (["update"], words):
        subprocess.run([*command, *step], check=True, cwd=apt, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    return apt


def unpack(archive: pathlib.Path, folder: pathlib.Path, beginnings: tuple[str, ...]) -> None:
    """The files of a source archive whose paths, without its one outermost folder, begin so."""
    with tarfile.open(archive) as files:
        for member in files:
            inner = member.name.partition("/")[2]
            if member.isfile() and inner.startswith(beginnings) and ".." not in inner:
                path = folder / inner
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(files.extractfile(member).read())
