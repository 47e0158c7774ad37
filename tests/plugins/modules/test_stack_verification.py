"""The verification's look at the containers: whom it waits for, and what it names as the cause."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slm.serving.plugins.module_utils import containers, process
from ansible_collections.slm.serving.plugins.module_utils.units import SECRETS
from ansible_collections.slm.serving.plugins.modules import stack_verification

from tests.support.containers import PROJECT, UNIT, FakeInstance
from tests.support.releases import A, ReleasesFixture

PROBLEM = "the secret 'keys' does not exist"


@pytest.fixture
def verification(made: ReleasesFixture, instance: FakeInstance, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a verification of a release whose containers a test changes; it waits for none."""
    made.add(A)
    made.serve(A)
    monkeypatch.setattr(containers, "logs", lambda container, lines=None: f"log of {container['name']}")
    monkeypatch.setattr(stack_verification, "journal", lambda unit: f"words of {unit}")
    del instance
    options = {"root": str(made.releases.root), "project": PROJECT, "unit": UNIT, "release": "", "wait": 0}
    return stack_verification.Verification(options)


def complaint(verification: Any) -> str:
    """Return what is wrong with the containers."""
    with pytest.raises(process.StackError) as caught:
        verification.check_containers()
    return str(caught.value)


def test_healthy_containers_pass(verification: Any) -> None:
    verification.check_containers()
    assert verification.checks == [
        {"check": "containers", "detail": "engine is running (healthy), gateway is running (healthy)"}
    ]


def test_the_cause_is_the_last_thing_that_is_said(verification: Any, instance: FakeInstance) -> None:
    instance.add("engine", Status="exited")
    said = complaint(verification)
    assert said.startswith("engine is exited (exit code 0)")
    assert "`sudo docker logs p-engine-1`" in said
    assert said.endswith("The cause:\nlog of p-engine-1")


def test_secrets_that_could_not_be_read_are_named_and_not_the_log_of_before(
    verification: Any, instance: FakeInstance
) -> None:
    instance.add("gateway", Status="exited")
    instance.units = {
        UNIT: {"ActiveState": "activating", "SubState": "auto-restart"},
        SECRETS: {"ActiveState": "failed"},
    }
    instance.journals[SECRETS] = f'{{"ok": false, "problem": "{PROBLEM}"}}'
    said = complaint(verification)
    assert said.endswith(PROBLEM)
    assert "log of" not in said


def test_a_container_that_is_missing_is_named_with_the_units_words(verification: Any, instance: FakeInstance) -> None:
    del instance.containers["p-engine-1"]
    assert complaint(verification) == f"there is no container of engine; {UNIT} logged last: words of {UNIT}"


@pytest.mark.parametrize(
    ("status", "unit", "hopeful"),
    [
        ("running", ("active", "exited"), True),
        ("restarting", ("active", "exited"), True),
        ("exited", ("activating", "start"), True),
        ("exited", ("activating", "start-pre"), True),
        ("exited", ("activating", "auto-restart"), False),
        ("exited", ("active", "exited"), False),
        ("paused", ("active", "exited"), False),
    ],
)
def test_it_waits_for_what_may_get_well_by_itself(
    verification: Any, instance: FakeInstance, status: str, unit: tuple[str, str], hopeful: bool
) -> None:
    instance.add("engine", Status=status)
    instance.units[UNIT] = dict(zip(("ActiveState", "SubState"), unit, strict=True))
    present = containers.containers(PROJECT)
    assert verification.is_hopeful({"engine": present["engine"]}, present) is hopeful


def test_it_does_not_wait_for_a_crash_loop(verification: Any, instance: FakeInstance) -> None:
    instance.add("engine", Status="restarting", restarts=5)
    before = containers.containers(PROJECT)
    instance.add("engine", Status="restarting", restarts=7)
    assert verification.is_hopeful({"engine": containers.containers(PROJECT)["engine"]}, before) is False


GOLDEN: list[dict[str, Any]] = [
    {"name": "one", "text": "a", "expected": {"stage": "IV", "treatment": "FOLFOX and bevacizumab", "response": None}},
    {"name": "two", "text": "b", "expected": {"stage": "II", "biomarker": "PD-L1 10%"}},
]
RIGHT = {"a": GOLDEN[0]["expected"], "b": GOLDEN[1]["expected"]}


