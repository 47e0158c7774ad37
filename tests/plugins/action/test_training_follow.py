"""Following a training: each way in which a session is lost costs a new session, and not the playbook."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase
from ansible_collections.slm.serving.plugins.action.training_follow import ActionModule
from botocore.exceptions import ClientError, EndpointConnectionError

OPTIONS = {"directory": "/run", "limit": 60, "wait": 0, "every": 0, "losses": 2}
DONE = {"active": False, "state": {"status": "done"}, "job": {}, "since": 1, "lines": []}
NOT_CONNECTED = ClientError(
    {"Error": {"Code": "TargetNotConnected", "Message": "i-1 is not connected."}}, "StartSession"
)


def follow(monkeypatch: pytest.MonkeyPatch, answers: list[Any]) -> dict[str, Any]:
    """Follow a training whose polls come to these answers, one after the other; the last stays."""

    def poll(*_: Any, **__: Any) -> Any:
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(ActionBase, "run", lambda *_: {})
    action: Any = ActionModule.__new__(ActionModule)
    action._task = SimpleNamespace(args=OPTIONS)
    action._connection = SimpleNamespace(close=lambda: None)
    action._execute_module = poll
    result: dict[str, Any] = action.run(task_vars={})
    return result


@pytest.mark.parametrize(
    "lost",
    [
        AnsibleConnectionFailure("gone"),
        NOT_CONNECTED,
        EndpointConnectionError(endpoint_url="https://ssm"),
        BrokenPipeError(32, "Broken pipe"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_lost_session_is_opened_anew(monkeypatch: pytest.MonkeyPatch, lost: Exception) -> None:
    result = follow(monkeypatch, [lost, lost, DONE])
    assert result["msg"] == "The training is done."
    assert result["lost"] == 2


def test_an_instance_that_stays_away_is_given_up_as_a_lost_session(monkeypatch: pytest.MonkeyPatch) -> None:
    result = follow(monkeypatch, [NOT_CONNECTED])
    assert result["lost_session"] is True
    assert "could not be reached 3 times in a row" in result["msg"]
