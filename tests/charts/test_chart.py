"""The chart as a whole: Kubernetes takes every object, every container is confined, and no value holds a secret."""

from __future__ import annotations

import json
import re
import tomllib
from typing import Any

import pytest
import yaml

from tests.charts.rendering import CHART, Object, containers, one, pods, refusal, rendered, run
from tests.charts.tools import VERSIONS, validator
from tests.local_region.names import REPOSITORY_ROOT

EVERYTHING: dict[str, Any] = {
    "gateway": {
        "autoscaling": {"enabled": True},
        "affinity": {"nodeAffinity": {}},
        "environment": {"GATEWAY_RATE_LIMIT": "120/minute"},
        "nodeSelector": {"kubernetes.io/arch": "amd64"},
        "readiness": "health",
        "service": {"annotations": {"example.org/name": "value"}, "type": "LoadBalancer"},
        "tasks": {"existingConfigMap": "tasks"},
        "tolerations": [{"key": "a", "operator": "Exists"}],
    },
    "engine": {
        "environment": {"VLLM_LOGGING_LEVEL": "INFO"},
        "options": {"max-num-seqs": 16},
        "runtimeClassName": "nvidia",
        "tolerations": [{"key": "b", "operator": "Exists"}],
    },
    "images": {"pullSecrets": ["registry"]},
    "metrics": {"annotations": True},
    "models": {"volume": {"accessMode": "ReadWriteMany", "storageClass": "files"}},
    "networkPolicy": {"clients": [{"namespaceSelector": {}}]},
}
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "gpu": ("gpu", {}),
    "cpu": ("cpu", {}),
    "upgrade": ("gpu", {"upgrade": True}),
    "everything": ("gpu", EVERYTHING),
    "without keys": ("cpu", {"gateway": {"auth": "off", "replicas": 1, "apiKeys": {"existingSecret": ""}}}),
}
# Of projects beside Kubernetes, whose schemas kubernetes-validate does not have.
EXTENSIONS: Object = {"engine": {"schedule": {"enabled": True}}, "metrics": {"serviceMonitor": True}}
SECURITY = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "privileged": False,
    "readOnlyRootFilesystem": True,
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}


@pytest.fixture(params=VARIANTS)
def objects(request: pytest.FixtureRequest) -> list[Object]:
    """Each way to render the chart in turn."""
    values, changes = VARIANTS[request.param]
    return rendered(values, **changes)


def test_kubernetes_takes_every_object(objects: list[Object]) -> None:
    for each in objects:
        validator().validate(each, VERSIONS[-1], strict=True)


@pytest.mark.parametrize("version", VERSIONS[:-1])
def test_older_versions_take_it_too(version: str) -> None:
    assert yaml.safe_load((CHART / "Chart.yaml").read_text())["kubeVersion"] == f">={VERSIONS[0]}.0-0"
    for each in rendered("gpu", **EVERYTHING):
        validator().validate(each, version, strict=True)


def test_a_mistake_would_be_found() -> None:
    deployment = json.loads(json.dumps(one(rendered(), "Deployment", "-gateway")))
    deployment["spec"]["template"]["spec"]["containers"][0]["readOnly"] = True
    with pytest.raises(validator().ValidationError, match="readOnly"):
        validator().validate(deployment, VERSIONS[-1], strict=True)


def test_names_are_unique_and_every_object_is_labelled(objects: list[Object]) -> None:
    names = [(each["kind"], each["metadata"]["name"]) for each in objects]
    assert len(set(names)) == len(names)
    for each in objects:
        labels = each["metadata"]["labels"]
        assert labels["app.kubernetes.io/name"] == "slm-ft-serving"
        assert labels["app.kubernetes.io/instance"] == "stack"


def test_the_longest_name_of_a_release_leaves_room_for_every_object() -> None:
    result = run("template", "n" * 53, ".", "--is-upgrade")
    names = re.findall(r"^  name: (.+)$", result.stdout, re.MULTILINE)
    assert len(names) > 10
    assert max(map(len, names)) <= 63


