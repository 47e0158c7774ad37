"""`python -m pipeline build | smoke | find | push | digests`."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from pipeline import build, definitions, digests, push, revision, smoke
from pipeline.definitions import Image
from pipeline.errors import PipelineError

_ABOUT = """\
Make this repository's images from the commit that is checked out, and push them to ECR under that commit.

    python -m pipeline build gateway engine      # a change that is not committed is refused
    python -m pipeline smoke gateway engine      # starts them as production does
    python -m pipeline find gateway engine       # whether ECR holds this commit's images
    python -m pipeline push gateway engine       # to the ECR of AWS_REGION, with the caller's credentials
    python -m pipeline digests                   # the digests behind the tags in docker/images.toml

What follows `--` goes to `docker build`: proxies, or the building machine's package settings as build secrets."""


def main(given: Sequence[str] | None = None) -> int:
    """Run one command; return 0 when it succeeded, 1 when something stands in the way, 2 when called wrongly."""
    words = list(sys.argv[1:] if given is None else given)
    options = words[words.index("--") + 1 :] if "--" in words else []
    arguments = _parser().parse_args(words[: words.index("--")] if "--" in words else words)
    try:
        root = Path(revision.git(Path.cwd(), "rev-parse", "--show-toplevel"))
        images = definitions.read(root)
        if arguments.command == "digests":
            return _digests(root, images)
        selected = definitions.selected(images, arguments.names)
        if arguments.command == "build":
            _build(root, selected, arguments, options)
        elif arguments.command == "smoke":
            _smoke(root, selected, arguments)
        elif arguments.command == "find":
            _find(root, selected, arguments)
        else:
            _push(root, selected, arguments)
    except PipelineError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="python -m pipeline", description=_ABOUT, formatter_class=raw)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    about = {
        "build": "build images from the commit that is checked out",
        "smoke": "try images as production runs them",
        "find": "say whether ECR holds the commit's images",
        "push": "push images to ECR",
        "digests": "write the digests of the bases into docker/images.toml",
    }
    made = {name: commands.add_parser(name, help=words) for name, words in about.items()}
    for name in ("build", "smoke", "find", "push"):
        made[name].add_argument(
            "names", nargs="*", metavar="IMAGE", help="gateway, engine, llamacpp, trainer, edge; two without one"
        )
        made[name].add_argument(
            "--platform", default=build.PLATFORM, help=f"what they run on (default: {build.PLATFORM})"
        )
    made["build"].add_argument("--cache", default="", help="kind of a cache that outlives the builder, such as gha")
    made["push"].add_argument(
        "--registry", default="", help="another way to ECR's registry, to which docker is logged in"
    )
    return parser


def _build(root: Path, images: list[Image], arguments: argparse.Namespace, options: list[str]) -> None:
    commit = revision.read(root)
    for image in images:
        name = build.build(root, image, commit, arguments.platform, cache=arguments.cache, options=options)
        sys.stdout.write(f"{name}\n")


def _smoke(root: Path, images: list[Image], arguments: argparse.Namespace) -> None:
    commit = revision.read(root)
    for image in images:
        report = smoke.smoke(image, build.reference(image, commit, arguments.platform))
        sys.stdout.write(f"{image.name}: {report}\n")


def _find(root: Path, images: list[Image], arguments: argparse.Namespace) -> None:
    from pipeline.registry import Registry

    commit = revision.read(root)
    registry = Registry()
    for image in images:
        name = build.reference(image, commit, arguments.platform)
        registry.address(image.repository)
        held = registry.held(image.repository, build.tag(commit, arguments.platform))
        sys.stdout.write(f"{name} {held.digest if held else 'is not there'}\n")
        _write("GITHUB_OUTPUT", f"reference={name}\nfound={'true' if held else 'false'}\n")


def _push(root: Path, images: list[Image], arguments: argparse.Namespace) -> None:
    from pipeline.registry import Registry  # boto3 takes a while to import, and only this command needs it.

    commit = revision.read(root)
    registry = Registry()
    pushed = []
    for image in images:
        name = build.reference(image, commit, arguments.platform)
        pushed.append(push.push(image, name, registry, address=arguments.registry))
    for each in pushed:
        sys.stdout.write(f"{each.address}:{each.tag}\n    {each.digest}\n")
    commands = push.deploy_commands(pushed)
    sys.stdout.write("Deploy:\n" + "".join(f"    {command}\n" for command in commands))
    _tell_github(pushed, commands)


def _tell_github(pushed: list[push.Pushed], commands: list[str]) -> None:
    """Give a workflow the digests: for its later steps, and for the page of its run."""
    for each in pushed:
        _write("GITHUB_OUTPUT", f"name={each.address}\ndigest={each.digest}\n")
    rows = [f"| {each.name} | `{each.tag}` | `{each.digest}` |\n" for each in pushed]
    lines = ["| image | tag | digest |\n", "|---|---|---|\n", *rows, *[f"\n`{command}`\n" for command in commands]]
    _write("GITHUB_STEP_SUMMARY", "".join(lines))


def _write(variable: str, text: str) -> None:
    """Append to the file that GitHub names in a variable; outside a workflow there is none."""
    path = os.environ.get(variable)
    if path:
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(text)


def _digests(root: Path, images: dict[str, Image]) -> int:
    resolved, unresolved = digests.write(root, images)
    sys.stdout.write("".join(f"{line}\n" for line in resolved))
    if unresolved:
        sys.stderr.write("Not resolved, and left as they are:\n" + "".join(f"  {line}\n" for line in unresolved))
    return 1 if unresolved else 0


if __name__ == "__main__":
    sys.exit(main())
