"""Brings the list of recorded calls up to date after tests of playbooks: `python -m tests.policies record`."""

from __future__ import annotations

import argparse
import sys

from tests.support import permissions


def main(arguments: list[str] | None = None) -> int:
    """Add what the runs asked for, or with `--replace` list nothing else; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.policies", description=__doc__)
    parser.add_argument("command", choices=["record"])
    parser.add_argument(
        "--replace", action="store_true", help="after `make test nightly`: leave out what no playbook asks for any more"
    )
    options = parser.parse_args(arguments)
    before, kept = permissions.committed(), permissions.kept()
    if not kept:
        sys.stderr.write("Nothing was recorded since the last time: run the playbooks' tests first.\n")
        return 1
    after = kept if options.replace else before | kept
    permissions.write(after)
    for file in permissions.SEEN.glob("*.json"):
        file.unlink()
    sys.stdout.write(f"{len(after - before)} calls more, {len(before - after)} less, {len(after)} in all\n")
    known = permissions.unrecorded().keys() & {(each.principal, each.question.action) for each in after}
    for principal, action in sorted(known):
        sys.stdout.write(f"recorded by now, see whether unrecorded.yml still needs it: {principal} {action}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
