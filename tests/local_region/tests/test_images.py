"""Images: tags made from contents, the machine's package settings, bases by the machine's own mirror."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.local_region import names
from tests.local_region.docker import base_images, images, package_settings
from tests.local_region.docker import engine as docker_engine
from tests.local_region.docker.engine import DockerEngine
from tests.local_region.docker.images import ImageError, ImageSpec
from tests.local_region.docker.package_settings import PackageSettings
from tests.local_region.state import docker_locked

SPEC = ImageSpec(repository="example", dockerfile="docker/Dockerfile", paths=("docker", "app"), suite="trixie")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Make a repository with what SPEC is built from."""
    for name, content in {"docker/Dockerfile": "FROM base\n", "app/a.py": "a = 1\n", "app/sub/b.py": "b = 2\n"}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content, encoding="utf-8")
    return tmp_path


def test_image_tag_is_the_same_for_the_same_contents(repository: Path) -> None:
    first = images.reference(SPEC, repository)
    assert re.fullmatch(r"example:local-[0-9a-f]{12}", first)
    cache = repository / "app/__pycache__"
    cache.mkdir()
    (cache / "a.cpython-313.pyc").write_bytes(b"\0")
    (repository / "unrelated").write_text("x", encoding="utf-8")
    assert images.reference(SPEC, repository) == first


@pytest.mark.parametrize("change", ["content", "name", "mode", "new file", "dockerfile"])
def test_image_tag_changes_with_every_input(repository: Path, change: str) -> None:
    first = images.reference(SPEC, repository)
    source = repository / "app/a.py"
    if change == "content":
        source.write_text("a = 2\n", encoding="utf-8")
    elif change == "name":
        source.rename(repository / "app/c.py")
    elif change == "mode":
        source.chmod(0o755)
    elif change == "new file":
        (repository / "app/sub/empty.py").touch()
    else:
        (repository / "docker/Dockerfile").write_text("FROM other\n", encoding="utf-8")
    assert images.reference(SPEC, repository) != first


def test_missing_input_of_an_image_is_named(repository: Path) -> None:
    (repository / "app/a.py").unlink()
    (repository / "app/sub/b.py").unlink()
    (repository / "app/sub").rmdir()
    (repository / "app").rmdir()
    with pytest.raises(ImageError, match="app is missing: the image example is built from it"):
        images.reference(SPEC, repository)


@pytest.mark.parametrize("name", list(images.SPECS))
def test_every_image_has_its_inputs_and_sees_its_dockerfile(name: str) -> None:
    spec = images.SPECS[name]
    assert images.reference(spec).startswith(f"{spec.repository}:local-")
    inputs = [names.REPOSITORY_ROOT / path for path in spec.paths]
    dockerfile = names.REPOSITORY_ROOT / spec.dockerfile
    assert any(path == dockerfile or path in dockerfile.parents for path in inputs)


def test_production_and_cpu_engine_are_aligned() -> None:
    """Same entry point, command, port and paths, so that one compose file and one configuration serve both.

    Of the version: tests/pipeline/test_definitions.py.
    """
    folder = names.REPOSITORY_ROOT / "docker/vllm"
    production, cpu = (
        (folder / name).read_text(encoding="utf-8").splitlines() for name in ("Dockerfile", "Dockerfile.cpu")
    )
    for instruction in ("ENTRYPOINT", "CMD", "EXPOSE", "RUN mkdir"):
        of_production = [line for line in production if line.startswith(instruction)]
        assert of_production, instruction
        assert of_production == [line for line in cpu if line.startswith(instruction)]


def test_engine_requirements_are_pinned_and_hashed() -> None:
    lines = (names.REPOSITORY_ROOT / "docker/vllm/requirements-cpu.txt").read_text(encoding="utf-8").splitlines()
    packages = [line for line in lines if line and not line.startswith(("#", " "))]
    assert len(packages) > 100
    assert all(re.fullmatch(r"[a-z0-9.-]+==[^ ]+ \\", line) for line in packages)
    assert not [line for line in lines if "://" in line], "no index, no address"


