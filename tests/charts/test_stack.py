"""What the chart runs is what the role inference_stack runs: configuration, variables, drains, limits, periods."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tests.charts.rendering import Object, one, rendered
from tests.support.release_files import ALL_PROFILES, compose, file
from tests.support.role_variables import ROOT, defaults


def configuration(objects: list[Object], name: str) -> str:
    """Return a file that the engine reads."""
    return str(one(objects, "ConfigMap", "-engine")["data"][name])


def container(objects: list[Object], component: str) -> Object:
    """Return the container of a component."""
    found: Object = one(objects, "Deployment", f"-{component}")["spec"]["template"]["spec"]["containers"][0]
    return found


def with_profile(accelerator: str, profile: str, **engine: Any) -> list[Object]:
    """Return the chart's objects for a profile."""
    return rendered(accelerator, engine={"profile": profile, **engine})


def role(accelerator: str, profile: str, **changes: Any) -> dict[str, Any]:
    """Return what the role is told for the same."""
    length = {"gpu": 8192, "cpu": 2048}[accelerator]  # as inventory/group_vars/inference.yml has it
    given: dict[str, Any] = {"inference_stack_accelerator": accelerator, "inference_stack_profile": profile}
    return given | {"inference_stack_engine_max_model_len": length} | changes


@pytest.mark.parametrize(("accelerator", "profile"), [*ALL_PROFILES, ("gpu", ""), ("cpu", "")])
def test_engine_is_configured_as_by_the_role(accelerator: str, profile: str) -> None:
    ours = yaml.safe_load(configuration(with_profile(accelerator, profile), "engine.yaml"))
    theirs = yaml.safe_load(file("engine.yaml", **role(accelerator, profile)))
    # JSON within, whose members may come in any order.
    ours["lora-modules"] = [yaml.safe_load(each) for each in ours["lora-modules"]]
    theirs["lora-modules"] = [yaml.safe_load(each) for each in theirs["lora-modules"]]
    assert ours == theirs


def test_options_of_the_operator_win_and_null_leaves_one_out() -> None:
    options = {
        "max-num-seqs": 12345678,
        "dtype": None,
        "compilation-config": {"mode": 0},
        "api-key": "it's \"<&>\" 'x'",
    }
    text = configuration(with_profile("gpu", "fast", options=options), "engine.yaml")
    assert "12345678" in text, "no 1.2345678e+07, which the engine could not read"
    ours = yaml.safe_load(text)
    theirs = yaml.safe_load(file("engine.yaml", **role("gpu", "fast", inference_stack_engine_options=options)))
    assert ours.pop("lora-modules")
    assert theirs.pop("lora-modules")
    assert ours == theirs


@pytest.mark.parametrize("accelerator", ["gpu", "cpu"])
def test_chat_template_is_the_roles(accelerator: str) -> None:
    ours = configuration(rendered(accelerator), "chat_template.jinja")
    assert ours.strip() == file("chat_template.jinja", **role(accelerator, "")).strip()


def test_a_changed_option_makes_the_engine_anew_and_the_gateway_not() -> None:
    before, after = rendered("gpu"), with_profile("gpu", "", options={"max-num-seqs": 8})
    templates = [
        {name: one(objects, "Deployment", name)["spec"]["template"] for name in ("-engine", "-gateway")}
        for objects in (before, after)
    ]
    assert templates[0]["-engine"] != templates[1]["-engine"]
    assert templates[0]["-gateway"] == templates[1]["-gateway"]


@pytest.mark.parametrize("accelerator", ["gpu", "cpu"])
def test_limits_are_the_roles(accelerator: str) -> None:
    services = compose(**role(accelerator, ""))["services"]
    objects = rendered(accelerator)
    for name in ("engine", "gateway"):
        memory = container(objects, name)["resources"]["limits"]["memory"]
        assert memory == services[name]["mem_limit"].upper() + "i"
    volumes = one(objects, "Deployment", "-engine")["spec"]["template"]["spec"]["volumes"]
    (shared,) = (each["emptyDir"] for each in volumes if each["name"] == "shared-memory")
    assert shared == {"medium": "Memory", "sizeLimit": services["engine"]["shm_size"].upper() + "i"}


@pytest.mark.parametrize("accelerator", ["gpu", "cpu"])
def test_variables_are_the_roles(accelerator: str) -> None:
    services = compose(**role(accelerator, ""))["services"]
    objects = rendered(accelerator)
    for name, extra in (("engine", {"USER": "engine"}), ("gateway", {"GATEWAY_AUTH": "required"})):
        ours = {each["name"]: each["value"] for each in container(objects, name)["env"]}
        theirs = {key: str(value) for key, value in services[name]["environment"].items()}
        if name == "gateway":
            assert ours.pop("GATEWAY_ENGINE_URL") == "http://stack-slm-ft-serving-engine:8000"
            assert theirs.pop("GATEWAY_ENGINE_URL") == "http://engine:8000"
            # There is a way around a gateway that goes down, as under an edge.
            assert (ours.pop("GATEWAY_DRAIN_MODE"), theirs.pop("GATEWAY_DRAIN_MODE")) == ("close", "refuse")
        assert ours == theirs | extra


