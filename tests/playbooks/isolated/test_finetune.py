"""finetune.yml on the small model: refused, killed, resumed, evaluated, in S3 and on a Hub; its adapter is deployed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gateway.evaluation.document import load_run
from tests.fakes.upload_hub import FakeUploadHub
from tests.local_region import names
from tests.local_region.region import LocalRegion
from tests.local_region.seed import kept_secret
from tests.support.evaluations import evaluation
from tests.support.gateway_client import is_serving, request
from tests.support.runner import PlaybookRun, RunningPlaybook, run_playbook
from training.data.prompt import load_prompt
from training.notes.generator import make_notes

pytestmark = pytest.mark.region

RUN = "/var/lib/slm-ft-serving/training/current"
CONTAINER = "slm-ft-serving-training"
CONFIGURATION = Path(__file__).with_name("finetune.yaml")
VALIDATION_NOTES = 12
STEPS, STEPS_BETWEEN_CHECKPOINTS = 30, 5  # As the configuration has it.
# A run that resumes, pushes, stops the stack and has it back; each look waits within one session.
SESSIONS = 24
REPOSITORY = "someone/medical-ie"
CANDIDATE, SERVING = "/slm-ft-serving/model/adapter-candidate", "/slm-ft-serving/model/adapter-serving"
SERVING_FURTHER = "/slm-ft-serving/model/adapters-serving/assistant-intent"
OPTIONS = {
    "finetune_configuration": str(CONFIGURATION),
    # The notes that training makes up for its evaluation cost more than all the rest here.
    "finetune_evaluation_arguments": ["--generated", "0"],
    "finetune_follow_every": 2,
}


@pytest.fixture(scope="module")
def region(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRegion]:
    """Make a region with the trainer's image and synthetic notes, in which a stand-in of the engine serves."""
    data = tmp_path_factory.mktemp("data")
    for name, count, seed in (("train", 240, 1), ("validation", VALIDATION_NOTES, 2)):
        (data / f"{name}.jsonl").write_bytes(notes(count, seed))
    with LocalRegion(names.of_this_copy("training"), engine="stand-in", training_data=data).fresh() as region:
        # It is of other notes than these: the two could not be compared.
        region.client("s3").delete_object(Bucket=names.MODELS_BUCKET, Key="small/evaluation.json")
        run_playbook(region, "deploy").must_succeed()
        yield region


def notes(count: int, seed: int) -> bytes:
    """Made-up notes with their answers, as training data."""
    instruction = load_prompt().instruction
    records = [
        {"instruction": instruction, "input": note.text, "output": note.answer} for note in make_notes(count, 0.2, seed)
    ]
    return "".join(json.dumps(record) + "\n" for record in records).encode()


def put(region: LocalRegion, key: str, body: bytes) -> None:
    """Put an object into the bucket of the models."""
    region.client("s3").put_object(Bucket=names.MODELS_BUCKET, Key=key, Body=body)


def get(region: LocalRegion, address: str) -> bytes:
    """Read an object by its s3:// address."""
    bucket, _, key = address.removeprefix("s3://").partition("/")
    body: bytes = region.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    return body


def parameter(region: LocalRegion, name: str) -> str:
    """Read a parameter."""
    value: str = region.client("ssm").get_parameter(Name=name)["Parameter"]["Value"]
    return value


def finetune(region: LocalRegion, **options: Any) -> PlaybookRun:
    """Run finetune.yml to its end."""
    return run_playbook(region, "finetune", "-e", json.dumps(OPTIONS | options))


@dataclass(frozen=True)
class Training:
    """A training that was refused, killed and resumed.

    Attributes:
        hub: What it pushed to.
        checkpoint: A step that it had saved when it was killed.
    """

    region: LocalRegion
    refused: PlaybookRun
    killed: PlaybookRun
    resumed: PlaybookRun
    hub: FakeUploadHub
    checkpoint: int
    served_after_the_kill: bool

    @property
    def destination(self) -> str:
        """Where it is, s3://bucket/prefix/STAMP."""
        return parameter(self.region, CANDIDATE).removesuffix("/adapter")


@pytest.fixture(scope="module")
def training(region: LocalRegion) -> Iterator[Training]:
    """Train once: refused, killed and resumed."""
    refused = finetune(region)
    with RunningPlaybook(region, "finetune", "-e", json.dumps(OPTIONS | {"finetune_stop_engine": True})) as first:
        first.wait_for("Follow the training")
        checkpoint = wait_for_checkpoint(region)
        region.exec(f"docker kill --signal KILL {CONTAINER}")
        killed = first.finish()
    served = is_serving(region)
    with FakeUploadHub(kept_secret(region.state.hf_token, "hf_local_region_")) as hub:
        resumed = finetune(
            region,
            finetune_stop_engine=True,
            finetune_hub_repository=REPOSITORY,
            finetune_hub=f"http://host.docker.internal:{hub.port}",
            # The fake knows the Hub's older protocol only.
            finetune_hub_environment={"HF_HUB_DISABLE_XET": "1"},
        )
        yield Training(region, refused, killed, resumed, hub, checkpoint, served)


def wait_for_checkpoint(region: LocalRegion) -> int:
    """Wait on the instance for a whole checkpoint and return its step."""
    script = f"until ls -d {RUN}/checkpoints/checkpoint-*/complete 2>/dev/null; do sleep 0.2; done"
    checkpoints = region.exec(script, timeout=600).stdout.split()
    return max(int(Path(path).parent.name.removeprefix("checkpoint-")) for path in checkpoints)


def test_training_is_refused_while_the_engine_serves(training: Training) -> None:
    training.refused.must_fail_naming("The GPU is in use: the engine serves", "finetune_stop_engine=true")


