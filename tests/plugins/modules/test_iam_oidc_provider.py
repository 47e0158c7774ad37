"""The account's provider for the tokens of workflows: made, or used as it is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from unittest import mock

import boto3
import pytest
from ansible_collections.slm.serving.plugins.modules.iam_oidc_provider import ensure

from tests.support.aws_account import mock_aws

URL = "https://tokens.example"
PARAMS = {"url": URL, "audience": "sts.amazonaws.com", "tags": {"ManagedBy": "provision.yml"}}


class Retried:
    """A client whose calls take `aws_retry`, as Ansible's do; it notes the audiences, which moto cannot add."""

    def __init__(self) -> None:
        self.iam = boto3.client("iam", region_name="us-east-1")
        self.added: list[dict[str, str]] = []

    def __getattr__(self, name: str) -> Any:
        def call(*, aws_retry: bool, **arguments: Any) -> Any:
            assert aws_retry
            if name == "add_client_id_to_open_id_connect_provider":
                return self.added.append(arguments)
            return getattr(self.iam, name)(**arguments)

        return call


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[Retried]:
    """Return a client of an empty account."""
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        yield Retried()


def test_a_provider_is_made_once(client: Retried) -> None:
    assert ensure(client, PARAMS, check_mode=True) == ("", True)
    arn, changed = ensure(client, PARAMS, check_mode=False)
    assert changed
    assert arn.endswith(":oidc-provider/tokens.example")
    assert ensure(client, PARAMS, check_mode=False) == (arn, False)
    tags = client.iam.list_open_id_connect_provider_tags(OpenIDConnectProviderArn=arn)["Tags"]
    assert tags == [{"Key": "ManagedBy", "Value": "provision.yml"}]


def test_one_that_is_there_is_used_and_gets_the_audience_that_it_lacks(client: Retried) -> None:
    made = client.iam.create_open_id_connect_provider(Url=URL, ClientIDList=["other"], ThumbprintList=["0" * 40])
    arn = made["OpenIDConnectProviderArn"]
    other = {"Url": "https://more.tokens.example", "ClientIDList": ["x"], "ThumbprintList": ["0" * 40]}
    client.iam.create_open_id_connect_provider(**other)
    assert ensure(client, PARAMS, check_mode=True) == (arn, True)
    assert client.added == []
    assert ensure(client, PARAMS, check_mode=False) == (arn, True)
    assert client.added == [{"OpenIDConnectProviderArn": arn, "ClientID": "sts.amazonaws.com"}]


def test_a_provider_that_was_made_for_no_audience_gets_ours() -> None:
    arn = "arn:aws:iam::123456789012:oidc-provider/tokens.example"
    client = mock.Mock()
    client.list_open_id_connect_providers.return_value = {"OpenIDConnectProviderList": [{"Arn": arn}]}
    client.get_open_id_connect_provider.return_value = {"Url": "tokens.example"}
    assert ensure(client, PARAMS, check_mode=False) == (arn, True)
    client.add_client_id_to_open_id_connect_provider.assert_called_once()
