#!/usr/bin/python
"""Keep models on the instance: fetched beside, verified, and renamed into place when they are whole.

An own module, because no ready one downloads by the instance's own profile, resumes, verifies and renames; and because
it is one session instead of a dozen.
"""

from __future__ import annotations

import fcntl
import fnmatch
import hashlib
import http.client
import json
import re
import shutil
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: model_store
short_description: Keep models on the instance, whole and verified
description:
  - A model's directory is named after its source and its content, so an unchanged source is the same directory and a
    changed one a new directory.
  - What is missing is fetched into a staging directory, resumed if it was cut, verified and then renamed.
options:
  models:
    description: Sources by name. C(s3://bucket/prefix), C(file:///path) or C(hf://owner/repository@commit).
    type: dict
    required: true
  root:
    description: The directory that holds the models.
    type: path
    required: true
  region:
    description: Region of the buckets.
    type: str
    required: true
  fetch:
    description: Whether to fetch what is missing; without it the module only looks.
    type: bool
    default: true
  reserve:
    description: Bytes that must stay free on the disk.
    type: int
    default: 2147483648
  hub:
    description: Address of the Hugging Face Hub.
    type: str
    default: https://huggingface.co
  hub_token_file:
    description: File on the instance that holds the Hub's token; it may be missing when the models are public.
    type: path
    default: ""
  skip:
    description: Patterns of files of a Hub repository that the engine does not need.
    type: list
    elements: str
    default: [.gitattributes, "*.md", "original/*", "*.pth", "*.bin", "*.pt", "*.gguf", "*.msgpack", "*.h5"]
"""

RETURN = r"""
models:
  description: By name, C(source), C(path), C(bytes) and C(present).
  type: dict
missing:
  description: Names of the models that are not there yet.
  type: list
"""

MANIFEST = ".manifest.json"
CHUNK = 1 << 20
ATTEMPTS = 5
COMMIT = re.compile(r"[0-9a-f]{40}")


class ModelError(Exception):
    """What is wrong with a model's source, in words for the operator."""


def checksum_of(path: Path, algorithm: str, prefix: bytes = b"") -> str:
    """Return a file's checksum in hexadecimal, read in pieces."""
    digest = hashlib.new(algorithm, prefix, usedforsecurity=False)
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


class S3Source:
    """A prefix of a bucket, read with the aws command and the instance profile."""

    def __init__(self, source: str, options: dict) -> None:
        """Take s3://bucket/prefix."""
        self.source, self.region = source.rstrip("/"), options["region"]
        self.bucket, _, prefix = self.source.removeprefix("s3://").partition("/")
        self.prefix = f"{prefix}/" if prefix else ""

    def _aws(self, *arguments: str, timeout: float) -> str:
        command = ["aws", *arguments, "--region", self.region]
        try:
            result = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
        except FileNotFoundError:
            raise ModelError("the aws command is not installed on the instance") from None
        except subprocess.TimeoutExpired:
            raise ModelError(f"S3 did not answer about {self.source} within {timeout:.0f} s") from None
        if result.returncode == 0:
            return result.stdout
        said = result.stderr.strip()
        if "NoSuchBucket" in said:
            raise ModelError(f"the bucket {self.bucket} of {self.source} does not exist")
        if "AccessDenied" in said or "403" in said:
            raise ModelError(
                f"the instance profile may not read {self.source}:"
                f" allow s3:ListBucket and s3:GetObject on {self.bucket}"
            )
        raise ModelError(f"S3 refused {self.source}: {said.splitlines()[-1] if said else 'no reason given'}")

    def listing(self) -> dict[str, dict]:
        """Return size and ETag by relative path; raises ModelError when there is nothing."""
        answer = self._aws(
            "s3api", "list-objects-v2", "--bucket", self.bucket, "--prefix", self.prefix, "--output=json", timeout=120
        )
        objects = json.loads(answer or "{}").get("Contents") or []
        if not objects:
            raise ModelError(f"there is nothing at {self.source}")
        return {
            item["Key"].removeprefix(self.prefix): {"size": item["Size"], "etag": item["ETag"].strip('"')}
            for item in objects
            if not item["Key"].endswith("/")
        }

    def identity(self) -> str:
        """Return the text that changes when the content does."""
        return json.dumps(self.listing(), sort_keys=True)

    def fetch(self, staging: Path, files: dict[str, dict]) -> None:
        """Copy what is missing; whole files that are there already are kept."""
        del files  # sync compares for itself.
        self._aws("s3", "sync", self.source, str(staging), "--only-show-errors", "--no-progress", timeout=4 * 3600)

    def problem(self, path: Path, name: str, file: dict) -> str | None:
        """Return what is wrong with a fetched file.

        An ETag is the MD5 only of an object that came in one part and has no KMS key.
        """
        if not re.fullmatch(r"[0-9a-f]{32}", file["etag"]) or checksum_of(path, "md5") == file["etag"]:
            return None
        head = self._aws(
            "s3api", "head-object", "--bucket", self.bucket, "--key", self.prefix + name, "--output", "json", timeout=60
        )
        if json.loads(head).get("ServerSideEncryption", "").startswith("aws:kms"):
            return None
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
        """Copy every file."""
        for name in files:
            target = staging / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self.path / name, target)

    def problem(self, path: Path, name: str, file: dict) -> str | None:
        """Return what is wrong with a copied file."""
        del file
        same = checksum_of(path, "sha256") == checksum_of(self.path / name, "sha256")
        return None if same else f"{name} changed while it was copied"


