#!/usr/bin/python
"""Install Amazon's CloudWatch agent, and have it run with one configuration, or stop it.

An own module: the agent has no repository of packages, so that download, signature, version and configuration would be
a task and a session each.
"""

from __future__ import annotations

DOCUMENTATION = r"""
module: cloudwatch_agent
short_description: Install, configure, start or stop Amazon's CloudWatch agent
description:
  - Installs the agent where it is missing or too old, with a valid signature only.
  - Hands a configuration that differs from the last one to the agent's own program, which checks it and starts it.
author:
  - The slm-ft-serving developers (!UNKNOWN)
options:
  state:
    description: Whether the agent is to run.
    type: str
    choices: [started, stopped]
    default: started
  configuration:
    description: The agent's configuration, JSON. Needed where it is to run.
    type: str
    default: ""
  path:
    description: Where the configuration is kept.
    type: path
    required: true
  minimum:
    description: The oldest version that will do.
    type: str
    required: true
  source:
    description: Address that the agent is fetched from, without the path that is the same everywhere.
    type: str
    required: true
  fingerprint:
    description: Fingerprint of the key that the agent is signed with.
    type: str
    required: true
  timeout:
    description: Seconds for the download and for the installation, each.
    type: int
    default: 600
"""

EXAMPLES = r"""
- name: Have the agent run
  slm.serving.cloudwatch_agent:
    configuration: "{{ instance | slm.serving.cloudwatch_agent_configuration | to_nice_json }}"
    path: /opt/slm-ft-serving/shared/cloudwatch-agent.json
    minimum: 1.300070.0
    source: https://amazoncloudwatch-agent-eu-central-1.s3.eu-central-1.amazonaws.com
    fingerprint: 937616F3450B7D806CBD9725D58167303B789C72
"""

RETURN = r"""
version:
  description: Version of the agent that is installed; empty where it is not.
  returned: success
  type: str
did:
  description: What was, or in check mode would be, done.
  returned: success
  type: list
  elements: str
  sample: [installed, configured]
"""

import re
import shutil
import tempfile
from pathlib import Path
from urllib.error import URLError

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.urls import open_url
from ansible_collections.slm.serving.plugins.module_utils.files import write_file
from ansible_collections.slm.serving.plugins.module_utils.process import StackError, last_line, run
from ansible_collections.slm.serving.plugins.module_utils.signatures import check_signature

FOLDER = Path("/opt/aws/amazon-cloudwatch-agent/bin")
UNIT = "amazon-cloudwatch-agent.service"
KEY = "assets/amazon-cloudwatch-agent.gpg"
# By the program that installs: where the agent lies at its source, and how it is installed.
PACKAGES = {
    "apt-get": (
        "ubuntu/amd64/latest/amazon-cloudwatch-agent.deb",
        ["apt-get", "--yes", "--option", "DPkg::Lock::Timeout=300", "install"],
    ),
    "dnf": ("amazon_linux/amd64/latest/amazon-cloudwatch-agent.rpm", ["dnf", "--assumeyes", "install"]),
}


def installed_version() -> str:
    """Return the version of the agent that is installed; empty where there is none."""
    try:
        return (FOLDER / "CWAGENT_VERSION").read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""


def numbers(version: str) -> tuple[int, ...]:
    """Return the three numbers of a version; what a build adds behind them does not count."""
    return tuple(int(each) for each in re.findall(r"\d+", version)[:3])


def fetch(source: str, folder: Path, timeout: int) -> Path:
    """Fetch a file into a folder and return its path. Raises StackError."""
    target = folder / source.rpartition("/")[2]
    try:
        with open_url(source, timeout=timeout) as answer, target.open("wb") as file:
            shutil.copyfileobj(answer, file)
    except (OSError, URLError, ValueError) as error:
        raise StackError(
            f"the CloudWatch agent cannot be fetched from {source}: {error}. Check that the instance reaches S3, or set"
            " monitoring/cloudwatch to off"
        ) from error
    return target


def install(source: str, fingerprint: str, minimum: str, timeout: int) -> None:
    """Fetch the agent, check its signature and install it.

    Args:
        source: where it is fetched from.
        fingerprint: of the key that it is signed with.
        minimum: the oldest version that will do.
        timeout: seconds for the download and for the installation, each.

    Raises:
        StackError: one of these failed, and nothing was installed unless it says so.
    """
    found = next((name for name in PACKAGES if shutil.which(name)), None)
    if found is None:
        raise StackError("the CloudWatch agent is installed with apt or dnf, and the instance has neither")
    path, command = PACKAGES[found]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # apt reads the package as a user of its own.
        folder.chmod(0o755)
        package, signature, keys = (fetch(f"{source}/{each}", folder, timeout) for each in (path, f"{path}.sig", KEY))
        check_signature(package, signature, keys, fingerprint)
        result = run([*command, str(package)], timeout)
    if result.returncode != 0:
        raise StackError(f"the CloudWatch agent was not installed: {last_line(result.stderr or result.stdout)}")
    version = installed_version()
    if numbers(version) < numbers(minimum):
        raise StackError(f"the CloudWatch agent at {source} is {version or 'of no version'}, older than {minimum}")


def configure(module: AnsibleModule, path: Path, configuration: str) -> None:
    """Have the agent check a configuration and start with it. Raises StackError."""
    write_file(module, path, configuration)
    control = str(FOLDER / "amazon-cloudwatch-agent-ctl")
    result = run([control, "-a", "fetch-config", "-m", "ec2", "-s", "-c", f"file:{path}"], module.params["timeout"])
    if result.returncode != 0:
        # The next run has to try it again.
        path.unlink(missing_ok=True)
        raise StackError(
            f"the CloudWatch agent did not take its configuration: {last_line(result.stdout + result.stderr)}"
        )


def is_active() -> bool:
    """Say whether the agent runs."""
    return run(["systemctl", "is-active", "--quiet", UNIT]).returncode == 0


def read(path: Path) -> str:
    """Return a file's text; empty where there is none."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""


def start(module: AnsibleModule) -> list[str]:
    """Have the agent installed and running with the configuration; return what that took. Raises StackError."""
    given, did = module.params, []
    if numbers(installed_version()) < numbers(given["minimum"]):
        did.append("installed")
        if not module.check_mode:
            install(given["source"], given["fingerprint"], given["minimum"], given["timeout"])
    path = Path(given["path"])
    if did or read(path) != given["configuration"] or not is_active():
        did.append("configured")
        if not module.check_mode:
            configure(module, path, given["configuration"])
    return did


def stop(module: AnsibleModule) -> list[str]:
    """Have the agent stopped, and not start at a boot; return what that took.

    One that runs with another configuration than ours is somebody else's.
    """
    path = Path(module.params["path"])
    if not path.is_file():
        return []
    if not module.check_mode:
        run(["systemctl", "disable", "--now", UNIT], module.params["timeout"])
        path.unlink()
    return ["stopped"]


def main() -> None:
    """Start or stop the agent."""
    text = {"type": "str", "required": True}
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["started", "stopped"], "default": "started"},
            "configuration": {"type": "str", "default": ""},
            "path": {"type": "path", "required": True},
            "minimum": text,
            "source": text,
            "fingerprint": text,
            "timeout": {"type": "int", "default": 600},
        },
        supports_check_mode=True,
    )
    if module.params["state"] == "started" and not module.params["configuration"]:
        module.fail_json(msg="state is started but all of the following are missing: configuration")
    try:
        did = start(module) if module.params["state"] == "started" else stop(module)
    except StackError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=bool(did), did=did, version=installed_version())


if __name__ == "__main__":
    main()
