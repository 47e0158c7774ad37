#!/usr/bin/env -S python3 -I -S
"""Fake of dpkg-query, dkms and snap, by the name that it is called by, as far as updates are looked at.

Started without the site packages, which take long to find. FAKE_UPDATES is a JSON file with `packages` (name, what is
wanted, status), `dkms` (lines of its status) and `snaps` (name and notes).
"""

import fnmatch
import json
import os
import sys
from pathlib import Path


def main() -> int:
    """Answer one call."""
    state = json.loads(Path(os.environ["FAKE_UPDATES"]).read_text(encoding="utf-8"))
    program, last = Path(sys.argv[0]).name, sys.argv[-1]
    if program == "dkms":
        sys.stdout.write("".join(f"{line}\n" for line in state["dkms"]))
        return 0
    if program == "snap":
        if last not in state["snaps"]:
            sys.stderr.write("error: no matching snaps installed\n")
            return 1
        sys.stdout.write("Name  Version  Rev  Tracking  Publisher  Notes\n")
        sys.stdout.write(f"{last}  3.3.4793.0  9881  latest/stable  aws**  {state['snaps'][last]}\n")
        return 0
    found = [each for each in state["packages"] if fnmatch.fnmatch(each[0], last)]
    sys.stdout.write("".join(" ".join(each) + "\n" for each in found))
    return 0 if found else 1


if __name__ == "__main__":
    sys.exit(main())
