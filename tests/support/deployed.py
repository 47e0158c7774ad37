"""What is deployed on the instance of a local region."""

from __future__ import annotations

from tests.local_region.region import LocalRegion

ROOT = "/opt/slm-ft-serving"


def current_release(region: LocalRegion) -> str:
    """Return the stamp of the current release."""
    return region.exec(f"basename $(readlink {ROOT}/current)").stdout.strip()
