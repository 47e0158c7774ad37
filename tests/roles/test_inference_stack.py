"""What inference_stack writes: compose file, engine configuration, chat template and unit."""

from __future__ import annotations

import functools
import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml
from ansible.errors import AnsibleError

from tests.support import caddy
from tests.support.release_files import BASE, DIGEST, compose, edge_files, engine, file, files
from tests.support.rendering import value


@pytest.fixture(params=["gpu", "cpu"])
def accelerator(request: pytest.FixtureRequest) -> str:
    """Each accelerator in turn."""
    return str(request.param)


def test_only_the_gateway_is_published(accelerator: str) -> None:
    content = compose(inference_stack_accelerator=accelerator)
    assert "ports" not in content["services"]["engine"]
    assert content["services"]["engine"]["networks"] == ["engine"]
    assert content["networks"]["engine"] == {"internal": True}
    assert content["services"]["gateway"]["ports"] == ["0.0.0.0:8080:8080"]


def test_containers_are_bounded(accelerator: str) -> None:
    for service in compose(inference_stack_accelerator=accelerator)["services"].values():
        # vLLM ends with 0 when its core has died; and what was stopped by the unit has to stay stopped at a boot.
        assert service["restart"] == "unless-stopped"
        assert service["ulimits"] == {"core": 0, "nofile": 16384}
        assert service["pids_limit"] > 0
        assert re.fullmatch(r"\d+g", service["mem_limit"])
        assert service["logging"]["options"] == {"max-size": "10m", "max-file": "3"}
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["image"].endswith(DIGEST)
        assert service["pull_policy"] == "never"


def test_limits_are_the_operators() -> None:
    services = compose(
        inference_stack_engine_memory="60g",
        inference_stack_engine_pids=9000,
        inference_stack_gateway_memory="512m",
        inference_stack_gateway_pids=99,
        inference_stack_open_files=1024,
    )["services"]
    limits = {name: (service["mem_limit"], service["pids_limit"]) for name, service in services.items()}
    assert limits == {"engine": ("60g", 9000), "gateway": ("512m", 99)}
    assert services["engine"]["ulimits"]["nofile"] == 1024


def test_what_one_image_compiled_is_not_loaded_by_another() -> None:
    """The engine loads what it finds in its cache unchecked."""
    other = {**BASE["inference_stack_images"], "engine": {"reference": f"registry.invalid/engine@sha256:{'1' * 64}"}}
    caches = [
        {volume["target"]: volume["source"] for volume in content["services"]["engine"]["volumes"]}["/var/cache/vllm"]
        for content in (compose(), compose(inference_stack_images=other))
    ]
    assert caches[0] != caches[1]
    assert all(re.fullmatch(r"/var/lib/slm-ft-serving/engine-cache/image-[0-9a-f]{16}", cache) for cache in caches)
    assert value("inference_stack", "_inference_stack_about", BASE)["engine_cache"] == caches[0]


def test_gateway_goes_on_while_an_engine_loads() -> None:
    """With depends_on, compose would stop it with every new engine; with /health, it would be unhealthy meanwhile."""
    gateway = compose()["services"]["gateway"]
    assert "depends_on" not in gateway
    assert "/live" in gateway["healthcheck"]["test"][-1]


def test_gpu_is_reserved_only_where_there_is_one() -> None:
    assert "deploy" not in compose(inference_stack_accelerator="cpu")["services"]["engine"]
    reserved = compose(inference_stack_accelerator="gpu")["services"]["engine"]["deploy"]["resources"]["reservations"]
    assert reserved["devices"] == [{"driver": "nvidia", "count": "all", "capabilities": ["gpu"]}]


def test_shared_memory_is_more_than_dockers_default() -> None:
    assert compose(inference_stack_accelerator="gpu")["services"]["engine"]["shm_size"] == "8g"
    assert compose(inference_stack_accelerator="cpu")["services"]["engine"]["shm_size"] == "1g"


def test_only_the_gateways_own_secret_is_mounted() -> None:
    services = compose()["services"]
    sources = [volume["source"] for service in services.values() for volume in service["volumes"]]
    assert [source for source in sources if "secrets" in source] == ["/run/slm-ft-serving/secrets/gateway"]
    assert all(volume["read_only"] for volume in services["gateway"]["volumes"])


