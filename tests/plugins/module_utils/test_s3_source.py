"""What S3's refusals of an object come to: told by S3's own code, since one status stands for many causes."""

from __future__ import annotations

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from ansible_collections.slm.serving.plugins.module_utils.model_sources import base, s3
from ansible_collections.slm.serving.plugins.module_utils.model_sources.base import ModelError

from tests.fakes.http_service import HttpFake

ROLE = "arn:aws:sts::123456789012:assumed-role/some-role/i-1"
PAST = "2026-01-01T00:00:00Z"


def document(code: str, message: str = "", **elements: str) -> str:
    """Return S3's answer to a call that it refuses."""
    more = "".join(f"<{name}>{text}</{name}>" for name, text in elements.items())
    return f'<?xml version="1.0"?>\n<Error><Code>{code}</Code><Message>{message}</Message>{more}</Error>'


class Refusing(HttpFake):
    """A storage that refuses every object alike, and counts."""

    def __init__(self) -> None:
        super().__init__()
        self.status, self.body, self.asked = 403, "", 0

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """Refuse."""
        self.asked += 1
        request.send_response(self.status)
        request.send_header("Content-Length", str(len(self.body.encode())))
        request.end_headers()
        request.wfile.write(self.body.encode())


@pytest.fixture(scope="module")
def server() -> Iterator[Refusing]:
    """Serve for all tests of this file."""
    with Refusing() as server:
        yield server


@pytest.fixture
def storage(server: Refusing, monkeypatch: pytest.MonkeyPatch) -> Refusing:
    """Sign every address for the storage, and try again at once."""
    monkeypatch.setattr(s3, "aws", lambda *_, **__: f"http://127.0.0.1:{server.port}/model.safetensors\n")
    monkeypatch.setattr(base, "FIRST_PAUSE_SECONDS", 0)
    server.asked = 0
    return server


def refusal(storage: Refusing, folder: Path, status: int, body: str) -> str:
    """Fetch one file; return why that fails."""
    storage.status, storage.body = status, body
    source = s3.S3Source("s3://bucket/base", {"region": "us-east-1"})
    with pytest.raises(ModelError) as raised:
        source.fetch(folder, {"model.safetensors": {"size": 3}})
    return str(raised.value)


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (403, document("AccessDenied", "Access Denied"), "s3:GetObject on arn:aws:s3:::bucket/base/*"),
        (403, "", "s3:GetObject on arn:aws:s3:::bucket/base/*"),
        (
            403,
            document("AccessDenied", f"User: {ROLE} is not authorized to perform: s3:GetObject on resource: x"),
            "role some-role may not read",
        ),
        (
            403,
            document("AccessDenied", f"User: {ROLE} is not authorized to perform: kms:Decrypt on resource: arn:k"),
            "role some-role may not decrypt model.safetensors of s3://bucket/base: allow it kms:Decrypt",
        ),
        (400, document("KMS.DisabledException", "arn:k is disabled."), "kms:Decrypt on the key (S3 answered KMS.Dis"),
        (403, document("InvalidObjectState", "The operation is not valid"), "is archived"),
        (403, document("AccessDenied", "Request has expired", Expires=PAST), "the instance's clock is wrong"),
        (403, document("RequestTimeTooSkewed", "The difference"), "the instance's clock is wrong"),
        (301, document("PermanentRedirect", "Use another endpoint"), "lies in another region, not in us-east-1"),
        (
            400,
            document("AuthorizationHeaderMalformed", "the region is wrong", Region="eu-central-1"),
            "lies in eu-central-1, not in us-east-1",
        ),
        (
            400,
            document("AuthorizationQueryParametersError", "the region is wrong; expecting &#39;eu-west-1&#39;"),
            "lies in eu-west-1",
        ),
        (404, document("NoSuchKey", "no key"), "model.safetensors of s3://bucket/base is gone"),
        (404, document("NoSuchBucket", "no bucket"), "the bucket bucket of s3://bucket/base does not exist"),
        (403, document("InvalidAccessKeyId", "Not ours"), "cannot be read: S3 answered InvalidAccessKeyId: Not ours"),
        (400, "<html>proxy</html>", "cannot be read: S3 answered 400"),
    ],
)
def test_refusal_is_told_by_its_own_code_and_at_once(
    storage: Refusing, tmp_path: Path, status: int, body: str, words: str
) -> None:
    assert words in refusal(storage, tmp_path, status, body)
    assert storage.asked == 1


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (400, document("ExpiredToken", "The provided token has expired."), "hands out old credentials"),
        (503, document("SlowDown", "Please reduce your request rate."), "S3 answered SlowDown: Please reduce"),
        (500, "", "S3 answered 500"),
        (429, "", "S3 answered 429"),
    ],
)
def test_refusal_that_may_pass_is_tried_again_and_told(
    storage: Refusing, tmp_path: Path, status: int, body: str, words: str
) -> None:
    message = refusal(storage, tmp_path, status, body)
    assert words in message
    assert "the next deployment resumes it" in message
    assert storage.asked == base.ATTEMPTS


def test_model_without_files_is_not_tried_out(storage: Refusing) -> None:
    s3.S3Source("s3://bucket/base", {"region": "us-east-1"}).try_out({})
    assert storage.asked == 0


def test_model_that_is_listed_and_may_not_be_read_is_found_before_it_is_fetched(storage: Refusing) -> None:
    storage.status, storage.body = 403, document("InvalidObjectState", "archived")
    source = s3.S3Source("s3://bucket/base", {"region": "us-east-1"})
    with pytest.raises(ModelError, match=r"model\.safetensors of s3://bucket/base is archived"):
        source.try_out({"config.json": {"size": 1}, "model.safetensors": {"size": 3}})
