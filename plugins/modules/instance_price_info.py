"""Read the on-demand prices of an instance and of its volume from AWS's price list.

An own module, because no collection reads the price list.
"""

from __future__ import annotations

DOCUMENTATION = r"""
module: instance_price_info
short_description: Read the on-demand prices of an instance and its volume
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
"""

import contextlib
import datetime as dt
import json
import re
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

with contextlib.suppress(ImportError):  # AnsibleAWSModule reports it.
    import botocore

PRICE_LIST_REGION = "us-east-1"  # The price list of all regions is served there.


def on_demand_price(client: Any, filters: dict[str, str], usage: str) -> float:
    """Return the one on-demand price of a product, in USD.

    The filters may let a second product through, such as that of Outposts or of a local zone: then the usage type
    decides, which has the region before it everywhere but in us-east-1.

    Args:
        client: of the price list.
        filters: what the product's attributes are.
        usage: end of its usage type.

    Raises:
        LookupError: the list has no price, or several.
    """
    matches = [{"Type": "TERM_MATCH", "Field": key, "Value": value} for key, value in filters.items()]
    pages = client.get_paginator("get_products").paginate(ServiceCode="AmazonEC2", Filters=matches)
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
        },
        supports_check_mode=True,
    )
    region, instance_type = module.region, module.params["instance_type"]
    try:
        import boto3

        limits = botocore.config.Config(connect_timeout=3, read_timeout=10, retries={"max_attempts": 1})
        client = boto3.session.Session().client("pricing", region_name=PRICE_LIST_REGION, config=limits)
        prices = list_prices(client, region, instance_type)
    except (
        botocore.exceptions.BotoCoreError,
        botocore.exceptions.ClientError,
        # An answer in another form than the list's is no price either.
        LookupError,
        ValueError,
    ):
        prices = fallback_prices(module.params["fallback"], region, instance_type)
    module.exit_json(changed=False, **prices)


if __name__ == "__main__":
    main()
