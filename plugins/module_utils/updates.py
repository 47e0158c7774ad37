"""Updates that come by themselves and would take the GPU, or the session, away: a new kernel, and the agent's snap."""

from __future__ import annotations

import re
import shutil

from ansible_collections.slm.serving.plugins.module_utils.process import run

# What brings each new kernel, such as linux-aws or linux-image-aws-lts-24.04; those of one kernel bear its number.
KERNELS = re.compile(
    r"linux-(?:image-|headers-)?(?:aws|generic|virtual)(?:-(?:lts|hwe)-\d\d\.\d\d|-\d+\.\d+)?(?:-edge)?"
)
SHOWN = "${Package} ${db:Status-Want} ${db:Status-Status}\\n"
AGENT = "amazon-ssm-agent"


def kernels_without_module() -> list[str]:
    """Return the packages, not held, whose next version brings a kernel that nothing builds NVIDIA's module for.

    Empty where DKMS builds it, and where the distribution brings no kernel by itself, as Amazon Linux does not.
    """
    if shutil.which("dpkg-query") is None:
        return []
    listed = run(["dpkg-query", "--show", "--showformat", SHOWN, "linux-*"]).stdout
    present = [line.split() for line in listed.splitlines()]
    wanted = {name: want for name, want, status in present if status == "installed" and KERNELS.fullmatch(name)}
    # DKMS needs the headers of the new kernel, which come with these only.
    headers = any(not name.startswith("linux-image-") for name in wanted)
    if headers and builds_module():
        return []
    return sorted(name for name, want in wanted.items() if want != "hold")


def builds_module() -> bool:
    """Say whether DKMS knows NVIDIA's module, which it then builds for every new kernel."""
    if shutil.which("dkms") is None:
        return False
    return any(line.startswith("nvidia") for line in run(["dkms", "status"]).stdout.splitlines())


def agent_is_refreshed() -> bool:
    """Say whether the agent of Systems Manager is a snap that is refreshed, and then restarted, at any time."""
    if shutil.which("snap") is None:
        return False
    listed = run(["snap", "list", AGENT])
    # Behind the heading, with its notes at the end.
    lines = listed.stdout.splitlines()[1:] if listed.returncode == 0 else []
    return any("held" not in line.split()[-1].split(",") for line in lines if line.strip())
