#!/bin/sh
# Installs the CPU engine into a virtual environment: install-cpu.sh TARGET CONTEXT LAYERS. Runs inside the image build only.
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
uv pip install -q --python "$target" --no-deps --require-hashes -r "$context/docker/vllm/requirements-cpu.txt"
# torch is apart: its CPU build is not on the Python index. A wheel that the machine's pip was given wins; else uv knows PyTorch's own index.
if ls "$context"/wheels/torch-2.13.0+cpu-*.whl >/dev/null 2>&1; then
    uv pip install -q --python "$target" --no-deps "$context"/wheels/torch-2.13.0+cpu-*.whl
else
    uv pip install -q --python "$target" --no-deps --torch-backend cpu torch==2.13.0
fi
rm -rf "$UV_CACHE_DIR"

# vLLM's kernels come with 330 MB of debugging information; torch brings its tests and the headers for compiling against it.
strip --strip-unneeded "$packages"/vllm/*.so
rm -rf "$packages/torch/test" "$packages/torch/include" "$packages"/torch/bin/test_* "$packages"/torch/bin/protoc* \
    "$packages"/torch/bin/*Test "$packages"/mistral_common/data/tekken_* "$packages/pycountry/locales"
find "$target/lib" -maxdepth 1 \( -name '*.a' -o -name '*.dbg' \) -delete

# Importing is the proof that what was left out is not missed, and it leaves the byte code behind: without it every start takes twice as long.
"$target/bin/python3" -c '
import importlib
for module in """
    vllm.entrypoints.openai.api_server vllm.v1.engine.async_llm vllm.v1.engine.core vllm.v1.executor.uniproc_executor
    vllm.v1.worker.cpu_worker vllm.v1.worker.cpu_model_runner vllm.v1.attention.backends.cpu_attn vllm.platforms.cpu
    vllm.model_executor.models.llama vllm.model_executor.model_loader.default_loader vllm.lora.worker_manager
    vllm.lora.punica_wrapper.punica_cpu vllm.v1.structured_output.backend_xgrammar xgrammar transformers.models.llama
    transformers.models.llama.configuration_llama transformers.models.auto.tokenization_auto vllm._C
""".split():
    importlib.import_module(module)
'
# What an engine imports only while it starts.
for package in compressed_tensors interegular jmespath lmformatenforcer loguru model_hosting_container_standards pydantic/v1 \
    prometheus_fastapi_instrumentator uvicorn vllm/entrypoints websockets; do
    "$target/bin/python3" -m compileall -q "$packages/$package"
done

mkdir -p "$layers/torch$packages" "$layers/rest$(dirname "$target")"
mv "$packages/torch" "$layers/torch$packages/"
mv "$target" "$layers/rest$target"
