"""The stub packages: names, versions and relations of the real ones, as far as the roles depend on them."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

DRIVER, LATER_DRIVER = "595.91.07", "615.71.09"
TOOLKIT, LATER_TOOLKIT = "1.20.1", "1.21.0"
TOOLKIT_NAMES = (
    "nvidia-container-toolkit",
    "nvidia-container-toolkit-base",
    "libnvidia-container-tools",
    "libnvidia-container1",
)
KERNEL = os.uname().release
AMAZON_KERNEL = "kernel" if KERNEL.startswith("6.1.") else f"kernel{'.'.join(KERNEL.split('.')[:2])}"
# The driver cannot be loaded in the boot that it was installed in.
NEEDS_A_BOOT = """\
mkdir -p /var/lib/fake-nvidia
sed 's/.*) //' /proc/1/stat | cut -d ' ' -f 20 > /var/lib/fake-nvidia/installed-in-boot
"""


def put_back(package: str) -> str:
    """Return the script that puts back a package of the instance's own Docker, which a scenario set aside."""
    return f"tar --extract --file /opt/set-aside/{package}.tar --directory / --keep-directory-symlink\n"


CLIENT, COMPOSE = put_back("docker-cli"), put_back("docker-compose")
ENGINE = put_back("docker.io") + "systemctl daemon-reload\n"
START_DOCKER = "systemctl enable --now docker.socket docker.service\n"


@dataclass(frozen=True)
class Package:
    """A stub.

    Attributes:
        requires: In the words of its family.
        provides: In the words of RPM, and for it only.
        fakes: Names of this folder's fakes by the paths that they get.
    """

    name: str
    version: str
    release: str = ""
    epoch: int = 0
    requires: tuple[str, ...] = ()
    provides: tuple[str, ...] = ()
    script: str = ""
    fakes: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Repository:
    """A signed repository.

    Attributes:
        suite: Its suite; empty for a flat one.
        signed: What of an RPM repository the signature is on.
    """

    name: str
    packages: tuple[Package, ...]
    suite: str = ""
    signed: str = "packages"


def toolkit(version: str, release: str = "1") -> tuple[Package, ...]:
    """Return NVIDIA's Container Toolkit; its packages ask for each other's version or a later one."""
    programs = {
        "/usr/bin/nvidia-container-runtime": "fake-nvidia-container-runtime",
        "/usr/bin/nvidia-container-runtime-hook": "fake-nvidia-container-runtime-hook",
        "/usr/share/fake-nvidia/nvidia-smi-in-container": "fake-nvidia-smi-in-container",
    }
    fakes = {TOOLKIT_NAMES[0]: programs, TOOLKIT_NAMES[1]: {"/usr/bin/nvidia-ctk": "fake-nvidia-ctk"}}
    return tuple(Package(name, version, release, fakes=fakes.get(name, {})) for name in TOOLKIT_NAMES)


def driver_for_apt(version: str) -> tuple[Package, ...]:
    """Return the driver for Ubuntu, whose packages ask for each other with `>=`."""
    release, common = "1ubuntu1", (f"nvidia-kernel-common (>= {version})",)
    return (
        Package("nvidia-kernel-common", version, release),
        Package("nvidia-dkms-open", version, release, requires=common, script=NEEDS_A_BOOT),
        Package("nvidia-persistenced", version, release),
        Package(
            "libnvidia-compute",
            version,
            release,
            requires=common,
            fakes={"/usr/bin/nvidia-smi": "fake-nvidia-smi"},
        ),
    )


def driver_for_dnf(version: str) -> tuple[Package, ...]:
    """Return the driver for Amazon Linux; this one loads without a reboot."""
    release = "1.amzn2023"
    return (
        Package("kmod-nvidia-open-dkms", version, release, 3),
        Package(
            "nvidia-driver-cuda",
            version,
            release,
            3,
            requires=(f"kmod-nvidia-open-dkms = 3:{version}",),
            fakes={"/usr/bin/nvidia-smi": "fake-nvidia-smi"},
        ),
    )


def docker_for_apt(engine: str, containerd: str, compose: str) -> tuple[Package, ...]:
    """Return Docker for Ubuntu; starts the instance's own."""
    release = "1~ubuntu.22.04~jammy"
    return (
        Package("containerd.io", containerd, release),
        Package("docker-ce-cli", engine, release, 5, script=CLIENT),
        Package(
            "docker-ce", engine, release, 5, requires=("containerd.io", "docker-ce-cli"), script=ENGINE + START_DOCKER
        ),
        Package("docker-compose-plugin", compose, release, script=COMPOSE),
    )


AGENT_FOLDER = "/opt/aws/amazon-cloudwatch-agent/bin"
# No repository has Amazon's: it lies beside its signature, in a bucket.
AGENT = Package(
    "amazon-cloudwatch-agent",
    "1.300071.0b1",
    script="systemctl daemon-reload\n",
    fakes={
        f"{AGENT_FOLDER}/amazon-cloudwatch-agent-ctl": "fake-cloudwatch-agent-ctl",
        f"{AGENT_FOLDER}/CWAGENT_VERSION": "fake-cloudwatch-agent-version",
        "/etc/systemd/system/amazon-cloudwatch-agent.service": "fake-cloudwatch-agent.service",
    },
)


def kernel_package(whole: str) -> Package:
    """Return the stub that is asked for by this name, version and release; this machine's kernel may be no Amazon's."""
    name, version, release = whole.rsplit("-", 2)
    return Package(name, version, release)


APT = (
    Repository("ubuntu", (Package(f"linux-headers-{KERNEL}", "1"),)),
    Repository(
        "docker", docker_for_apt("29.8.1", "2.3.5", "5.5.1") + docker_for_apt("29.9.0", "2.4.0", "5.9.0"), "jammy"
    ),
    Repository("driver", driver_for_apt(DRIVER) + driver_for_apt(LATER_DRIVER)),
    Repository("toolkit", toolkit(TOOLKIT) + toolkit(LATER_TOOLKIT)),
)
DNF = (
    Repository(
        "amazon",
        (
            # RPM's own database knows nothing of what Debian installed, and every script asks for a shell.
            Package("bash", "5.2", "1.amzn2023", provides=("/bin/sh",)),
            # Amazon's package leaves the start to the administrator.
            Package("docker", "25.0.16", "1.amzn2023.0.4", script=CLIENT + ENGINE),
            *(
                kernel_package(f"{AMAZON_KERNEL}-{kind}-{KERNEL.removesuffix('.x86_64')}")
                for kind in ("devel", "modules-extra")
            ),
        ),
    ),
    Repository(
        "docker",
        (
            Package("docker-compose-plugin", "5.5.1", "1.el9", script=COMPOSE),
            Package("docker-compose-plugin", "5.9.0", "1.el9"),
            # Must not take the place of Amazon's.
            Package("docker", "99", "1.el9"),
        ),
    ),
    Repository("driver", driver_for_dnf(DRIVER) + driver_for_dnf(LATER_DRIVER)),
    Repository("toolkit", toolkit(TOOLKIT) + toolkit(LATER_TOOLKIT), signed="metadata"),
)