def test_drains_are_the_roles_and_fit_into_the_time_to_end() -> None:
    values = defaults("inference_stack")
    services = compose()["services"]
    for name in ("engine", "gateway"):
        pod = one(rendered(), "Deployment", f"-{name}")["spec"]["template"]["spec"]
        pause = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
        assert pause > 0
        assert pod["terminationGracePeriodSeconds"] == pause + int(services[name]["stop_grace_period"].rstrip("s"))
    env = {each["name"]: each["value"] for each in container(rendered(), "gateway")["env"]}
    assert env["GATEWAY_DRAIN_TIMEOUT"] == str(values["inference_stack_gateway_drain"])


def test_start_periods_are_the_roles() -> None:
    values = defaults("inference_stack")
    inventory = (ROOT / "inventory/group_vars/inference.yml").read_text(encoding="utf-8")
    # The inventory gives the engine of a CPU 420 seconds, of which two minutes are for the rest.
    assert "1020 if stack_accelerator == 'gpu' else 420" in inventory
    periods = {"gpu": values["inference_stack_engine_start_period"], "cpu": 420 - 120}
    for accelerator, seconds in periods.items():
        probe = container(rendered(accelerator), "engine")["startupProbe"]
        assert probe["periodSeconds"] * probe["failureThreshold"] == seconds
    probe = container(rendered(), "gateway")["startupProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] == values["inference_stack_gateway_start_period"]


def test_gateway_serves_while_an_engine_loads() -> None:
    """Where all gateways were unready with it, clients would get no answer at all instead of 503 with Retry-After."""
    gateway = container(rendered(), "gateway")
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert gateway[probe]["httpGet"]["path"] == "/live"
    asked = container(rendered(gateway={"readiness": "health"}), "gateway")
    assert asked["readinessProbe"]["httpGet"]["path"] == "/health"
    assert asked["livenessProbe"]["httpGet"]["path"] == "/live"
    assert container(rendered(), "engine")["readinessProbe"]["httpGet"]["path"] == "/health"


def test_gpu_is_asked_for_only_where_there_is_one() -> None:
    gpu, cpu = rendered("gpu"), rendered("cpu")
    assert container(gpu, "engine")["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert "nvidia.com/gpu" not in container(cpu, "engine")["resources"]["limits"]
    tolerations = [
        one(objects, "Deployment", "-engine")["spec"]["template"]["spec"].get("tolerations") for objects in (gpu, cpu)
    ]
    assert tolerations == [[{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}], None]


def test_two_engines_never_share_a_gpu_or_a_volume() -> None:
    assert one(rendered(), "Deployment", "-engine")["spec"]["strategy"] == {"type": "Recreate"}


def test_services_lead_to_their_pods_alone() -> None:
    objects = rendered()
    for component, port in (("engine", 8000), ("gateway", 8080)):
        deployment = one(objects, "Deployment", f"-{component}")["spec"]
        labels = deployment["template"]["metadata"]["labels"]
        service = one(objects, "Service", f"-{component}")["spec"]
        assert service["selector"] == deployment["selector"]["matchLabels"] == labels
        assert labels["app.kubernetes.io/component"] == component
        (published,) = service["ports"]
        (listened,) = deployment["template"]["spec"]["containers"][0]["ports"]
        assert (published["targetPort"], listened["containerPort"]) == (listened["name"], port)


def peers(rules: list[Object], direction: str) -> list[tuple[str, int]]:
    """Return the components that rules name, each with its port."""
    return [
        (peer["podSelector"]["matchLabels"]["app.kubernetes.io/component"], port["port"])
        for rule in rules
        for peer in rule.get(direction, [])
        for port in rule["ports"]
        if "podSelector" in peer
    ]


def test_the_engine_is_reached_by_the_gateway_alone_and_has_no_way_out() -> None:
    policies = {
        each["spec"]["podSelector"]["matchLabels"]["app.kubernetes.io/component"]: each["spec"]
        for each in rendered()
        if each["kind"] == "NetworkPolicy"
    }
    assert all(policy["policyTypes"] == ["Ingress", "Egress"] for policy in policies.values())
    engine, gateway = policies["engine"], policies["gateway"]
    assert peers(engine["ingress"], "from") == [("gateway", 8000)]
    assert (len(engine["ingress"]), engine["egress"]) == (1, [])
    to_engine, dns = gateway["egress"]
    assert peers([to_engine], "to") == [("engine", 8000)]
    assert {(each["protocol"], each["port"]) for each in dns["ports"]} == {("UDP", 53), ("TCP", 53)}
    assert policies["models"]["ingress"] == policies["verification"]["ingress"] == []
    public, _ = policies["models"]["egress"]
    assert [each["port"] for each in public["ports"]] == [443]
    # Not to the metadata service, whose credentials are the node's, and not into the cluster.
    assert {"169.254.0.0/16", "10.0.0.0/8"} <= set(public["to"][0]["ipBlock"]["except"])


def test_clients_of_the_gateway_can_be_named() -> None:
    clients = [{"namespaceSelector": {"matchLabels": {"name": "wards"}}}]
    policy = one(
        [each for each in rendered(networkPolicy={"clients": clients}) if each["kind"] == "NetworkPolicy"],
        "NetworkPolicy",
        "-gateway",
    )
    (rule,) = policy["spec"]["ingress"]
    assert clients[0] in rule["from"]
    assert peers([rule], "from") == [("verification", 8080)]
