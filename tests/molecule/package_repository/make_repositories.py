"""Makes the signed repositories, on the instance: `python3 -m tests.molecule.package_repository.make_repositories`.

Takes the family, `apt` or `dnf`, and the folder.

Each run makes two keys that nothing else ever knew: FOLDER/vendor.asc signs the repositories, FOLDER/stranger.asc only
FOLDER/forged, a repository as an attacker would offer it. FOLDER/keys.json holds their fingerprints. For apt there is
FOLDER/agent besides, as Amazon's bucket with its CloudWatch agent, and FOLDER/agent-forged.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.molecule.package_repository.packages import AGENT, APT, DNF, Package, Repository

FAKES = Path(__file__).parent / "fakes"
KEYS = ("vendor", "stranger")


def run(*command: str | Path, cwd: Path | None = None, **environment: str) -> str:
    """Run a command and return its output.

    Raises:
        subprocess.CalledProcessError: It failed; its output was printed.
    """
    result = subprocess.run(
        command, cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    if result.returncode != 0:
        sys.stderr.write(result.stdout + result.stderr)
        result.check_returncode()
    return result.stdout


def make_key(name: str, home: Path, out: Path) -> str:
    """Make a signing key in a GnuPG home of its own, export its public half, and return its fingerprint."""
    home.mkdir(mode=0o700)
    user = f"{name} of a test"
    run(
        "gpg", "--batch", "--passphrase", "", "--quick-generate-key", user, "rsa2048", "sign", "1d", GNUPGHOME=str(home)
    )
    run("gpg", "--armor", "--output", out / f"{name}.asc", "--export", GNUPGHOME=str(home))
    listing = run("gpg", "--with-colons", "--list-keys", GNUPGHOME=str(home))
    return next(line.split(":")[9] for line in listing.splitlines() if line.startswith("fpr:"))


def make_deb(package: Package, folder: Path) -> None:
    """Build one Debian package."""
    version = f"{package.version}-{package.release}" if package.release else package.version
    version = f"{package.epoch}:{version}" if package.epoch else version
    with tempfile.TemporaryDirectory() as root:
        control = Path(root, "DEBIAN")
        control.mkdir()
        lines = [f"Package: {package.name}", f"Version: {version}", "Architecture: amd64", "Maintainer: nobody"]
        lines += [f"Depends: {', '.join(package.requires)}"] if package.requires else []
        Path(control, "control").write_text("\n".join([*lines, "Description: a stub for tests"]) + "\n")
        if package.script:
            Path(control, "postinst").write_text(f"#!/bin/sh\nset -e\n{package.script}")
            Path(control, "postinst").chmod(0o755)
        install_fakes(package, Path(root))
        Path(root).chmod(0o755)
        run("dpkg-deb", "--root-owner-group", "-Znone", "--build", root, folder)


def install_fakes(package: Package, root: Path) -> None:
    """Copy a package's fakes to where it installs them."""
    for target, fake in package.fakes.items():
        path = root / target.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(FAKES / fake, path)


def make_apt_repository(repository: Repository, folder: Path, home: Path) -> None:
    """Build a repository's packages and its signed index, flat or with a suite."""
    pool, index = folder / ("pool" if repository.suite else "."), folder
    if repository.suite:
        index = folder / "dists" / repository.suite / "stable/binary-amd64"
    for each in (pool, index):
        each.mkdir(parents=True, exist_ok=True)
    for package in repository.packages:
        make_deb(package, pool)
    (index / "Packages").write_text(run("apt-ftparchive", "packages", "pool" if repository.suite else ".", cwd=folder))
    top = folder / "dists" / repository.suite if repository.suite else folder
    options = {"Codename": repository.suite, "Components": "stable"} if repository.suite else {}
    settings = [part for key, value in options.items() for part in ("-o", f"APT::FTPArchive::Release::{key}={value}")]
    (top / "Release").write_text(run("apt-ftparchive", *settings, "release", ".", cwd=top))
    run("gpg", "--batch", "--clear-sign", "--output", top / "InRelease", top / "Release", GNUPGHOME=str(home))
    (top / "Release").unlink()


