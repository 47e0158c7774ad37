"""The page for everybody: no finding of axe in any state, keyboard alone, a phone's width, both colour schemes."""

from collections.abc import Callable

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Browser, Page, expect

from tests.browser.actions import NOTE, extract, field, lines, load, start
from tests.browser.servers import Servers
from tests.support.browser import Watched

pytestmark = pytest.mark.slow

STATES: dict[str, Callable[[Page], None]] = {}


def state(step: Callable[[Page], None]) -> Callable[[Page], None]:
    STATES[step.__name__] = step
    return step


@state
def empty(page: Page) -> None:
    expect(page.locator("#health")).to_have_text("The engine is ready")


@state
def answered(page: Page) -> None:
    extract(page)
    page.get_by_role("button", name="Accept stage").click()
    page.get_by_role("button", name="Correct treatment").click()


@state
def failed(page: Page) -> None:
    page.route("**/extract/stream", lambda route: route.abort(), times=1)
    page.locator("#edit").click()
    page.locator("#extract").click()
    expect(page.locator("#state")).to_be_visible()


@state
def key(page: Page) -> None:
    page.locator("#state").get_by_role("button", name="Close").click()
    page.evaluate("document.querySelector('#key-dialog').showModal()")


@state
def batch(page: Page) -> None:
    page.get_by_role("button", name="Not now").click()
    start(load(page, "batch", lines({"text": "stage II"}, {"text": " "})))


@state
def evaluation(page: Page) -> None:
    names = ("cancer_type", "stage", "gene_mutation", "biomarker", "treatment", "response", "metastasis_site")
    start(load(page, "evaluation", lines({"text": "stage II", "expected": dict.fromkeys(names)})))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_in_any_state_at_any_width(browser: Browser, engine: Servers, url: str, scheme: str) -> None:
    context = browser.new_context(color_scheme="dark" if scheme == "dark" else "light", reduced_motion="reduce")
    watched = Watched.open(context.new_page(), url)
    page = watched.page
    expect(page.locator("#task option")).to_have_count(2)
    page.on("dialog", lambda dialog: dialog.accept())
    for name, step in STATES.items():
        page.set_viewport_size({"width": 1180, "height": 800})
        step(page)
        found = Axe().run(page)
        assert found.violations_count == 0, f"{name}: {found.generate_report()}"
        page.set_viewport_size({"width": 320, "height": 640})
        # A page that is wider than a phone has to be moved sideways for each line (WCAG 1.4.10).
        assert page.evaluate("document.documentElement.scrollWidth") <= 320, name
    watched.check()
    context.close()


def test_everything_is_done_by_keyboard(page: Page) -> None:
    def reach(selector: str) -> None:
        for _ in range(60):
            if page.evaluate("s => document.activeElement?.matches(s)", selector):
                return
            page.keyboard.press("Tab")
        pytest.fail(f"{selector} cannot be reached with Tab")

    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    reach("#note")
    page.keyboard.insert_text(NOTE)
    page.keyboard.press("Control+Enter")
    expect(page.locator("#edit")).to_be_visible()
    reach("mark[data-fields=stage]")
    expect(page.locator(".field.lit h3")).to_have_text("stage")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.dataset.field") == "stage"
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    expect(field(page, "stage").locator(".decision")).to_have_text("accepted")
    assert page.evaluate("document.activeElement.textContent") == "Accept", "focus stays where it was"
    page.keyboard.press("Space")
    expect(field(page, "stage").locator(".decision")).to_have_count(0)
    reach("[data-field=stage] [data-act=edit]")
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.closest('.field').dataset.field") == "stage"
    reach("[data-field=stage] [data-act=edit]")
    page.keyboard.press("Enter")
    page.keyboard.press("Control+A")
    page.keyboard.type("IVA")
    page.keyboard.press("Enter")
    expect(field(page, "stage").locator(".value")).to_have_text("IVA")
    reach("#save")
    with page.expect_download():
        page.keyboard.press("Enter")
    page.locator("#tab-note").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#panel-batch")).to_be_visible()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#panel-evaluation")).to_be_visible()
