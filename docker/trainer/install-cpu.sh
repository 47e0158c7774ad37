#!/bin/sh
# Installs the CPU trainer's packages into a virtual environment: install-cpu.sh TARGET CONTEXT LAYERS. Runs inside the image build only.
# LAYERS gets two folders, torch/ and rest/, that together are the environment: layers are compressed and transferred side by side.
set -eu
target=$1
context=$2
layers=$3
packages=$target/lib/python3.11/site-packages

sh "$context/docker/install-packages-cpu.sh" "$target" "$context" docker/trainer/requirements.txt

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