def test_every_container_is_confined(objects: list[Object]) -> None:
    for name, pod in pods(objects).items():
        assert pod["automountServiceAccountToken"] is False, name
        assert pod["enableServiceLinks"] is False, name
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert pod["securityContext"]["runAsUser"] > 0, name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod), name
        assert not any("hostPath" in volume for volume in pod["volumes"]), name
        for container in containers(pod):
            assert container["securityContext"] == SECURITY, name
    assert one(objects, "ServiceAccount")["automountServiceAccountToken"] is False


def test_every_container_is_bounded(objects: list[Object]) -> None:
    for name, pod in pods(objects).items():
        for container in containers(pod):
            limits, requests = container["resources"]["limits"], container["resources"]["requests"]
            assert {"memory", "ephemeral-storage"} <= set(limits), name
            assert limits["memory"] == requests["memory"], name
            assert "cpu" in requests, name
        for volume in pod["volumes"]:
            assert "sizeLimit" in volume.get("emptyDir", {"sizeLimit": ""}), name


def test_every_image_is_pinned_and_is_one_that_make_push_pushes(objects: list[Object]) -> None:
    ours = tomllib.loads((REPOSITORY_ROOT / "docker/images.toml").read_text(encoding="utf-8"))
    repositories = {ours[name]["repository"] for name in ("gateway", "engine")}
    for pod in pods(objects).values():
        for container in containers(pod):
            match = re.fullmatch(r"[\w.-]+/([\w-]+)(@sha256:[0-9a-f]{64}|:[\w.-]+)", container["image"])
            assert match, container["image"]
            assert match[1] in repositories
            assert match[2] != ":latest"


def test_secrets_are_named_and_never_made(objects: list[Object]) -> None:
    assert [each for each in objects if each["kind"] == "Secret"] == []
    for pod in pods(objects).values():
        for container in containers(pod):
            # A variable can be read by whoever may read pods.
            assert not any("valueFrom" in variable for variable in container.get("env", []))
            for mount in container.get("volumeMounts", []):
                assert mount.get("readOnly") or not mount["mountPath"].startswith("/run/secrets")


def test_every_long_lived_container_has_its_probes(objects: list[Object]) -> None:
    for name, pod in pods(objects).items():
        if pod.get("restartPolicy") != "Never":
            for container in pod["containers"]:
                assert {"startupProbe", "readinessProbe", "livenessProbe", "lifecycle"} <= set(container), name


def test_no_path_is_writable_but_scratch_and_the_fetched_models(objects: list[Object]) -> None:
    for name, pod in pods(objects).items():
        kinds = {volume["name"]: next(key for key in volume if key != "name") for volume in pod["volumes"]}
        for container in containers(pod):
            for mount in container.get("volumeMounts", []):
                if not mount.get("readOnly"):
                    is_fetch = container["name"] == "fetch" and mount["name"] == "models"
                    assert kinds[mount["name"]] == "emptyDir" or is_fetch, (name, mount)


def test_linters_of_helm_have_nothing_to_say() -> None:
    for values in ("gpu", "cpu"):
        result = run("lint", ".", "--strict", values=values)
        assert result.returncode == 0, result.stdout + result.stderr


def test_its_version_is_the_projects() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    project = tomllib.loads((REPOSITORY_ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert chart["version"] == chart["appVersion"] == project["version"]


def described(values: Any, schema: Object) -> None:
    """Fail unless the schema describes every value, and takes no other.

    Args:
        values: A part of values.yaml.
        schema: The part of the schema for it.
    """
    if isinstance(values, dict) and "properties" in schema:
        assert schema["additionalProperties"] is False
        assert set(schema["properties"]) - {"global"} == set(values)
        for name, value in values.items():
            described(value, resolved(schema["properties"][name]))
    else:
        assert schema, values


def resolved(schema: Object) -> Object:
    """Return what a part of the schema refers to."""
    definitions = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))["definitions"]
    reference: str = schema.get("$ref", "")
    return definitions[reference.rpartition("/")[2]] if reference else schema


