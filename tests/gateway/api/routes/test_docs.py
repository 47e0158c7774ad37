"""The pages of the documentation: nothing comes from another host, and nothing else runs in them."""

import base64
import hashlib
import re

import pytest

from tests.gateway.conftest import Gateway


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
async def test_a_page_and_all_that_it_loads_come_from_the_gateway(gateway: Gateway, path: str) -> None:
    page = await gateway.call("GET", path)
    assert page.status == 200
    assert page.headers["Content-Type"].startswith("text/html")
    loaded = re.findall(r'(?:src|href|spec-url)="([^"]*)"', page.body.decode())
    assert any(address.endswith(".js") for address in loaded)
    for address in loaded:
        assert address.startswith("/"), "it comes from another host"
        assert not address.startswith("//")
        assert (await gateway.call("GET", address)).status == 200, address
    assert not re.search(rb"https?:", page.body)


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
async def test_a_page_may_load_from_the_gateway_alone_and_run_no_other_script(gateway: Gateway, path: str) -> None:
    page = await gateway.call("GET", path)
    directives = [directive.split() for directive in page.headers["Content-Security-Policy"].split("; ")]
    policy = {name: sources for name, *sources in directives}
    assert policy["default-src"] == ["'none'"]
    assert policy["connect-src"] == ["'self'"]
    inline = re.findall(rb"<script>(.*?)</script>", page.body, re.DOTALL)
    hashes = [f"'sha256-{base64.b64encode(hashlib.sha256(script).digest()).decode()}'" for script in inline]
    assert policy["script-src"] == ["'self'", *hashes]
    assert not any(re.search(r"[*]|https?:|//", source) for sources in policy.values() for source in sources)
