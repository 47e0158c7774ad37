"""Create, correct or remove a monthly budget that sends a mail.

An own module, because no collection has one for AWS Budgets.
"""

from __future__ import annotations

DOCUMENTATION = r"""
module: cost_budget
short_description: Create, correct or remove a monthly budget that sends a mail
description:
  - The budget counts what has one tag, which AWS does only once the tag is active as a cost allocation tag.
  - A mail is sent at 80 % and at 100 % of the amount, and when AWS forecasts more than the amount for the month.
    Notifications of another kind that the budget has stay.
options:
  account:
    description: Number of the account.
    type: str
    required: true
  name:
    description: Name of the budget.
    type: str
    required: true
  state:
    description: Whether it is to exist.
    type: str
    choices: [present, absent]
    default: present
  amount:
    description: USD in a month. Needed where it is to exist.
    type: float
  email:
    description: Who gets the mail. Needed where it is to exist.
    type: str
  tag:
    description: Key and value of the tag, with a dollar sign between them. Needed where it is to exist.
    type: str
author:
  - The slm-ft-serving developers (!UNKNOWN)
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: Have a mail sent before the application costs more than 100 USD a month
  slm.serving.cost_budget:
    account: "123456789012"
    name: slm-ft-serving-monthly
    amount: 100
    email: operator@example.com
    tag: Application$slm-ft-serving
"""

RETURN = r"""
differences:
  description: What was, or in check mode would be, corrected.
  returned: success
  type: list
  elements: str
  sample: [amount, recipient]
"""

import contextlib
from decimal import Decimal
from typing import Any, NamedTuple

from ansible_collections.amazon.aws.plugins.module_utils.botocore import is_boto3_error_code
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from ansible_collections.slm.serving.plugins.module_utils.aws_errors import fail

with contextlib.suppress(ImportError):  # AnsibleAWSModule reports it.
    import botocore


class Threshold(NamedTuple):
    """When a mail is sent.

    Attributes:
        kind: of AWS: what was spent, or what AWS forecasts for the month.
        percent: of the amount.
    """

    kind: str
    percent: int

    def as_aws(self) -> dict[str, Any]:
        """Return the notification that it is in AWS's API."""
        return {
            "NotificationType": self.kind,
            "ComparisonOperator": "GREATER_THAN",
            "Threshold": float(self.percent),
            "ThresholdType": "PERCENTAGE",
        }


THRESHOLDS = (Threshold("ACTUAL", 80), Threshold("ACTUAL", 100), Threshold("FORECASTED", 100))


