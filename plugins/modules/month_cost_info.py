"""Say how long an instance ran this month, and what it, its volumes and its address cost.

An own module, because Cost Explorer, which the ready modules ask, is a day late and charges for each question.
"""

from __future__ import annotations

DOCUMENTATION = r"""
module: month_cost_info
short_description: Say how long an instance ran this month, and what that cost
description:
  - Hours of the present run are counted from its start. Those before are counted from CloudWatch, which has a value of
    C(CPUUtilization) for every five minutes in which an instance ran, so each earlier start is right to five minutes.
  - Volumes are those that are attached, and those with the application's tag. Each is counted since it was made.
  - Changes nothing, and fails for nothing that AWS does not tell, which is in RV(unknown).
options:
  instance_id:
    description: Id of the instance.
    type: str
    required: true
  running_since:
    description: When its present run began, in UTC. Empty when it does not run.
    type: str
    default: ""
  application:
    description: Value of the tag C(Application).
    type: str
    required: true
  public_address:
    description: Whether the instance has a public address while it runs. An Elastic IP is asked for anyway.
    type: bool
    default: true
  prices:
    description:
      - USD, with C(instance_hour), C(address_hour), and of gp3 C(volume_gib_month) and C(throughput_month), for each
        MiB/s above 125.
    type: dict
    required: true
  month_hours:
    description: Hours of a month for what is billed by the month.
    type: int
    default: 730
author:
  - The slm-ft-serving developers (!UNKNOWN)
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: Read what this month cost
  slm.serving.month_cost_info:
    region: eu-central-1
    instance_id: i-0123456789abcdef0
    running_since: "2026-11-27T08:00:00+00:00"
    application: slm-ft-serving
    prices: {instance_hour: 1.2, volume_gib_month: 0.1, throughput_month: 0.05, address_hour: 0.005}
  register: month
"""

RETURN = r"""
month:
  description: The month, in UTC.
  returned: success
  type: str
  sample: 2026-11
hours:
  description: Hours for which the instance ran this month, used or not.
  returned: success
  type: float
costs:
  description: What is billed.
  returned: success
  type: list
  elements: dict
  contains:
    what:
      description: What it is, in words.
      returned: always
      type: str
    usd:
      description: What it cost this month so far.
      returned: always
      type: float
usd:
  description: The sum of RV(costs).
  returned: success
  type: float
unknown:
  description: A sentence for each question that AWS did not answer, so that the sum is too small.
  returned: success
  type: list
  elements: str
"""

import contextlib
import datetime as dt
from collections.abc import Callable
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.slm.serving.plugins.module_utils.aws_errors import reason

with contextlib.suppress(ImportError):  # AnsibleAWSModule reports it.
    import botocore

# EC2's basic monitoring: one value for each, and CloudWatch keeps them for 63 days.
SAMPLE = dt.timedelta(minutes=5)
HOUR = dt.timedelta(hours=1)
GP3_THROUGHPUT, GP3_IOPS = 125, 3000  # included


