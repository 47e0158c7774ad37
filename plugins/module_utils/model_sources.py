"""Where models come from (S3, the Hugging Face Hub, a directory), and whether one is on the instance already.

Shared by the module that fetches them and by the one that looks, before anything is touched, whether they could be.
Only the standard library and the aws command: nothing has to be installed on the instance for it.
"""

from __future__ import annotations

import errno
import fnmatch
import hashlib
import http.client
import json
import re
import shutil
import time
import urllib.error
import urllib.parse
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ansible_collections.slm.serving.plugins.module_utils.aws_cli import AwsError, aws, role_in

MANIFEST = ".manifest.json"
CHUNK = 1 << 20
ATTEMPTS = 5
STREAMS = 4
SILENCE_SECONDS = 60
# Files of a Hub repository that an engine does not need.
SKIPPED = (".gitattributes", "*.md", "original/*", "*.pth", "*.bin", "*.pt", "*.gguf", "*.msgpack", "*.h5")
COMMIT = re.compile(r"[0-9a-f]{40}")


class ModelError(Exception):
    """What is wrong with a model or its source, in words for the operator."""


class DiskFullError(ModelError):
    """The disk was full in the middle of a download."""


def checksum_of(path: Path, algorithm: str, prefix: bytes = b"") -> str:
    """Return a file's checksum in hexadecimal, read in pieces."""
    digest = hashlib.new(algorithm, prefix, usedforsecurity=False)
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            digest.update(chunk)
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
            while here > 0 and (chunk := stream.read(min(CHUNK, here))):
                digest.update(chunk)
                here -= len(chunk)
            sums.append(digest.digest())
    return f"{hashlib.md5(b''.join(sums), usedforsecurity=False).hexdigest()}-{len(sums)}"


class Remote:
    """What the sources over HTTP share: every file by Range requests, several at once, going on after a cut."""

    source: str

    def open(self, name: str, start: int):
        """Return the answer with a file's bytes from `start` on; raises ModelError, OSError or HTTPException."""
        raise NotImplementedError

    def fetch(self, staging: Path, files: dict[str, dict]) -> None:
        """Download what is not whole yet into the staging directory; raises ModelError."""
        with ThreadPoolExecutor(STREAMS) as pool:
            downloads = [pool.submit(self._bring, staging, name, file["size"]) for name, file in files.items()]
            try:
                for download in downloads:
                    download.result()
            finally:
                for download in downloads:
                    download.cancel()

    def _bring(self, staging: Path, name: str, size: int) -> None:
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
                        " kept, and the next deployment goes on from there"
                    ) from error
                time.sleep(2 ** (attempt - 1))
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
            shutil.copyfileobj(answer, stream, CHUNK)
        if target.stat().st_size != size:
            raise OSError(f"{target.stat().st_size} of {size} bytes came")


def request(address: str, start: int) -> urllib.request.Request:
    """Return a request for an address from a byte on."""
    made = urllib.request.Request(address, headers={"User-Agent": "slm-ft-serving"})  # noqa: S310
    if start:
        made.add_header("Range", f"bytes={start}-")
    return made


