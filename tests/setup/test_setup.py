"""`.ci/setup` installs what is locked, from whatever form of package index a machine has."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.package_index import Form, PackageIndex, Wheel
from tests.setup.project import Locked, Project

ALPHA, BETA, GAMMA, LATER = (Wheel(name, "1.0") for name in ("alpha", "beta", "gamma", "later"))
LOCK = (
    Locked(ALPHA),
    Locked(BETA, marker='extra == "more"'),
    Locked(GAMMA, group="dev"),
    Locked(LATER, marker='python_version >= "3.99"'),
)
# All but the one for a later Python.
INSTALLED = {"alpha": "1.0", "beta": "1.0", "gamma": "1.0"}
DONE = re.compile(
    r"setup: installing the locked packages into \.venv with Python 3\.\d+\.\S+ \(minutes and 1 GB on a first run\)\n"
    r"setup: done \(\d+ s\)\n"
)


@pytest.fixture(scope="module")
def virtualenv_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return what virtualenv keeps from one run to the next."""
    return tmp_path_factory.mktemp("virtualenv")


@pytest.fixture
def project(tmp_path: Path, virtualenv_data: Path) -> Project:
    """Return a project with a space in its path."""
    folder = tmp_path / "a project"
    folder.mkdir()
    project = Project(folder, virtualenv_data)
    project.lock(*LOCK)
    return project


@pytest.fixture
def index(request: pytest.FixtureRequest, project: Project) -> Iterator[PackageIndex]:
    """Serve what is locked from an index; the project's pip is configured with it."""
    with PackageIndex(getattr(request, "param", Form.PYTHON_INDEX), [ALPHA, BETA, GAMMA, LATER]) as index:
        project.environment["PIP_INDEX_URL"] = index.url
        yield index
        index.release()


# In `make check`: the form that Poetry's own installer fails with.
QUICK = {Form.WITHOUT_RELEASE_JSON}
FORMS = [pytest.param(form, id=form.name, marks=[] if form in QUICK else pytest.mark.slow) for form in Form]


@pytest.mark.parametrize("index", FORMS, indirect=True)
def test_every_form_of_index_will_do(project: Project, index: PackageIndex) -> None:
    """The locked set is there, with its extra, its groups and its markers; the reader sees two lines."""
    result = project.setup(PIP_EXTRA_INDEX_URL="file:///nowhere/simple")

    assert result.returncode == 0, result.stderr
    assert DONE.fullmatch(result.stderr)
    assert result.stdout == ""
    assert project.installed() == INSTALLED
    # pip had something to say of the folder that is not there.
    assert "WARNING: Location 'file:///nowhere/simple/alpha/' is ignored" in project.log.read_text()


@pytest.mark.slow
def test_packages_may_come_from_a_folder(project: Project, index: PackageIndex, tmp_path: Path) -> None:
    """What pip's `find-links` names need not be in the index."""
    index.wheels.remove(BETA)
    folder = tmp_path / "wheels"
    folder.mkdir()
    (folder / BETA.filename).write_bytes(BETA.content())

    result = project.setup(PIP_FIND_LINKS=str(folder))

    assert result.returncode == 0, result.stderr
    assert project.installed() == INSTALLED


@pytest.mark.slow
def test_a_second_run_does_nothing(project: Project, index: PackageIndex) -> None:
    """Nor does one after a change of pyproject.toml that is none of the packages ask the index."""
    assert project.setup().returncode == 0
    index.requests.clear()
    python = project.folder / ".venv/bin/python"
    made = python.lstat().st_mtime_ns

    again = project.setup()
    with (project.folder / "pyproject.toml").open("a") as file:
        file.write("\n[tool.ruff]\nline-length = 120\n")
    after_a_change = project.setup()

    assert (again.returncode, again.stderr, again.stdout) == (0, "", "")
    assert (after_a_change.returncode, after_a_change.stderr, after_a_change.stdout) == (0, "", "")
    assert index.requests == []
    assert python.lstat().st_mtime_ns == made


