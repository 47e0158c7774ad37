"""What is told of the waker: its address, whom it woke, and what AWS does not tell."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import boto3
import botocore.exceptions
import pytest
from ansible_collections.slm.serving.plugins.modules import waker_info
from ansible_collections.slm.serving.plugins.modules.waker_info import Waker

from tests.support.aws_account import mock_aws

NAME, GROUP = "slm-ft-serving-waker", "/aws/lambda/slm-ft-serving-waker"
# moto keeps no line that is older than two weeks, as AWS does.
NOW = dt.datetime.now(dt.UTC).replace(microsecond=0)
MINUTE = dt.timedelta(minutes=1)
ADDRESS = {"FunctionUrl": "https://abc.lambda-url.us-east-1.on.aws/"}


@pytest.fixture
def clients() -> Iterator[dict[str, Any]]:
    """Return the clients of an account without a waker."""
    make: Any = boto3.client  # its types want each service by its name
    with mock_aws():
        yield {name: make(name, region_name="us-east-1") for name in ("lambda", "logs", "iam")}


def make(clients: dict[str, Any]) -> str:
    """Make a function with an address and a log; return the address."""
    role = clients["iam"].create_role(RoleName=NAME, AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    clients["lambda"].create_function(
        FunctionName=NAME, Role=role, Runtime="python3.13", Handler="waker.handler", Code={"ZipFile": b"x"}
    )
    clients["logs"].create_log_group(logGroupName=GROUP)
    clients["logs"].create_log_stream(logGroupName=GROUP, logStreamName="one")
    return str(clients["lambda"].create_function_url_config(FunctionName=NAME, AuthType="NONE")["FunctionUrl"])


def write(clients: dict[str, Any], *lines: tuple[dt.timedelta, str]) -> None:
    """Have the function say lines, each so long ago; the oldest first, as CloudWatch wants them."""
    events = [{"timestamp": int((NOW - ago).timestamp() * 1000), "message": text} for ago, text in lines]
    clients["logs"].put_log_events(logGroupName=GROUP, logStreamName="one", logEvents=events)


def told(clients: dict[str, Any], days: int = 7) -> dict[str, Any]:
    """Return what the module tells."""
    return Waker(clients, NAME, days, NOW).summary()


def test_address_and_wakes_are_told_newest_first_and_nothing_else_of_its_log(clients: dict[str, Any]) -> None:
    url = make(clients)
    write(
        clients,
        (10 * dt.timedelta(days=1), json.dumps({"woke": "i-before"})),
        (5 * MINUTE, json.dumps({"woke": "i-1"})),
        (4 * MINUTE, json.dumps({"status": 503, "state": "starting", "instance": "i-1"})),
        (3 * MINUTE, 'Traceback: "woke" is no name'),
        (2 * MINUTE, json.dumps({"woke": "i-2"})),
    )
    found = told(clients)
    assert (found["url"], found["days"], found["unknown"]) == (url, 7, [])
    times = [f"{NOW - ago * MINUTE:%Y-%m-%dT%H:%M:%S}" for ago in (2, 5)]
    assert found["wakes"] == [
        {"when": when, "instance": each} for when, each in zip(times, ("i-2", "i-1"), strict=True)
    ]


def test_of_a_waker_that_is_not_there_nothing_is_told_and_nothing_is_unknown(clients: dict[str, Any]) -> None:
    assert told(clients) == {"url": "", "wakes": [], "days": 7, "unknown": []}


class Pages:
    """Logs that come in pages."""

    def __init__(self, *pages: dict[str, Any]) -> None:
        self.pages, self.asked = pages, [0]

    def get_paginator(self, _: str) -> Any:
        """Return what yields them, one as it is asked for."""

        def paginate(**_: Any) -> Iterator[dict[str, Any]]:
            for page in self.pages:
                self.asked[0] += 1
                yield page

        return SimpleNamespace(paginate=paginate)


def event(instance: str, second: int) -> dict[str, Any]:
    """Return a wake as CloudWatch has it."""
    return {"timestamp": 1000 * second, "message": json.dumps({"woke": instance})}


def test_pages_are_read_to_a_bound_which_is_told() -> None:
    url = SimpleNamespace(get_function_url_config=lambda **_: ADDRESS)
    # As AWS does, some pages are empty, and a member that has nothing is left out.
    few = Pages({"events": [event("i-1", 1)]}, {}, {"events": [event("i-2", 2)]})
    found = told({"lambda": url, "logs": few})
    assert [each["instance"] for each in found["wakes"]] == ["i-2", "i-1"]
    assert found["unknown"] == []
    many = Pages(*({"events": [event(f"i-{number}", number)]} for number in range(1000)))
    found = told({"lambda": url, "logs": many})
    assert len(found["wakes"]) == waker_info.MOST_PAGES
    assert "too long to be read whole" in found["unknown"][0]
    assert many.asked[0] == waker_info.MOST_PAGES + 1


def test_what_aws_refuses_is_named_and_the_rest_is_told() -> None:
    def refuse(**_: Any) -> Any:
        error: Any = {"Error": {"Code": "AccessDeniedException", "Message": "not authorized"}}
        raise botocore.exceptions.ClientError(error, "GetFunctionUrlConfig")

    refusing = SimpleNamespace(get_function_url_config=refuse)
    found = told({"lambda": refusing, "logs": Pages({"events": [event("i-1", 1)]})})
    assert (found["url"], len(found["wakes"])) == ("", 1)
    assert found["unknown"] == ["its address: AccessDeniedException: not authorized"]