@pytest.fixture
def golden(verification: Any, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Return what asks the golden notes: answers by text, a number being a status; returns what they came to."""
    (tmp_path / "verification-key").write_text("key\n")
    verification.options["secrets_directory"] = str(tmp_path)

    def ask(
        answers: dict[str, Any], minimum: Any = 0, more: Sequence[dict[str, Any]] = (), minimums: Any = None
    ) -> dict[str, Any]:
        verification.expected = {"golden": [*GOLDEN, *more], "minimum": minimum}
        # What a release before it had further adapters does not have.
        verification.expected |= {} if minimums is None else {"minimums": minimums}

        def settled(path: str, body: dict[str, str], passing: set[int]) -> tuple[int, dict[str, Any]]:
            del path, passing
            answer = answers[body["text"]]
            return (answer, {"detail": "no answer"}) if isinstance(answer, int) else (200, answer)

        verification.settled = settled
        verification.check_golden_notes()
        result: dict[str, Any] = verification.golden
        return result

    return ask


def test_golden_values_are_compared_as_the_evaluation_does(golden: Callable[..., dict[str, Any]]) -> None:
    other = {"stage": "iv.", "treatment": "bevacizumab + Folfox", "response": None, "more": "x"}
    assert golden({**RIGHT, "a": other}) == {"right": 5, "total": 5, "needed": 5, "wrong": []}


def test_all_wrong_values_of_all_notes_are_told_at_once(
    golden: Callable[..., dict[str, Any]], verification: Any
) -> None:
    answers = {"a": {"stage": "Stage IV", "treatment": "FOLFOX and bevacizumab"}, "b": {"stage": None, "biomarker": 7}}
    with pytest.raises(process.StackError) as caught:
        golden(answers)
    assert str(caught.value).splitlines() == [
        "1 of 5 values of the golden notes are right, and 5 have to be"
        " (a deployment with -e health_verification_minimum=1 accepts that):",
        "  one stage: expected 'IV', got 'Stage IV'",
        "  one response: expected None, got None",
        "  two stage: expected 'II', got None",
        "  two biomarker: expected 'PD-L1 10%', got 7",
    ]
    assert verification.golden["right"] == 1


@pytest.mark.parametrize(
    ("minimum", "needed", "passes"),
    [(0, 5, False), (4, 4, True), ("4", 4, True), (5, 5, False), (9, 5, False), (-1, 5, False)],
)
def test_release_says_how_many_golden_values_are_needed(
    golden: Callable[..., dict[str, Any]], verification: Any, minimum: Any, needed: int, passes: bool
) -> None:
    answers = {**RIGHT, "b": {**RIGHT["b"], "stage": "III"}}
    if passes:
        assert golden(answers, minimum)["wrong"] == ["two stage: expected 'II', got 'III'"]
    else:
        with pytest.raises(process.StackError, match=f"4 of 5 values .* {needed} have to be"):
            golden(answers, minimum)
    assert verification.golden["needed"] == needed


FURTHER = {
    "name": "parcels/one",
    "text": "c",
    "expected": {"to": "Rome", "from": None},
    "adapter": "parcel",
    "path": "/api/v1/tasks/parcels/extract",
}


@pytest.mark.parametrize(
    ("minimum", "minimums", "wrong"),
    [
        (0, {}, "adapter parcel"),
        (0, {"parcel": 2}, "adapter parcel"),
        (0, {"parcel": 1}, ""),
        (5, {"parcel": 1}, ""),
        # That many values of the default task's notes are right, which says nothing about the other's.
        (1, {}, "adapter parcel"),
    ],
)
def test_golden_notes_of_each_adapter_are_judged_by_themselves(
    golden: Callable[..., dict[str, Any]], verification: Any, minimum: int, minimums: dict[str, int], wrong: str
) -> None:
    answers = {**RIGHT, "c": {"fields": {"to": "Oslo", "from": None}, "to": "Rome"}}
    if wrong:
        with pytest.raises(process.StackError) as caught:
            golden(answers, minimum, [FURTHER], minimums)
        assert str(caught.value).splitlines() == [
            f"1 of 2 values of the golden notes of the {wrong} are right, and 2 have to be (a deployment with"
            """ -e '{"health_verification_minimums": {"parcel": 1}}' accepts that):""",
            "  parcels/one to: expected 'Rome', got 'Oslo'",
        ]
    else:
        assert golden(answers, minimum, [FURTHER], minimums)["needed"] == 6
    assert verification.golden["right"] == 6
    assert verification.golden["total"] == 7


def test_note_without_an_answer_is_a_failure_however_few_values_are_needed(
    golden: Callable[..., dict[str, Any]],
) -> None:
    answers = {"a": 502, "b": {**RIGHT["b"], "stage": "III"}}
    with pytest.raises(process.StackError) as caught:
        golden(answers, 1)
    assert str(caught.value).startswith("the golden note 'one' was answered with 502: no answer")
    assert "two stage: expected 'II', got 'III'" in str(caught.value)


def test_an_engine_that_makes_no_token_is_told_with_what_helps(
    verification: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    verification.check_containers()
    verification.model, verification.options["token_timeout"] = "base", 1

    def hangs(*_: Any, **__: Any) -> None:
        raise process.StackError("TimeoutError: timed out")

    monkeypatch.setattr(stack_verification, "ask_engine", hangs)
    with pytest.raises(process.StackError, match=r"makes no token.*playbooks/start\.yml makes it anew"):
        verification.check_token()


EDGE = {"domain": "notes.example.org", "port": 443, "open": []}


@pytest.fixture
def through_edge(verification: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Return what verifies an edge: its answers by path, an error among them; returns what was asked of it."""
    verification.options["request_timeout"] = 1
    verification.expected = {"golden": GOLDEN}
    monkeypatch.setattr(stack_verification, "CERTIFICATE_PATIENCE", 0)

    def check(answers: dict[str, Any], **changes: Any) -> list[str]:
        asked: list[str] = []

        def ask(edge: dict[str, Any], path: str, body: Any, key: str, timeout: float) -> tuple[int, dict[str, Any]]:
            del edge, body, key, timeout
            asked.append(path)
            answer = answers.get(path, 200)
            if isinstance(answer, str):
                raise process.StackError(answer)
            return answer, {"detail": "why"}

        monkeypatch.setattr(stack_verification, "ask_edge", ask)
        verification.edge = EDGE | changes
        verification.check_edge()
        return asked

    return check