def test_schema_describes_every_value_and_takes_no_other() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    described(yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8")), schema)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"accelerator": "tpu"}, "accelerator"),
        ({"acelerator": "gpu"}, "acelerator"),
        ({"gateway": {"apiKey": "secret"}}, "apiKey"),
        ({"gateway": {"image": {"tag": "latest", "digest": ""}}}, "/gateway/image/tag"),
        ({"gateway": {"image": {"digest": "sha256:1"}}}, "/gateway/image/digest"),
        ({"gateway": {"environment": {"GATEWAY_PORT": "80"}}}, "GATEWAY_PORT"),
        ({"gateway": {"environment": {"PATH": "/"}}}, "PATH"),
        ({"models": {"base": {"source": "hf://owner/model@main"}}}, "/models/base/source"),
        ({"models": {"base": {"source": "s3://bucket/model"}}}, "/models/base/source"),
        ({"models": {"base": {"source": "", "path": "../other"}}}, "/models/base/path"),
        ({"models": {"hub": "http://example.org"}}, "/models/hub"),
        ({"engine": {"memory": "24 GB"}}, "/engine/memory"),
        ({"images": {"registry": ""}}, "images.registry is not set: name the registry"),
        ({"engine": {"image": {"digest": ""}}}, "engine.image has neither tag nor digest"),
        ({"gateway": {"apiKeys": {"existingSecret": ""}}}, "gateway.apiKeys.existingSecret is not set"),
        ({"models": {"base": {"source": ""}}}, "models.base has neither source nor path"),
        ({"models": {"base": {"path": "base"}}}, "models.base has a source and a path"),
        ({"engine": {"profile": "cpu"}}, "choose fast or quality on a gpu, cpu on a cpu"),
    ],
)
def test_a_value_that_cannot_work_is_refused(changes: Object, words: str) -> None:
    assert words in refusal("gpu", **changes)


def test_the_notes_say_how_to_call_it() -> None:
    notes = (CHART / "templates/NOTES.txt").read_text(encoding="utf-8")
    for command in ("port-forward", "/api/v1/extract", "rollout status", "helm test"):
        assert command in notes


def test_extensions_are_off_until_they_are_asked_for() -> None:
    kinds = {each["kind"] for each in rendered()}
    assert not {"ScaledObject", "ServiceMonitor", "HorizontalPodAutoscaler"} & kinds
    schedule = one(rendered(**EXTENSIONS), "ScaledObject")
    assert schedule["apiVersion"] == "keda.sh/v1alpha1"
    assert schedule["spec"]["minReplicaCount"] == 0
    (trigger,) = schedule["spec"]["triggers"]
    assert trigger["type"] == "cron"
    assert set(trigger["metadata"]) == {"timezone", "start", "end", "desiredReplicas"}
    assert all(isinstance(value, str) for value in trigger["metadata"].values())
    engine = one(rendered(**EXTENSIONS), "Deployment", "-engine")
    assert schedule["spec"]["scaleTargetRef"] == {"name": engine["metadata"]["name"]}
    # Else an upgrade at night would start engines.
    assert "replicas" not in engine["spec"]
    (endpoint,) = one(rendered(**EXTENSIONS), "ServiceMonitor")["spec"]["endpoints"]
    assert (endpoint["port"], endpoint["path"]) == ("http", "/metrics")


def test_a_budget_keeps_no_node_from_being_emptied() -> None:
    assert one(rendered(), "PodDisruptionBudget")["spec"]["minAvailable"] == 1
    assert not any(each["kind"] == "PodDisruptionBudget" for each in rendered(gateway={"replicas": 1}))
