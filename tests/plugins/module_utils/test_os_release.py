"""The distribution of an instance, by its os-release file."""

from __future__ import annotations

import pytest
from ansible_collections.slm.serving.plugins.module_utils import os_release

UBUNTU = 'NAME="Ubuntu"\nID=ubuntu\nID_LIKE=debian\nVERSION_ID="22.04"\nVERSION_CODENAME=jammy\n# ID=other\n'
AMAZON = 'NAME="Amazon Linux"\nVERSION="2023"\nID="amzn"\nID_LIKE="fedora"\nVERSION_ID="2023"\n'


@pytest.mark.parametrize(
    ("text", "name", "installer", "codename"),
    [
        (UBUNTU, "ubuntu-22.04", "apt", "jammy"),
        (AMAZON, "amzn-2023", "dnf", ""),
        ("ID=debian\nVERSION_ID='12'\nVERSION_CODENAME=bookworm\n", "debian-12", "apt", "bookworm"),
        ("ID=arch\n", "arch", "", ""),
        ("", "", "", ""),
    ],
)
def test_the_distribution_is_known_by_its_os_release(text: str, name: str, installer: str, codename: str) -> None:
    system = os_release.describe(os_release.parse(text))
    assert (system["name"], system["installer"], system["codename"]) == (name, installer, codename)
