"""How `pytest -n` spreads the tests over its processes: those that share a region stay together."""

from pathlib import PurePosixPath

from xdist.scheduler import LoadScopeScheduling

# Their conftest makes a region for all files,
SHARED = {"tests/drills", "tests/playbooks"}
# but these have regions of their own.
APART = {
    "tests/playbooks/test_controller.py",
    "tests/playbooks/test_empty_account.py",
    "tests/playbooks/test_finetune.py",
    "tests/playbooks/test_provision.py",
}
# Here each test has one.
EACH = "tests/roles/test_molecule.py"


def group(nodeid: str) -> str:
    """Gives what has to stay in one process with a test: its folder, its file, or nothing else."""
    file = nodeid.partition("::")[0]
    if file == EACH:
        return nodeid
    folder = PurePosixPath(file).parent.as_posix()
    return folder if folder in SHARED and file not in APART else file


class Scheduling(LoadScopeScheduling):  # type: ignore[misc] # pytest-xdist ships no types
    """pytest-xdist's `loadscope` with these groups; its own `loadgroup` marks no test under pytest 9.2."""

    def _split_scope(self, nodeid: str) -> str:
        return group(nodeid)
