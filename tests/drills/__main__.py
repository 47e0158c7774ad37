"""Run all fault drills; their table, in Markdown, is at the end of what is printed: `python -m tests.drills`.

Takes pytest's own arguments, such as `-k registry`. Exit code: pytest's.
"""

import sys

import pytest

# Those with the stand-in beside those with vLLM, each kind in a region of its own.
AT_ONCE = ("-n", "2", "--dist", "loadscope")
FILES = ("tests/drills", "tests/playbooks/test_failed_deployment.py")


def main(arguments: list[str]) -> int:
    """Run them; give the exit code."""
    if {"-h", "--help"} & set(arguments):
        sys.stdout.write(__doc__ or "")
        return 0
    return int(pytest.main([*AT_ONCE, *FILES, *arguments]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
