"""The faults that AWS's API has in what it sends: objects that break off, a clock that is wrong."""

from __future__ import annotations

import email.utils
import http.client
import time
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError

from tests.fakes.account import Api
from tests.local_region.faults import Faults


def test_objects_of_one_bucket_break_off(api: Api) -> None:
    s3 = api.account.client("s3")
    for bucket in ("cut", "whole"):
        s3.create_bucket(Bucket=bucket)
        s3.put_object(Bucket=bucket, Key="large", Body=b"x" * 3000)
    s3.put_object(Bucket="cut", Key="small", Body=b"x" * 1000)
    Faults(api.state.faults).switch_on("s3-cut", "cut 1000")

    def read(bucket: str, key: str) -> int:
        return len(s3.get_object(Bucket=bucket, Key=key)["Body"].read())

    with pytest.raises(BotoCoreError):
        read("cut", "large")
    assert read("cut", "small") == 1000
    assert read("whole", "large") == 3000
    Faults(api.state.faults).switch_off("s3-cut")
    assert read("cut", "large") == 3000


def test_clock_is_wrong_in_every_answer(api: Api) -> None:
    def ahead() -> float:
        headers = api.account.client("sts").get_caller_identity()["ResponseMetadata"]["HTTPHeaders"]
        return email.utils.parsedate_to_datetime(headers["date"]).timestamp() - time.time()

    assert abs(ahead()) < 60
    Faults(api.state.faults).switch_on("clock", "3600")
    assert abs(ahead() - 3600) < 60


def test_who_asks_for_nothing_is_sent_to_a_web_site_whose_date_is_old(api: Api) -> None:
    def answer(path: str) -> tuple[int, Any, float]:
        connection = http.client.HTTPConnection("127.0.0.1", api.port, timeout=10)
        connection.request("GET", path)
        found = connection.getresponse()
        connection.close()
        behind = time.time() - email.utils.parsedate_to_datetime(found.headers["Date"]).timestamp()
        return found.status, found.headers, behind

    status, headers, behind = answer("/")
    assert (status, bool(headers["x-amzn-RequestId"])) == (302, True)
    assert abs(behind) < 60
    status, headers, behind = answer(headers["Location"])
    assert (status, headers["x-amzn-RequestId"]) == (200, None)
    assert abs(behind - int(headers["Age"])) < 60
    assert behind > 600