PIP_CONFIG = """\
:env:.cert='{folder}/env.pem'
:env:.disable-pip-version-check='1'
global.cert='{folder}/file.pem'
global.extra-index-url='file:///somewhere/simple https://extra.example/simple'
global.find-links='{folder}/wheels https://wheels.example/'
global.index-url='https://name:secret@index.example/simple'
global.trusted-host='one.example two.example'
download.index-url='https://not-this.example/simple'
"""


@pytest.fixture
def settings(tmp_path: Path) -> PackageSettings:
    for name in ("env.pem", "file.pem"):
        (tmp_path / name).write_text("-----BEGIN CERTIFICATE-----\n", encoding="utf-8")
    (tmp_path / "wheels").mkdir()
    for name in ("torch-2.13.0+cpu-cp311-x.whl", "torch-2.12.0+cpu-cp311-x.whl", "other-1.0-py3-none-any.whl"):
        (tmp_path / "wheels" / name).touch()
    return package_settings.parse(PIP_CONFIG.format(folder=tmp_path).splitlines())


def test_pips_settings_are_read_as_pip_means_them(settings: PackageSettings, tmp_path: Path) -> None:
    assert settings == PackageSettings(
        certificate=tmp_path / "env.pem",
        index_url="https://name:secret@index.example/simple",
        extra_index_urls=("https://extra.example/simple",),
        trusted_hosts=("one.example", "two.example"),
        wheel_folders=(tmp_path / "wheels",),
    )


def test_package_settings_reach_pip_and_uv(settings: PackageSettings) -> None:
    assert settings.pip_conf().splitlines() == [
        "[global]",
        "cert = /run/secrets/ca-bundle",
        "index-url = https://name:secret@index.example/simple",
        "extra-index-url = https://extra.example/simple",
        "trusted-host = one.example two.example",
    ]
    assert settings.uv_toml().splitlines() == [
        'index-url = "https://name:secret@index.example/simple"',
        'extra-index-url = ["https://extra.example/simple"]',
        'allow-insecure-host = ["one.example", "two.example"]',
    ]


def test_a_machine_with_defaults_hands_nothing_over() -> None:
    defaults = package_settings.parse(["global.timeout='60'"])
    assert defaults == PackageSettings()
    assert defaults.pip_conf() == "[global]\n"
    assert defaults.uv_toml() == "\n"
    assert defaults.find_wheels(["*.whl"]) == []


def test_certificate_that_is_not_there_is_not_handed_over() -> None:
    assert package_settings.parse(["global.cert='/nowhere/ca.pem'"]).certificate is None


def test_wheels_are_found_by_pattern(settings: PackageSettings) -> None:
    assert [path.name for path in settings.find_wheels(["torch-2.13.0+cpu-*.whl"])] == ["torch-2.13.0+cpu-cp311-x.whl"]


