"""Whether a file was signed with one known key; GnuPG decides, in a home of its own."""

from __future__ import annotations

import tempfile
from pathlib import Path

from ansible_collections.slm.serving.plugins.module_utils.process import StackError, last_line, run

# A status line of gpg: [GNUPG:] VALIDSIG and nine or more fields, of which the last is the primary key's fingerprint.
VALID = "[GNUPG:] VALIDSIG "
TIMEOUT = 60


def check_signature(file: Path, signature: Path, keys: Path, fingerprint: str) -> None:
    """Raise StackError unless a file has a valid signature by the key of a fingerprint.

    What else is in the file of keys does not count: only a signature by that key is accepted.

    Args:
        file: what was signed.
        signature: beside it.
        keys: where the key is, armoured or not.
        fingerprint: of the primary key.
    """
    expected = fingerprint.replace(" ", "").upper()
    with tempfile.TemporaryDirectory() as home:
        command = ["gpg", "--batch", "--no-options", "--no-autostart", "--homedir", home, "--trust-model", "always"]
        command += ["--no-default-keyring", "--keyring", str(Path(home) / "keys.kbx"), "--status-fd", "1"]
        imported = run([*command, "--import", str(keys)], TIMEOUT)
        if imported.returncode != 0:
            raise StackError(f"the signing key cannot be read: {last_line(imported.stderr)}")
        checked = run([*command, "--verify", str(signature), str(file)], TIMEOUT)
    signers = [line.split()[-1] for line in checked.stdout.splitlines() if line.startswith(VALID)]
    if checked.returncode != 0 or signers != [expected]:
        by = f"it is signed by {' and '.join(signers)}" if signers else last_line(checked.stderr)
        raise StackError(
            f"{file.name} was not installed, as it has no valid signature by the key {expected}: {by}. If its owner"
            " changed the key and says so, change the fingerprint"
        )
