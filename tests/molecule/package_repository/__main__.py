"""`python -m tests.molecule.package_repository up NAME apt|dnf FILE`: a region whose instance has signed repositories.

FILE gets what a playbook needs to reach the instance by a session, as Ansible's variables.
`tests.molecule.region down NAME` removes the region.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tests.local_region import names
from tests.local_region.errors import RegionError
from tests.local_region.region import LocalRegion
from tests.molecule.package_repository import image
from tests.molecule.region import stand_in_model

# On the instance.
FOLDER, REPOSITORIES = "/opt/package-repository", "/srv/packages"


def variables(region: LocalRegion, instance_id: str, keys: Mapping[str, str]) -> dict[str, object]:
    """Return the variables of the session's connection, the keys' fingerprints and an environment for AWS calls."""
    exports = region.exports({})
    return {
        "ansible_connection": "slm.serving.aws_ssm",
        # A session has another user than the connection by which a scenario prepares.
        "ansible_remote_tmp": "/var/tmp/ansible-sessions",
        "ansible_aws_ssm_instance_id": instance_id,
        "ansible_aws_ssm_region": names.AWS_REGION,
        "ansible_aws_ssm_endpoint_url": exports["AWS_ENDPOINT_URL"],
        "ansible_aws_ssm_bucket_endpoint_url": exports["AWS_ENDPOINT_URL"],
        "ansible_aws_ssm_bucket_name": names.TRANSFER_BUCKET,
        "ansible_aws_ssm_plugin": exports["AWS_SESSION_MANAGER_PLUGIN"],
        "ansible_aws_ssm_access_key_id": exports["AWS_ACCESS_KEY_ID"],
        "ansible_aws_ssm_secret_access_key": exports["AWS_SECRET_ACCESS_KEY"],
        "scenario_instance": instance_id,
        "scenario_keys": dict(keys),
        "scenario_environment": {key: value for key, value in exports.items() if key.startswith("AWS_")},
    }


def main() -> int:
    """Bring the region up and make the repositories on its instance; exit 1 with the reason when that fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("action", choices=["up"])
    parser.add_argument("name", help="name of the region")
    parser.add_argument("family", choices=["apt", "dnf"])
    parser.add_argument("file", type=Path, help="gets the connection's variables")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model = stand_in_model(Path(folder))
        region = LocalRegion(arguments.name, engine="stand-in", pushed=(), model=model, instance_image=image.build)
        try:
            instance_id = region.up()
        except RegionError as error:
            sys.stderr.write(f"error: {error}\n")
            return 1
    make = "python3 -m tests.molecule.package_repository.make_repositories"
    made = region.exec(f"cd {FOLDER} && {make} {arguments.family} {REPOSITORIES}", check=False)
    if made.returncode != 0:
        sys.stderr.write(f"error: the repositories could not be made:\n{made.stderr}")
        return 1
    keys = json.loads(region.exec(f"cat {REPOSITORIES}/keys.json").stdout)
    text = json.dumps(variables(region, instance_id, keys), indent=2)
    arguments.file.write_text(text + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