def test_no_mount_makes_a_directory_that_was_forgotten() -> None:
    for service in compose()["services"].values():
        for volume in service["volumes"]:
            cache = volume["target"] == "/var/cache/vllm"
            assert cache or volume["bind"] == {"create_host_path": False}


def test_gateways_settings_leave_the_engine_alone() -> None:
    one, other = compose(), compose(inference_stack_gateway_environment={"GATEWAY_MAX_QUEUE": 7})
    assert one["services"]["engine"] == other["services"]["engine"]
    assert other["services"]["gateway"]["environment"]["GATEWAY_MAX_QUEUE"] == "7"


def test_what_the_engine_reads_is_in_its_label() -> None:
    labels = [
        compose(**changes)["services"]["engine"]["labels"]["slm-ft-serving.configuration"]
        for changes in ({}, {}, {"inference_stack_engine_max_model_len": 1024})
    ]
    assert labels[0] == labels[1] != labels[2]


# What means something to YAML, to compose or to a shell, and what is easily lost on the way.
VALUES = {
    "dollars": "pa$word $$1 ${HOME} ${NONE:-x} $(id) \\$x",
    "comment": "a #b",
    "quotes": 'it\'s "quoted" `x` \\ \\n',
    "lines": "one\ntwo\r\nthree\n",
    "colon": "key: value, [a], {b: c}, - d, & e, * f, ! g, | h, > i, %j, @k",
    "spaces": "  both sides \t",
    "empty": "",
    "words": "yes",
    "null": "null",
    "number": "0123",
    "unicode": "Straße, 病, 😀, a\u0301, \u2028, \x85, \x7f, \ufeff, \u200d",
    "jinja": "{{ no template }}",
}


def interpolated(content: Any) -> Any:
    """Return a compose file's values as compose reads them where no variable is set: `$$` is a dollar, `$x` nothing."""
    if isinstance(content, dict):
        return {key: interpolated(value) for key, value in content.items()}
    if isinstance(content, list):
        return [interpolated(value) for value in content]
    if isinstance(content, str):
        return re.sub(r"\$(\$|\{[^}]*\}|\w+)", lambda found: "$" if found[1] == "$" else "", content)
    return content


def read_by_compose(rendered: str) -> dict[str, Any]:
    """Return a rendered compose file's content as compose reads it."""
    content: dict[str, Any] = interpolated(yaml.safe_load(rendered))
    return content


@pytest.mark.parametrize("service", ["engine", "gateway"])
def test_environment_arrives_as_it_was_given(service: str) -> None:
    given = {f"A_{name.upper()}": text for name, text in VALUES.items()}
    found = read_by_compose(file("compose.yml", **{f"inference_stack_{service}_environment": given}))
    arrived = found["services"][service]["environment"]
    assert {name: arrived[name] for name in given} == given


def has_compose() -> bool:
    """Say whether there is a docker compose on this machine; reading a file asks for no Docker Engine."""
    docker = shutil.which("docker")
    if docker is None:
        return False
    version = subprocess.run([docker, "compose", "version"], check=False, timeout=60, capture_output=True)
    return version.returncode == 0


@pytest.mark.skipif(not has_compose(), reason="there is no docker compose here")
def test_environment_arrives_by_compose_itself(tmp_path: Path) -> None:
    given = {f"A_{name.upper()}": text for name, text in VALUES.items()}
    path = tmp_path / "compose.yml"
    path.write_text(file("compose.yml", inference_stack_gateway_environment=given), encoding="utf-8")
    command: list[str | Path] = ["docker", "compose", "--file", path, "config", "--format", "json"]
    shown = subprocess.run(command, check=True, timeout=60, capture_output=True, text=True).stdout
    # Compose prints a file that it could read again.
    arrived = interpolated(json.loads(shown))["services"]["gateway"]["environment"]
    assert {name: arrived[name] for name in given} == given


def test_values_that_are_no_text_are_written_as_json() -> None:
    given = {"A": True, "B": 7, "C": 0.5, "D": ["a", "b"], "E": {"f": None}, "G": None}
    arrived = compose(inference_stack_gateway_environment=given)["services"]["gateway"]["environment"]
    assert {name: arrived[name] for name in given} == {
        "A": "true", "B": "7", "C": "0.5", "D": '["a", "b"]', "E": '{"f": null}', "G": "",
    }  # fmt: skip


