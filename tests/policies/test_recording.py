"""What a run asked AWS for is held against the list, and kept for the command that brings the list up to date."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.local_region import recorded_calls
from tests.local_region.recorded_calls import Question, Recorded
from tests.policies.__main__ import main
from tests.support import permissions

KNOWN = Recorded("operator-deploy", Question("ec2:DescribeInstances", "*"))
NEW = Recorded("operator-deploy", Question("ec2:StopInstances", "arn:aws:ec2:x:1:instance/i-0123456789abcdef0"))
EXPECTED = Recorded("operator-deploy", Question("ec2:RebootInstances", "*"))


@pytest.fixture
def record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the file of a region, beside a list of one call and a folder for what is seen."""
    monkeypatch.setattr(permissions, "LIST", tmp_path / "calls.json")
    monkeypatch.setattr(permissions, "SEEN", tmp_path / "seen")
    monkeypatch.setattr(permissions, "UNRECORDED", tmp_path / "unrecorded.yml")
    monkeypatch.delenv(permissions.RECORD_ONLY, raising=False)
    permissions.write({KNOWN})
    text = "operator-deploy:\n  - why: because\n    actions: [ec2:RebootInstances]\n"
    (tmp_path / "unrecorded.yml").write_text(text, encoding="utf-8")
    return tmp_path / "api-calls.jsonl"


def test_a_call_that_the_list_lacks_fails_the_run_and_says_what_to_do(record: Path) -> None:
    recorded_calls.append(record, [KNOWN, NEW, EXPECTED])
    with pytest.raises(AssertionError, match=r"stop\.yml makes calls .* lacks") as failed:
        permissions.check(record, 0, "stop")
    assert "ec2:StopInstances on arn:aws:ec2:x:1:instance/" in str(failed.value)
    assert "python -m tests.policies record" in str(failed.value)
    assert "ec2:RebootInstances" not in str(failed.value)


def test_what_is_listed_or_expected_passes(record: Path) -> None:
    recorded_calls.append(record, [NEW])
    start = recorded_calls.size(record)
    recorded_calls.append(record, [KNOWN, EXPECTED])
    permissions.check(record, start, "stop")
    assert permissions.kept() == {KNOWN, EXPECTED}


def test_a_wrong_name_that_was_refused_is_no_call_to_allow(record: Path) -> None:
    strange = Recorded("operator-deploy", Question("s3:ListBucket", "arn:aws:s3:::another"), permissions.REFUSED)
    ours = Recorded("operator-deploy", Question("s3:ListBucket", "arn:aws:s3:::slm-ft-serving-other"), 403)
    recorded_calls.append(record, [strange, ours])
    assert {each.question.resource for each in permissions.seen(record)} == {"arn:aws:s3:::slm-ft-serving-other"}


def test_recording_adds_or_replaces_what_was_seen(record: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(["record"]) == 1, "nothing was seen yet"
    monkeypatch.setenv(permissions.RECORD_ONLY, "1")
    recorded_calls.append(record, [NEW])
    permissions.check(record, 0, "stop")
    assert main(["record"]) == 0
    assert permissions.committed() == {KNOWN, NEW}
    permissions.check(record, 0, "stop")
    assert main(["record", "--replace"]) == 0
    assert permissions.committed() == {NEW}
