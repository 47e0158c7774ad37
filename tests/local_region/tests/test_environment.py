"""What `env` prints."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.local_region import environment
from tests.local_region.state import Ports, RegionState


def _exports(state: RegionState, **base: str) -> dict[str, str]:
    return environment.exports(state, Ports(api=1, registry=2, gateway=3), base)


def test_session_plugin_comes_first_and_once_on_path(state: RegionState) -> None:
    once = _exports(state, PATH="/usr/bin:/bin")
    assert once["PATH"].split(":")[0] == str(environment.BIN)
    assert once["PATH"].endswith("/usr/bin:/bin")
    assert _exports(state, PATH=once["PATH"])["PATH"] == once["PATH"]


def test_a_proxy_is_kept_away_from_loopback(state: RegionState) -> None:
    assert _exports(state, NO_PROXY="intranet,localhost")["NO_PROXY"] == "intranet,127.0.0.1,localhost"


def test_exports_are_for_a_shell_and_clear_what_would_lead_away(tmp_path: Path) -> None:
    state = RegionState("unit", root=tmp_path / "it's a folder")
    script = (
        environment.as_shell(_exports(state, PATH="/usr/bin:/bin"))
        + 'echo "$AWS_PROFILE|$GATEWAY_API_KEY_FILE|$AWS_ENDPOINT_URL"'
    )
    printed = subprocess.run(
        ["bash", "-c", script], env={"AWS_PROFILE": "production"}, capture_output=True, text=True, check=True
    )
    assert printed.stdout == f"|{state.gateway_api_key}|http://127.0.0.1:1\n"