def test_operators_environment_wins() -> None:
    found = compose(inference_stack_gateway_environment={"GATEWAY_DRAIN_TIMEOUT": "7"})
    assert found["services"]["gateway"]["environment"]["GATEWAY_DRAIN_TIMEOUT"] == "7"


def test_engine_options_arrive_as_they_were_given() -> None:
    """The file is the engine's own, which compose does not read."""
    given: dict[str, Any] = {**VALUES, "list": list(VALUES.values()), "dict": VALUES, "number": 7, "switch": True}
    content = engine(inference_stack_engine_options=given)
    assert {name: content[name] for name in given} == given


@pytest.mark.parametrize("name", [text for text in VALUES.values() if text])
def test_names_of_the_models_arrive_as_they_were_given(name: str) -> None:
    content = engine(inference_stack_base_name=name, inference_stack_adapter_name=name)
    assert content["served-model-name"] == [name]
    assert json.loads(content["lora-modules"][0])["name"] == name


@pytest.mark.parametrize("name", [text for text in VALUES.values() if text])
def test_images_and_paths_arrive_as_they_were_given(name: str) -> None:
    images = {service: {"reference": name} for service in ("engine", "gateway")}
    models = {model: {"path": f"/models/{name}"} for model in ("base", "adapter")}
    changes: dict[str, Any] = {"inference_stack_images": images, "inference_stack_models": models}
    services = read_by_compose(file("compose.yml", **changes, inference_stack_root=f"/{name}"))["services"]
    sources = {volume["target"]: volume["source"] for volume in services["engine"]["volumes"]}
    assert services["engine"]["image"] == services["gateway"]["image"] == name
    assert sources["/models/base"] == sources["/models/adapter"] == f"/models/{name}"
    assert sources["/etc/slm-ft-serving/engine.yaml"] == f"/{name}/current/engine.yaml"


def test_verification_arrives_as_it_was_given() -> None:
    expected = {"adapters": list(VALUES.values()), "golden": [{"text": VALUES["unicode"], "expected": VALUES}]}
    assert json.loads(file("verification.json", inference_stack_verification=expected)) == expected


def test_a_nul_is_refused() -> None:
    with pytest.raises(AnsibleError, match="NUL"):
        file("compose.yml", inference_stack_gateway_environment={"A": "a\0b"})


def test_engine_serves_base_and_adapter(accelerator: str) -> None:
    content = engine(inference_stack_accelerator=accelerator)
    assert content["served-model-name"] == ["base"]
    assert [json.loads(module) for module in content["lora-modules"]] == [
        {"name": "medical-ie", "path": "/models/adapter", "base_model_name": "base"}
    ]
    assert content["enable-lora"] is True
    assert content["max-lora-rank"] == 16
    assert content["generation-config"] == "vllm"
    assert content["structured-outputs-config.backend"] == "xgrammar"
    assert content["shutdown-timeout"] > 0


FURTHER: dict[str, Any] = {
    **BASE["inference_stack_models"],
    "adapter-parcel": {"path": "/models/adapter-parcel-1", "rank": 20},
    "adapter-assistant-intent": {"path": "/models/adapter-assistant-intent-1", "rank": 8},
}


def test_engine_serves_all_adapters_at_once() -> None:
    content = engine(inference_stack_models=FURTHER)
    assert [json.loads(module) for module in content["lora-modules"]] == [
        {"name": "medical-ie", "path": "/models/adapter", "base_model_name": "base"},
        {"name": "assistant-intent", "path": "/models/adapters/assistant-intent", "base_model_name": "base"},
        {"name": "parcel", "path": "/models/adapters/parcel", "base_model_name": "base"},
    ]
    assert (content["max-loras"], content["max-lora-rank"]) == (3, 32)
    mounted = {
        volume["target"]: (volume["source"], volume["read_only"])
        for volume in compose(inference_stack_models=FURTHER)["services"]["engine"]["volumes"]
        if volume["target"].startswith("/models/adapters/")
    }
    assert mounted == {
        "/models/adapters/assistant-intent": ("/models/adapter-assistant-intent-1", True),
        "/models/adapters/parcel": ("/models/adapter-parcel-1", True),
    }
    own = engine(inference_stack_models=FURTHER, inference_stack_engine_options={"max-loras": 1, "max-lora-rank": 64})
    assert (own["max-loras"], own["max-lora-rank"]) == (1, 64)


