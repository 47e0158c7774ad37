#!/usr/bin/env bash
# What the set-up scripts share; they source it from the repository's root, with `set -euo pipefail`.

log=build/$(basename "$0").log
step_log=$log.step

# pip's output goes into a log, so it must not wait for an answer; and nothing outside an environment belongs in it.
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_USER=0
unset PYTHONHOME PYTHONPATH

say() { printf '%s: %s\n' "$(basename "$0")" "$*" >&2; }
die() { say "$*"; exit 1; }

start_log() {
    mkdir -p build
    : >"$log"
}

checksum() { cat "$@" | cksum; }

# has_stamp ENVIRONMENT [STAMP]: true if the environment was finished (with this stamp) and its Python still runs.
has_stamp() {
    local stamp
    stamp=$(cat "$1/.installed" 2>/dev/null) && [ "${2-$stamp}" = "$stamp" ] && "$1/bin/python" -c '' 2>/dev/null
}

# step WHAT COMMAND...: runs a command with its output in the log. If it fails, shows the end of that and what to do.
step() {
    local what=$1 status=0 advice=""
    shift
    "$@" >"$step_log" 2>&1 </dev/null || status=$?
    { printf '$ %s\n' "$*"; cat "$step_log"; } >>"$log" || true
    if [ $status -ne 0 ]; then
        say "$what failed. The end of its output, all of it in $PWD/$log:"
        # pip prints a line for each package and absent folder of wheels, and every hash that would have done.
        sed -e "/^WARNING: Location '.*' is ignored/d" -e '/^ *or *[0-9a-f]\{64\}$/d' -e 's/^/    /' "$step_log" |
            tail -n 15 >&2
        advice=$(advise)
    fi
    rm -f "$step_log"
    [ $status -eq 0 ] || die "$advice"
}

is_disk_full() { [ "$(df -Pk . | awk 'END { print $4 }')" -lt 1024 ]; }

# What to do after a failure, by the words of pip and the system in its output.
advise() {
    has() { grep -q -e "$1" "$step_log"; }
    # Where nothing more can be written, not even the reason is in the output.
    if has 'No space left on device' || has 'Disk quota exceeded' || is_disk_full; then
        echo "the disk is full. Make room (df -h .), then run this again."
    elif has 'DO NOT MATCH THE HASHES'; then
        echo "the package index served a file that is not the locked one; nothing of it was installed. If it does so again,
  use another index (PIP_INDEX_URL=...). Lock other hashes only if you know why the file changed."
    elif has 'CERTIFICATE_VERIFY_FAILED'; then
        echo "the package index has a certificate of an authority that pip does not trust. If it is your own:
  export PIP_CERT=/path/to/bundle.pem"
    elif has 'connection broken by' || has 'Name or service not known'; then
        echo "the package index cannot be reached. Check the network; pip must know a proxy or a mirror: HTTPS_PROXY,
  PIP_INDEX_URL or pip.conf. 'python3 -m pip config list' shows what it knows."
    elif has 'No matching distribution found'; then
        echo "the package index lacks this version, or a build of it for this Python. Use another index or Python:
  PIP_INDEX_URL=... PYTHON=/path/to/python3.13. 'python3 -m pip config list' shows pip's settings."
    else
        echo "not finished; run this again when the cause is gone."
    fi
}

# True if a Python runs and is of version 3.MINOR or later. A shim of pyenv's may be on PATH and still fail.
is_recent() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, int(sys.argv[1])))' "$2" >/dev/null 2>&1; }
is_suitable() { is_recent "$1" "$2" && "$1" -c 'import venv, ensurepip' >/dev/null 2>&1; }

# find_python MINOR VERSION...: prints the path of a Python 3.MINOR or later, the first that is there of these versions.
# PYTHON, if set, decides.
find_python() {
    local minor=$1 version candidate root incomplete=""
    shift
    if [ -n "${PYTHON:-}" ]; then
        is_suitable "$PYTHON" "$minor" ||
            die "PYTHON=$PYTHON is no Python 3.$minor or later with the modules venv and ensurepip"
        command -v "$PYTHON"
        return
    fi
    root=${PYENV_ROOT:-$(pyenv root 2>/dev/null || printf '%s' "$HOME/.pyenv")}
    for version in "$@" 3; do
        for candidate in "python$version" "$root/versions/$version".*/bin/python; do
            if is_suitable "$candidate" "$minor"; then
                command -v "$candidate"
                return
            elif is_recent "$candidate" "$minor"; then
                incomplete=$(command -v "$candidate")
            fi
        done
    done
    [ -z "$incomplete" ] || die "$incomplete lacks the module venv or ensurepip.
  Debian and Ubuntu: apt-get install python3-venv
Or name another Python: make PYTHON=/path/to/python3.$minor ..."
    die "needs Python 3.$minor or later with venv, and there is none.
  Debian 13, Ubuntu 24.04 or later: apt-get install python3 python3-venv
  Amazon Linux 2023:                dnf install python3.13
  macOS:                            brew install python@3.13
  elsewhere:                        pyenv install 3.13
Or name one: make PYTHON=/path/to/python3.13 ..."
}

# False if the caller named a Python of another version than the one in this environment.
is_the_named_python() {
    local version='import sys; print(sys.version_info[:2])'
    [ -z "${PYTHON:-}" ] || [ "$("$1" -c "$version")" = "$("$PYTHON" -c "$version")" ]
}