class HubSource:
    """A repository of the Hugging Face Hub at one commit, over plain HTTPS with Range requests."""

    def __init__(self, source: str, options: dict) -> None:
        """Take hf://owner/repository@commit; raises ModelError when the commit is not a full one."""
        self.source, self.hub, self.skip = source, options["hub"].rstrip("/"), options["skip"]
        self.repository, _, self.revision = source.removeprefix("hf://").partition("@")
        if not COMMIT.fullmatch(self.revision):
            raise ModelError(
                f"{source} is not pinned: write hf://{self.repository}@COMMIT with the 40 digits of the commit that you"
                f" want, as shown on {self.hub}/{self.repository}/commits/main"
            )
        token_file = Path(options["hub_token_file"] or "/nonexistent")
        self.token = token_file.read_text(encoding="utf-8").strip() if token_file.is_file() else ""

    def _open(self, address: str, start: int = 0):
        request = urllib.request.Request(address, headers={"User-Agent": "slm-ft-serving"})  # noqa: S310
        if self.token:
            # Unredirected: the storage that the Hub redirects to must not get the token.
            request.add_unredirected_header("Authorization", f"Bearer {self.token}")
        if start:
            request.add_header("Range", f"bytes={start}-")
        try:
            return urllib.request.urlopen(request, timeout=60)  # noqa: S310
        except urllib.error.HTTPError as error:
            if error.code in {401, 403}:
                why = "the token may not read it" if self.token else "no token is set"
                raise ModelError(
                    f"the Hub refuses {self.source} ({error.code}; {why}): accept the model's terms and put a token of"
                    " that account into the secret that /slm-ft-serving/secrets/hf-token names"
                ) from None
            if error.code == 404:
                raise ModelError(f"the Hub has no {self.source}") from None
            raise

    def listing(self) -> dict[str, dict]:
        """Return size and checksum by path, of the files that an engine needs."""
        quoted = urllib.parse.quote(self.repository)
        with self._open(f"{self.hub}/api/models/{quoted}/revision/{self.revision}?blobs=true") as answer:
            siblings = json.load(answer)["siblings"]
        files = {}
        for sibling in siblings:
            name = sibling["rfilename"]
            if any(fnmatch.fnmatch(name, pattern) for pattern in self.skip):
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
        return f"{self.revision} without {' '.join(self.skip)}"

    def fetch(self, staging: Path, files: dict[str, dict]) -> None:
        """Download every file that is not whole yet, going on where an earlier try was cut."""
        for name, file in files.items():
            target = staging / name
            target.parent.mkdir(parents=True, exist_ok=True)
            for attempt in range(1, ATTEMPTS + 1):
                try:
                    self._download(name, target, file["size"])
                    break
                except (OSError, http.client.HTTPException) as error:
                    if attempt == ATTEMPTS:
                        raise ModelError(f"the download of {name} from {self.source} was cut: {error}") from error
                    time.sleep(2**attempt)

    def _download(self, name: str, target: Path, size: int) -> None:
        have = target.stat().st_size if target.is_file() else 0
        if have == size and size:
            return
        if have > size:
            target.unlink()
            have = 0
        address = f"{self.hub}/{self.repository}/resolve/{self.revision}/{urllib.parse.quote(name)}"
        with self._open(address, start=have) as answer:
            mode = "ab" if have and answer.status == 206 else "wb"
            with target.open(mode) as stream:
                shutil.copyfileobj(answer, stream, CHUNK)
        if target.stat().st_size != size:
            raise OSError(f"{target.stat().st_size} of {size} bytes came")

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


SOURCES = {"s3://": S3Source, "file://": FileSource, "hf://": HubSource}


def open_source(name: str, source: str, options: dict) -> S3Source | FileSource | HubSource:
    """Return the source; raises ModelError when it is of no known kind."""
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


