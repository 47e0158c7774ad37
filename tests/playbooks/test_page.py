"""The page of the deployed gateway, before the engine with the small model, in a real browser."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.local_region.region import LocalRegion
from tests.support.browser import TIMEOUT_MILLISECONDS, BrowserUnavailableError, Watched, check_samples, running_browser

pytestmark = pytest.mark.region


def test_each_samples_highlights_are_the_offsets_of_the_gateways_answer(serving: LocalRegion) -> None:
    environment = serving.env()
    url = environment["GATEWAY_URL"]
    key = Path(environment["GATEWAY_API_KEY_FILE"]).read_text(encoding="ascii").strip()
    expect.set_options(timeout=TIMEOUT_MILLISECONDS)
    try:
        with running_browser() as browser:
            watched = Watched.open(browser.new_page(), url)
            page = watched.page
            page.locator("#key").fill(key)
            page.keyboard.press("Enter")
            expect(page.locator("#task option")).to_have_count(2)
            assert check_samples(page, url, {"X-API-Key": key}) >= 4
            watched.check()
    except BrowserUnavailableError as error:
        pytest.fail(str(error), pytrace=False)
