"""The local region of a scenario: `python -m tests.molecule.region up NAME`, `images NAME`, and `down NAME`."""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.local_region.docker import images
from tests.local_region.errors import RegionError
from tests.local_region.region import LocalRegion


def stand_in_model(folder: Path) -> Path:
    """Fill a folder with what only looks like a model; no engine loads it in these scenarios."""
    for name in ("base", "adapter"):
        (folder / name).mkdir()
        (folder / name / "config.json").write_text('{"a stand-in": true}\n', encoding="utf-8")
        (folder / name / "model.safetensors").write_bytes(b"a stand-in")
    return folder


def give_images(region: LocalRegion) -> None:
    """Put the images of gateway and stand-in engine into the instance's own Docker Engine, past the registry.

    Raises:
        subprocess.CalledProcessError: Docker refuses.
    """
    on_instance = ["docker", "exec", "--interactive", region.container, "docker"]
    tags = {"gateway": "slm-ft-serving-gateway:scenario", "stand-in": "slm-ft-serving-engine:scenario"}
    sources = {name: images.reference(images.SPECS[name]) for name in tags}
    with subprocess.Popen(["docker", "save", *sources.values()], stdout=subprocess.PIPE) as saved:
        subprocess.run([*on_instance, "load", "--quiet"], stdin=saved.stdout, check=True)
    for name, tag in tags.items():
        subprocess.run([*on_instance, "tag", sources[name], tag], check=True)


def main() -> int:
    """Make or remove the region; exit 1 with the reason when that fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("action", choices=["up", "images", "down"])
    parser.add_argument("name", help="name of the region")
    parser.add_argument("--push", nargs="*", default=[], help="images that its registry gets: engine, gateway")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        # A push takes most of a region's time, and few roles pull from the registry.
        region = LocalRegion(
            arguments.name, engine="stand-in", pushed=arguments.push, model=stand_in_model(Path(folder))
        )
        try:
            if arguments.action == "up":
                region.up()
            elif arguments.action == "images":
                give_images(region)
            else:
                region.down()
        except RegionError as error:
            sys.stderr.write(f"error: {error}\n")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
