"""The faults that AWS's API has in what it sends: objects that break off, a clock that is wrong."""

from __future__ import annotations

import email.utils
import time

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
