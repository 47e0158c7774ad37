#!/bin/sh
# Installs packages and torch's CPU build into a new virtual environment: install-packages-cpu.sh TARGET CONTEXT REQUIREMENTS.
# Runs inside an image build only. REQUIREMENTS is a path below CONTEXT.
set -eu
target=$1
context=$2
requirements=$3

export UV_CACHE_DIR=/opt/uv-cache UV_HTTP_TIMEOUT=180 UV_LINK_MODE=hardlink
if [ -f /run/secrets/ca-bundle ]; then export SSL_CERT_FILE=/run/secrets/ca-bundle; fi

uv() { /opt/uv/bin/uv "$@"; }
uv venv -q --python /usr/bin/python3 "$target"
# Compiled with their dependencies and hashes, so nothing is left to resolve.
uv pip install -q --python "$target" --no-deps --require-hashes -r "$context/$requirements"
# torch is apart: its CPU build is not on the Python index. A wheel that the machine's pip was given wins; else uv knows PyTorch's own index.
if ls "$context"/wheels/torch-2.13.0+cpu-*.whl >/dev/null 2>&1; then
    uv pip install -q --python "$target" --no-deps "$context"/wheels/torch-2.13.0+cpu-*.whl
else
    uv pip install -q --python "$target" --no-deps --torch-backend cpu torch==2.13.0
fi
rm -rf "$UV_CACHE_DIR"