@pytest.mark.slow
@pytest.mark.parametrize(
    "index",
    [pytest.param(Form.PYTHON_INDEX, id="json"), pytest.param(Form.HTML_ONLY, id="html")],
    indirect=True,
)
def test_a_file_that_is_not_the_locked_one_is_refused(project: Project, index: PackageIndex) -> None:
    """Nothing is installed, and the message names the package and the reason."""
    index.altered.add(GAMMA)

    result = project.setup()

    assert result.returncode == 1
    assert "setup: Installing the locked packages failed." in result.stderr
    assert "gamma==1.0" in result.stderr
    assert GAMMA.sha256 in result.stderr
    assert "setup: the package index served a file that is not the locked one" in result.stderr
    assert "done" not in result.stderr
    assert project.installed() == {}


@pytest.mark.slow
def test_a_failed_update_leaves_the_environment_as_it_was(project: Project, index: PackageIndex) -> None:
    """The next run makes good for it; what is no longer locked is then gone."""
    index.wheels += [Wheel("epsilon", "1.0")]
    project.lock(Locked(ALPHA, needs=["epsilon"]), *LOCK[1:], Locked(Wheel("epsilon", "1.0")))
    assert project.setup().returncode == 0
    before = {**INSTALLED, "epsilon": "1.0"}
    assert project.installed() == before

    newer = Wheel("alpha", "1.1")
    project.lock(Locked(newer), *LOCK[1:])
    refused = project.setup()
    assert refused.returncode == 1
    assert "No matching distribution found for alpha==1.1" in refused.stderr
    assert "setup: the package index lacks this version" in refused.stderr
    assert project.installed() == before

    index.wheels.append(newer)
    # make puts the environment's own Python first, which is gone while another environment is made.
    result = project.setup(PYTHON=str(project.folder / ".venv/bin/python"))
    assert result.returncode == 0, result.stderr
    assert project.installed() == {**INSTALLED, "alpha": "1.1"}


@pytest.mark.slow
@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGINT], ids=lambda sent: sent.name)
def test_an_interrupted_run_is_made_good_by_the_next(
    project: Project, index: PackageIndex, sent: signal.Signals
) -> None:
    """Interrupted while a file is on its way, at the first set-up."""
    index.holding.set()
    interrupted = project.start_setup()
    assert index.held.wait(timeout=60)
    os.killpg(interrupted.pid, sent)
    interrupted.communicate(timeout=60)
    assert interrupted.returncode != 0
    index.release()

    result = project.setup()

    assert result.returncode == 0, result.stderr
    assert project.installed() == INSTALLED


@pytest.mark.slow
def test_two_at_once_do_not_disturb_each_other(project: Project, index: PackageIndex) -> None:
    """The second waits for the first, and has nothing left to do."""
    index.holding.set()
    first = project.start_setup()
    assert index.held.wait(timeout=60)
    second = project.start_setup()
    time.sleep(0.3)  # long enough to reach the lock; too short would only make the test easier
    index.release()

    outputs = [process.communicate(timeout=60)[1] for process in (first, second)]

    assert (first.returncode, second.returncode) == (0, 0), outputs
    assert DONE.fullmatch(outputs[0])
    assert outputs[1] == ""
    assert project.installed() == INSTALLED


@pytest.mark.slow
def test_an_index_that_cannot_be_reached_is_named_as_the_cause(project: Project) -> None:
    """Nothing listens on port 1. What pip says of its further tries is what the message rests on."""
    result = project.setup(PIP_INDEX_URL="http://127.0.0.1:1/simple/", PIP_RETRIES="1")

    assert result.returncode == 1
    assert "setup: the package index cannot be reached" in result.stderr


@pytest.mark.slow
def test_a_lock_that_does_not_fit_the_project_is_refused(project: Project) -> None:
    """Poetry's own words say what to do."""
    pyproject = project.folder / "pyproject.toml"
    pyproject.write_text(pyproject.read_text().replace("alpha (>=1.0)", "alpha (>=2.0)"))

    result = project.setup()

    assert result.returncode == 1
    assert "setup: Reading poetry.lock failed." in result.stderr
    assert "poetry lock" in result.stderr
