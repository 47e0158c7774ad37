"""The monthly budget: made, corrected and removed, and nothing in check mode."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from ansible_collections.slm.serving.plugins.modules.cost_budget import Budget

from tests.support.aws_account import mock_aws

ACCOUNT, NAME = "123456789012", "slm-ft-serving-monthly"
PARAMS = {
    "account": ACCOUNT,
    "name": NAME,
    "amount": 100.0,
    "email": "operator@example.com",
    "tag": "Application$slm-ft-serving",
}


class Client:
    """A client whose calls take `aws_retry`, as Ansible's do, with the two calls that moto lacks."""

    def __init__(self) -> None:
        self.budgets = boto3.client("budgets", region_name="us-east-1")
        self.mails: dict[tuple[str, float], list[str]] = {}
        self.calls: list[str] = []

    def get_paginator(self, operation: str) -> Any:
        """Return what pages an operation's answer; the subscribers come two pages long."""
        if operation != "describe_subscribers_for_notification":
            return self.budgets.get_paginator(operation)
        return self

    def paginate(self, *, Notification: dict[str, Any], **_: Any) -> list[dict[str, Any]]:  # noqa: N803 - AWS's name
        """Return who gets a notification's mail."""
        key = (Notification["NotificationType"], Notification["Threshold"])
        return [{"Subscribers": []}, {"Subscribers": [{"Address": each} for each in self.mails[key]]}]

    def update_budget(self, *, AccountId: str, NewBudget: Any, aws_retry: bool) -> None:  # noqa: N803 - AWS's names
        """Put the new budget in the place of the old one, with its notifications."""
        assert aws_retry
        self.calls.append("update_budget")
        self.budgets.delete_budget(AccountId=AccountId, BudgetName=NewBudget["BudgetName"])
        self.budgets.create_budget(AccountId=AccountId, Budget=NewBudget)
        for kind, percent in self.mails:
            notification = {"NotificationType": kind, "ComparisonOperator": "GREATER_THAN", "Threshold": percent}
            named = {"AccountId": AccountId, "BudgetName": NewBudget["BudgetName"], "Notification": notification}
            self.budgets.create_notification(**named, Subscribers=[{"SubscriptionType": "EMAIL", "Address": "a@b"}])

    def __getattr__(self, name: str) -> Any:
        def call(*, aws_retry: bool, **arguments: Any) -> Any:
            assert aws_retry
            if not name.startswith("describe_"):
                self.calls.append(name)
            for each in arguments.get("NotificationsWithSubscribers", []):
                self._note(each["Notification"], each["Subscribers"])
            if name == "create_notification":
                self._note(arguments["Notification"], arguments["Subscribers"])
            return getattr(self.budgets, name)(**arguments)

        return call

    def _note(self, notification: dict[str, Any], subscribers: list[dict[str, str]]) -> None:
        key = (notification["NotificationType"], notification["Threshold"])
        self.mails[key] = [each["Address"] for each in subscribers]


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    """Return a client of an empty account."""
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        yield Client()


def ensure(client: Client, *, check_mode: bool = False, **params: Any) -> list[str]:
    """Have the budget made or corrected, and return what that was."""
    return Budget(client, PARAMS | params).ensure(check_mode=check_mode)


def test_a_budget_is_made_once_for_what_has_the_tag(client: Client) -> None:
    assert ensure(client) == ["budget"]
    budget = client.budgets.describe_budget(AccountId=ACCOUNT, BudgetName=NAME)["Budget"]
    assert budget["CostFilters"] == {"TagKeyValue": ["user:Application$slm-ft-serving"]}
    assert (budget["BudgetLimit"], budget["TimeUnit"]) == ({"Amount": "100.00", "Unit": "USD"}, "MONTHLY")
    assert client.mails == {
        ("ACTUAL", 80.0): ["operator@example.com"],
        ("ACTUAL", 100.0): ["operator@example.com"],
        ("FORECASTED", 100.0): ["operator@example.com"],
    }
    assert ensure(client) == []
    assert client.calls == ["create_budget"]


@pytest.mark.parametrize("written", ["100", "100.0", "100.00"])
def test_an_amount_that_aws_writes_in_another_way_is_the_same(client: Client, written: str) -> None:
    ensure(client)
    budget = Budget(client, PARAMS)
    budget.current["BudgetLimit"] = {"Amount": written, "Unit": "USD"}
    assert budget.ensure(check_mode=True) == []


def test_another_amount_and_another_recipient_are_corrected(client: Client) -> None:
    ensure(client)
    assert ensure(client, amount=250.5) == ["amount"]
    budget = client.budgets.describe_budget(AccountId=ACCOUNT, BudgetName=NAME)["Budget"]
    assert budget["BudgetLimit"]["Amount"] == "250.50"
    client.calls.clear()
    assert ensure(client, amount=250.5, email="another@example.com") == ["recipient"]
    assert client.calls == ["delete_notification", "create_notification"] * 3
    assert {mail for mails in client.mails.values() for mail in mails} == {"another@example.com"}
    assert ensure(client, amount=250.5, email="another@example.com") == []


def test_what_check_mode_announces_is_what_a_run_then_does(client: Client) -> None:
    changes: list[dict[str, Any]] = [{}, {"amount": 5.0}, {"email": "another@example.com"}]
    changes.append({"amount": 7.0, "email": "third@example.com"})
    for params in changes:
        before = list(client.calls)
        announced = ensure(client, check_mode=True, **params)
        assert announced
        assert client.calls == before
        assert ensure(client, **params) == announced
    assert Budget(client, PARAMS).remove(check_mode=True) == ["budget"]
    assert Budget(client, PARAMS).remove(check_mode=False) == ["budget"]
    assert Budget(client, PARAMS).remove(check_mode=False) == []