def test_one_adapter_of_the_usual_rank_is_rendered_as_ever() -> None:
    """A release that was made before the model store told the rank is not made anew."""
    models = {**BASE["inference_stack_models"], "adapter": {"path": "/models/adapter-1", "rank": 16}}
    for name in ("engine.yaml", "compose.yml"):
        assert file(name, inference_stack_models=models) == file(name)
    assert engine()["max-loras"] == 1


def test_operators_engine_options_win() -> None:
    content = engine(inference_stack_engine_options={"quantization": "awq", "seed": 1, "dtype": None})
    assert (content["quantization"], content["seed"]) == ("awq", 1)
    assert "dtype" not in content


def test_chat_template_is_the_training_format() -> None:
    template = jinja2.Environment(autoescape=False).from_string(file("chat_template.jinja"))  # noqa: S701
    messages = [{"role": "system", "content": "S"}, {"role": "user", "content": "U"}]
    assert template.render(messages=messages, add_generation_prompt=True) == (
        "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nS<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\nU<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n"
    )


def test_engines_grace_period_outlives_its_drain() -> None:
    services = compose(inference_stack_engine_drain=50, inference_stack_gateway_drain=40)["services"]
    assert services["engine"]["stop_grace_period"] == "65s"
    assert services["gateway"]["stop_grace_period"] == "50s"
    assert services["gateway"]["environment"]["GATEWAY_DRAIN_TIMEOUT"] == "40"
    assert engine(inference_stack_engine_drain=50)["shutdown-timeout"] == 50


def test_unit_starts_the_stack_after_its_secrets() -> None:
    unit = str(value("inference_stack", "lookup('ansible.builtin.template', 'slm-ft-serving.service.j2')", BASE))
    assert "Requires=docker.service\n" in unit
    assert "Wants=slm-ft-serving-secrets.service" in unit
    assert "After=docker.service slm-ft-serving-secrets.service" in unit
    assert "RemainAfterExit=yes" in unit
    assert "--wait-timeout 1020" in unit
    assert "TimeoutStartSec=1080" in unit


def unit_lines(key: str, **changes: Any) -> list[str]:
    """Return the values of a key of the unit, in order."""
    template = "lookup('ansible.builtin.template', 'slm-ft-serving.service.j2')"
    unit = str(value("inference_stack", template, BASE | changes))
    return [line.partition("=")[2] for line in unit.splitlines() if line.startswith(f"{key}=")]


def test_unit_stops_the_gateway_before_the_engine() -> None:
    gateway, everything = unit_lines("ExecStop")
    assert gateway.endswith(" stop gateway")
    assert everything.endswith(" stop")


def words(command: str) -> list[str]:
    """Return the words of a unit's command as systemd runs it: `-` lets it fail, `$$` and `%%` stand for one each."""
    return [word.replace("$$", "$").replace("%%", "%") for word in shlex.split(command.removeprefix("-"))]


def test_unit_tries_again_within_bounds() -> None:
    """By failing itself where the secrets are missing: systemd never tries one again whose requirement failed."""
    assert unit_lines("Restart") == ["on-failure"]
    assert (unit_lines("RestartSec"), unit_lines("StartLimitBurst")) == (["60"], ["30"])


@pytest.mark.parametrize("there", [True, False])
def test_unit_fails_without_secrets_and_says_where_the_reason_is(tmp_path: Path, there: bool) -> None:
    command = unit_lines("ExecStartPre", inference_stack_secrets_directory=str(tmp_path))[1]
    if there:
        (tmp_path / "gateway").mkdir()
        (tmp_path / "gateway" / "api-keys").write_text("keys")
    result = subprocess.run(words(command), check=False, timeout=10, capture_output=True, text=True)
    assert (result.returncode == 0) is there
    assert ("journalctl --unit slm-ft-serving-secrets.service" in result.stderr) is not there