def test_build_hands_settings_over_as_secrets_only(
    settings: PackageSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fake client notes its arguments and the context: no password among them, and only what the image may see."""
    client = tmp_path / "docker"
    record = tmp_path / "record"
    client.write_text(
        f'#!/bin/sh\nprintf "%s\\n" "$@" > {record}\n'
        f'for context; do :; done\ncd "$context" && find . -type f >> {record}\n',
        encoding="utf-8",
    )
    client.chmod(0o755)
    monkeypatch.setattr("tests.local_region.docker.package_settings.of_this_machine", lambda: settings)
    monkeypatch.setattr("tests.local_region.docker.base_images.ensure", lambda *_arguments: None)
    monkeypatch.setattr(images, "SPECS", {"engine": images.SPECS["engine"]})
    monkeypatch.setattr(images, "_is_there", lambda *_arguments: False)
    monkeypatch.setattr(images, "check_disk", lambda *_arguments: None)
    monkeypatch.setattr(images, "_remove_older", lambda *_arguments: None)
    lines: list[str] = []
    engine = DockerEngine(client=str(client), version="20.10.24", started_by_us=False)
    built = images.build_all(engine, lines.append, tmp_path / "state")
    written = record.read_text(encoding="utf-8").splitlines()
    assert built["engine"] in written
    assert "secret@" not in "".join(written)
    assert f"id=ca-bundle,src={tmp_path / 'env.pem'}" in written
    assert sorted(line for line in written if line.startswith("./")) == [
        "./docker/install-packages-cpu.sh",
        "./docker/vllm/Dockerfile.cpu",
        "./docker/vllm/install-cpu.sh",
        "./docker/vllm/requirements-cpu.txt",
        "./wheels/torch-2.13.0+cpu-cp311-x.whl",
    ]
    assert len(lines) == 1
    assert re.fullmatch(r"engine: built \(\d+ s\)", lines[0])
    assert [path.name for path in (tmp_path / "state").iterdir()] == ["build-engine.log"], "secrets are gone"


def test_failed_build_shows_the_end_of_its_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client = tmp_path / "docker"
    client.write_text("#!/bin/sh\nseq 100\necho no space left on device\nexit 1\n", encoding="utf-8")
    client.chmod(0o755)
    monkeypatch.setattr("tests.local_region.docker.base_images.ensure", lambda *_arguments: None)
    monkeypatch.setattr(images, "SPECS", {"registry": images.SPECS["registry"]})
    monkeypatch.setattr(images, "_is_there", lambda *_arguments: False)
    monkeypatch.setattr(images, "check_disk", lambda *_arguments: None)
    engine = DockerEngine(client=str(client), version="20.10.24", started_by_us=False)
    with pytest.raises(ImageError, match="no space left on device") as raised:
        images.build_all(engine, lambda _line: None, tmp_path)
    assert "\n71\n" not in str(raised.value), "the end of the log, not all of it"


def test_mirrors_are_the_machines_own() -> None:
    lines = [
        "http://mirror.example/debian/ bookworm main",
        "http://mirror.example/debian/ bookworm-updates main",
        "http://security.example/debian-security/ bookworm-security main",
        "http://other.example/packages bookworm nonfree",
        "http://late.example/debian bookworm main",
        "malformed",
    ]
    assert base_images.mirrors_from(lines, "bookworm") == base_images.Mirrors(
        archive="http://mirror.example/debian", security="http://security.example/debian-security"
    )
    assert base_images.mirrors_from(lines, "trixie") == base_images.Mirrors(archive=None, security=None)


@pytest.mark.region
def test_production_engine_builds_on_a_stand_in() -> None:
    """The image of vLLM is behind a registry, so the CPU build stands in for it: all but the FROM line is tried."""
    folder = names.REPOSITORY_ROOT / "docker/vllm"
    tag = "slm-ft-serving-vllm:production-test"
    with docker_locked(lambda: None):
        engine = docker_engine.ensure(lambda _line: None, names.STATE_ROOT)
        base = images.build_all(engine, lambda _line: None, names.STATE_ROOT, ["engine"])["engine"]
        command = [engine.client, "build", "--quiet", "--build-arg", f"BASE={base}", "--tag", tag, str(folder)]
        result = subprocess.run(command, env=images.build_environment(), capture_output=True, text=True, check=False)
        try:
            assert result.returncode == 0, result.stderr
            inspected = engine.run("image", "inspect", "--format", "{{json .Config}}", tag).stdout
            production = json.loads(inspected)
            cpu = json.loads(engine.run("image", "inspect", "--format", "{{json .Config}}", base).stdout)
        finally:
            engine.run("rmi", tag, check=False)
    for key in ("Entrypoint", "Cmd", "ExposedPorts", "User"):
        assert production[key] == cpu[key], key


def test_base_image_without_registry_and_debian_reports_what_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = tmp_path / "docker"
    client.write_text("#!/bin/sh\necho no such host >&2\nexit 1\n", encoding="utf-8")
    client.chmod(0o755)
    engine = DockerEngine(client=str(client), version="28.2.2", started_by_us=False)
    monkeypatch.setattr(base_images, "is_debian_like", lambda: False)
    with pytest.raises(base_images.BaseImageError, match=r"no such host.*which needs Debian or Ubuntu"):
        base_images.ensure(engine, lambda _line: None, ["trixie"])
    monkeypatch.setattr(base_images, "is_debian_like", lambda: True)
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(base_images.BaseImageError, match=r"no such host.*which needs root"):
        base_images.ensure(engine, lambda _line: None, ["trixie"])
