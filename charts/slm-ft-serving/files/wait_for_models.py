"""Waits until every folder of a model that is named as an argument is on the volume.

It is handed to the engine's own Python as a text: nothing but the standard library. A folder gets its name when it is
whole, and a manifest says so.
"""

import sys
import time
from pathlib import Path

POLL_SECONDS = 1.0


def main() -> int:
    """Wait, and say for what."""
    told: list[str] = []
    while missing := [folder for folder in sys.argv[1:] if not (Path(folder) / ".manifest.json").is_file()]:
        if missing != told:
            sys.stderr.write(f"waiting for {', '.join(missing)}: the Job whose name has -models- in it brings them\n")
            told = missing
        time.sleep(POLL_SECONDS)
    return 0


if __name__ == "__main__":
    sys.exit(main())