def test_a_note_goes_through_the_edge_and_metrics_do_not(
    through_edge: Callable[..., list[str]], verification: Any
) -> None:
    assert through_edge({"/metrics": 404}) == ["/health", "/api/v1/extract", "/metrics"]
    assert verification.checks[-1] == {"check": "edge", "detail": "answers as https://notes.example.org"}
    through_edge({"/metrics": 200}, open=["metrics"], domain="")
    assert verification.checks[-1]["detail"] == "answers in plain HTTP"


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ({"/health": "the edge's certificate is refused: it ended"}, "has to lead to this instance"),
        ({"/health": 503}, "/health answers 503 through the edge"),
        ({"/api/v1/extract": 413}, "'one' was answered with 413 through the edge: why"),
        ({"/metrics": 200}, "/metrics is to be closed at the edge"),
    ],
)
def test_an_edge_that_does_not_serve_is_no_release(
    through_edge: Callable[..., list[str]], answers: dict[str, Any], words: str
) -> None:
    with pytest.raises(process.StackError, match=words):
        through_edge({"/metrics": 404} | answers)


def test_pooled_engines_have_a_router_and_answer_for_each_other(
    verification: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The golden notes may all have gone to another member's engine; that the own one makes tokens was asked before."""
    assert verification.services == ("engine", "gateway")
    for check in ("containers", "adapter", "token", "gateway", "golden_notes", "edge"):
        monkeypatch.setattr(verification, f"check_{check}", lambda: None)
    monkeypatch.setattr(verification, "generated_tokens", lambda: 7.0)
    verification.expected["golden"] = [{"name": "one"}]
    with pytest.raises(process.StackError, match="made no tokens"):
        verification.run()
    verification.pooled = True
    verification.run()


def test_without_an_edge_none_is_asked(verification: Any) -> None:
    verification.check_edge()
    assert verification.services == ("engine", "gateway")
    assert verification.checks == []
