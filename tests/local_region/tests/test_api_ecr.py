"""ECR's addresses of layers, which lead to what the registry holds."""

from __future__ import annotations

from urllib.request import ProxyHandler, build_opener

import pytest
from botocore.exceptions import ClientError

from tests.fakes.account import Api
from tests.local_region import names
from tests.local_region.aws_api import ecr
from tests.local_region.state import Ports, RegionState

DIGEST = f"sha256:{'c' * 64}"
CONTENT = b'{"os": "linux", "architecture": "arm64"}'


class FakeRegistry:
    """A fake of the registry's client: one blob."""

    def __init__(self, *_: object) -> None:
        """Connect to nothing."""

    def blob(self, repository: str, digest: str) -> bytes | None:
        """Return the one blob."""
        return CONTENT if (repository, digest) == (names.GATEWAY_REPOSITORY, DIGEST) else None


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the region's registry hold one blob."""
    monkeypatch.setattr(ecr, "RegistryClient", FakeRegistry)
    monkeypatch.setattr(RegionState, "load_ports", lambda _: Ports(1, 2, 3))


@pytest.mark.usefixtures("registry")
def test_address_of_a_layer_gives_it(api: Api) -> None:
    answer = api.client("ecr").get_download_url_for_layer(repositoryName=names.GATEWAY_REPOSITORY, layerDigest=DIGEST)
    assert answer["layerDigest"] == DIGEST
    opener = build_opener(ProxyHandler({}))
    with opener.open(answer["downloadUrl"], timeout=10) as download:
        assert download.read() == CONTENT


@pytest.mark.usefixtures("registry")
def test_layer_that_is_not_there_is_refused(api: Api) -> None:
    with pytest.raises(ClientError, match="LayersNotFoundException"):
        api.client("ecr").get_download_url_for_layer(repositoryName="other", layerDigest=DIGEST)


def test_region_without_a_registry_has_no_layer(api: Api) -> None:
    with pytest.raises(ClientError, match="LayersNotFoundException"):
        api.client("ecr").get_download_url_for_layer(repositoryName=names.GATEWAY_REPOSITORY, layerDigest=DIGEST)
