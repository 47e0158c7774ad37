"""What to export so that the repository's commands work against a region, and against no operator's own account."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.local_region import names
from tests.local_region.state import Ports, RegionState

BIN = Path(__file__).parent / "bin"
# Of who may everything: tests, and a person who tries things in a region.
ADMINISTRATOR_ACCESS_KEY = "AKIALOCALREGIONADMIN"
# Of operators who have one of the documents of roles/infrastructure/templates, and no other right; who has the one for
# the waker has that for provisioning besides, and who has the one for a group all that he needs for it.
OPERATORS_ACCESS_KEYS = {
    "operator-deploy": "AKIALOCALREGIONDEPLO",
    "operator-provision": "AKIALOCALREGIONPROVI",
    "operator-waking": "AKIALOCALREGIONWAKER",
    "operator-scaling": "AKIALOCALREGIONSCALE",
}
SECRET_KEY = "of-no-use-outside-of-the-local-region"
PROVISIONING = {"provision", "teardown"}
# Settings of the operator's own that would lead a playbook away from the region.
UNSET = (
    *("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SESSION_TOKEN", "AWS_CA_BUNDLE"),
    *("AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_FULL_URI"),
)


def endpoint(ports: Ports) -> str:
    """Return the URL of AWS's API, the same on this machine and on the instance."""
    return f"http://127.0.0.1:{ports.api}"


def gateway_url(ports: Ports) -> str:
    """Return the URL of the gateway on the instance, as this machine reaches it."""
    return f"http://127.0.0.1:{ports.gateway}"


def load_balancer_url(ports: Ports) -> str:
    """Return the URL of the load balancer before several instances, as this machine reaches it."""
    return f"http://127.0.0.1:{ports.load_balancer}"


def exports(state: RegionState, ports: Ports, base: Mapping[str, str]) -> dict[str, str]:
    """Return what a region sets in an environment.

    Args:
        state: The region's.
        ports: The region's.
        base: The environment that PATH and NO_PROXY are taken from.
    """
    programs = [str(BIN), str(Path(sys.prefix) / "bin")]
    path = [entry for entry in base.get("PATH", os.defpath).split(os.pathsep) if entry not in programs]
    here = ["127.0.0.1", "localhost"]
    no_proxy = [entry for entry in base.get("NO_PROXY", "").split(",") if entry and entry not in here]
    return {
        "PATH": os.pathsep.join([*programs, *path]),
        "AWS_ENDPOINT_URL": endpoint(ports),
        "AWS_REGION": names.AWS_REGION,
        "AWS_DEFAULT_REGION": names.AWS_REGION,
        "AWS_ACCESS_KEY_ID": ADMINISTRATOR_ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        # Files that do not exist: the operator's own are left alone.
        "AWS_CONFIG_FILE": str(state.aws / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(state.aws / "credentials"),
        "AWS_EC2_METADATA_DISABLED": "true",
        # The connection plugin looks into /usr/local/bin before PATH, where AWS's own may be.
        "AWS_SESSION_MANAGER_PLUGIN": str(BIN / "session-manager-plugin"),
        "NO_PROXY": ",".join([*no_proxy, *here]),
        "ANSIBLE_CONFIG": str(names.REPOSITORY_ROOT / "ansible.cfg"),
        "GATEWAY_URL": gateway_url(ports),
        "GATEWAY_API_KEY_FILE": str(state.gateway_api_key),
        "LOCAL_REGION_NAME": state.name,
    }


def operator(playbook: str) -> dict[str, str]:
    """Return what to set, over `exports`, for an operator who may run a playbook and others of its kind, and no more.

    Args:
        playbook: Its name, such as `deploy`.
    """
    document = "operator-provision" if playbook in PROVISIONING else "operator-deploy"
    return {"AWS_ACCESS_KEY_ID": OPERATORS_ACCESS_KEYS[document]}


def as_shell(values: Mapping[str, str]) -> str:
    """Return lines for a shell's `eval` that set these values and clear what would lead away from the region."""
    lines = [f"unset {' '.join(UNSET)}", *(f"export {key}={shlex.quote(value)}" for key, value in values.items())]
    return "\n".join(lines) + "\n"
