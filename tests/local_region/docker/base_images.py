"""Base images for every image that is built here: plain Debian, from a registry where one answers, else by debootstrap.

Both ways give the same under the same names (`slm-ft-serving-base:bookworm`, `:trixie`): one Dockerfile serves both.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.local_region.docker.engine import DockerEngine, Progress, apt_install, is_debian_like, read_os_release
from tests.local_region.errors import RegionError

REPOSITORY = "slm-ft-serving-base"
# bookworm brings Python 3.11 (the engine) and a systemd that runs under cgroups v1 too; trixie brings Python 3.13.
SUITES = ("bookworm", "trixie")
# A registry that cannot be reached fails within seconds; this bounds one that hangs.
PULL_TIMEOUT_SECONDS = 90
DEBOOTSTRAP_SCRIPTS = Path("/usr/share/debootstrap/scripts")
# What Debian's own container images leave out as well.
DPKG_EXCLUDES = """\
path-exclude /usr/share/doc/*
path-include /usr/share/doc/*/copyright
path-exclude /usr/share/man/*
path-exclude /usr/share/info/*
path-exclude /usr/share/locale/*
path-exclude /usr/share/lintian/*
"""
APT_SETTINGS = """\
APT::Install-Recommends "false";
Acquire::Languages "none";
DPkg::Use-Pty "false";
"""
EMPTIED = (
    *("var/lib/apt/lists", "var/cache/apt", "var/log"),
    *("usr/share/doc", "usr/share/man", "usr/share/info", "usr/share/locale"),
)
# Services must not start while packages are installed into an image.
POLICY_RC_D = "#!/bin/sh\nexit 101\n"


class BaseImageError(RegionError):
    """A base image could neither be pulled nor made; the message says why."""


@dataclass(frozen=True)
class Mirrors:
    """Addresses of the archive and the security archive that Debian comes from; None where they are not known."""

    archive: str | None
    security: str | None


def tag(suite: str) -> str:
    """Return the name of the base image of a Debian suite."""
    return f"{REPOSITORY}:{suite}"


def ensure(engine: DockerEngine, progress: Progress, suites: Sequence[str] = SUITES) -> None:
    """Pull or make the base images of Debian suites, as far as they are not in the daemon.

    Raises:
        BaseImageError: One could neither be pulled nor made.
    """
    missing = [suite for suite in suites if engine.run("image", "inspect", tag(suite), check=False).returncode != 0]
    for suite in missing:
        refusal = _pull(engine, suite, progress)
        if refusal is not None:
            _require_debootstrap(refusal, progress)
            _make(engine, suite, machine_mirrors(), progress)


def _pull(engine: DockerEngine, suite: str, progress: Progress) -> str | None:
    """Pull a base image; return why it could not be pulled, None when it could."""
    began = time.monotonic()
    upstream = f"debian:{suite}-slim"
    try:
        pulled = engine.run("pull", "-q", upstream, check=False, timeout=PULL_TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        return f"no answer within {PULL_TIMEOUT_SECONDS} s"
    if pulled.returncode != 0:
        return pulled.stderr.strip()
    engine.run("tag", upstream, tag(suite))
    progress(f"base image {suite}: pulled ({time.monotonic() - began:.0f} s)")
    return None


def _require_debootstrap(refusal: str, progress: Progress) -> None:
    why = f"No image registry answers ({refusal}), so the base images have to be made with debootstrap"
    if not is_debian_like():
        raise BaseImageError(f"{why}, which needs Debian or Ubuntu. Give this machine access to an image registry.")
    if os.geteuid() != 0:
        raise BaseImageError(
            f"{why}, which needs root. Run the command as root, or give it access to an image registry."
        )
    missing = [program for program in ("debootstrap", "xz") if shutil.which(program) is None]
    if missing:
        apt_install(["debootstrap", "debian-archive-keyring", "xz-utils"], progress)


def machine_mirrors() -> Mirrors:
    """Return the mirrors that the machine's apt is configured with; none where it is not Debian."""
    os_release = read_os_release()
    codename = os_release.get("VERSION_CODENAME", "")
    if os_release.get("ID") != "debian" or not codename:
        return Mirrors(None, None)
    command = ["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)", "Created-By: Packages"]
    listing = subprocess.run(command, capture_output=True, text=True, check=False)
    return mirrors_from(listing.stdout.splitlines(), codename)


def mirrors_from(lines: Iterable[str], codename: str) -> Mirrors:
    """Pick the archive and the security archive of a Debian release from lines of `address release component`."""
    addresses: dict[str, str] = {}
    for line in lines:
        address, _, rest = line.partition(" ")
        release, _, component = rest.partition(" ")
        if component == "main":
            addresses.setdefault(release, address.rstrip("/"))
    return Mirrors(archive=addresses.get(codename), security=addresses.get(f"{codename}-security"))


def _make(engine: DockerEngine, suite: str, mirrors: Mirrors, progress: Progress) -> None:
    began = time.monotonic()
    # Not /tmp: it may be mounted without devices, and may be memory.
    with tempfile.TemporaryDirectory(prefix="slm-ft-serving-base-", dir="/var/tmp") as folder:
        root = Path(folder, "root")
        script = _script(suite, Path(folder))
        _debootstrap(suite, root, mirrors, script)
        _finish(root, suite, mirrors)
        _import(engine, root, suite)
    progress(f"base image {suite}: made with debootstrap ({time.monotonic() - began:.0f} s)")


def _script(suite: str, folder: Path) -> Path:
    """Return debootstrap's script for a suite; a debootstrap older than the suite has none, and sid's does the same."""
    shipped = DEBOOTSTRAP_SCRIPTS / suite
    if shipped.exists():
        return shipped
    linked = folder / suite
    linked.symlink_to(DEBOOTSTRAP_SCRIPTS / "sid")
    return linked


def _debootstrap(suite: str, root: Path, mirrors: Mirrors, script: Path) -> None:
    options = ["--variant=minbase", "--include=ca-certificates"]
    # An empty address lets debootstrap take the default that it ships with.
    command = ["debootstrap", *options, suite, str(root), mirrors.archive or "", str(script)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        log = root / "debootstrap/debootstrap.log"
        details = log.read_text(encoding="utf-8", errors="replace") if log.exists() else result.stdout + result.stderr
        raise BaseImageError(f"debootstrap of {suite} failed:\n" + "\n".join(details.strip().splitlines()[-20:]))


def _finish(root: Path, suite: str, mirrors: Mirrors) -> None:
    """Make a fresh Debian root like Debian's container images: apt knows updates; no documentation, no caches."""
    sources = root / "etc/apt/sources.list"
    archive = sources.read_text(encoding="utf-8").split()[1]
    lines = [f"deb {archive} {suite} main", f"deb {archive} {suite}-updates main"]
    if mirrors.security:
        lines.append(f"deb {mirrors.security} {suite}-security main")
    sources.write_text("\n".join(lines) + "\n", encoding="utf-8")
    (root / "etc/dpkg/dpkg.cfg.d/excludes").write_text(DPKG_EXCLUDES, encoding="utf-8")
    (root / "etc/apt/apt.conf.d/90-container").write_text(APT_SETTINGS, encoding="utf-8")
    policy = root / "usr/sbin/policy-rc.d"
    policy.write_text(POLICY_RC_D, encoding="utf-8")
    policy.chmod(0o755)
    for folder in EMPTIED:
        for entry in (root / folder).iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()
    # The machine's own name server address and name, which debootstrap copies.
    for copied in ("etc/resolv.conf", "etc/hostname"):
        (root / copied).write_text("", encoding="utf-8")


def _import(engine: DockerEngine, root: Path, suite: str) -> None:
    archive = subprocess.Popen(["tar", "-C", str(root), "--numeric-owner", "-c", "."], stdout=subprocess.PIPE)
    with archive:
        command = [engine.client, "import", "-c", 'CMD ["bash"]', "-", tag(suite)]
        imported = subprocess.run(command, stdin=archive.stdout, capture_output=True, text=True, check=False)
    if imported.returncode != 0 or archive.returncode != 0:
        raise BaseImageError(f"docker import of {suite} failed: {imported.stderr.strip()}")
