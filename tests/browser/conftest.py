"""One browser, one engine and one gateway for all tests of the page; each test has a page of its own."""

import sys
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from gateway.observability.logs import configure_logging
from tests.browser.servers import Servers, servers
from tests.support.browser import TIMEOUT_MILLISECONDS, BrowserUnavailableError, Watched, running_browser

expect.set_options(timeout=TIMEOUT_MILLISECONDS)


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    try:
        with running_browser() as running:
            yield running
    except BrowserUnavailableError as error:
        pytest.fail(str(error), pytrace=False)


@pytest.fixture(scope="package")
def all_servers() -> Iterator[Servers]:
    with servers() as running:
        yield running


@pytest.fixture(autouse=True, scope="package")
def _no_log() -> None:
    """Keep the gateway's lines, one for each of the page's files, out of a failure's report."""
    configure_logging("ERROR", sys.stderr)


@pytest.fixture(scope="package")
def url(all_servers: Servers) -> Iterator[str]:
    with all_servers.gateway() as address:
        yield address


@pytest.fixture
def engine(all_servers: Servers) -> Servers:
    """Return the servers, whose engine is as it was at its start."""
    all_servers.fresh_engine()
    return all_servers


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(accept_downloads=True, reduced_motion="reduce")
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    yield context
    context.close()


@pytest.fixture
def open_page(context: BrowserContext, engine: Servers) -> Iterator[Callable[[str], Page]]:
    """Open the page of a gateway; at the end it must have done nothing wrong."""
    opened: list[Watched] = []

    def opening(address: str) -> Page:
        opened.append(Watched.open(context.new_page(), address))
        return opened[-1].page

    yield opening
    for watched in opened:
        watched.check()


@pytest.fixture
def page(open_page: Callable[[str], Page], url: str) -> Page:
    """Return the page, with its tasks loaded."""
    page = open_page(url)
    expect(page.locator("#task option")).to_have_count(2)
    return page
