"""stop.yml and start.yml: running requests finish, a stopped instance serves again by its systemd unit alone."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.local_region.region import LocalRegion
from tests.support.gateway_client import golden_note, is_serving, request
from tests.support.runner import run_playbook

pytestmark = pytest.mark.region

STOP_SESSIONS = 3
# Enough for the small model on two cores to be still at it when the containers are told to stop.
REQUESTS_IN_FLIGHT = 12


def test_stop_may_be_repeated_and_start_serves_again(serving: LocalRegion) -> None:
    release = serving.exec("readlink /opt/slm-ft-serving/current").stdout

    stopped = run_playbook(serving, "stop").must_succeed()
    assert stopped.changed > 0
    assert stopped.sessions <= STOP_SESSIONS
    assert serving.instance_state() == "stopped"
    assert not is_serving(serving)

    again = run_playbook(serving, "stop").must_succeed()
    assert again.changed == 0
    assert again.sessions == 0

    shown = run_playbook(serving, "status").must_succeed()
    assert shown.sessions == 0
    assert "NOT SERVING: the instance is stopped. Start it with playbooks/start.yml." in shown.output

    started = run_playbook(serving, "start").must_succeed()
    assert "address   none, the port is closed; ansible-playbook playbooks/connect.yml opens a way in" in started.output
    assert serving.instance_state() == "running"
    assert serving.exec("readlink /opt/slm-ft-serving/current").stdout == release
    note = golden_note()
    status, answer = request(serving, "/api/v1/extract", {"text": note["text"]})
    assert status == 200
    assert {field: answer[field] for field in note["expected"]} == note["expected"]

    assert run_playbook(serving, "start").must_succeed().changed == 0


def test_stopping_the_unit_lets_running_requests_finish(serving: LocalRegion) -> None:
    note = golden_note()
    with ThreadPoolExecutor(REQUESTS_IN_FLIGHT) as clients:
        answers = [
            clients.submit(request, serving, "/api/v1/extract", {"text": f"{note['text']} Visit {number}."})
            for number in range(REQUESTS_IN_FLIGHT)
        ]
        # The first answer shows that the others are inside: all were sent together and the engine takes them together.
        next(answer for answer in answers if answer.result()[0] == 200)
        serving.exec("systemctl stop slm-ft-serving.service", timeout=300)
    assert {answer.result()[0] for answer in answers} == {200}
    exit_codes = serving.exec(
        "docker inspect --format '{{.State.ExitCode}}' "
        "$(docker ps --all --quiet --filter label=com.docker.compose.project=slm-ft-serving)",
        check=False,
    ).stdout.split()
    # 137 would be a container that had to be killed.
    assert "137" not in exit_codes
    serving.exec("systemctl start slm-ft-serving.service", timeout=300)
    assert is_serving(serving)
