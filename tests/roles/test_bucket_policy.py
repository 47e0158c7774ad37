"""What the buckets refuse: unencrypted calls, and writes of others than the operators where those are known."""

from __future__ import annotations

import json
from typing import Any

from tests.support.rendering import value

TRANSFER, MODELS = "transfer-bucket", "models-bucket"
OPERATOR = "arn:aws:iam::123456789012:role/operator"


def statements(bucket: str, **variables: Any) -> dict[str, dict[str, Any]]:
    """Return the statements of a bucket's policy by their names."""
    looked = {"partition": "aws", "account": "123456789012", "things": []}
    account = {"infrastructure_region": "us-east-1", "infrastructure_account": "1", "infrastructure_settings": {}}
    names = {"infrastructure_transfer_bucket": TRANSFER, "infrastructure_models_bucket": MODELS}
    given = {**account, **names, "_infrastructure_found": looked, "_infrastructure_bucket": bucket, **variables}
    text = value("infrastructure", "lookup('ansible.builtin.template', 'bucket-policy.json.j2')", given)
    document = json.loads(text) if isinstance(text, str) else text
    return {statement["Sid"]: statement for statement in document["Statement"]}


def test_every_bucket_refuses_unencrypted_calls_of_anybody() -> None:
    for bucket in (TRANSFER, MODELS):
        statement = statements(bucket)["EncryptedCallsOnly"]
        assert (statement["Effect"], statement["Principal"], statement["Action"]) == ("Deny", "*", "s3:*")
        assert statement["Resource"] == [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]
        assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_known_operators_alone_write_to_the_transfer_bucket() -> None:
    statement = statements(TRANSFER, infrastructure_operators=[OPERATOR])["OperatorsWriteOnly"]
    assert statement["Effect"] == "Deny"
    assert {"s3:PutObject", "s3:DeleteObject"} <= set(statement["Action"])
    assert statement["Condition"] == {"ArnNotLike": {"aws:PrincipalArn": [OPERATOR]}}


def test_nobody_is_locked_out_where_the_operators_are_unknown_nor_of_the_models() -> None:
    assert set(statements(TRANSFER)) == {"EncryptedCallsOnly"}
    assert set(statements(MODELS, infrastructure_operators=[OPERATOR])) == {"EncryptedCallsOnly"}
