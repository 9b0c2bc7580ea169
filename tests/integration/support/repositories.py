"""A git repository to be cloned from a server that knows nothing of git."""

import pathlib
import subprocess

from support.process import clean_environment
from support.servers import program


def make_bare(folder: pathlib.Path) -> None:
    """Makes FOLDER/www/repository.git, five commits of a file each. The same each time, to the last hash."""
    environment = clean_environment(
        GIT_AUTHOR_NAME="a", GIT_AUTHOR_EMAIL="a@example.test", GIT_COMMITTER_NAME="a",
        GIT_COMMITTER_EMAIL="a@example.test", GIT_CONFIG_NOSYSTEM="1", HOME=str(folder),
        GIT_AUTHOR_DATE="2001-02-03T04:05:06Z", GIT_COMMITTER_DATE="2001-02-03T04:05:06Z",
    )

    def git(*arguments):
        subprocess.run([program("git"), *arguments], env=environment, check=True, capture_output=True)

    work, bare = folder / "work", folder / "www" / "repository.git"
    git("init", "-q", "-b", "main", str(work))
    for number in range(5):
        (work / f"file-{number}").write_text(f"content {number}\n" * 100)
        git("-C", str(work), "add", ".")
        git("-C", str(work), "commit", "-qm", f"commit {number}")
    git("clone", "-q", "--bare", str(work), str(bare))
    git("-C", str(bare), "update-server-info")