def make_agent(folder: Path, home: Path, key: Path) -> None:
    """Build the fake of Amazon's agent and sign it, at the paths of Amazon's bucket.

    Args:
        folder: Stands for the bucket.
        home: GnuPG's, with the key that signs.
        key: The file of keys that is offered beside.
    """
    latest, assets = folder / "ubuntu/amd64/latest", folder / "assets"
    for each in (latest, assets):
        each.mkdir(parents=True)
    make_deb(AGENT, latest)
    package = next(latest.glob("*.deb")).rename(latest / f"{AGENT.name}.deb")
    run("gpg", "--batch", "--output", f"{package}.sig", "--detach-sign", package, GNUPGHOME=str(home))
    shutil.copy2(key, assets / f"{AGENT.name}.gpg")


def defines(macros: dict[str, object]) -> list[str]:
    """Return the arguments that define RPM's macros."""
    return [part for name, value in macros.items() for part in ("--define", f"{name} {value}")]


def make_rpm(package: Package, folder: Path, build: Path) -> None:
    """Build one RPM package."""
    sources = build / "root"
    shutil.rmtree(sources, ignore_errors=True)
    sources.mkdir(parents=True)
    install_fakes(package, sources)
    lines = [
        f"Name: {package.name}",
        f"Version: {package.version}",
        f"Release: {package.release}",
        f"Epoch: {package.epoch}",
        *("Summary: a stub for tests", "License: none", "AutoReqProv: no"),
        *(f"Requires: {requirement}" for requirement in package.requires),
        *(f"Provides: {provided}" for provided in package.provides),
        *("%description", "a stub for tests", "%install", f"cp -a {sources}/. %{{buildroot}}/"),
        *(["%post -p /bin/sh", package.script] if package.script else []),
        *("%files", *package.fakes),
    ]
    spec = build / "stub.spec"
    spec.write_text("\n".join(lines) + "\n")
    macros: dict[str, object] = {
        "_topdir": build,
        "_rpmdir": folder,
        "_rpmfilename": "%%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm",
    }
    macros |= {"__os_install_post": "%{nil}", "_build_id_links": "none", "_binary_payload": "w0.gzdio"}
    run("rpmbuild", "-bb", "--quiet", "--target", "x86_64", *defines(macros), spec)


def make_dnf_repository(repository: Repository, folder: Path, home: Path, build: Path) -> None:
    """Build a repository's packages and its metadata, with the one or the other signed."""
    folder.mkdir(parents=True)
    for package in repository.packages:
        make_rpm(package, folder, build)
    if repository.signed == "packages":
        macros: dict[str, object] = {"_gpg_name": "of a test", "_gpg_path": home, "__gpg": "/usr/bin/gpg"}
        run("rpm", "--addsign", *defines(macros), *sorted(folder.glob("*.rpm")))
    run("createrepo_c", "--quiet", "--no-database", folder)
    if repository.signed == "metadata":
        run("gpg", "--batch", "--detach-sign", "--armor", folder / "repodata/repomd.xml", GNUPGHOME=str(home))


def main() -> int:
    """Make the keys and every repository of a family, and the forged one."""
    family, out = sys.argv[1], Path(sys.argv[2])
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as work:
        homes = {name: Path(work, name) for name in KEYS}
        fingerprints = {name: make_key(name, home, out) for name, home in homes.items()}
        (out / "keys.json").write_text(json.dumps(fingerprints) + "\n")
        repositories = APT if family == "apt" else DNF
        made = [(each, out / each.name, homes["vendor"]) for each in repositories]
        toolkit = next(each for each in repositories if each.name == "toolkit")
        made.append((toolkit, out / "forged", homes["stranger"]))
        for repository, folder, home in made:
            if family == "apt":
                make_apt_repository(repository, folder, home)
            else:
                make_dnf_repository(repository, folder, home, Path(work, "build"))
        if family == "apt":
            for name, bucket in zip(KEYS, ("agent", "agent-forged"), strict=True):
                make_agent(out / bucket, homes[name], out / f"{name}.asc")
    return 0


if __name__ == "__main__":
    sys.exit(main())
