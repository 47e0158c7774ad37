"""Training needs torch, which the project's own environment lacks: its tests run again in the training environment."""

import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
TIMEOUT_SECONDS = 1500


# The environment alone takes a minute or two to make.
@pytest.mark.slow
def test_training_in_its_own_environment() -> None:
    subprocess.run([REPOSITORY / ".ci" / "training-env"], check=True, timeout=TIMEOUT_SECONDS)
    # Its configuration is the project's own, so `-m` leaves out this test.
    result = subprocess.run(
        [REPOSITORY / ".training-venv/bin/python", "-m", "pytest", "-q", "-m", "not slow", "tests/training"],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=TIMEOUT_SECONDS,
    )
    assert result.returncode == 0, result.stdout
    assert " skipped" not in result.stdout.splitlines()[-1], f"something is still missing there:\n{result.stdout}"
