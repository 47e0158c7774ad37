"""The on-demand prices of an instance and its volume."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.slm.serving.plugins.modules.instance_price_info import (
    fallback_prices,
    list_prices,
    load_balancer_prices,
    on_demand_price,
)

FALLBACK = {
    "region": "us-east-1",
    "instance_type": "g6.2xlarge",
    "instance_hour": 1.5,
    "volume_gib_month": 0.5,
    "source": "somewhere",
}


class FakePriceList:
    """A price list that answers every GetProducts with the same products, each a usage type and a price.

    Each product is on a page of its own.
    """

    def __init__(self, *products: tuple[str, str]) -> None:
        self._products = [
            json.dumps(
                {
                    "product": {"attributes": {"usagetype": usage}},
                    "terms": {"OnDemand": {"t": {"priceDimensions": {"d": {"pricePerUnit": {"USD": price}}}}}},
                }
            )
            for usage, price in products
        ]

    def get_paginator(self, operation: str) -> FakePriceList:
        """Return itself."""
        assert operation == "get_products"
        return self

    def paginate(self, **_: Any) -> list[dict[str, Any]]:
        """Return the pages; a filtered answer of AWS may begin with an empty one."""
        return [{"PriceList": []}, *({"PriceList": [product]} for product in self._products)]


def instance_price(*products: tuple[str, str]) -> float:
    """Return the price of an instance hour."""
    return on_demand_price(FakePriceList(*products), {}, "BoxUsage:g6.2xlarge")


def test_only_price_of_the_list_is_returned() -> None:
    assert list_prices(FakePriceList(("unknown", "0.25")), "us-east-1", "g6.2xlarge")["instance_hour"] == 0.25


@pytest.mark.parametrize("usage", ["BoxUsage:g6.2xlarge", "EUC1-BoxUsage:g6.2xlarge"])
def test_of_several_products_the_usage_that_is_billed_counts(usage: str) -> None:
    others = (("LAX1-Outposts-BoxUsage:g6.2xlarge", "3"), ("UnusedBox:g6.2xlarge", "4"), (usage, "0.0000000000"))
    assert instance_price(*others, (usage, "0.25")) == 0.25


def test_the_gp3_of_outposts_is_another_product() -> None:
    products = FakePriceList(("EUC1-EBS:VolumeUsage.gp3", "0.0952"), ("EUC1-OTP-EBS:VolumeUsage.gp3", "0.2"))
    assert on_demand_price(products, {}, "EBS:VolumeUsage.gp3") == 0.0952


def test_the_load_balancers_hour_and_its_capacity_units_are_two_products() -> None:
    products = FakePriceList(
        ("EUC1-LoadBalancerUsage", "0.027"), ("EUC1-LCUUsage", "0.008"), ("EUC1-ReservedLCUUsage", "0.009")
    )
    prices = load_balancer_prices(products, "eu-central-1")
    assert (prices["hour"], prices["capacity_unit_hour"]) == (0.027, 0.008)


@pytest.mark.parametrize("prices", [(), ("1", "2"), ("0.0",)])
def test_list_without_exactly_one_price_is_an_error(prices: tuple[str, ...]) -> None:
    with pytest.raises(LookupError):
        instance_price(*(("BoxUsage:g6.2xlarge", price) for price in prices))


def test_fallback_is_used_for_its_own_region_and_type_only() -> None:
    assert fallback_prices(FALLBACK, "us-east-1", "g6.2xlarge")["instance_hour"] == 1.5
    assert fallback_prices(FALLBACK, "eu-west-1", "g6.2xlarge")["known"] is False
    assert fallback_prices(FALLBACK, "us-east-1", "g6.xlarge")["known"] is False
