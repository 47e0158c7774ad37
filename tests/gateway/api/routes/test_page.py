"""The page at `/`: for browsers alone, light, closed to everything but the gateway, and off where it is set off."""

import re
from pathlib import Path

import pytest

from gateway.access.keys import create_key
from tests.gateway.conftest import Gateway, StartGateway

PAGE = Path("gateway/page")
FILES = sorted(path.name for path in PAGE.iterdir())
BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"}
# A browser takes compressed answers; the budget, 60,000 bytes, is for what it loads. What was reached is held.
MOST_BYTES, MOST_PLAIN_BYTES = 36_000, 88_000


async def test_a_browser_gets_the_page_and_a_program_the_links(gateway: Gateway) -> None:
    page = await gateway.call("GET", "/", headers=BROWSER)
    assert (page.status, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert b"<!doctype html>" in page.body
    for accept in (
        "*/*",
        "application/json",
        "application/json, text/html",
        "text/html;q=0.5, application/json",
        "x;q=y",
    ):
        reply = await gateway.call("GET", "/", headers={"Accept": accept})
        assert reply.json["links"]["extract"] == "/api/v1/extract", accept
        assert "Accept" in reply.headers["Vary"]
    assert (await gateway.call("HEAD", "/", headers=BROWSER)).headers["Content-Type"].startswith("text/html")


async def test_the_page_and_all_that_it_loads_are_small(gateway: Gateway) -> None:
    sizes = [int((await gateway.call("HEAD", f"/page/{name}")).headers["Content-Length"]) for name in FILES]
    assert 0 < sum(sizes) < MOST_BYTES
    assert sum((PAGE / name).stat().st_size for name in FILES) < MOST_PLAIN_BYTES
    for name in FILES:
        assert (await gateway.call("GET", f"/page/{name}")).body == (PAGE / name).read_bytes()
        plain = await gateway.call("GET", f"/page/{name}", headers={"Accept-Encoding": "identity"})
        assert plain.body == (PAGE / name).read_bytes()
        assert "Content-Encoding" not in plain.headers


async def test_every_address_in_the_page_is_the_gateways_own(gateway: Gateway) -> None:
    page = (await gateway.call("GET", "/", headers=BROWSER)).body.decode()
    addresses = re.findall(r'(?:src|href)="([^"#]+)"', page)
    assert {"page/page.css", "page/main.mjs", "docs"} <= set(addresses)
    for address in addresses:
        assert not re.match(r"[a-z]+:|/", address), "relative, so that a proxy may put the gateway below a path"
        assert (await gateway.call("GET", f"/{address}")).status == 200, address
    for name in FILES:
        source = (PAGE / name).read_text("utf-8").replace('xmlns="http://www.w3.org/2000/svg"', "")
        assert not re.search(r"https?://|//[a-z]+\.", source), name


@pytest.mark.parametrize("path", ["/", "/page/main.mjs", "/page/page.css", "/page/icon.svg"])
async def test_nothing_else_can_run_in_it_or_be_called_from_it(gateway: Gateway, path: str) -> None:
    reply = await gateway.call("GET", path, headers=BROWSER)
    policy = dict(part.split(" ", 1) for part in reply.headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["require-trusted-types-for"] == "'script'"
    assert not re.search(r"unsafe|[*]|https?:|data:|blob:", str(policy))
    assert reply.headers["X-Content-Type-Options"] == "nosniff"
    assert reply.headers["Referrer-Policy"] == "no-referrer"


async def test_a_file_that_has_not_changed_is_not_sent_again(gateway: Gateway) -> None:
    for path in ("/", "/page/main.mjs"):
        first = await gateway.call("GET", path, headers=BROWSER)
        assert first.headers.getall("Cache-Control") == ["no-cache"]
        tag = first.headers["ETag"]
        for known in (tag, f'"other", W/{tag}', "*"):
            again = await gateway.call("GET", path, headers=BROWSER | {"If-None-Match": known})
            assert (again.status, again.body, again.headers["ETag"]) == (304, b"", tag)
            assert "Content-Security-Policy" in again.headers
        assert (await gateway.call("GET", path, headers=BROWSER | {"If-None-Match": '"other"'})).status == 200
        # What was kept in one form does not stand for the other.
        plain = BROWSER | {"Accept-Encoding": "identity", "If-None-Match": tag}
        assert (await gateway.call("GET", path, headers=plain)).status == 200


async def test_only_the_pages_files_are_served(gateway: Gateway) -> None:
    for path in ("/page/none.mjs", "/page/", "/page/..%2fapp.py", "/page/%2e%2e/settings.py"):
        reply = await gateway.call("GET", path)
        assert (reply.status, reply.headers["Content-Type"]) == (404, "application/problem+json")


async def test_the_page_needs_no_key_and_its_calls_do(start_gateway: StartGateway, tmp_path: Path) -> None:
    key, line = create_key("person")
    (tmp_path / "keys").write_text(line)
    gateway = await start_gateway(auth="required", api_keys_file=tmp_path / "keys")
    assert (await gateway.call("GET", "/", headers=BROWSER)).status == 200
    assert (await gateway.call("GET", "/page/main.mjs")).status == 200
    for path in ("/api/v1/tasks", "/api/v1/extract/stream", "/api/v1/tasks/medical_ie/extract"):
        method = "GET" if path.endswith("tasks") else "POST"
        assert (await gateway.call(method, path, json={"text": "x"})).status == 401
    assert (await gateway.call("GET", "/api/v1/tasks", headers={"X-API-Key": key})).status == 200


async def test_the_page_can_be_off(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(page="off")
    for path in ("/", "/page/main.mjs", "/page/index.html"):
        reply = await gateway.call("GET", path, headers=BROWSER)
        assert (reply.status, reply.headers["Content-Type"]) == (404, "application/problem+json")
        assert reply.json["detail"] == "this gateway serves no page"
    assert (await gateway.call("GET", "/")).json["service"] == "slm-ft-serving gateway"