class S3Source(Remote):
    """A prefix of a bucket, read with the instance profile."""

    def __init__(self, source: str, options: dict) -> None:
        """Take s3://bucket/prefix."""
        self.source, self.region = source.rstrip("/"), options["region"]
        self.bucket, _, prefix = self.source.removeprefix("s3://").partition("/")
        self.prefix = f"{prefix}/" if prefix else ""
        self._listing: dict[str, dict] = {}

    def _aws(self, *arguments: str) -> str:
        try:
            return aws(*arguments, region=self.region)
        except AwsError as error:
            if "NoSuchBucket" in error.said:
                raise ModelError(f"the bucket {self.bucket} of {self.source} does not exist") from None
            if error.denied:
                raise ModelError(self._denied(role_in(error.said))) from None
            raise ModelError(f"{self.source} cannot be read: {error}") from None

    def _denied(self, who: str) -> str:
        bucket = f"arn:aws:s3:::{self.bucket}"
        return (
            f"{who} may not read {self.source}: allow it s3:ListBucket on {bucket}"
            f" and s3:GetObject on {bucket}/{self.prefix}*"
        )

    def listing(self) -> dict[str, dict]:
        """Return size and ETag by relative path, asked for once; raises ModelError when there is nothing."""
        if self._listing:
            return self._listing
        answer = self._aws(
            "s3api", "list-objects-v2", "--bucket", self.bucket, "--prefix", self.prefix, "--output=json"
        )
        objects = json.loads(answer or "{}").get("Contents") or []
        if not objects:
            raise ModelError(f"there is nothing at {self.source}")
        self._listing = {
            item["Key"].removeprefix(self.prefix): {"size": item["Size"], "etag": item["ETag"].strip('"')}
            for item in objects
            if not item["Key"].endswith("/")
        }
        return self._listing

    def identity(self) -> str:
        """Return the text that changes when the content does."""
        return json.dumps(self.listing(), sort_keys=True)

    def open(self, name: str, start: int):
        """Return the answer with an object's bytes, by an address signed anew, since a role's credentials end."""
        address = self._aws("s3", "presign", f"s3://{self.bucket}/{self.prefix}{name}", "--expires-in", "3600").strip()
        try:
            return urllib.request.urlopen(request(address, start), timeout=SILENCE_SECONDS)  # noqa: S310
        except urllib.error.HTTPError as error:
            if error.code == 403:
                raise ModelError(self._denied("the instance's role")) from None
            if error.code == 404:
                raise ModelError(f"{name} of {self.source} is gone") from None
            raise

    def problem(self, path: Path, name: str, file: dict) -> str | None:
        """Return what is wrong with a fetched file, by its ETag; that of one encrypted with a KMS key tells nothing."""
        tag = re.fullmatch(r"([0-9a-f]{32})(-\d+)?", file["etag"])
        if not tag or (not tag[2] and checksum_of(path, "md5") == file["etag"]):
            return None
        about = ["s3api", "head-object", "--bucket", self.bucket, "--key", self.prefix + name, "--output", "json"]
        head = json.loads(self._aws(*about, *(["--part-number", "1"] if tag[2] else [])))
        if head.get("ServerSideEncryption", "").startswith("aws:kms"):
            return None
        if tag[2] and checksum_of_parts(path, head["ContentLength"]) == file["etag"]:
            return None
        path.unlink()  # Else it would be taken for whole the next time.
        return f"{name} does not have the checksum that S3 tells"


class FileSource:
    """A directory on the instance, or on a disk mounted there."""

    def __init__(self, source: str, options: dict) -> None:
        """Take file:///path."""
        del options
        self.source = source
        self.path = Path(urllib.parse.unquote(urllib.parse.urlparse(source).path))

    def listing(self) -> dict[str, dict]:
        """Return size and time of change by relative path."""
        if not self.path.is_dir():
            raise ModelError(f"the directory {self.path} of {self.source} does not exist on the instance")
        files = [path for path in sorted(self.path.rglob("*")) if path.is_file() and path.name != MANIFEST]
        return {
            str(path.relative_to(self.path)): {"size": path.stat().st_size, "changed": path.stat().st_mtime_ns}
            for path in files
        }

    def identity(self) -> str:
        """Return the text that changes when the content does."""
        return json.dumps(self.listing(), sort_keys=True)

    def fetch(self, staging: Path, files: dict[str, dict]) -> None:
        """Copy every file; raises DiskFullError."""
        for name in files:
            target = staging / name
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                shutil.copyfile(self.path / name, target)
            except OSError as error:
                if error.errno in {errno.ENOSPC, errno.EDQUOT}:
                    raise DiskFullError(f"the disk of {staging.parent} is full") from error
                raise

    def problem(self, path: Path, name: str, file: dict) -> str | None:
        """Return what is wrong with a copied file."""
        del file
        same = checksum_of(path, "sha256") == checksum_of(self.path / name, "sha256")
        return None if same else f"{name} changed while it was copied"


