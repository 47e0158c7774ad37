"""Read the on-demand prices of an instance, of its volume and of a load balancer from AWS's price list.

An own module, because no collection reads the price list.
"""

from __future__ import annotations

DOCUMENTATION = r"""
module: instance_price_info
short_description: Read the on-demand prices of an instance, its volume and a load balancer
description:
  - Changes nothing, and never fails because of the price list.
  - Prices are in USD, for Linux, without taxes and discounts.
options:
  instance_type:
    description: The instance type.
    type: str
    required: true
  fallback:
    description:
      - Prices to return when the price list cannot be read, with C(region), C(instance_type), C(instance_hour),
        C(volume_gib_month) and C(source). Not used for another region or type.
    type: dict
    default: {}
  load_balancer:
    description: Whether to read the prices of an Application Load Balancer too, for which there is no fallback.
    type: bool
    default: false
author:
  - The slm-ft-serving developers (!UNKNOWN)
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: Read the prices
  slm.serving.instance_price_info:
    region: eu-central-1
    instance_type: g6.2xlarge
    fallback:
      region: us-east-1
      instance_type: g6.2xlarge
      instance_hour: 0.9776
      volume_gib_month: 0.08
      source: public tables of 2026-11-20
  register: price
"""

RETURN = r"""
known:
  description: Whether a price was found, in the price list or in O(fallback).
  returned: success
  type: bool
instance_hour:
  description: USD for an hour of the running instance.
  returned: success
  type: float
volume_gib_month:
  description: USD for a GiB of gp3 in a month.
  returned: success
  type: float
source:
  description: Where the figures come from.
  returned: success
  type: str
load_balancer:
  description: Prices of an Application Load Balancer.
  returned: with O(load_balancer)
  type: dict
  contains:
    known:
      description: Whether the price list has them.
      returned: always
      type: bool
    hour:
      description: USD for an hour of it.
      returned: always
      type: float
    capacity_unit_hour:
      description: USD for an hour of one of the capacity units (LCU) that it uses.
      returned: always
      type: float
"""

import contextlib
import datetime as dt
import json
import re
from collections.abc import Callable
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

with contextlib.suppress(ImportError):  # AnsibleAWSModule reports it.
    import botocore

PRICE_LIST_REGION = "us-east-1"  # The price list of all regions is served there.


def on_demand_price(client: Any, filters: dict[str, str], usage: str, service: str = "AmazonEC2") -> float:
    """Return the one on-demand price of a product, in USD.

    The filters may let a second product through, such as that of Outposts or of a local zone: then the usage type
    decides, which has the region before it everywhere but in us-east-1.

    Args:
        client: of the price list.
        filters: what the product's attributes are.
        usage: end of its usage type.
        service: that bills it.

    Raises:
        LookupError: the list has no price, or several.
    """
    matches = [{"Type": "TERM_MATCH", "Field": key, "Value": value} for key, value in filters.items()]
    pages = client.get_paginator("get_products").paginate(ServiceCode=service, Filters=matches)
    products = [json.loads(product) for page in pages for product in page["PriceList"]]
    fitting = re.compile(rf"(?:[A-Z0-9]+-)?{re.escape(usage)}")
    billed = [each for each in products if fitting.fullmatch(_attribute(each, "usagetype"))]
    prices = {
        float(dimension["pricePerUnit"]["USD"])
        for product in billed or products
        for term in product["terms"].get("OnDemand", {}).values()
        for dimension in term["priceDimensions"].values()
    } - {0.0}  # of what is paid for otherwise, such as reservations
    if len(prices) != 1:
        raise LookupError(f"{len(prices)} prices for {filters}")
    return prices.pop()


def _attribute(product: dict[str, Any], name: str) -> str:
    return str(product.get("product", {}).get("attributes", {}).get(name, ""))


def list_prices(client: Any, region: str, instance_type: str) -> dict[str, Any]:
    """Return both prices from AWS's price list."""
    instance = {
        "regionCode": region,
        "instanceType": instance_type,
        "operatingSystem": "Linux",
        "preInstalledSw": "NA",
        "tenancy": "Shared",
        "capacitystatus": "Used",
        "licenseModel": "No License required",
    }
    volume = {"regionCode": region, "productFamily": "Storage", "volumeApiName": "gp3"}
    return {
        "known": True,
        "instance_hour": on_demand_price(client, instance, f"BoxUsage:{instance_type}"),
        "volume_gib_month": on_demand_price(client, volume, "EBS:VolumeUsage.gp3"),
        "source": f"AWS's price list, {dt.datetime.now(dt.UTC):%Y-%m-%d}",
    }


def load_balancer_prices(client: Any, region: str) -> dict[str, Any]:
    """Return the prices of an Application Load Balancer from AWS's price list."""
    filters = {"regionCode": region, "productFamily": "Load Balancer-Application"}
    return {
        "known": True,
        "hour": on_demand_price(client, filters, "LoadBalancerUsage", "AWSELB"),
        "capacity_unit_hour": on_demand_price(client, filters, "LCUUsage", "AWSELB"),
    }


def fallback_prices(fallback: dict[str, Any], region: str, instance_type: str) -> dict[str, Any]:
    """Return the prices of the fallback; unknown ones when it is for another region or type."""
    if (fallback.get("region"), fallback.get("instance_type")) != (region, instance_type):
        return {"known": False, "instance_hour": 0.0, "volume_gib_month": 0.0, "source": "unknown"}
    return {"known": True} | {key: fallback[key] for key in ("instance_hour", "volume_gib_month", "source")}


def main() -> None:
    """Return the prices."""
    module = AnsibleAWSModule(
        argument_spec={
            "instance_type": {"type": "str", "required": True},
            "fallback": {"type": "dict", "default": {}},
            "load_balancer": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    region, instance_type = module.region, module.params["instance_type"]
    prices = _asked(lambda client: list_prices(client, region, instance_type)) or fallback_prices(
        module.params["fallback"], region, instance_type
    )
    if module.params["load_balancer"]:
        unknown = {"known": False, "hour": 0.0, "capacity_unit_hour": 0.0}
        prices["load_balancer"] = _asked(lambda client: load_balancer_prices(client, region)) or unknown
    module.exit_json(changed=False, **prices)


def _asked(question: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
    """Return what the price list answers; nothing where it does not."""
    try:
        import boto3

        limits = botocore.config.Config(connect_timeout=3, read_timeout=10, retries={"max_attempts": 1})
        client = boto3.session.Session().client("pricing", region_name=PRICE_LIST_REGION, config=limits)
        return question(client)
    except (
        botocore.exceptions.BotoCoreError,
        botocore.exceptions.ClientError,
        # An answer in another form than the list's is no price either.
        LookupError,
        ValueError,
    ):
        return {}


if __name__ == "__main__":
    main()
