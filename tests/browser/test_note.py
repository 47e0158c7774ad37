"""One note on the page: samples, fields as they come, evidence where it stands, corrections, exports."""

import pytest
from playwright.sync_api import Page, expect

from tests.support.browser import highlights

pytestmark = pytest.mark.slow

NOTE = "Seen 👩🏽‍⚕️ today: stage IV lung adenocarcinoma, EGFR L858R, on osimertinib."


def extract(page: Page, text: str = NOTE) -> None:
    page.locator("#note").fill(text)
    page.locator("#extract").click()
    expect(page.locator("#edit")).to_be_visible()


def test_fields_come_with_evidence_where_it_stands(page: Page) -> None:
    extract(page)
    expect(page.locator("[data-field=stage] .value")).to_have_text("IV")
    assert highlights(page)["gene_mutation"] == set(range(NOTE.index("EGFR"), NOTE.index("EGFR") + 10))
