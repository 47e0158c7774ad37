"""The function with an address, made, changed and removed in an account of moto's."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from functools import partial
from typing import Any

import boto3
import pytest
from ansible_collections.slm.serving.plugins.modules import http_function
from ansible_collections.slm.serving.plugins.modules.http_function import Function
from botocore.exceptions import ClientError

from tests.support.aws_account import mock_aws

NAME = "slm-ft-serving-waker"
OURS = {"Application": "slm-ft-serving"}
PARAMS: dict[str, Any] = {
    "name": NAME,
    "code": "def handler(event, context): ...\n",
    "handler": "waker.handler",
    "runtime": "python3.13",
    "timeout": 50,
    "memory_size": 128,
    "environment": {"WAKER_HOLD": "20"},
    "concurrency": 10,
    "description": "",
    "tags": OURS,
}


class Client:
    """A client of Lambda, as AnsibleAWSModule wraps it: its calls take `aws_retry`."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.refusals: dict[str, list[Exception]] = {}

    def __getattr__(self, name: str) -> Any:
        return self._client.get_waiter if name == "get_waiter" else partial(self._call, name)

    def _call(self, name: str, aws_retry: bool = False, **arguments: Any) -> Any:
        if self.refusals.get(name):
            raise self.refusals[name].pop(0)
        return getattr(self._client, name)(**arguments)


@pytest.fixture
def client() -> Iterator[Client]:
    """Return a client of an account with a role."""
    with mock_aws():
        boto3.client("iam", region_name="us-east-1").create_role(RoleName=NAME, AssumeRolePolicyDocument="{}")
        yield Client(boto3.client("lambda", region_name="us-east-1"))


def present(client: Client, sleeps: list[float] | None = None, **params: Any) -> list[str]:
    """Have the function there; return what differed."""
    role = f"arn:aws:iam::123456789012:role/{NAME}"
    function = Function(client, PARAMS | {"role": role} | params, ([] if sleeps is None else sleeps).append)
    differences = function.differences()
    function.correct(differences)
    return differences


def refusal(code: str, message: str) -> ClientError:
    """Return an error of AWS."""
    return ClientError({"Error": {"Code": code, "Message": message}}, "CreateFunction")


def test_a_function_is_made_once_with_address_permissions_and_a_limit(client: Client) -> None:
    assert present(client) == ["function"]
    about = client.get_function(FunctionName=NAME)
    assert (about["Tags"], about["Concurrency"]) == (OURS, {"ReservedConcurrentExecutions": 10})
    assert about["Configuration"]["Environment"]["Variables"] == {"WAKER_HOLD": "20"}
    assert client.get_function_url_config(FunctionName=NAME)["AuthType"] == "NONE"
    policy = json.loads(client.get_policy(FunctionName=NAME)["Policy"])
    assert {each["Action"] for each in policy["Statement"]} == {"lambda:InvokeFunctionUrl", "lambda:InvokeFunction"}
    assert present(client) == []


def test_both_permissions_are_bound_to_the_address(client: Client) -> None:
    present(client)
    by_action = {
        each["Action"]: each for each in json.loads(client.get_policy(FunctionName=NAME)["Policy"])["Statement"]
    }
    assert by_action["lambda:InvokeFunctionUrl"]["FunctionUrlAuthType"] == "NONE"
    assert by_action["lambda:InvokeFunction"]["InvokedViaFunctionUrl"] is True


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ({"code": "def handler(event, context): return {}\n"}, "code"),
        ({"environment": {"WAKER_HOLD": "0"}}, "configuration"),
        ({"timeout": 60}, "configuration"),
        ({"concurrency": 2}, "concurrency"),
        ({"concurrency": 0}, "concurrency"),
    ],
)
def test_what_changes_is_corrected_and_nothing_else(client: Client, change: dict[str, Any], difference: str) -> None:
    present(client)
    url = client.get_function_url_config(FunctionName=NAME)["FunctionUrl"]
    assert present(client, **change) == [difference]
    assert present(client, **change) == []
    assert client.get_function_url_config(FunctionName=NAME)["FunctionUrl"] == url


def test_what_a_run_that_ended_between_the_calls_left_out_is_made_by_the_next(client: Client) -> None:
    client.refusals["add_permission"] = [refusal("ServiceException", "of a test")]
    with pytest.raises(ClientError):
        present(client)
    assert present(client) == ["permissions", "url"]
    assert present(client) == []


def test_a_role_that_lambda_does_not_know_yet_is_waited_for(client: Client) -> None:
    new = refusal("InvalidParameterValueException", "The role defined for the function cannot be assumed by Lambda.")
    client.refusals["create_function"] = [new, new]
    sleeps: list[float] = []
    assert present(client, sleeps) == ["function"]
    assert len(sleeps) == 2


def test_another_refusal_is_not_waited_for(client: Client) -> None:
    client.refusals["create_function"] = [refusal("InvalidParameterValueException", "no such runtime")]
    sleeps: list[float] = []
    with pytest.raises(ClientError, match="no such runtime"):
        present(client, sleeps)
    assert sleeps == []


def test_a_role_that_never_comes_ends_it(client: Client) -> None:
    new = refusal("InvalidParameterValueException", "The role defined for the function cannot be assumed by Lambda.")
    client.refusals["create_function"] = [new] * http_function.ROLE_WAITS
    with pytest.raises(ClientError, match="cannot be assumed"):
        present(client, [])


def test_a_limit_without_room_is_explained() -> None:
    said = "Specified ReservedConcurrentExecutions decreases account's UnreservedConcurrentExecution below its minimum"
    text = http_function.advice(refusal("InvalidParameterValueException", said), PARAMS)
    assert "no room to reserve 10" in text
    assert "concurrency: 0" in text


def test_the_same_text_is_the_same_archive_with_one_readable_file() -> None:
    packed = http_function.archive("waker.py", "x = 1\n")
    assert packed == http_function.archive("waker.py", "x = 1\n")
    with zipfile.ZipFile(io.BytesIO(packed)) as file:
        (entry,) = file.infolist()
        assert (entry.filename, entry.external_attr >> 16 & 0o777) == ("waker.py", 0o644)
        assert file.read(entry) == b"x = 1\n"


def test_a_function_of_somebody_else_is_known_by_its_tags(client: Client) -> None:
    present(client, tags={"Application": "another"})
    assert not Function(client, PARAMS).is_ours()
    assert Function(client, PARAMS | {"tags": {"Application": "another"}}).is_ours()


def test_it_is_removed_with_its_address(client: Client) -> None:
    present(client)
    Function(client, PARAMS).remove()
    assert client.list_functions()["Functions"] == []
    assert Function(client, PARAMS).about == {}
