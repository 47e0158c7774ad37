"""Every error is an RFC 9457 problem document that quotes nothing."""

from typing import Any

import pytest

from tests.gateway.conftest import Gateway, StartGateway

MARKER = "MARKER-Jane-Doe"


@pytest.mark.parametrize(
    ("method", "path", "options", "status"),
    [
        ("GET", "/nothing", {}, 404),
        ("GET", f"/api/v1/{MARKER}", {}, 404),
        ("GET", "/api/v1/extract/", {}, 404),
        ("GET", "/api/v1/extract", {}, 405),
        ("DELETE", "/health", {}, 405),
        ("POST", "/api/v1/extract", {"data": b""}, 422),
        ("POST", "/api/v1/extract", {"data": f'{{"text": "{MARKER}'.encode()}, 422),
        ("POST", "/api/v1/extract", {"data": b'{"text": "\xff"}'}, 422),
        ("POST", "/api/v1/extract", {"data": b'{"text": "\\ud800"}'}, 422),
        ("POST", "/api/v1/extract", {"json": [MARKER]}, 422),
        ("POST", "/api/v1/extract", {"json": {}}, 422),
        ("POST", "/api/v1/extract", {"json": {"text": None}}, 422),
        ("POST", "/api/v1/extract", {"json": {"text": [MARKER]}}, 422),
        ("POST", "/api/v1/extract", {"json": {"text": ""}}, 422),
        ("POST", "/api/v1/extract", {"json": {"text": " \n"}}, 422),
        ("POST", "/api/v1/extract", {"json": {"text": MARKER, "temperature": 3}}, 422),
        ("POST", "/api/v1/extract", {"json": {"text": MARKER, "temperature": MARKER}}, 422),
        ("POST", "/api/v1/extract", {"json": {"text": MARKER, "max_tokens": 0}}, 422),
        ("POST", "/api/v1/extract", {"json": {"text": MARKER, "grounding": MARKER}}, 422),
        ("POST", "/api/v1/extract", {"json": {"text": MARKER, "model": f"{MARKER} x"}}, 422),
    ],
)
async def test_an_error_is_a_problem(gateway: Gateway, method: str, path: str, options: Any, status: int) -> None:
    reply = await gateway.call(method, path, **options)
    assert reply.status == status
    assert reply.headers["Content-Type"] == "application/problem+json"
    assert {"type", "title", "status", "detail", "request_id"} <= set(reply.json)
    assert reply.json["status"] == status
    assert reply.json["request_id"] == reply.headers["X-Request-ID"]
    assert MARKER.encode() not in reply.body
    if status == 422:
        assert reply.json["errors"][0]["loc"] is not None
    if status == 405:
        assert reply.headers["Allow"]


async def test_an_unexpected_error_is_a_500_without_its_reason(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise RuntimeError(MARKER)

    monkeypatch.setattr(gateway.services.extractor.__class__, "extract", fail)
    reply = await gateway.extract()
    assert reply.status == 500
    assert reply.headers["Content-Type"] == "application/problem+json"
    assert MARKER.encode() not in reply.body


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("https://preview-7.vercel.app", True),
        ("https://a.b.vercel.app", False),
        ("https://vercel.app", False),
        ("https://evil.org/.vercel.app", False),
        ("https://x.vercel.app.evil.org", False),
        ("http://preview.vercel.app", False),
        ("http://localhost:3000", True),
        ("http://localhost:3001", False),
    ],
)
async def test_cors_star_is_one_label(start_gateway: StartGateway, origin: str, allowed: bool) -> None:
    gateway = await start_gateway(cors_origins="https://*.vercel.app,http://localhost:3000")
    asked = {"Origin": origin, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "X-API-Key"}
    preflight = await gateway.call("OPTIONS", "/api/v1/extract", headers=asked)
    simple = await gateway.call("POST", "/api/v1/extract", json={"text": "x"}, headers={"Origin": origin})
    for reply in (preflight, simple):
        assert (reply.headers.get("Access-Control-Allow-Origin") == origin) is allowed
    assert preflight.status == (200 if allowed else 400)


# What OpenAI's npm package (6.49.0) sets; then what an application, a tracer or nobody known adds.
PREFLIGHTS = [
    "authorization,content-type,openai-organization,openai-project,user-agent,x-stainless-arch,"
    "x-stainless-helper-method,x-stainless-lang,x-stainless-os,x-stainless-package-version,x-stainless-retry-count,"
    "x-stainless-runtime,x-stainless-runtime-version,x-stainless-timeout",
    "idempotency-key,x-api-key,x-request-id",
    "baggage, sentry-trace, traceparent",
    "x-nobody-knows",
]


async def test_a_browser_may_send_what_an_sdk_adds(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(cors_origins="http://localhost:3000")
    for headers in PREFLIGHTS:
        asked = {
            "Origin": "http://localhost:3000",
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": headers,
        }
        preflight = await gateway.call("OPTIONS", "/v1/chat/completions", headers=asked)
        assert preflight.status == 200
        allowed = {name.strip().lower() for name in preflight.headers["Access-Control-Allow-Headers"].split(",")}
        assert {name.strip() for name in headers.split(",")} <= allowed
        assert int(preflight.headers["Access-Control-Max-Age"]) >= 600
        assert "Access-Control-Allow-Credentials" not in preflight.headers
        refused = await gateway.call("OPTIONS", "/v1/chat/completions", headers=asked | {"Origin": "http://evil.org"})
        assert refused.status == 400
        assert "Access-Control-Allow-Origin" not in refused.headers


async def test_a_named_origin_may_call_a_gateway_in_a_private_network(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(cors_origins="https://notes.example.org")
    for origin, status in (("https://notes.example.org", 200), ("https://evil.example.org", 400)):
        asked = {
            "Origin": origin,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Private-Network": "true",
        }
        preflight = await gateway.call("OPTIONS", "/api/v1/extract", headers=asked)
        assert preflight.status == status
        assert ("Access-Control-Allow-Origin" in preflight.headers) is (status == 200)
    preflight = await gateway.call(
        "OPTIONS", "/api/v1/extract", headers=asked | {"Origin": "https://notes.example.org"}
    )
    assert preflight.headers["Access-Control-Allow-Private-Network"] == "true"


async def test_a_browser_reads_when_to_come_again_and_the_requests_id(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(cors_origins="http://localhost:3000", rate_limit="1/hour")
    headers = {"Origin": "http://localhost:3000"}
    replies = [await gateway.call("GET", "/v1/models", headers=headers) for _ in range(2)]
    assert [reply.status for reply in replies] == [200, 429]
    for reply in replies:
        exposed = {name.strip() for name in reply.headers["Access-Control-Expose-Headers"].split(",")}
        assert exposed >= {"X-Request-ID", "Retry-After"}


async def test_a_refused_key_can_be_read_by_a_browser(start_gateway: StartGateway, tmp_path: Any) -> None:
    (tmp_path / "keys").write_text("")
    gateway = await start_gateway(
        auth="required", api_keys_file=tmp_path / "keys", cors_origins="http://localhost:3000"
    )
    reply = await gateway.call(
        "POST", "/api/v1/extract", json={"text": "x"}, headers={"Origin": "http://localhost:3000"}
    )
    assert reply.status == 401
    assert reply.headers["Access-Control-Allow-Origin"] == "http://localhost:3000"
