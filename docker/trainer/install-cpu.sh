#!/bin/sh
# Installs the CPU trainer's packages into a virtual environment: install-cpu.sh TARGET CONTEXT LAYERS. Runs inside the image build only.
# LAYERS gets two folders, torch/ and rest/, that together are the environment: layers are compressed and transferred side by side.
set -eu
target=$1
context=$2
layers=$3
packages=$target/lib/python3.11/site-packages

export UV_CACHE_DIR=/opt/uv-cache UV_HTTP_TIMEOUT=180 UV_LINK_MODE=hardlink
if [ -f /run/secrets/ca-bundle ]; then export SSL_CERT_FILE=/run/secrets/ca-bundle; fi

uv() { /opt/uv/bin/uv "$@"; }
uv venv -q --python /usr/bin/python3 "$target"
# Compiled with their dependencies and hashes, so nothing is left to resolve.
uv pip install -q --python "$target" --no-deps --require-hashes -r "$context/docker/trainer/requirements.txt"
# torch is apart: its CPU build is not on the Python index. A wheel that the machine's pip was given wins; else uv knows PyTorch's own index.
if ls "$context"/wheels/torch-2.13.0+cpu-*.whl >/dev/null 2>&1; then
    uv pip install -q --python "$target" --no-deps "$context"/wheels/torch-2.13.0+cpu-*.whl
else
    uv pip install -q --python "$target" --no-deps --torch-backend cpu torch==2.13.0
fi
rm -rf "$UV_CACHE_DIR"

# Tests and headers for compiling against it.
rm -rf "$packages/torch/test" "$packages/torch/include" "$packages"/torch/bin/test_* "$packages"/torch/bin/protoc*

# Importing is the proof that what was left out is not missed, and it leaves the byte code behind.
"$target/bin/python3" -c '
import importlib
for module in "torch transformers.trainer transformers.models.llama peft matplotlib.pyplot torch.utils.tensorboard huggingface_hub".split():
    importlib.import_module(module)
'

mkdir -p "$layers/torch$packages" "$layers/rest$(dirname "$target")"
mv "$packages/torch" "$layers/torch$packages/"
mv "$target" "$layers/rest$target"
