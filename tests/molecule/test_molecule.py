"""The roles' molecule scenarios: check mode, convergence, idempotence and what each verifies."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.local_region import names
from tests.support.role_variables import ROLES, role_names

TIMEOUT_SECONDS = 900
# Named, for molecule finds it by the repository's .git alone, and an archive has none.
BASE = ROLES.parent / ".config/molecule/config.yml"
SCENARIOS = sorted((path.parents[2].name, path.parent.name) for path in ROLES.glob("*/molecule/*/molecule.yml"))
# What these do, no playbook of `make test` does in the local region: its instance has no GPU and came with Docker,
# nothing there is signed by Amazon, and nothing is left alone for minutes.
ONLY_HERE = {"cloudwatch", "container_runtime", "idle_stop", "nvidia_runtime"}


def test_every_role_has_a_scenario() -> None:
    assert {role for role, _ in SCENARIOS} == set(role_names())


@pytest.mark.region
@pytest.mark.parametrize(
    ("role", "scenario"),
    [pytest.param(*names, marks=() if names[0] in ONLY_HERE else pytest.mark.nightly) for names in SCENARIOS],
)
def test_scenario(role: str, scenario: str, tmp_path: Path) -> None:
    tools = Path(sys.executable).parent
    result = subprocess.run(
        [tools / "molecule", "--base-config", BASE, "test", "--scenario-name", scenario],
        cwd=ROLES / role,
        env={
            **os.environ,
            "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
            "NO_COLOR": "1",
            "REGION_SUFFIX": names.of_this_copy(""),
            # Else all clones share one by the role's name, and a killed run's says that its instance is still there.
            "MOLECULE_EPHEMERAL_DIRECTORY": str(tmp_path / "molecule"),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=TIMEOUT_SECONDS,
    )
    assert result.returncode == 0, result.stdout
