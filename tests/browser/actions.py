"""What tests of several files do on the page."""

import json
from pathlib import Path
from typing import Any

from playwright.sync_api import Download, Locator, Page, expect

NOTE = "Seen 👩🏽‍⚕️ today: stage IV lung adenocarcinoma, EGFR L858R, on osimertinib."


def extract(page: Page, text: str = NOTE) -> None:
    """Extract a note and wait for the answer."""
    page.locator("#note").fill(text)
    page.locator("#extract").click()
    expect(page.locator("#edit")).to_be_visible()


def field(page: Page, name: str) -> Locator:
    """Return a field's card."""
    return page.locator(f"[data-field={name}]")


def exported(page: Page, form: str) -> str:
    """Return what would be copied or saved in a form."""
    page.locator("#form").select_option(form)
    return page.locator("#preview").inner_text()


def load(page: Page, tab: str, content: str, name: str = "notes.jsonl") -> Locator:
    """Give a file of notes to a panel, and return the panel."""
    page.locator(f"#tab-{tab}").click()
    panel = page.locator(f"#panel-{tab}")
    files: Any = {"name": name, "mimeType": "text/plain", "buffer": content.encode()}
    panel.locator("input[type=file]").set_input_files(files)
    return panel


def start(panel: Locator) -> None:
    """Start a panel's run and wait for its end."""
    panel.get_by_role("button", name="Start").click()
    expect(panel.locator("[role=status]")).to_contain_text("(finished)")


def lines(*records: dict[str, Any]) -> str:
    """Return JSON Lines."""
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)


def content(download: Download) -> str:
    """Return what was downloaded."""
    return Path(download.path()).read_text("utf-8")
