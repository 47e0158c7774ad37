"""Models of the Hugging Face Hub, at one commit."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from ansible_collections.slm.serving.plugins.module_utils.model_sources.base import (
    SILENCE_SECONDS,
    SKIPPED,
    ModelError,
    ModelFile,
    RemoteSource,
    SourceOptions,
    checksum_of,
    request,
)

COMMIT = re.compile(r"[0-9a-f]{40}")


def described(sibling: dict[str, Any]) -> ModelFile:
    """Return a file's size and checksum from the Hub's entry for it. Raises KeyError."""
    large = sibling.get("lfs") or {}
    return {
        "size": large.get("size", sibling["size"]),
        "sha256": large.get("sha256"),
        "blob": sibling.get("blobId"),
    }


class HubSource(RemoteSource):
    """A repository of the Hugging Face Hub at one commit, over plain HTTPS."""

    def __init__(self, source: str, options: SourceOptions) -> None:
        """Parse hf://owner/repository@commit. Raises ModelError when the commit is not a full one."""
        self.source, self.hub = source, options["hub"].rstrip("/")
        self.repository, _, self.revision = source.removeprefix("hf://").partition("@")
        if not COMMIT.fullmatch(self.revision):
            raise ModelError(
                f"{source} is not pinned: write hf://{self.repository}@COMMIT with the 40 digits of the commit that you"
                f" want, as shown on {self.hub}/{self.repository}/commits/main"
            )
        token_file = Path(options["hub_token_file"] or "/nonexistent")
        stored = token_file.read_text(encoding="utf-8").strip() if token_file.is_file() else ""
        self.token = options.get("hub_token") or stored

    def _ask(self, address: str, start: int = 0) -> Any:
        hub_request = request(address, start)
        if self.token:
            # Unredirected: the storage that the Hub redirects to must not get the token.
            hub_request.add_unredirected_header("Authorization", f"Bearer {self.token}")
        try:
            return urllib.request.urlopen(hub_request, timeout=SILENCE_SECONDS)  # noqa: S310
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
            return f"the token may not read {self.source}: give it that permission, or put another into {secret}"
        return f"the Hub has no {self.source}, or the token may not see it"

    def files(self) -> dict[str, ModelFile]:
        """Return size and checksum by path, of the files that an engine needs."""
        quoted = urllib.parse.quote(self.repository)
        with self._ask(f"{self.hub}/api/models/{quoted}/revision/{self.revision}?blobs=true") as answer:
            text = answer.read()
        try:
            siblings = [each for each in json.loads(text)["siblings"] if not self.skips(each["rfilename"])]
            return {each["rfilename"]: described(each) for each in siblings}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ModelError(f"the answer of {self.hub} about {self.source} cannot be read ({error!r})") from None

    def identity(self) -> str:
        """Return the commit: its content never changes, so the Hub need not be asked."""
        files = f"only {' '.join(self.only)}" if self.only else f"without {' '.join(SKIPPED)}"
        return f"{self.revision} {files}"

    def open(self, name: str, start: int) -> Any:
        """Return the answer with a file's bytes."""
        return self._ask(f"{self.hub}/{self.repository}/resolve/{self.revision}/{urllib.parse.quote(name)}", start)

    def problem(self, path: Path, name: str, file: ModelFile) -> str | None:
        """Return what is wrong with a fetched file: large ones have a SHA-256, small ones their git blob's SHA-1."""
        if file["sha256"]:
            matches = checksum_of(path, "sha256") == file["sha256"]
        elif file["blob"]:
            matches = checksum_of(path, "sha1", f"blob {file['size']}\0".encode()) == file["blob"]
        else:
            return f"the Hub reports no checksum of {name}"
        if matches:
            return None
        path.unlink()  # Else it would be taken for whole the next time.
        return f"{name} does not have the checksum that the Hub reports"
