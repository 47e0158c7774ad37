#!/bin/sh
# Installs the CPU engine into a virtual environment: install-cpu.sh TARGET CONTEXT LAYERS. Runs inside the image build only.
# LAYERS gets two folders, torch/ and rest/, that together are the environment: layers are compressed and transferred side by side.
set -eu
target=$1
context=$2
layers=$3
packages=$target/lib/python3.11/site-packages

sh "$context/docker/install-packages-cpu.sh" "$target" "$context" docker/vllm/requirements-cpu.txt

# vLLM's kernels come with 330 MB of debugging information; torch brings its tests and the headers for compiling against it.
strip --strip-unneeded "$packages"/vllm/*.so
rm -rf "$packages/torch/test" "$packages/torch/include" "$packages"/torch/bin/test_* "$packages"/torch/bin/protoc* \
    "$packages"/torch/bin/*Test "$packages"/mistral_common/data/tekken_* "$packages/pycountry/locales"
find "$target/lib" -maxdepth 1 \( -name '*.a' -o -name '*.dbg' \) -delete

# Importing is the proof that what was left out is not missed, and it leaves the byte code behind: without it every start takes twice as long.
"$target/bin/python3" -c '
import importlib
for module in """
    vllm.entrypoints.launchers.api_server.entry vllm.v1.engine.async_llm vllm.v1.engine.core vllm.v1.executor.uniproc_executor
    vllm.v1.worker.cpu_worker vllm.v1.worker.cpu_model_runner vllm.v1.attention.backends.cpu_attn vllm.platforms.cpu
    vllm.model_executor.models.llama vllm.model_executor.model_loader.default_loader vllm.lora.worker_manager
    vllm.lora.punica_wrapper.punica_cpu vllm.v1.structured_output.backend_xgrammar xgrammar transformers.models.llama
    transformers.models.llama.configuration_llama transformers.models.auto.tokenization_auto
""".split():
    importlib.import_module(module)

import torch
from vllm.platforms.cpu import CpuPlatform
# It loads the kernels for the instructions that this machine has; a second set of them would be refused.
CpuPlatform.import_kernels()
torch.ops._C.rms_norm
'
# What an engine imports only while it starts.
for package in compressed_tensors interegular jmespath lmformatenforcer loguru model_hosting_container_standards pydantic/v1 \
    prometheus_fastapi_instrumentator uvicorn vllm/entrypoints websockets; do
    "$target/bin/python3" -m compileall -q "$packages/$package"
done

mkdir -p "$layers/torch$packages" "$layers/rest$(dirname "$target")"
mv "$packages/torch" "$layers/torch$packages/"
mv "$target" "$layers/rest$target"