class HubSource(Remote):
    """A repository of the Hugging Face Hub at one commit, over plain HTTPS."""

    def __init__(self, source: str, options: dict) -> None:
        """Take hf://owner/repository@commit; raises ModelError when the commit is not a full one."""
        self.source, self.hub = source, options["hub"].rstrip("/")
        self.repository, _, self.revision = source.removeprefix("hf://").partition("@")
        if not COMMIT.fullmatch(self.revision):
            raise ModelError(
                f"{source} is not pinned: write hf://{self.repository}@COMMIT with the 40 digits of the commit that you"
                f" want, as shown on {self.hub}/{self.repository}/commits/main"
            )
        token_file = Path(options["hub_token_file"] or "/nonexistent")
        kept = token_file.read_text(encoding="utf-8").strip() if token_file.is_file() else ""
        self.token = options.get("hub_token") or kept

    def _ask(self, address: str, start: int = 0):
        asked = request(address, start)
        if self.token:
            # Unredirected: the storage that the Hub redirects to must not get the token.
            asked.add_unredirected_header("Authorization", f"Bearer {self.token}")
        try:
            return urllib.request.urlopen(asked, timeout=SILENCE_SECONDS)  # noqa: S310
        except urllib.error.HTTPError as error:
            if error.code in {401, 403, 404}:
                raise ModelError(self._refusal(error.code, error.headers.get("X-Error-Code", ""))) from None
            raise

    def _refusal(self, status: int, code: str) -> str:
        """Return the Hub's refusal in words; it answers 401 also for a repository that does not exist."""
        secret = "the secret that the parameter /slm-ft-serving/secrets/hf-token names"  # noqa: S105
        page = f"{self.hub}/{self.repository}"
        if code == "RevisionNotFound":
            return f"the Hub's {self.repository} has no commit {self.revision}: take one of {page}/commits/main"
        if code == "GatedRepo":
            whose = "the account of the token" if self.token else "an account, and its token is put into " + secret
            return f"the model {self.source} is gated: its terms have to be accepted on {page} with {whose}"
        if status in {401, 403} and not self.token:
            return f"the Hub asks for a token for {self.source}, if that exists: put one into {secret}"
        if status == 401:
            return f"the Hub does not accept the token (wrong, or expired): put a valid one into {secret}"
        if status == 403:
            return f"the token may not read {self.source}: give it that right, or put another into {secret}"
        return f"the Hub has no {self.source}, or the token may not see it"

    def listing(self) -> dict[str, dict]:
        """Return size and checksum by path, of the files that an engine needs."""
        quoted = urllib.parse.quote(self.repository)
        with self._ask(f"{self.hub}/api/models/{quoted}/revision/{self.revision}?blobs=true") as answer:
            siblings = json.load(answer)["siblings"]
        files = {}
        for sibling in siblings:
            name = sibling["rfilename"]
            if any(fnmatch.fnmatch(name, pattern) for pattern in SKIPPED):
                continue
            large = sibling.get("lfs") or {}
            files[name] = {
                "size": large.get("size", sibling["size"]),
                "sha256": large.get("sha256"),
                "blob": sibling.get("blobId"),
            }
        return files

    def identity(self) -> str:
        """Return the commit: its content never changes, so the Hub need not be asked."""
        return f"{self.revision} without {' '.join(SKIPPED)}"

    def open(self, name: str, start: int):
        """Return the answer with a file's bytes."""
        return self._ask(f"{self.hub}/{self.repository}/resolve/{self.revision}/{urllib.parse.quote(name)}", start)

    def problem(self, path: Path, name: str, file: dict) -> str | None:
        """Return what is wrong with a fetched file: large ones have a SHA-256, small ones their git blob's SHA-1."""
        if file["sha256"]:
            good = checksum_of(path, "sha256") == file["sha256"]
        elif file["blob"]:
            good = checksum_of(path, "sha1", f"blob {file['size']}\0".encode()) == file["blob"]
        else:
            return f"the Hub tells no checksum of {name}"
        if good:
            return None
        path.unlink()  # Else it would be taken for whole the next time.
        return f"{name} does not have the checksum that the Hub tells"


Source = "S3Source | FileSource | HubSource"
SOURCES = {"s3://": S3Source, "file://": FileSource, "hf://": HubSource}


def open_source(name: str, source: str, options: dict) -> Source:
    """Return the source; raises ModelError when it is of no known kind.

    Takes the model's name, its address, and `region`, `hub`, `hub_token_file` and, in place of that, `hub_token`.
    """
    for scheme, kind in SOURCES.items():
        if source.startswith(scheme):
            return kind(source, options)
    raise ModelError(
        f"the {name} model's source {source!r} is none of s3://bucket/prefix, file:///path, hf://repository@commit"
    )


def is_whole(directory: Path) -> bool:
    """Say whether a model's directory has every file of its manifest, in full size."""
    try:
        files = json.loads((directory / MANIFEST).read_text(encoding="utf-8"))["files"]
        return all((directory / name).stat().st_size == file["size"] for name, file in files.items())
    except (OSError, ValueError, KeyError):
        return False


def locate(root: Path, name: str, source: Source) -> Path:
    """Return the directory of this source with this content; raises ModelError."""
    digest = hashlib.sha256(f"{source.source}\n{source.identity()}".encode()).hexdigest()
    return root / f"{name}-{digest[:16]}"


def staging_of(directory: Path) -> Path:
    """Return where a model is put together before it is renamed to its directory."""
    return directory.with_name(f".staging-{directory.name}")


def missing_bytes(staging: Path, files: dict[str, dict]) -> int:
    """Return how many bytes of the files are still to come."""
    begun = [name for name in files if (staging / name).is_file()]
    have = sum(min((staging / name).stat().st_size, files[name]["size"]) for name in begun)
    return sum(file["size"] for file in files.values()) - have