def test_unit_puts_right_what_compose_cannot_start(tmp_path: Path) -> None:
    docker = tmp_path / "docker"
    docker.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\ntest "$1" != ps || echo some-id\n')
    docker.chmod(0o755)
    for command in unit_lines("ExecStartPre")[2:]:
        subprocess.run(words(command), check=True, timeout=10, env={"PATH": f"{tmp_path}:/usr/bin:/bin"})
    project = "--filter label=com.docker.compose.project=slm-ft-serving --filter"
    assert (tmp_path / "asked").read_text().splitlines() == [
        f"ps --quiet {project} status=paused",
        "unpause some-id",
        f"ps --all --quiet {project} status=created --filter status=dead --filter status=removing",
        "rm --force some-id",
    ]


def test_paths_of_the_unit_arrive_as_they_were_given() -> None:
    root = "/opt/100 % $HOME 'a' \\t"
    changes = {"inference_stack_root": root, "inference_stack_secrets_directory": root}
    lines = [words(line) for key in ("ExecStartPre", "ExecStart") for line in unit_lines(key, **changes)]
    assert lines[0][-1] == root
    assert lines[1][-1] == f"{root}/gateway/api-keys"
    assert f"{root}/current/compose.yml" in lines[-1]


def test_unit_comes_back_with_docker() -> None:
    assert unit_lines("WantedBy") == ["multi-user.target docker.service"]


@pytest.mark.parametrize(
    ("verified", "activating", "expected"),
    [
        ("20260101T000001Z", False, "20260101T000001Z"),
        ("20260101T000001Z", True, "20260101T000002Z"),
        (None, False, "20260101T000002Z"),
    ],
)
def test_boot_starts_the_verified_release_only(
    tmp_path: Path, verified: str | None, activating: bool, expected: str
) -> None:
    for stamp in ("20260101T000001Z", "20260101T000002Z"):
        (tmp_path / "releases" / stamp).mkdir(parents=True)
        (tmp_path / "releases" / stamp / "compose.yml").touch()
    (tmp_path / "current").symlink_to("releases/20260101T000002Z")
    if verified:
        (tmp_path / "verified").symlink_to(f"releases/{verified}")
    if activating:
        (tmp_path / "activating").touch()
    command = unit_lines("ExecStartPre")[0]
    command = command.replace("/opt/slm-ft-serving", str(tmp_path)).replace("/run/slm-ft-serving", str(tmp_path))
    subprocess.run(words(command), check=False, timeout=10)
    assert (tmp_path / "current").readlink() == Path("releases") / expected


def test_record_names_the_models_revisions_and_hides_the_settings() -> None:
    about = value("inference_stack", "_inference_stack_about", BASE | {"inference_stack_settings": {"a": "secret"}})
    assert about["models"]["base"] == {"path": "/models/base-1", "revision": "base-1"}
    assert about["images"]["engine"]["reference"].endswith(DIGEST)
    assert re.fullmatch(r"[0-9a-f]{64}", about["settings"])


EDGE_MODES = ("acme", "certificate", "plain")


