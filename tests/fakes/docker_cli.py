#!/usr/bin/env -S python3 -I -S
"""Fake of the docker command, as far as its versions differ: images, `info`, and a `run` that fails.

Put on PATH as `docker`; started without the site packages, which take long to find. FAKE_DOCKER is a JSON file with

- `version`: 25, 28 or 29; since 29 a listing leaves out images without a tag, unless it is asked for all;
- `images`: by id, each with `digests` and `tags`;
- `info`: what the engine says of itself; without it, the engine does not answer.

As docker/cli does it in v25.0.0, v28.0.0 and v29.8.0.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

STATE = Path(os.environ["FAKE_DOCKER"])
NOT_THERE = "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?\n"


def fail(text: str, code: int = 1) -> int:
    """Print an error and return the exit code."""
    sys.stderr.write(text)
    return code


def info(state: dict[str, Any]) -> int:
    """Print what the engine says; without one a client tells of itself, and fails or not by its version."""
    told = state.get("info")
    if told is None:
        sys.stdout.write(json.dumps({"ClientInfo": {}, "ServerErrors": [NOT_THERE.strip()]}) + "\n")
        return 0 if state["version"] < 28 else fail(NOT_THERE)
    sys.stdout.write(json.dumps(told) + "\n")
    return 0


def listing(state: dict[str, Any], options: list[str]) -> int:
    """Print the ids of the images."""
    everything = "--all" in options or state["version"] < 29
    for key, image in state["images"].items():
        # An image with two tags has a line for each.
        for _ in image["tags"] or ([""] if everything else []):
            sys.stdout.write(key + "\n")
    return 0


def find(state: dict[str, Any], name: str) -> str | None:
    """Return the id of an image by its id or one of its names."""
    return next(
        (key for key, image in state["images"].items() if name in (key, *image["digests"], *image["tags"])), None
    )


def inspect(state: dict[str, Any], names: list[str]) -> int:
    """Print the images that are there."""
    found = [(name, find(state, name)) for name in names]
    documents = [
        {"Id": key, "RepoDigests": state["images"][key]["digests"], "RepoTags": state["images"][key]["tags"]}
        for _, key in found
        if key
    ]
    sys.stdout.write(json.dumps(documents) + "\n")
    missing = [name for name, key in found if not key]
    return fail("".join(f"Error response from daemon: No such image: {name}\n" for name in missing)) if missing else 0


def remove(state: dict[str, Any], name: str) -> int:
    """Remove a name, and the image with its last one; with containerd's store a digest outlives the tags."""
    key = find(state, name)
    if key is None:
        return fail(f"Error response from daemon: No such image: {name}\n")
    image = state["images"][key]
    if image.get("used"):
        return fail(f"Error response from daemon: conflict: unable to delete {name} (must be forced)\n")
    image["tags"] = [each for each in image["tags"] if each != name]
    image["digests"] = [each for each in image["digests"] if each != name]
    by_containerd = any("io.containerd" in value for pair in state["info"]["DriverStatus"] for value in pair)
    if not image["tags"] and (not by_containerd or not image["digests"]):
        del state["images"][key]
    STATE.write_text(json.dumps(state), encoding="utf-8")
    return 0


def run(state: dict[str, Any]) -> int:
    """Fail as a container that cannot be made does."""
    hint = "See 'docker run --help'." if state["version"] < 28 else "\nRun 'docker run --help' for more information"
    return fail(f"docker: Error response from daemon: could not select device driver.\n{hint}\n", 125)


def main() -> int:
    """Answer one call."""
    state = json.loads(STATE.read_text(encoding="utf-8"))
    match sys.argv[1:]:
        case ["info", *_]:
            return info(state)
        case ["image", "ls", *options]:
            return listing(state, options)
        case ["image", "inspect", "--format", _, name]:
            return 0 if find(state, name) else fail(f"Error response from daemon: No such image: {name}\n")
        case ["image", "inspect", *names]:
            return inspect(state, names)
        case ["image", "rm", name]:
            return remove(state, name)
        case ["run", *_]:
            return run(state)
    return fail(f"the fake has no `docker {' '.join(sys.argv[1:])}`\n")


if __name__ == "__main__":
    sys.exit(main())
