"""What all sources of models share: their interface, checksums, and downloads that go on after a cut."""

from __future__ import annotations

import errno
import fnmatch
import hashlib
import http.client
import shutil
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypedDict

from ansible_collections.slm.serving.plugins.module_utils.model_sources.names import clash, name_problem, shown

MANIFEST = ".manifest.json"
# What a repository of the Hub holds beside what an engine loads: the weights once more in other forms, descriptions. A
# folder that one was downloaded to has them too, and is what people upload.
SKIPPED = (".gitattributes", "*.md", "original/*", "*.pth", "*.bin", "*.pt", "*.gguf", "*.msgpack", "*.h5")
# The model of llama.cpp: one file with base and adapter, in a folder where anything else may lie.
GGUF = "gguf"
GGUF_FILE = "model.gguf"
# What a file of that form begins with: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
GGUF_MAGIC = b"GGUF"
SUMS = "SHA256SUMS"
# What such a download leaves there for itself.
LEFTOVERS = (".cache/*", ".git/*")
BLOCK_BYTES = 1 << 20
ATTEMPTS = 5
FIRST_PAUSE_SECONDS = 1.0
STREAMS = 4
SILENCE_SECONDS = 60
SMALL_BYTES = 64 << 20  # more than any index of weights has


class ModelError(Exception):
    """What is wrong with a model or its source, in words for the operator."""


class DiskFullError(ModelError):
    """The disk was full in the middle of a download."""


class SourceOptions(TypedDict, total=False):
    """What opening a source may need besides its address."""

    region: str
    hub: str
    hub_token_file: str
    hub_token: str  # in place of the file


class _Size(TypedDict):
    size: int


class ModelFile(_Size, total=False):
    """A file of a model: its size in bytes, and what its source has to compare its content with."""

    etag: str  # S3's
    changed: int  # nanoseconds, of a directory
    sha256: str | None  # the Hub's for large files
    blob: str | None  # the Hub's for small ones, git's SHA-1


class Source:
    """A place that a model is fetched from.

    Attributes:
        source: its address.
        only: the files that an engine needs of it; empty where that is all but what is skipped.
    """

    source: str
    only: tuple[str, ...] = ()

    def skips(self, name: str) -> bool:
        """Say whether an engine does not need a file of it."""
        return name not in self.only if self.only else is_skipped(name)

    def listing(self) -> dict[str, ModelFile]:
        """Return the files that an engine needs by relative path, which leads to below any folder it is joined to.

        Raises:
            ModelError: the source cannot be read, or has a file whose name is no such path.
        """
        files = self.files()
        # An instance's own manifest, uploaded with the folder that it was copied from.
        files.pop(MANIFEST, None)
        check_files(self.source, files)
        return {name: file for name, file in files.items() if not self.skips(name)}

    def files(self) -> dict[str, ModelFile]:
        """Return the files by the names that the source gives them, unchecked. Raises ModelError."""
        raise NotImplementedError

    def identity(self) -> str:
        """Return a text that changes when the content does. Raises ModelError."""
        raise NotImplementedError

    def read(self, name: str) -> bytes:
        """Return the content of a small file. Raises ModelError, OSError."""
        raise NotImplementedError

    def head(self, name: str, size: int) -> bytes:
        """Return the first bytes of a file, `size` at most. Raises ModelError, OSError."""
        raise NotImplementedError

    def try_out(self, files: dict[str, ModelFile]) -> None:
        """Raise ModelError when the files are listed, but may not be read."""

    def fetch(self, staging: Path, files: dict[str, ModelFile]) -> None:
        """Bring what is not whole yet into the staging directory. Raises ModelError."""
        raise NotImplementedError

    def problem(self, path: Path, name: str, file: ModelFile) -> str | None:
        """Return what is wrong with the content of a fetched file, or None. Raises ModelError."""
        raise NotImplementedError


def is_skipped(name: str) -> bool:
    """Say whether an engine does not need a file of a model."""
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in (*SKIPPED, *LEFTOVERS))


def check_files(source: str, files: dict[str, ModelFile]) -> None:
    """Raise ModelError when a source has a file that cannot be written as it is named, or of no known size."""
    why = "Nothing was fetched. Rename it, or remove it if nobody knows it: whoever may write there chose the name"
    for name, file in files.items():
        problem = name_problem(name)
        if problem:
            raise ModelError(f"the name of the object {shown(name)} of {source} {problem}. {why}")
        if not isinstance(file["size"], int) or file["size"] < 0:
            raise ModelError(f"{source} gives no size of {shown(name)}")
    clashing = clash([MANIFEST, *files])
    if clashing:
        one, other = clashing
        raise ModelError(f"the objects {shown(one)} and {shown(other)} of {source} would be one file on a disk. {why}")


