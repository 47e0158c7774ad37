"""A bucket's policy is kept, and locks nobody out: moto reads no conditions."""

from __future__ import annotations

import json

from tests.fakes.account import Api

POLICY = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:*",
            "Resource": ["arn:aws:s3:::some-bucket", "arn:aws:s3:::some-bucket/*"],
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        }
    ],
}


def test_policy_against_unencrypted_calls_is_kept_and_refuses_no_other(api: Api) -> None:
    s3 = api.client("s3")
    s3.create_bucket(Bucket="some-bucket")
    s3.put_bucket_policy(Bucket="some-bucket", Policy=json.dumps(POLICY))
    assert json.loads(s3.get_bucket_policy(Bucket="some-bucket")["Policy"]) == POLICY
    s3.put_object(Bucket="some-bucket", Key="a", Body=b"x")
    assert s3.get_object(Bucket="some-bucket", Key="a")["Body"].read() == b"x"
    s3.delete_object(Bucket="some-bucket", Key="a")
