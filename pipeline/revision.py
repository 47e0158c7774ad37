"""The commit that images are made from: nothing else is in them."""

import os
import re
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from pipeline.errors import PipelineError

# scp's form of an address: user@host:path.
SCP_ADDRESS = re.compile(r"[^/@]+@(?P<host>[^/:]+):(?P<path>[^/].*)")
CHANGES_SHOWN = 10


@dataclass(frozen=True)
class Revision:
    """A commit.

    Attributes:
        commit: Its full hash.
        seconds: When it was made, since 1970.
        source: Address of the repository; empty where git knows none.
    """

    commit: str
    seconds: int
    source: str


def git(root: Path, *arguments: str) -> str:
    """Return what a git command prints.

    Raises:
        PipelineError: It fails, or there is no git.
    """
    try:
        result = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise PipelineError("There is no git on PATH; images are made from commits.") from error
    if result.returncode != 0:
        raise PipelineError(f"git {' '.join(arguments)} failed: {result.stderr.strip()}")
    return result.stdout.rstrip("\n")


def read(root: Path) -> Revision:
    """Return the commit that is checked out.

    Raises:
        PipelineError: There is none, or there are changes that are in no commit.
    """
    commit = git(root, "rev-parse", "--verify", "HEAD^{commit}")
    changes = git(root, "status", "--porcelain").splitlines()
    if changes:
        shown = "\n".join(f"  {line}" for line in changes[:CHANGES_SHOWN])
        more = f"\n  and {len(changes) - CHANGES_SHOWN} more" if len(changes) > CHANGES_SHOWN else ""
        raise PipelineError(
            "Images are made from a commit, and these changes are in none:\n"
            f"{shown}{more}\nCommit them, or put them aside with: git stash --include-untracked"
        )
    return Revision(commit, int(git(root, "log", "-1", "--format=%ct")), source(root))


def source(root: Path) -> str:
    """Return the repository's address for browsers: GitHub's in a workflow, else that of the remote `origin`.

    Never with a user or a password, which git allows in an address.
    """
    if os.environ.get("GITHUB_SERVER_URL") and os.environ.get("GITHUB_REPOSITORY"):
        return f"{os.environ['GITHUB_SERVER_URL']}/{os.environ['GITHUB_REPOSITORY']}"
    try:
        remote = git(root, "remote", "get-url", "origin")
    except PipelineError:
        return ""
    return public_address(remote)


def public_address(remote: str) -> str:
    """Return an https address for a remote's; empty for a remote that is on no host."""
    scp = SCP_ADDRESS.fullmatch(remote)
    if scp:
        return f"https://{scp['host']}/{scp['path'].removesuffix('.git')}"
    parts = urlsplit(remote)
    if parts.scheme not in ("https", "http", "ssh", "git") or not parts.hostname:
        return ""
    return f"https://{parts.hostname}{parts.path.removesuffix('.git')}"


def export(root: Path, revision: Revision, folder: Path) -> None:
    """Write the commit's files into a folder: same times and modes on every machine, and nothing that is ignored.

    Raises:
        PipelineError: git cannot.
    """
    archive = folder / "context.tar"
    git(root, "-c", "tar.umask=0022", "archive", "--format=tar", f"--output={archive}", revision.commit)
    with tarfile.open(archive) as opened:
        # As git made it: modes and times are kept, owners are nobody's business.
        opened.extractall(folder, filter="tar")
    archive.unlink()
