#!/usr/bin/env -S python3 -I -S
"""Fake of systemctl, as far as its versions differ in what `show` takes and prints.

Put on PATH as `systemctl`; started without the site packages, which take long to find. FAKE_SYSTEMD is a JSON file with
`version` (249 as on Ubuntu 22.04, or later) and `properties` by name. As systemd does it: `--timestamp=unix` came with
251, and a property that a unit has not got is left out.
"""

import json
import os
import sys
from pathlib import Path

STYLES = {"pretty", "utc", "us", "us+utc"}


def main() -> int:
    """Answer one call."""
    state = json.loads(Path(os.environ["FAKE_SYSTEMD"]).read_text(encoding="utf-8"))
    wanted: list[str] = []
    arguments = iter(sys.argv[1:])
    for argument in arguments:
        option, _, value = argument.partition("=")
        if option == "--property":
            wanted += (value or next(arguments)).split(",")
        if option == "--timestamp" and value not in STYLES | ({"unix"} if state["version"] >= 251 else set()):
            sys.stderr.write(f"Invalid value: {value}.\n")
            return 1
    properties = state["properties"]
    sys.stdout.write("".join(f"{name}={properties[name]}\n" for name in properties if name in wanted))
    return 0


if __name__ == "__main__":
    sys.exit(main())
