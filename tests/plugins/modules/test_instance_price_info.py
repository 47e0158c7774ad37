"""The on-demand prices of an instance and its volume."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.slm.serving.plugins.modules.instance_price_info import fallback_prices, list_prices

FALLBACK = {
    "region": "us-east-1",
    "instance_type": "g6.2xlarge",
    "instance_hour": 1.5,
    "volume_gib_month": 0.5,
    "source": "somewhere",
}


class FakePriceList:
    """A price list that answers every GetProducts with the same prices, each on a page of its own."""

    def __init__(self, *prices: str) -> None:
        terms = [{"priceDimensions": {"d": {"pricePerUnit": {"USD": price}}}} for price in prices]
        self._products = [json.dumps({"terms": {"OnDemand": {"t": term}}}) for term in terms]

    def get_paginator(self, operation: str) -> FakePriceList:
        """Return itself."""
        assert operation == "get_products"
        return self

    def paginate(self, **_: Any) -> list[dict[str, Any]]:
        """Return the pages; a filtered answer of AWS may begin with an empty one."""
        return [{"PriceList": []}, *({"PriceList": [product]} for product in self._products)]


def test_only_price_of_the_list_is_returned() -> None:
    assert list_prices(FakePriceList("0.25"), "us-east-1", "g6.2xlarge")["instance_hour"] == 0.25


@pytest.mark.parametrize("prices", [(), ("1", "2")])
def test_list_without_exactly_one_price_is_an_error(prices: tuple[str, ...]) -> None:
    with pytest.raises(LookupError):
        list_prices(FakePriceList(*prices), "us-east-1", "g6.2xlarge")


def test_fallback_is_used_for_its_own_region_and_type_only() -> None:
    assert fallback_prices(FALLBACK, "us-east-1", "g6.2xlarge")["instance_hour"] == 1.5
    assert fallback_prices(FALLBACK, "eu-west-1", "g6.2xlarge")["known"] is False
    assert fallback_prices(FALLBACK, "us-east-1", "g6.xlarge")["known"] is False
