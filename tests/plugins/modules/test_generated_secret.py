"""A secret with a random value, made once and never read."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import boto3
import pytest
from ansible_collections.slm.serving.plugins.modules.generated_secret import ForeignSecretError, ensure

from tests.support.aws_account import mock_aws

NAME = "slm-ft-serving/waker"
PARAMS = {"name": NAME, "description": "", "tags": {"Application": "slm-ft-serving"}}


class Client:
    """A client of Secrets Manager, as AnsibleAWSModule wraps it: its calls take `aws_retry`."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return partial(self._call, name)

    def _call(self, name: str, aws_retry: bool = False, **arguments: Any) -> Any:
        self.calls.append(name)
        return getattr(self._client, name)(**arguments)


@pytest.fixture
def client() -> Iterator[Client]:
    """Return a client of an account with nothing in it."""
    with mock_aws():
        yield Client(boto3.client("secretsmanager", region_name="us-east-1"))


def value(client: Client) -> str:
    """Return the secret's value."""
    return str(client.get_secret_value(SecretId=NAME)["SecretString"])


def test_it_is_made_once_with_a_value_of_256_bits_and_never_read(client: Client) -> None:
    changed, arn = ensure(client, PARAMS, check=False)
    assert changed
    assert NAME in arn
    assert ensure(client, PARAMS, check=False) == (False, arn)
    assert "get_secret_value" not in client.calls
    assert len(value(client)) >= 43


def test_check_mode_makes_nothing(client: Client) -> None:
    assert ensure(client, PARAMS, check=True) == (True, "")
    assert client.list_secrets()["SecretList"] == []


def test_one_that_was_deleted_comes_back_with_its_value(client: Client) -> None:
    ensure(client, PARAMS, check=False)
    before = value(client)
    client.delete_secret(SecretId=NAME, RecoveryWindowInDays=7)
    assert ensure(client, PARAMS, check=True)[0]
    assert ensure(client, PARAMS, check=False)[0]
    assert value(client) == before


def test_one_of_somebody_else_is_left_alone(client: Client) -> None:
    client.create_secret(Name=NAME, SecretString="theirs")
    with pytest.raises(ForeignSecretError, match="was not made by this"):
        ensure(client, PARAMS, check=False)
    assert value(client) == "theirs"
