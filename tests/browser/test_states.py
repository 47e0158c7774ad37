"""What can be wrong, each with what to do: key, engine, load, network, length."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from gateway.access.keys import create_key
from tests.browser.actions import NOTE, extract
from tests.browser.servers import Servers

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def keyed(all_servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Yield the address of a gateway that asks for a key, and the key."""
    key, line = create_key("person")
    file = tmp_path_factory.mktemp("keys") / "keys"
    file.write_text(line)
    with all_servers.gateway(auth="required", api_keys_file=Path(file), max_text_chars=200) as address:
        yield address, key


def ask(page: Page, text: str = NOTE) -> Locator:
    """Ask for an extraction that fails, and return the state that is shown."""
    page.locator("#note").fill(text)
    page.locator("#extract").click()
    state = page.locator("#state")
    expect(state).to_be_visible()
    return state


def problem(status: int, **headers: str) -> Callable[[Route], None]:
    """Return what answers a request with a problem document."""

    def answer(route: Route) -> None:
        document = f'{{"status": {status}, "detail": "made up"}}'
        route.fulfill(status=status, headers=headers, content_type="application/problem+json", body=document)

    return answer


def test_a_key_is_asked_for_refused_if_wrong_and_kept_in_memory_alone(
    open_page: Callable[[str], Page], keyed: tuple[str, str]
) -> None:
    url, key = keyed
    page = open_page(url)
    dialog = page.locator("#key-dialog")
    expect(dialog).to_contain_text("The gateway asks for a key")
    assert page.locator("#state").get_attribute("data-kind") == "key"
    page.locator("#key").fill("wrong")
    page.keyboard.press("Enter")
    expect(dialog).to_contain_text("The gateway does not accept this key")
    page.locator("#key").fill("schlüssel")
    page.keyboard.press("Enter")
    expect(page.locator("#state")).to_contain_text("ASCII")
    page.locator("#key").fill(f" {key} ")
    page.keyboard.press("Enter")
    expect(page.locator("#task option")).to_have_count(2)
    expect(page.locator("#state")).to_be_hidden()
    extract(page)
    kept = page.evaluate(
        "document.body.outerHTML + JSON.stringify([localStorage, sessionStorage]) + location + document.cookie"
    )
    assert key not in kept
    page.reload()
    expect(page.locator("#key-dialog")).to_be_visible()


def test_too_long_says_how_long_a_note_may_be(open_page: Callable[[str], Page], keyed: tuple[str, str]) -> None:
    page = open_page(keyed[0])
    page.locator("#key").fill(keyed[1])
    page.keyboard.press("Enter")
    expect(page.locator("#task option")).to_have_count(2)
    state = ask(page, "x" * 300)
    expect(state).to_have_attribute("data-kind", "too-long")
    expect(state).to_contain_text("200 characters at most")
    expect(state).to_contain_text("Shorten it")


def test_an_engine_that_is_down_is_waited_for(page: Page, engine: Servers) -> None:
    def loading(route: Route) -> None:
        route.fulfill(status=503, content_type="application/json", body='{"status": "unhealthy"}')

    page.route("**/health", loading)
    page.route("**/extract/stream", problem(503, **{"Retry-After": "5"}))
    state = ask(page)
    expect(state).to_have_attribute("data-kind", "loading")
    expect(state).to_contain_text("asks again as soon as")
    page.unroute("**/health", loading)
    page.unroute_all()
    expect(page.locator("#edit")).to_be_visible()
    expect(state).to_be_hidden()
    expect(page.locator("#health")).to_have_text("The engine is ready")


@pytest.mark.parametrize(("status", "kind"), [(503, "overloaded"), (429, "rate")])
def test_a_wait_is_shown_and_the_page_asks_again(page: Page, status: int, kind: str) -> None:
    page.route("**/extract/stream", problem(status, **{"Retry-After": "2"}), times=1)
    state = ask(page)
    expect(state).to_have_attribute("data-kind", kind)
    expect(state).to_contain_text("The page asks again in")
    expect(page.locator("#edit")).to_be_visible()
    expect(state).to_be_hidden()


def test_offline_keeps_the_note_and_asks_again(page: Page) -> None:
    page.context.set_offline(True)
    state = ask(page)
    expect(state).to_have_attribute("data-kind", "offline")
    expect(page.locator("#health")).to_have_text("The gateway cannot be reached")
    expect(page.locator("#note")).to_have_value(NOTE)
    page.context.set_offline(False)
    state.get_by_role("button", name="Ask again").click()
    expect(page.locator("#edit")).to_be_visible()


def test_an_answer_that_is_cut_off_is_no_answer(page: Page) -> None:
    body = 'event: field\ndata: {"field": "stage", "value": "IV"}\n\n'
    page.route("**/extract/stream", lambda route: route.fulfill(content_type="text/event-stream", body=body), times=1)
    state = ask(page)
    expect(state).to_have_attribute("data-kind", "cut")
    assert page.locator(".field").count() == 0
    state.get_by_role("button", name="Ask again").click()
    expect(page.locator("#edit")).to_be_visible()


def test_an_answer_that_reached_its_limit_can_be_asked_for_with_more_room(page: Page, engine: Servers) -> None:
    engine.engine.finish_reason = "length"
    state = ask(page)
    expect(state).to_have_attribute("data-kind", "unusable")
    expect(state).to_contain_text("cut at max_tokens")
    engine.engine.finish_reason = "stop"
    state.get_by_role("button", name="Allow a longer answer").click()
    expect(page.locator("#edit")).to_be_visible()
    assert engine.engine.bodies[-1]["max_tokens"] == 768


def test_a_broken_engine_in_the_middle_of_a_stream(page: Page, engine: Servers) -> None:
    engine.engine.break_off_at = 30
    state = ask(page)
    assert state.get_attribute("data-kind") in ("loading", "overloaded")
    expect(state.get_by_role("button", name="Ask again")).to_be_visible()
    engine.engine.break_off_at = None
    state.get_by_role("button", name="Ask again").click()
    expect(page.locator("#edit")).to_be_visible()


def test_a_time_limit_and_a_failure_say_what_to_do(page: Page) -> None:
    for status, kind in ((504, "late"), (500, "failed"), (422, "refused")):
        page.route("**/extract/stream", problem(status), times=1)
        state = ask(page)
        expect(state).to_have_attribute("data-kind", kind)
        expect(state).to_contain_text("Ask again" if status != 422 else "Look at the note")


def test_an_overloaded_gateway_names_the_wait(
    all_servers: Servers, open_page: Callable[[str], Page], engine: Servers
) -> None:
    open_gate = engine.hold()
    with engine.gateway(max_concurrency=1, max_queue=0) as url:
        first, second = open_page(url), open_page(url)
        for page in (first, second):
            expect(page.locator("#task option")).to_have_count(2)
        first.locator("#note").fill(NOTE)
        first.locator("#extract").click()
        expect(first.locator("#stop")).to_be_visible()
        while not engine.engine.bodies:
            first.wait_for_timeout(20)
        expect(ask(second)).to_have_attribute("data-kind", "overloaded")
        expect(second.locator("#wait")).to_contain_text("asks again in")

        open_gate(True)
        for page in (first, second):
            expect(page.locator("#edit")).to_be_visible()