def test_killed_training_is_reported_and_the_stack_serves_again(training: Training) -> None:
    training.killed.must_fail_naming("its container was killed", "goes on from the last checkpoint")
    assert training.served_after_the_kill


def test_same_command_resumes_from_the_checkpoint(training: Training) -> None:
    training.resumed.must_succeed()
    log = training.region.exec(f"cat {RUN}/logs/training.log").stdout
    records = [json.loads(line) for line in get(training.region, f"{training.destination}/metrics.jsonl").splitlines()]
    assert training.checkpoint >= STEPS_BETWEEN_CHECKPOINTS
    resumed_from = [step for step in range(training.checkpoint, STEPS) if f"{step} of them done" in log]
    assert resumed_from
    assert resumed_from[0] % STEPS_BETWEEN_CHECKPOINTS == 0
    # Each step once: nothing was trained twice, and nothing left out.
    assert [record["step"] for record in records if "loss" in record] == list(range(1, STEPS + 1))


def test_training_progress_is_shown_in_few_sessions(training: Training) -> None:
    # How far it is depends on the machine; the evaluation after the last step is always told.
    assert f"step {STEPS}: F1" in training.resumed.output
    assert training.resumed.sessions <= SESSIONS


def test_adapter_lies_in_s3_with_its_evaluation_and_without_notes(training: Training, tmp_path: Path) -> None:
    listed = training.region.client("s3").list_objects_v2(
        Bucket=names.MODELS_BUCKET, Prefix=training.destination.removeprefix(f"s3://{names.MODELS_BUCKET}/")
    )["Contents"]
    files = {each["Key"].split("/", 2)[2] for each in listed}  # Below adapters/STAMP/.
    assert files >= {"adapter/adapter_config.json", "adapter/adapter_model.safetensors", "evaluation.json"}
    assert not any(name.startswith(("checkpoints/", "base/", "hub/", "logs/")) for name in files)
    (tmp_path / "evaluation.json").write_bytes(get(training.region, f"{training.destination}/evaluation.json"))
    assert len(load_run(tmp_path / "evaluation.json").rows) == VALIDATION_NOTES
    texts = [json.loads(line)["input"][:60] for line in notes(240, 1).splitlines()]
    for name in files:
        content = get(training.region, f"{training.destination}/{name}").decode("utf-8", errors="replace")
        assert not any(text in content for text in texts), name


def test_adapter_is_on_the_hub_and_the_token_nowhere(training: Training) -> None:
    pushed = training.hub.repositories[REPOSITORY]
    assert REPOSITORY in training.hub.private
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        assert pushed[name] == get(training.region, f"{training.destination}/adapter/{name}")
    assert training.hub.token not in training.resumed.output
    for log in training.region.session_logs():
        assert training.hub.token not in log.read_text(encoding="utf-8", errors="replace")


def test_finished_training_is_not_repeated(training: Training) -> None:
    training.resumed.must_succeed()
    again = finetune(training.region, finetune_stop_engine=True).must_succeed()
    assert again.changed == 0, again.output
    assert is_serving(training.region)


def test_new_adapter_is_deployed(training: Training) -> None:
    training.resumed.must_succeed()
    adapter = f"{training.destination}/adapter"
    run_playbook(training.region, "deploy", "-e", f"model_store_adapter={adapter}").must_succeed()
    release = json.loads(training.region.exec("cat /opt/slm-ft-serving/current/release.yml").stdout)
    assert release["models"]["adapter"]["source"] == adapter
    assert parameter(training.region, SERVING) == adapter


@pytest.mark.nightly
def test_new_adapter_is_deployed_beside_that_of_another_task(training: Training) -> None:
    training.resumed.must_succeed()
    adapter, further = f"{training.destination}/adapter", f"s3://{names.MODELS_BUCKET}/small/adapter"
    # The stand-in takes every request for one that the assistant does not do: right for one golden note.
    given = {
        "model_store_adapter": adapter,
        "model_store_adapters": {"assistant-intent": further},
        "health_verification_minimums": {"assistant-intent": 1},
    }
    run_playbook(training.region, "deploy", "-e", json.dumps(given)).must_succeed()
    release = json.loads(training.region.exec("cat /opt/slm-ft-serving/current/release.yml").stdout)
    sources = {name: model["source"] for name, model in release["models"].items() if name != "base"}
    assert sources == {"adapter": adapter, "adapter-assistant-intent": further}
    assert parameter(training.region, SERVING) == adapter
    assert parameter(training.region, SERVING_FURTHER) == further
    status, answer = request(training.region, "/api/convert", {"text": "Who painted it?"})
    assert (status, answer["structured_data"]) == (200, {"intent": "other"})


def test_adapter_that_may_be_worse_is_refused_unless_forced(region: LocalRegion) -> None:
    """The refusal comes before the first session; the role's own tests have the other reasons for one."""
    source = f"s3://{names.MODELS_BUCKET}/gate"
    put(region, "gate/serving/evaluation.json", evaluation(wrong=2))
    region.account().put_parameters({"model/adapter-serving": f"{source}/serving/adapter"}, overwrite=True)
    run = run_playbook(region, "deploy", "-e", f"model_store_adapter={source}/without-an-evaluation/adapter")
    run.must_fail_naming("this one has none", "adapter_gate_force=true", "Nothing was touched")
    assert run.sessions == 0


@pytest.mark.nightly
def test_instance_is_stopped_after_a_failure_when_that_is_asked(region: LocalRegion) -> None:
    run = finetune(
        region, finetune_data_source="file:///no/such/data", finetune_stop_engine=True, finetune_stop_instance=True
    )
    run.must_fail_naming("/no/such/data")
    assert region.instance_state() == "stopped"
    run_playbook(region, "start").must_succeed()
