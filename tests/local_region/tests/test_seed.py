"""What an account holds after `up`."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from tests.fakes.account import Api
from tests.local_region import names
from tests.local_region.docker.images import PushedImage
from tests.local_region.errors import RegionError

pytestmark = pytest.mark.slow


def _parameters(api: Api) -> dict[str, str]:
    pages = api.client("ssm").get_paginator("get_parameters_by_path").paginate(Path="/slm-ft-serving", Recursive=True)
    return {each["Name"]: each["Value"] for page in pages for each in page["Parameters"]}


def test_everything_is_there_and_seeding_again_changes_nothing(api: Api) -> None:
    instance = api.account.seed(api.state)
    before = _parameters(api)
    assert api.account.seed(api.state) == instance
    assert _parameters(api) == before
    assert before["/slm-ft-serving/ec2/instance-id"] == instance
    assert before["/slm-ft-serving/engine/accelerator"] == "cpu"
    assert before["/slm-ft-serving/model/base"] == "s3://slm-ft-serving-models/small/base"
    repositories = api.client("ecr").describe_repositories()["repositories"]
    assert {each["repositoryName"]: each["imageTagMutability"] for each in repositories} == {
        names.ENGINE_REPOSITORY: "IMMUTABLE",
        names.LLAMACPP_REPOSITORY: "IMMUTABLE",
        names.GATEWAY_REPOSITORY: "IMMUTABLE",
        names.TRAINER_REPOSITORY: "IMMUTABLE",
    }


def test_seeding_keeps_what_a_person_changed(api: Api) -> None:
    api.account.seed(api.state)
    api.account.put_parameters({"engine/max-model-len": "512", "engine/accelerator": "gpu"}, overwrite=True)
    api.account.seed(api.state)
    assert _parameters(api)["/slm-ft-serving/engine/accelerator"] == "gpu"


def _keys(api: Api) -> set[str]:
    return {each["Key"] for each in api.client("s3").list_objects_v2(Bucket=names.MODELS_BUCKET)["Contents"]}


def test_the_model_is_uploaded_once_and_follows_its_folder(api: Api, model: Path) -> None:
    api.account.seed(api.state)
    assert api.account.upload_model(model) == 2
    assert api.account.upload_model(model) == 0
    assert _keys(api) == {"small/base/config.json", "small/adapter/config.json"}
    (model / "base" / "config.json").write_text('{"a": 1}', encoding="ascii")
    (model / "adapter" / "config.json").unlink()
    (model / "evaluation.json").touch()
    (model / "README.md").touch()
    assert api.account.upload_model(model) == 3
    assert _keys(api) == {"small/base/config.json", "small/evaluation.json"}
    uploaded = api.client("s3").get_object(Bucket=names.MODELS_BUCKET, Key="small/base/config.json")["Body"].read()
    assert uploaded == b'{"a": 1}'


def test_adapters_beside_the_model_are_seeded_where_there_are_any(api: Api, model: Path) -> None:
    api.account.seed(api.state)
    assert api.account.upload_further_adapters(model) == []
    folder = model / "assistant-intent"
    folder.mkdir()
    (folder / "adapter_config.json").touch()
    assert api.account.upload_further_adapters(model) == [], "its weights are missing"
    assert "/slm-ft-serving/model/adapters/assistant-intent" not in _parameters(api)
    for name in ("adapter_model.safetensors", "evaluation.json", "README.md"):
        (folder / name).touch()
    assert api.account.upload_further_adapters(model) == ["assistant-intent"]
    # Beside its own folder, as the default task's: neither is compared with the other's evaluation.
    assert _keys(api) == {
        "small-assistant-intent/adapter/adapter_config.json",
        "small-assistant-intent/adapter/adapter_model.safetensors",
        "small-assistant-intent/evaluation.json",
    }
    source = _parameters(api)["/slm-ft-serving/model/adapters/assistant-intent"]
    assert source == f"s3://{names.MODELS_BUCKET}/small-assistant-intent/adapter"


def test_missing_model_is_reported(api: Api, tmp_path: Path) -> None:
    with pytest.raises(RegionError, match="no small model to upload"):
        api.account.upload_model(tmp_path / "nowhere")


def test_notes_to_train_on_lie_where_finetune_looks(api: Api, tmp_path: Path) -> None:
    api.account.seed(api.state)
    for name in ("train.jsonl", "validation.jsonl", "LICENSE"):
        (tmp_path / name).write_text(name, encoding="ascii")
    assert api.account.upload_training_data(tmp_path) == 2
    assert api.account.upload_training_data(tmp_path) == 0
    assert _keys(api) == {"data/train.jsonl", "data/validation.jsonl"}
    parameters = _parameters(api)
    assert parameters["/slm-ft-serving/training/data"] == f"s3://{names.MODELS_BUCKET}/data"
    assert parameters["/slm-ft-serving/training/destination"] == f"s3://{names.MODELS_BUCKET}/adapters"


def test_the_secret_holds_the_digest_of_the_key_that_this_user_alone_can_read(api: Api) -> None:
    api.account.seed(api.state)
    key = api.state.gateway_api_key
    assert key.stat().st_mode & 0o777 == 0o600
    digest = hashlib.sha256(key.read_text(encoding="ascii").strip().encode()).hexdigest()
    secret = api.client("secretsmanager").get_secret_value(SecretId=names.SECRET_GATEWAY_API_KEYS)["SecretString"]
    assert f"demo:{digest}" in secret.splitlines()


@pytest.mark.parametrize("for_good", [True, False])
def test_a_deleted_secret_comes_back_with_the_same_value(api: Api, *, for_good: bool) -> None:
    api.account.seed(api.state)
    manager = api.client("secretsmanager")
    before = manager.get_secret_value(SecretId=names.SECRET_HF_TOKEN)["SecretString"]
    manager.delete_secret(SecretId=names.SECRET_HF_TOKEN, **({"ForceDeleteWithoutRecovery": True} if for_good else {}))
    api.account.seed(api.state)
    assert manager.get_secret_value(SecretId=names.SECRET_HF_TOKEN)["SecretString"] == before


def test_ecr_keeps_the_digest_of_the_registry(api: Api) -> None:
    api.account.seed(api.state)
    manifest = json.dumps({"schemaVersion": 2, "config": {"digest": "sha256:00"}, "layers": []}, indent=3)
    digest = f"sha256:{hashlib.sha256(manifest.encode()).hexdigest()}"
    media_type = "application/vnd.docker.distribution.manifest.v2+json"
    image = PushedImage(
        repository=names.GATEWAY_REPOSITORY, tag="t1", digest=digest, manifest=manifest, media_type=media_type
    )
    for _ in range(2):
        api.account.register_in_ecr(image)
    described = api.client("ecr").describe_images(repositoryName=names.GATEWAY_REPOSITORY)["imageDetails"]
    assert [(each["imageDigest"], each["imageTags"]) for each in described] == [(digest, ["t1"])]
