"""Evidence is looked for off the event loop where that takes long, and not beyond the time limit."""

import asyncio
import threading
from collections.abc import Callable

import pytest

from gateway.extraction import evidence
from gateway.extraction.evidence import find_evidence
from gateway.extraction.workers import Workers

NOTE = "She has stage IV lung adenocarcinoma with brain metastases and was treated with osimertinib."
FIELDS = {"stage": "IV", "site": "brain", "response": None, "treatment": "osimertinib"}
# Passages of words in every order: the search takes much longer than the tests' limits.
WORDS = [f"w{chr(97 + number)}xxxx" for number in range(26)]
HOSTILE = " ".join(WORDS * 15)
SLOW = " ".join(reversed(WORDS)) + " omega"


class Recorder(Workers):
    """Workers that count what they are given."""

    count = 0

    async def run[R](self, work: Callable[[], R], *, seconds: float) -> R:
        """Count, and run the work."""
        self.count += 1
        return await super().run(work, seconds=seconds)


async def test_an_ordinary_note_needs_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    # However busy the machine is.
    monkeypatch.setattr(evidence, "_LOOP_SECONDS", 60.0)
    workers = Recorder()
    found, warnings = await find_evidence(workers, NOTE, FIELDS, seconds=60)
    assert {name: [span.text for span in spans] for name, spans in found.items()} == {
        "stage": ["IV"], "site": ["brain"], "response": [], "treatment": ["osimertinib"],
    }  # fmt: skip
    assert warnings == []
    assert workers.count == 0


@pytest.mark.parametrize("text", [NOTE * 50, HOSTILE], ids=["long", "short but slow"])
async def test_what_takes_long_is_done_in_a_thread(text: str) -> None:
    workers = Recorder()
    found, _ = await find_evidence(workers, text, {"stage": "IV", "treatment": SLOW}, seconds=60)
    assert list(found) == ["stage", "treatment"]
    assert workers.count == 1


async def test_at_the_time_limit_a_value_has_no_evidence_but_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence, "_MOST_SECONDS", 0.02)
    text = f"{NOTE} {HOSTILE} " * 10
    found, warnings = await find_evidence(Workers(), text, {"first": None, "slow": SLOW, "stage": "IV"}, seconds=60)
    assert found == {"first": [], "slow": [], "stage": []}
    assert [(warning.code, warning.field) for warning in warnings] == [
        ("evidence_time_limit", "slow"),
        ("evidence_time_limit", "stage"),
    ]


async def test_the_evidence_found_before_the_time_limit_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence, "_MOST_SECONDS", 0.5)
    text = f"{NOTE} " + f"{HOSTILE} " * 30
    found, warnings = await find_evidence(Workers(), text, {"treatment": "osimertinib", "slow": SLOW}, seconds=60)
    assert [span.text for span in found["treatment"]] == ["osimertinib"]
    assert [warning.field for warning in warnings] == ["slow"]


async def test_a_request_without_time_left_is_answered_at_once() -> None:
    found, warnings = await find_evidence(Workers(), NOTE * 100, FIELDS, seconds=0)
    assert not any(found.values())
    assert len(warnings) == 3


async def test_requests_that_are_given_up_leave_few_threads_that_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence, "_MOST_SECONDS", 0.1)
    before = set(threading.enumerate())
    workers = Workers()
    searches = [
        asyncio.create_task(find_evidence(workers, HOSTILE * 20, {"slow": SLOW}, seconds=60)) for _ in range(20)
    ]
    await asyncio.sleep(0.02)
    for search in searches:
        search.cancel()
    await asyncio.gather(*searches, return_exceptions=True)
    assert len(set(threading.enumerate()) - before) <= 2
    # Free again well before twenty searches would have ended one by one.
    assert await workers.run(lambda: "free", seconds=30) == "free"


async def test_the_event_loop_runs_on_while_a_thread_searches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence, "_MOST_SECONDS", 0.3)
    search = asyncio.create_task(find_evidence(Workers(), HOSTILE * 20, {"slow": SLOW}, seconds=60))
    turns = 0
    while not search.done():
        await asyncio.sleep(0.005)
        turns += 1
    assert turns >= 3
