"""Make pictures of the page's main states: `python -m tests.browser.screenshots [FOLDER]`.

Without a folder they go to build/screenshots. docs/images/page.png is `note.png`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

from loguru import logger
from playwright.sync_api import Page, ViewportSize, expect

from tests.browser.servers import Servers, servers
from tests.support.browser import TIMEOUT_MILLISECONDS, running_browser

FOLDER = Path("build/screenshots")
WIDE: ViewportSize = {"width": 1180, "height": 860}
PHONE: ViewportSize = {"width": 390, "height": 844}
GOLD = {"cancer_type": None, "stage": "IV", "gene_mutation": None, "biomarker": None, "treatment": "osimertinib"}


def sample(page: Page, number: int = 0) -> None:
    """Extract one of the page's samples."""
    page.locator("#sample").select_option(str(number))
    page.locator("#extract").click()
    expect(page.locator("#edit")).to_be_visible()


def note(page: Page, _: Servers) -> None:
    """Show an extracted note, a value accepted and one lit."""
    sample(page)
    page.get_by_role("button", name="Accept stage").click()
    page.locator("mark").nth(1).hover()


def signs(page: Page, _: Servers) -> None:
    """Show a note with emoji and right-to-left writing."""
    sample(page, 4)


def correcting(page: Page, servers: Servers) -> None:
    """Show a value that is being corrected, which has no evidence."""
    servers.engine.handler = None
    sample(page)
    page.get_by_role("button", name="Correct biomarker").click()


def batch(page: Page, _: Servers) -> None:
    """Show many notes that are done, and one that failed."""
    texts = ["stage II breast cancer", "", *(f"stage {stage} lung adenocarcinoma" for stage in ("I", "III", "IV"))]
    lines = "".join(json.dumps({"id": f"note-{number}", "text": text}) + "\n" for number, text in enumerate(texts))
    _many(page, "batch", lines, "5 of 5 done")


def evaluation(page: Page, _: Servers) -> None:
    """Show an evaluation with disagreements."""
    expected = GOLD | {"response": None, "metastasis_site": "liver", "cancer_type": "lung adenocarcinoma"}
    line = {"input": "stage IV lung adenocarcinoma, osimertinib; liver metastases in 2019", "output": expected}
    _many(
        page,
        "evaluation",
        json.dumps(line) + "\n" + json.dumps(line | {"output": expected | {"stage": "III"}}),
        "2 of 2 done",
    )


def _many(page: Page, tab: str, lines: str, done: str) -> None:
    page.locator(f"#tab-{tab}").click()
    panel = page.locator(f"#panel-{tab}")
    panel.locator("input[type=file]").set_input_files({"name": "notes.jsonl", "mimeType": "", "buffer": lines.encode()})
    panel.get_by_role("button", name="Start").click()
    expect(panel).to_contain_text(done)


def offline(page: Page, servers: Servers) -> None:
    """Show the state of a gateway that cannot be reached."""
    page.locator("#sample").select_option("0")
    page.route("**/extract/stream", lambda route: route.abort())
    page.locator("#extract").click()
    expect(page.locator("#state")).to_be_visible()


STATES: tuple[Callable[[Page, Servers], None], ...] = (note, signs, correcting, batch, evaluation, offline)


def main(folder: Path) -> int:
    """Write all pictures; return the exit code."""
    folder.mkdir(parents=True, exist_ok=True)
    expect.set_options(timeout=TIMEOUT_MILLISECONDS)
    logger.remove()  # The gateway logs each request.
    with servers() as running, running.gateway() as url, running_browser() as browser:
        for state in STATES:
            for scheme, size in (("light", WIDE), ("dark", WIDE), ("light", PHONE)):
                name = state.__name__ + {"dark": "-dark"}.get(scheme, "-phone" if size is PHONE else "")
                running.fresh_engine()
                context = browser.new_context(viewport=size, color_scheme="dark" if scheme == "dark" else "light")
                page = context.new_page()
                page.goto(f"{url}/")
                expect(page.locator("#task option")).to_have_count(2)
                state(page, running)
                page.wait_for_timeout(300)
                page.screenshot(path=folder / f"{name}.png", full_page=size is PHONE)
                context.close()
                sys.stdout.write(f"{folder / name}.png\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER))