class Month:
    """The month so far, of one instance."""

    def __init__(self, params: dict[str, Any], clients: dict[str, Any], now: dt.datetime) -> None:
        """Note when the month and the present run began.

        Args:
            params: the module's.
            clients: of `ec2` and `cloudwatch`.
            now: the end of what is counted.
        """
        self.params = params
        self.clients = clients
        self.now = now
        self.begin = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        since = params["running_since"]
        # An instance that does not run has a present run of no length.
        self.run = max(_moment(since), self.begin) if since else now
        self.unknown: list[str] = []

    def asked(self, what: str, ask: Callable[[], Any], otherwise: Any) -> Any:
        """Return the answer of AWS; `otherwise` where there is none, which is noted.

        Args:
            what: it is asked about, as the subject of a sentence.
            ask: the question.
            otherwise: in place of the answer.
        """
        try:
            return ask()
        except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
            self.unknown.append(f"{what}: {reason(error)}")
            return otherwise

    def hours_before(self) -> float:
        """Return for how many hours of the month the instance ran before its present run."""
        # The value within which the present run began is that run's.
        end = self.begin + (self.run - self.begin) // SAMPLE * SAMPLE
        if end <= self.begin:
            return 0.0
        metric = {
            "Namespace": "AWS/EC2",
            "MetricName": "CPUUtilization",
            "Dimensions": [{"Name": "InstanceId", "Value": self.params["instance_id"]}],
        }
        statistic = {"Metric": metric, "Period": int(SAMPLE.total_seconds()), "Stat": "SampleCount"}
        pages = self.clients["cloudwatch"].get_paginator("get_metric_data")
        answers = pages.paginate(
            MetricDataQueries=[{"Id": "ran", "MetricStat": statistic}], StartTime=self.begin, EndTime=end
        )
        samples = sum(len(result["Values"]) for answer in answers for result in answer["MetricDataResults"])
        return samples * (SAMPLE / HOUR)

    def volumes(self) -> list[dict[str, Any]]:
        """Return the instance's volumes and the application's, each once."""
        pages = self.clients["ec2"].get_paginator("describe_volumes")
        by_id: dict[str, dict[str, Any]] = {}
        for name, value in (
            ("attachment.instance-id", self.params["instance_id"]),
            ("tag:Application", self.params["application"]),
        ):
            for page in pages.paginate(Filters=[{"Name": name, "Values": [value]}]):
                by_id |= {each["VolumeId"]: each for each in page["Volumes"]}
        return list(by_id.values())

    def elastic_addresses(self) -> list[str]:
        """Return the Elastic IPs of the instance."""
        filters = [{"Name": "instance-id", "Values": [self.params["instance_id"]]}]
        return [each["PublicIp"] for each in self.clients["ec2"].describe_addresses(Filters=filters)["Addresses"]]

    def volume_cost(self, volume: dict[str, Any]) -> dict[str, Any]:
        """Return what a gp3 volume cost since it was made, or since the month began."""
        prices, size = self.params["prices"], volume["Size"]
        extra = max((volume.get("Throughput") or 0) - GP3_THROUGHPUT, 0)
        month = size * prices["volume_gib_month"] + extra * prices["throughput_month"]
        hours = (self.now - max(volume["CreateTime"], self.begin)) / HOUR
        return {"what": f"{size} GiB of gp3", "usd": month * hours / self.params["month_hours"]}

    def volume_costs(self) -> list[dict[str, Any]]:
        """Return what each volume cost, as far as its price is known."""
        costs = []
        for volume in self.asked("the volumes", self.volumes, []):
            name, kind = volume["VolumeId"], volume["VolumeType"]
            if kind != "gp3":
                self.unknown.append(f"the volume {name}: the price of {kind} is not known")
                continue
            if (volume.get("Iops") or 0) > GP3_IOPS:
                self.unknown.append(f"the volume {name}: the price of more than {GP3_IOPS} operations is not known")
            costs.append(self.volume_cost(volume))
        return costs

    def address_costs(self, hours: float) -> list[dict[str, Any]]:
        """Return what the public address cost: an Elastic IP always, another while the instance ran.

        Args:
            hours: for which the instance ran.
        """
        price = self.params["prices"]["address_hour"]
        elastic = self.asked("the Elastic IPs", self.elastic_addresses, [])
        if elastic:
            always = (self.now - self.begin) / HOUR
            return [{"what": f"Elastic IP {each}", "usd": always * price} for each in elastic]
        return (
            [{"what": "a public address while it ran", "usd": hours * price}] if self.params["public_address"] else []
        )

    def summary(self) -> dict[str, Any]:
        """Return what the module does."""
        before = self.asked("the hours before this start", self.hours_before, 0.0)
        hours = before + (self.now - self.run) / HOUR
        instance = {
            "what": f"the instance, {hours:.1f} h",
            "usd": hours * self.params["prices"]["instance_hour"],
        }
        costs = [instance, *self.volume_costs(), *self.address_costs(hours)]
        return {
            "month": f"{self.begin:%Y-%m}",
            "hours": round(hours, 2),
            "costs": [each | {"usd": round(each["usd"], 2)} for each in costs],
            "usd": round(sum(each["usd"] for each in costs), 2),
            "unknown": self.unknown,
        }


def _moment(text: str) -> dt.datetime:
    """Return a time that says no zone as one of UTC."""
    moment = dt.datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)


def main() -> None:
    """Return the month."""
    module = AnsibleAWSModule(
        argument_spec={
            "instance_id": {"type": "str", "required": True},
            "running_since": {"type": "str", "default": ""},
            "application": {"type": "str", "required": True},
            "public_address": {"type": "bool", "default": True},
            "prices": {"type": "dict", "required": True},
            "month_hours": {"type": "int", "default": 730},
        },
        supports_check_mode=True,
    )
    # The screen waits for it.
    limits = botocore.config.Config(connect_timeout=3, read_timeout=10, retries={"max_attempts": 1})
    clients = {name: module.client(name, config=limits) for name in ("cloudwatch", "ec2")}
    month = Month(module.params, clients, dt.datetime.now(dt.UTC))
    module.exit_json(changed=False, **month.summary())


if __name__ == "__main__":
    main()
