"""Files are written whole, with the permissions that were asked for."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.testing import patch_module_args
from ansible_collections.slm.serving.plugins.module_utils.files import write_file


@pytest.fixture
def module() -> Any:
    """Return a module that takes no options."""
    with patch_module_args({}):
        return AnsibleModule(argument_spec={})


@pytest.mark.parametrize("present", [True, False])
def test_file_has_content_and_permissions_and_nothing_is_left_beside_it(
    tmp_path: Path, module: Any, present: bool
) -> None:
    path = tmp_path / "folder" / "file"
    if present:
        path.parent.mkdir()
        path.write_text("old")
        path.chmod(0o600)
    write_file(module, path, "new", 0o640)
    assert path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert list(path.parent.iterdir()) == [path]


def test_link_is_replaced_and_its_target_untouched(tmp_path: Path, module: Any) -> None:
    path, target = tmp_path / "link", tmp_path / "target"
    target.write_text("target")
    path.symlink_to(target)
    write_file(module, path, b"new")
    assert not path.is_symlink()
    assert (path.read_text(), target.read_text()) == ("new", "target")


def test_failure_leaves_the_old_file_and_nothing_beside_it(
    tmp_path: Path, module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise SystemExit(1)

    path = tmp_path / "file"
    path.write_text("old")
    monkeypatch.setattr(module, "atomic_move", fail)
    with pytest.raises(SystemExit):
        write_file(module, path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
