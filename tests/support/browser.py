"""A real Chromium for the tests of the gateway's page: found, or installed where Debian has it, and watched."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from playwright.sync_api import Browser, ConsoleMessage, Page, Playwright, Request, expect, sync_playwright

from tests.local_region import names
from tests.local_region.docker.engine import apt_install, is_debian_like
from tests.local_region.errors import RegionError
from tests.local_region.state import docker_locked

PROGRAMS = ("chromium", "google-chrome-stable", "google-chrome", "chromium-browser")
# Generous: what is waited for comes in a moment, but not on a machine that does other work; the real engine needs
# seconds of both cores for each part of a long note.
TIMEOUT_MILLISECONDS = 180_000


class BrowserUnavailableError(Exception):
    """There is no Chromium, and none can be installed; the message says what to do."""


def find_program() -> str | None:
    """Return the path of an installed Chromium or Chrome, or None."""
    return next(filter(None, map(shutil.which, PROGRAMS)), None)


def ensure_program(playwright: Playwright) -> str:
    """Return the path of a Chromium: the system's, Playwright's own, or Debian's, which root gets installed.

    Raises:
        BrowserUnavailableError: There is none, and this is no Debian, or not root.
    """
    own = playwright.chromium.executable_path
    found = find_program() or (own if Path(own).exists() else None)
    if found is not None:
        return found
    if not is_debian_like() or os.geteuid() != 0:
        raise BrowserUnavailableError(
            "The tests of the page need Chromium, and there is none. Debian: `sudo apt-get install chromium`; "
            "elsewhere: `.venv/bin/playwright install chromium`, or install Google Chrome. Then run the command again."
        )
    # One at a time: others may be installing a Docker Engine by apt, or this very package.
    with docker_locked(lambda: None, names.STATE_ROOT):
        if find_program() is None:
            try:
                apt_install(["chromium"], lambda _: None)
            except RegionError as error:
                raise BrowserUnavailableError(
                    f"{error}\nUbuntu has Chromium as a snap only: `.venv/bin/playwright install chromium` is another."
                ) from None
    found = find_program()
    if found is None:
        raise BrowserUnavailableError("Debian's package `chromium` is installed, but there is no program `chromium`.")
    return found


@contextmanager
def running_browser() -> Iterator[Browser]:
    """Run a headless Chromium.

    Playwright keeps an event loop running in this thread until the end, so no other may run meanwhile.
    """
    with sync_playwright() as playwright:
        # Chromium's own sandbox refuses to work for root.
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=ensure_program(playwright), args=arguments)
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Watched:
    """A page of a gateway, and all that it did wrong."""

    page: Page
    url: str
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    @classmethod
    def open(cls, page: Page, url: str) -> Self:
        """Open the page at `/` and watch it from its first request on."""
        watched = cls(page, url)
        page.set_default_timeout(TIMEOUT_MILLISECONDS)
        page.on("console", watched._on_console)
        page.on("pageerror", lambda error: watched.complaints.append(f"error: {error}"))
        page.on("request", watched._on_request)
        page.goto(f"{url}/")
        return watched

    def _on_console(self, message: ConsoleMessage) -> None:
        # Chromium itself writes one for each answer that is an error, which tests of such answers cause.
        if message.type in ("error", "warning") and not message.text.startswith("Failed to load resource"):
            self.complaints.append(f"console: {message.text}")

    def _on_request(self, request: Request) -> None:
        self.requests.append(request.url)
        if not request.url.startswith((f"{self.url}/", "blob:")):
            self.complaints.append(f"asked another host: {request.url}")

    def check(self) -> None:
        """Fail where the page wrote an error, broke its Content-Security-Policy, or asked another host."""
        assert self.complaints == []


# In code points, by the browser's own text nodes and by nothing of the page.
_HIGHLIGHTS = """
view => [...view.querySelectorAll("mark")].flatMap(mark => {
  const before = document.createRange();
  before.setStart(view, 0);
  before.setEndBefore(mark);
  const start = [...before.toString()].length;
  const end = start + [...mark.textContent].length;
  return mark.dataset.fields.split(" ").map(field => ({ field, start, end, text: mark.textContent }));
})
"""


def highlights(page: Page) -> dict[str, set[int]]:
    """Return for each field the code points of the note that are highlighted for it."""
    marked: dict[str, set[int]] = {}
    for one in page.locator("#note-view").evaluate(_HIGHLIGHTS):
        marked.setdefault(one["field"], set()).update(range(one["start"], one["end"]))
    return marked


def evidence(answer: dict[str, Any]) -> dict[str, set[int]]:
    """Return for each field of a gateway's answer the code points of its evidence."""
    return {
        name: {point for span in spans for point in range(span["start"], span["end"])}
        for name, spans in answer["evidence"].items()
        if spans
    }


def check_samples(page: Page, url: str, headers: dict[str, str] | None = None) -> int:
    """Extract each of the page's samples, and compare what is highlighted with what the gateway answers to a program.

    Args:
        page: The page, with its tasks loaded.
        url: The gateway's address.
        headers: Of the program's requests.

    Returns:
        The number of samples that were answered: a small model may run on in an odd note, which is 502 for both.
    """
    answered = 0
    samples = page.locator("#sample option:not([value=''])").count()
    for number in range(samples):
        page.locator("#sample").select_option(str(number))
        text = page.locator("#note").input_value()
        reply = page.request.post(
            f"{url}/api/v1/extract", data={"text": text}, headers=headers, timeout=TIMEOUT_MILLISECONDS
        )
        page.locator("#extract").click()
        if reply.status == 502:
            expect(page.locator("#state")).to_have_attribute("data-kind", "unusable")
            continue
        assert reply.status == 200, reply.text()
        answer = reply.json()
        expect(page.locator("#edit")).to_be_visible()
        assert highlights(page) == evidence(answer)
        for spans in answer["evidence"].values():
            assert all(text[span["start"] : span["end"]] == span["text"] for span in spans)
        values = [answer[name] or "not stated" for name in answer["confidence"]]
        assert page.locator(".field .value").all_inner_texts() == values
        page.locator("#edit").click()
        answered += 1
    return answered