def checksum_of(path: Path, algorithm: str, prefix: bytes = b"") -> str:
    """Return a file's checksum in hexadecimal, read in blocks."""
    digest = hashlib.new(algorithm, prefix, usedforsecurity=False)
    with path.open("rb") as stream:
        while block := stream.read(BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def checksum_of_parts(path: Path, part: int) -> str:
    """Return the ETag that S3 gives a file which was uploaded in parts of `part` bytes: the MD5 of the parts' MD5s.

    Source: AWS, "Checking object integrity", on the ETags of multipart uploads.
    """
    sums = []
    with path.open("rb") as stream:
        left = path.stat().st_size
        while left > 0:
            digest, here = hashlib.md5(usedforsecurity=False), min(part, left)
            left -= here
            while here > 0 and (block := stream.read(min(BLOCK_BYTES, here))):
                digest.update(block)
                here -= len(block)
            sums.append(digest.digest())
    return f"{hashlib.md5(b''.join(sums), usedforsecurity=False).hexdigest()}-{len(sums)}"


class RemoteSource(Source):
    """A source over HTTP: files by Range requests, several at once, resumed after a cut."""

    def open(self, name: str, start: int) -> Any:
        """Return the response with a file's bytes from byte `start` on. Raises ModelError, OSError, HTTPException."""
        raise NotImplementedError

    def read(self, name: str) -> bytes:
        """Return the content of a small file. Raises ModelError, OSError."""
        return self.head(name, SMALL_BYTES)

    def head(self, name: str, size: int) -> bytes:
        """Return the first bytes of a file, `size` at most. Raises ModelError, OSError."""
        try:
            with self.open(name, 0) as answer:
                content: bytes = answer.read(size)
        except http.client.HTTPException as error:
            raise ModelError(f"{name} of {self.source} cannot be read ({error!r})") from error
        return content

    def try_out(self, files: dict[str, ModelFile]) -> None:
        """Raise ModelError when the largest file, the one that is archived before others, may not be read."""
        if not files:
            return
        name = max(files, key=lambda each: files[each]["size"])
        try:
            self.open(name, 0).close()
        except (OSError, http.client.HTTPException) as error:
            raise ModelError(f"{name} of {self.source} cannot be read ({error})") from error

    def fetch(self, staging: Path, files: dict[str, ModelFile]) -> None:
        """Download what is not whole yet into the staging directory. Raises ModelError."""
        with ThreadPoolExecutor(STREAMS) as pool:
            downloads = [
                pool.submit(self._download_with_retries, staging, name, file["size"]) for name, file in files.items()
            ]
            try:
                for download in downloads:
                    download.result()
            finally:
                for download in downloads:
                    download.cancel()

    def _download_with_retries(self, staging: Path, name: str, size: int) -> None:
        target = staging / name
        target.parent.mkdir(parents=True, exist_ok=True)
        for attempt in range(1, ATTEMPTS + 1):
            try:
                self._download(name, target, size)
            except (OSError, http.client.HTTPException) as error:
                if getattr(error, "errno", None) in {errno.ENOSPC, errno.EDQUOT}:
                    raise DiskFullError(f"the disk of {staging.parent} is full") from error
                if attempt == ATTEMPTS:
                    raise ModelError(
                        f"the download of {name} from {self.source} was cut {ATTEMPTS} times ({error}); what came is"
                        " kept, and the next deployment resumes it"
                    ) from error
                time.sleep(FIRST_PAUSE_SECONDS * 2 ** (attempt - 1))
            else:
                return

    def _download(self, name: str, target: Path, size: int) -> None:
        have = target.stat().st_size if target.is_file() else 0
        if have == size and target.is_file():
            return
        if have > size:
            target.unlink()
            have = 0
        with self.open(name, have) as answer, target.open("ab" if have and answer.status == 206 else "wb") as stream:
            shutil.copyfileobj(answer, stream, BLOCK_BYTES)
        if target.stat().st_size != size:
            raise OSError(f"{target.stat().st_size} of {size} bytes came")


def request(address: str, start: int) -> urllib.request.Request:
    """Return a request for an address from byte `start` on."""
    headers = {"User-Agent": "slm-ft-serving"} | ({"Range": f"bytes={start}-"} if start else {})
    return urllib.request.Request(address, headers=headers)  # noqa: S310