@pytest.fixture(params=EDGE_MODES)
def edge(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Return the compose file with an edge of each mode in turn, and the mode."""
    content: dict[str, Any] = yaml.safe_load(edge_files(inference_stack_edge_mode=request.param)["compose.yml"])
    return content | {"mode": request.param}


def test_without_an_edge_nothing_of_one_is_rendered() -> None:
    """The settings of an edge that is off change no byte, so that no container is made anew for them."""
    without = files()
    assert set(without) == {"compose.yml", "engine.yaml", "chat_template.jinja", "verification.json"}
    assert "edge" not in "".join(without.values())
    assert files(inference_stack_edge_domain="a.example.org", inference_stack_edge_open=["docs"]) == without


def test_with_an_edge_the_gateway_is_published_to_nobody_else(edge: dict[str, Any]) -> None:
    services = edge["services"]
    assert services["gateway"]["ports"] == ["127.0.0.1:8080:8080"]
    ports = {"acme": ["80:8080", "443:8443"], "certificate": ["443:8443"], "plain": ["80:8080"]}
    assert services["edge"]["ports"] == ports[edge["mode"]]
    # Not beside the engine, which has no guard of its own.
    assert services["edge"]["networks"] == ["outside"]


def test_only_the_gateway_is_beside_the_engine(edge: dict[str, Any]) -> None:
    """The engine asks for no key: docs/decisions/0025-no-key-between-gateway-and-engine.md."""
    services = edge["services"]
    assert {name for name, service in services.items() if "engine" in service["networks"]} == {"engine", "gateway"}
    assert [name for name, service in services.items() if service.get("network_mode")] == []


def test_an_edge_is_bounded_as_the_other_containers_are(edge: dict[str, Any]) -> None:
    ours, gateway = edge["services"]["edge"], edge["services"]["gateway"]
    for key in ("restart", "init", "pull_policy", "read_only", "cap_drop", "security_opt", "logging", "ulimits"):
        assert ours[key] == gateway[key], key
    assert ours["image"].endswith(DIGEST)
    assert (ours["mem_limit"], ours["pids_limit"]) == ("256m", 256)
    assert "depends_on" not in ours
    assert ours["stop_grace_period"] == gateway["stop_grace_period"]


def test_an_edge_gets_what_its_mode_needs_and_no_more(edge: dict[str, Any]) -> None:
    volumes = {each["target"]: each for each in edge["services"]["edge"]["volumes"]}
    file = volumes.pop("/etc/slm-ft-serving/Caddyfile")
    assert (file["source"], file["read_only"]) == ("/opt/slm-ft-serving/current/Caddyfile", True)
    if edge["mode"] == "certificate":
        (found,) = volumes.values()
        assert (found["source"], found["read_only"]) == ("/run/slm-ft-serving/secrets/edge", True)
        assert found["bind"] == {"create_host_path": False}
    elif edge["mode"] == "acme":
        # A restart, or a new release, does not ask the authority again.
        assert volumes == {"/data": {"type": "volume", "source": "edge-certificates", "target": "/data"}}
        assert edge["volumes"] == {"edge-certificates": {}}
    else:
        assert volumes == {}
    assert ("volumes" in edge) is (edge["mode"] == "acme")


def test_what_the_edge_reads_is_in_its_label_and_nowhere_else() -> None:
    one, same, other = (
        yaml.safe_load(edge_files(**changes)["compose.yml"])["services"]
        for changes in ({}, {}, {"inference_stack_edge_open": ["docs"]})
    )
    assert one == same
    assert one["edge"]["labels"] != other["edge"]["labels"]
    assert {name: one[name] for name in ("engine", "gateway")} == {name: other[name] for name in ("engine", "gateway")}


@pytest.mark.parametrize("mode", EDGE_MODES)
def test_caddy_takes_the_file(mode: str, tmp_path: Path) -> None:
    """Without a warning; whether the certificate is there is seen at its start."""
    changes: dict[str, Any] = {
        "inference_stack_edge_mode": mode,
        "inference_stack_edge_email": "ops@example.org",
        "inference_stack_edge_trusted_proxies": ["10.0.0.0/8", "fd00::/8"],
        "inference_stack_edge_open": ["docs", "metrics"],
    }
    caddyfile = tmp_path / "Caddyfile"
    caddyfile.write_text(edge_files(**changes)["Caddyfile"], encoding="utf-8")
    command = [caddy.program(), "adapt", "--config", str(caddyfile), "--adapter", "caddyfile"]
    result = subprocess.run(command, check=False, capture_output=True, text=True, env={"HOME": str(tmp_path)})
    assert result.returncode == 0, result.stderr
    assert "warn" not in result.stderr
    content = json.loads(result.stdout)
    assert content["admin"]["disabled"] is True
    servers = content["apps"]["http"]["servers"].values()
    listened = {":8080", ":8443"} & {address for server in servers for address in server["listen"]}
    assert listened == {"acme": {":8080", ":8443"}, "certificate": {":8443"}, "plain": {":8080"}}[mode]
    for server in servers:
        assert (server["read_header_timeout"], server["read_timeout"]) == (10 * 10**9, 75 * 10**9)
        assert "h3" not in server["protocols"]
    assert content["apps"]["http"]["grace_period"] == 30 * 10**9


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"inference_stack_edge_domain": ""}, "put the parameter /slm-ft-serving/edge/domain"),
        ({"inference_stack_edge_domain": "a.b {\n}"}, "is not a host name"),
        ({"inference_stack_edge_trusted_proxies": ["0.0.0.0/0"]}, "anybody's X-Forwarded-For"),
        ({"inference_stack_images": BASE["inference_stack_images"]}, "images/edge-tag"),
    ],
)
def test_the_role_refuses_an_edge_that_cannot_work(changes: dict[str, Any], words: str) -> None:
    """Also where a value was given with -e, so that nothing else than a value gets into the file."""
    images = {**BASE["inference_stack_images"], "edge": {"reference": f"registry.invalid/edge@{DIGEST}"}}
    given = {"inference_stack_edge_mode": "certificate", "inference_stack_edge_domain": "notes.example.org"}
    variables = BASE | {"inference_stack_images": images} | given | changes
    (problem,) = value("inference_stack", "_inference_stack_edge_problems", variables)
    assert words in problem


@functools.cache
def pooled(**changes: Any) -> dict[str, Any]:
    """Return the compose file where engines are pooled, without an edge."""
    rendered = edge_files(inference_stack_edge_mode="off", inference_stack_engine_pooled=True, **changes)
    assert json.loads(rendered["verification.json"])["router"] is True
    assert "Caddyfile" not in rendered  # it is no part of the release
    content: dict[str, Any] = yaml.safe_load(rendered["compose.yml"])
    return content


def test_where_engines_are_not_pooled_nothing_of_it_is_rendered() -> None:
    without = files()
    assert "router" not in "".join(without.values())
    assert files(inference_stack_engine_pool_port=9000, inference_stack_router_memory="1g") == without


def test_the_gateway_asks_the_router_in_the_engines_network_alone() -> None:
    services = pooled()["services"]
    assert services["gateway"]["environment"]["GATEWAY_ENGINE_URL"] == "http://engines:8000"
    assert services["router"]["networks"] == {"engine": {"aliases": ["engines"]}, "outside": {}}
    assert services["router"]["ports"] == ["8444:8443"]
    assert services["engine"] == compose()["services"]["engine"]
    assert "GATEWAY_ENGINE_URL" in services["gateway"]["environment"]
    names = value("engine_pool", "[_engine_pool_inside, _engine_pool_engine, _engine_pool_listen.door]", {})
    assert names == ["engines", "engine:8000", 8443]


def test_a_router_is_bounded_and_reads_its_file_and_its_certificate_alone() -> None:
    ours, gateway = pooled()["services"]["router"], pooled()["services"]["gateway"]
    for key in ("restart", "init", "pull_policy", "read_only", "cap_drop", "security_opt", "logging", "ulimits"):
        assert ours[key] == gateway[key], key
    assert (ours["mem_limit"], ours["pids_limit"]) == ("512m", 256)
    assert ours["image"].endswith(DIGEST)
    assert "--watch" in ours["command"]
    volumes = {each["target"]: (each["source"], each["read_only"]) for each in ours["volumes"]}
    assert volumes == {
        "/etc/slm-ft-serving/pool": ("/var/lib/slm-ft-serving/pool", True),
        "/run/secrets/router": ("/run/slm-ft-serving/secrets/router", True),
    }
    assert all(each["bind"] == {"create_host_path": False} for each in ours["volumes"])
    assert ours["stop_grace_period"] == pooled()["services"]["engine"]["stop_grace_period"]


def test_engines_are_pooled_with_their_like() -> None:
    """By what decides about an answer, and not by what an instance of another size sets otherwise."""

    def key(**changes: Any) -> str:
        found = value("inference_stack", "_inference_stack_engine_key", BASE | changes)
        assert re.fullmatch(r"[0-9a-f]{16}", found)
        return str(found)

    models = BASE["inference_stack_models"] | {"adapter": {"path": "/models/adapter-2"}}
    assert key() == key(inference_stack_engine_options={"max-num-seqs": 128}, inference_stack_engine_memory="60g")
    others = [
        key(inference_stack_models=models),
        key(inference_stack_engine_max_model_len=1024),
        key(inference_stack_models={"gguf": {"path": "/models/gguf-1"}}, inference_stack_engine_kind="llamacpp"),
    ]
    assert len({key(), *others}) == 4
    assert pooled()["services"]["router"]["environment"]["ENGINE_KEY"] == key()


def test_logs_that_are_shipped_are_kept_in_the_journal() -> None:
    logging = compose(inference_stack_log_driver="journald")["services"]["gateway"]["logging"]
    assert logging == {"driver": "journald"}
    assert compose()["services"]["gateway"]["logging"]["driver"] == "json-file"