def locate(root: Path, name: str, source: S3Source | FileSource | HubSource) -> Path:
    """Return the directory of this source with this content."""
    digest = hashlib.sha256(f"{source.source}\n{source.identity()}".encode()).hexdigest()
    return root / f"{name}-{digest[:16]}"


def verify_sums(staging: Path) -> None:
    """Check the files against SHA256SUMS where the model brings one; raises ModelError."""
    sums = staging / "SHA256SUMS"
    if not sums.is_file():
        return
    for line in sums.read_text(encoding="utf-8").splitlines():
        expected, _, name = line.partition(" ")
        path = staging / name.strip().lstrip("*")
        if name and not path.is_file():
            raise ModelError(f"{path.name} is named in SHA256SUMS and is not there")
        if name and checksum_of(path, "sha256") != expected:
            raise ModelError(f"{path.name} does not have the checksum that SHA256SUMS tells")


def bring(name: str, source: S3Source | FileSource | HubSource, directory: Path, reserve: int) -> None:
    """Fetch a model beside its place, verify it and rename it; raises ModelError."""
    files = source.listing()
    if not files:
        raise ModelError(f"there is nothing at {source.source} (the {name} model)")
    staging = directory.with_name(f".staging-{directory.name}")
    staging.mkdir(parents=True, exist_ok=True, mode=0o755)
    begun = [file for file in files if (staging / file).is_file()]
    have = sum(min((staging / file).stat().st_size, files[file]["size"]) for file in begun)
    need = sum(file["size"] for file in files.values()) - have
    free = shutil.disk_usage(staging).free
    if need + reserve > free:
        raise ModelError(
            f"the {name} model needs {need / 1e9:.1f} GB more and {reserve / 1e9:.1f} GB must stay free,"
            f" but {directory.parent} has {free / 1e9:.1f} GB: remove old models or enlarge the volume"
        )
    source.fetch(staging, files)
    for path in [path for path in staging.rglob("*") if path.is_file()]:
        if str(path.relative_to(staging)) not in files:
            path.unlink()  # Left by a try with other content.
    for file, about in files.items():
        path = staging / file
        if not path.is_file() or path.stat().st_size != about["size"]:
            raise ModelError(f"{file} of {source.source} did not come whole")
        problem = source.problem(path, file, about)
        if problem:
            raise ModelError(f"the {name} model from {source.source} is broken: {problem}")
    verify_sums(staging)
    (staging / MANIFEST).write_text(json.dumps({"source": source.source, "files": files}, indent=2), encoding="utf-8")
    if directory.exists():
        broken = directory.with_name(f".broken-{directory.name}")
        shutil.rmtree(broken, ignore_errors=True)
        directory.rename(broken)
        shutil.rmtree(broken, ignore_errors=True)
    staging.rename(directory)


def main() -> None:
    """Look, and fetch what is missing."""
    module = AnsibleModule(
        argument_spec={
            "models": {"type": "dict", "required": True},
            "root": {"type": "path", "required": True},
            "region": {"type": "str", "required": True},
            "fetch": {"type": "bool", "default": True},
            "reserve": {"type": "int", "default": 2 * 1024**3},
            "hub": {"type": "str", "default": "https://huggingface.co"},
            "hub_token_file": {"type": "path", "default": ""},
            "skip": {
                "type": "list",
                "elements": "str",
                "default": [
                    ".gitattributes",
                    "*.md",
                    "original/*",
                    "*.pth",
                    "*.bin",
                    "*.pt",
                    "*.gguf",
                    "*.msgpack",
                    "*.h5",
                ],
            },
        },
        supports_check_mode=True,
    )
    options = module.params
    root = Path(options["root"])
    fetch = options["fetch"] and not module.check_mode
    models, missing, fetched = {}, [], []
    try:
        for name, address in options["models"].items():
            source = open_source(name, address, options)
            directory = locate(root, name, source)
            present = is_whole(directory)
            if not present and fetch:
                root.mkdir(parents=True, exist_ok=True, mode=0o755)
                with (root / ".lock").open("w") as lock:
                    fcntl.flock(lock, fcntl.LOCK_EX)  # A task that was sent twice waits for the first.
                    if not is_whole(directory):
                        bring(name, source, directory, options["reserve"])
                fetched.append(name)
                present = True
            if not present:
                missing.append(name)
            models[name] = {"source": source.source, "path": str(directory), "present": present}
    except (ModelError, OSError) as error:
        module.fail_json(msg=str(error), models=models)
    would_fetch = module.check_mode and options["fetch"] and bool(missing)
    module.exit_json(changed=bool(fetched) or would_fetch, models=models, missing=missing)


if __name__ == "__main__":
    main()
