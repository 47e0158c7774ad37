#!/usr/bin/python
"""Ask AWS's price list what an instance and its volume cost on demand.

An own module, because no collection asks the price list.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

with contextlib.suppress(ImportError):  # AnsibleAWSModule reports it.
    import botocore

DOCUMENTATION = r"""
module: instance_price_info
short_description: What an instance and its volume cost on demand
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
      - What to say when the price list cannot be asked, with C(region), C(instance_type), C(instance_hour),
        C(volume_gib_month) and C(source). Not used for another region or type.
    type: dict
    default: {}
"""

RETURN = r"""
known:
  description: Whether there is a price at all.
  type: bool
instance_hour:
  description: USD for an hour of the running instance.
  type: float
volume_gib_month:
  description: USD for a GiB of gp3 in a month.
  type: float
source:
  description: Where the figures come from.
  type: str
"""

PRICE_LIST_REGION = "us-east-1"  # The price list of all regions is served there.


def on_demand_price(client: object, filters: dict) -> float:
    """Return the one on-demand price of a product; raises LookupError when there is not exactly one."""
    chosen = [{"Type": "TERM_MATCH", "Field": key, "Value": value} for key, value in filters.items()]
    products = client.get_products(ServiceCode="AmazonEC2", Filters=chosen, MaxResults=10)["PriceList"]
    prices = {
        float(dimension["pricePerUnit"]["USD"])
        for product in products
        for term in json.loads(product)["terms"].get("OnDemand", {}).values()
        for dimension in term["priceDimensions"].values()
    }
    if len(prices) != 1:
        raise LookupError(f"{len(prices)} prices for {filters}")
    return prices.pop()


def listed(client: object, region: str, instance_type: str) -> dict:
    """Return both prices as AWS's list has them now."""
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
        "instance_hour": on_demand_price(client, instance),
        "volume_gib_month": on_demand_price(client, volume),
        "source": f"AWS's price list, {dt.datetime.now(dt.UTC):%Y-%m-%d}",
    }


def fallen_back(fallback: dict, region: str, instance_type: str) -> dict:
    """Return the prices of the fallback; unknown ones when it is for something else."""
    if (fallback.get("region"), fallback.get("instance_type")) != (region, instance_type):
        return {"known": False, "instance_hour": 0.0, "volume_gib_month": 0.0, "source": "unknown"}
    kept = ("instance_hour", "volume_gib_month", "source")
    return {"known": True, **{key: fallback[key] for key in kept}}


def main() -> None:
    """Ask and report."""
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
        prices = listed(client, region, instance_type)
    except (
        botocore.exceptions.BotoCoreError,
        botocore.exceptions.ClientError,
        # An answer in another form than the list's is no price either.
        LookupError,
        ValueError,
    ):
        prices = fallen_back(module.params["fallback"], region, instance_type)
    module.exit_json(changed=False, **prices)


if __name__ == "__main__":
    main()