class Budget:
    """One budget of an account."""

    def __init__(self, client: Any, params: dict[str, Any]) -> None:
        """Read the budget.

        Args:
            client: of AWS Budgets.
            params: the module's.
        """
        self.client = client
        self.params = params
        self.named = {"AccountId": params["account"], "BudgetName": params["name"]}
        self.current = self._describe()

    def _describe(self) -> dict[str, Any]:
        """Return what AWS says of the budget; empty when there is none."""
        try:
            budget: dict[str, Any] = self.client.describe_budget(**self.named, aws_retry=True)["Budget"]
        except is_boto3_error_code("NotFoundException"):
            return {}
        return budget

    def wanted(self) -> dict[str, Any]:
        """Return the budget as it is to be."""
        return {
            "BudgetName": self.params["name"],
            "BudgetType": "COST",
            "TimeUnit": "MONTHLY",
            "BudgetLimit": {"Amount": f"{self.params['amount']:.2f}", "Unit": "USD"},
            "CostFilters": {"TagKeyValue": [f"user:{self.params['tag']}"]},
        }

    def _subscribers(self) -> list[dict[str, str]]:
        return [{"SubscriptionType": "EMAIL", "Address": self.params["email"]}]

    def _amount_differs(self) -> bool:
        there, wanted = self.current, self.wanted()
        limit = there.get("BudgetLimit", {})
        same_limit = limit.get("Unit") == "USD" and Decimal(limit["Amount"]) == Decimal(wanted["BudgetLimit"]["Amount"])
        same = all(there.get(key) == wanted[key] for key in ("BudgetType", "TimeUnit", "CostFilters"))
        return not (same_limit and same)

    def _thresholds_there(self) -> set[Threshold]:
        pages = self.client.get_paginator("describe_notifications_for_budget").paginate(**self.named)
        return {
            Threshold(each["NotificationType"], int(each["Threshold"]))
            for page in pages
            for each in page.get("Notifications", [])
            if each["ComparisonOperator"] == "GREATER_THAN" and each.get("ThresholdType", "PERCENTAGE") == "PERCENTAGE"
        }

    def _mails(self, threshold: Threshold) -> list[str]:
        """Return who gets the mail of a notification that is there."""
        pages = self.client.get_paginator("describe_subscribers_for_notification").paginate(
            **self.named, Notification=threshold.as_aws()
        )
        return [each["Address"] for page in pages for each in page["Subscribers"]]

    def _wrong_thresholds(self) -> dict[Threshold, bool]:
        """Return the notifications to be made; each with whether it is there, with somebody else."""
        there = self._thresholds_there()
        return {
            each: each in there
            for each in THRESHOLDS
            if each not in there or self.params["email"] not in self._mails(each)
        }

    def ensure(self, *, check_mode: bool) -> list[str]:
        """Create the budget, or correct what differs; return what that is.

        Args:
            check_mode: whether to change nothing.
        """
        if not self.current:
            if not check_mode:
                self._create()
            return ["budget"]
        amount, thresholds = self._amount_differs(), self._wrong_thresholds()
        if not check_mode:
            if amount:
                account = {"AccountId": self.params["account"]}
                self.client.update_budget(**account, NewBudget=self.wanted(), aws_retry=True)
            for threshold, there in thresholds.items():
                self._renew(threshold, there=there)
        return [name for name, differs in (("amount", amount), ("recipient", bool(thresholds))) if differs]

    def _create(self) -> None:
        subscribers = self._subscribers()
        self.client.create_budget(
            AccountId=self.params["account"],
            Budget=self.wanted(),
            NotificationsWithSubscribers=[
                {"Notification": each.as_aws(), "Subscribers": subscribers} for each in THRESHOLDS
            ],
            aws_retry=True,
        )

    def _renew(self, threshold: Threshold, *, there: bool) -> None:
        if there:
            self.client.delete_notification(**self.named, Notification=threshold.as_aws(), aws_retry=True)
        self.client.create_notification(
            **self.named, Notification=threshold.as_aws(), Subscribers=self._subscribers(), aws_retry=True
        )

    def remove(self, *, check_mode: bool) -> list[str]:
        """Remove the budget with its notifications; return whether there was one, as a list of differences.

        Args:
            check_mode: whether to change nothing.
        """
        if not self.current:
            return []
        if not check_mode:
            self.client.delete_budget(**self.named, aws_retry=True)
        return ["budget"]


def main() -> None:
    """Create, correct or remove the budget."""
    module = AnsibleAWSModule(
        argument_spec={
            "account": {"type": "str", "required": True},
            "name": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "amount": {"type": "float"},
            "email": {"type": "str"},
            "tag": {"type": "str"},
        },
        required_if=[("state", "present", ("amount", "email", "tag"))],
        supports_check_mode=True,
    )
    client = module.client("budgets", retry_decorator=AWSRetry.jittered_backoff())
    try:
        budget = Budget(client, module.params)
        change = budget.remove if module.params["state"] == "absent" else budget.ensure
        differences = change(check_mode=module.check_mode)
    except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
        fail(module, error, f"AWS Budgets did not change the budget {module.params['name']}")
    module.exit_json(changed=bool(differences), differences=differences)


if __name__ == "__main__":
    main()
