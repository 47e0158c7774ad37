"""What an engine can hold and how fast it can be: computed from the model's and the GPU's figures, nothing measured.

    python -m tests.benchmarks.capacity

Takes the profiles, the price and the length of a prompt from the roles, so that a changed profile changes the table.
Speeds are bounds: a token takes at least the time in which the GPU's memory is read once, a prompt at least its
multiplications. Real engines stay below. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Any

import yaml

from tests.support import role_variables
from tests.support.tables import BENCHMARKS, add_write_option, publish

BF16, FP8, FP32 = 2, 1, 4  # bytes


@dataclass(frozen=True)
class Model:
    """A model of Llama's architecture.

    Attributes:
        layers: `num_hidden_layers` of its config.json; the others likewise.
        hidden: `hidden_size`.
        intermediate: `intermediate_size`.
        heads: `num_attention_heads`.
        kv_heads: `num_key_value_heads`.
        vocabulary: `vocab_size`; input and output embeddings are apart.
    """

    layers: int
    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    vocabulary: int

    @property
    def head(self) -> int:
        """Dimension of a head."""
        return self.hidden // self.heads

    @property
    def projections(self) -> list[tuple[int, int]]:
        """Inputs and outputs of a layer's matrices: q, k, v, o, gate, up, down."""
        attention, keys, wide = self.heads * self.head, self.kv_heads * self.head, self.intermediate
        return [
            *((self.hidden, attention), (self.hidden, keys), (self.hidden, keys), (attention, self.hidden)),
            *((self.hidden, wide), (self.hidden, wide), (wide, self.hidden)),
        ]

    @property
    def linear_parameters(self) -> int:
        """Parameters that FP8 quantises: all matrices of all layers."""
        return self.layers * sum(inputs * outputs for inputs, outputs in self.projections)

    @property
    def embedding_parameters(self) -> int:
        """Parameters of one of the two embeddings."""
        return self.vocabulary * self.hidden

    @property
    def parameters(self) -> int:
        """All parameters, the norms' included."""
        norms = (2 * self.layers + 1) * self.hidden
        return self.linear_parameters + 2 * self.embedding_parameters + norms

    def weight_bytes(self, *, quantised: bool) -> int:
        """Return the size of the weights in the GPU's memory; vLLM quantises neither embeddings nor norms."""
        if not quantised:
            return self.parameters * BF16
        scales = self.layers * sum(outputs for _, outputs in self.projections) * FP32
        return self.linear_parameters * FP8 + (self.parameters - self.linear_parameters) * BF16 + scales

    def read_bytes(self, *, quantised: bool) -> int:
        """Return what is read for a token: all but the input embedding, of which it is a row."""
        return self.weight_bytes(quantised=quantised) - self.embedding_parameters * BF16

    def kv_bytes(self) -> int:
        """Return the size of a token's keys and values."""
        return 2 * self.layers * self.kv_heads * self.head * BF16

    def adapter_bytes(self, rank: int) -> int:
        """Return the memory that vLLM keeps for one adapter: for every matrix, whichever the adapter has."""
        return self.layers * sum(rank * (inputs + outputs) for inputs, outputs in self.projections) * BF16


@dataclass(frozen=True)
class Gpu:
    """A GPU; bytes and seconds."""

    name: str
    memory: float
    bandwidth: float
    bf16_flops: float
    fp8_flops: float


# config.json of meta-llama/Llama-3.1-8B-Instruct.
LLAMA = Model(layers=32, hidden=4096, intermediate=14336, heads=32, kv_heads=8, vocabulary=128256)
# NVIDIA's data sheet of the L4; its TFLOPS are with sparsity, half of them without.
L4 = Gpu("L4", memory=24e9, bandwidth=300e9, bf16_flops=242e12 / 2, fp8_flops=485e12 / 2)
BLOCK_TOKENS = 16  # vLLM's default.
# Assumed: activations of one step, CUDA's context and graphs. vLLM measures it in a trial run and prints what is left.
RESERVE_BYTES = 1.0e9
# AWS's pages about gp3: without paying for more, and with 500 of them. MiB/s.
THROUGHPUTS = (125, 500)
# Assumed: a note of 2 KB with its prompt, and an answer with all seven fields.
PROMPT_TOKENS, ANSWER_TOKENS = 600, 100
# The gateway's default of GATEWAY_MAX_CONCURRENCY.
GATEWAY_CONCURRENCY = 32


def tokens_that_fit(kv_memory: float, model: Model) -> int:
    """Return vLLM's "GPU KV cache size": whole blocks only.

    Args:
        kv_memory: vLLM's "Available KV cache memory", in bytes.
        model: Whose tokens they are.
    """
    return int(kv_memory // (model.kv_bytes() * BLOCK_TOKENS)) * BLOCK_TOKENS


@dataclass(frozen=True)
class Capacity:
    """What one profile can do with a model on a GPU.

    Attributes:
        options: The engine's, the common ones under the profile's.
        max_model_len: Tokens of prompt and answer together.
        price: USD for an hour.
    """

    options: dict[str, Any]
    max_model_len: int
    price: float
    model: Model = LLAMA
    gpu: Gpu = L4

    @property
    def quantised(self) -> bool:
        """Whether the weights are FP8."""
        return str(self.options.get("quantization", "")).startswith("fp8")

    @property
    def kv_memory(self) -> float:
        """What is left for keys and values."""
        usable = self.gpu.memory * self.options["gpu-memory-utilization"]
        adapters = self.options["max-loras"] * self.model.adapter_bytes(self.options["max-lora-rank"])
        return float(usable - self.model.weight_bytes(quantised=self.quantised) - adapters - RESERVE_BYTES)

    @property
    def tokens(self) -> int:
        """Tokens that fit into the KV cache."""
        return tokens_that_fit(self.kv_memory, self.model)

    @property
    def longest_at_once(self) -> float:
        """Requests of the greatest length at once, as vLLM's "Maximum concurrency" says."""
        return self.tokens / self.max_model_len

    @property
    def notes_at_once(self) -> int:
        """Notes that the engine works on at once."""
        fitting = self.tokens // (PROMPT_TOKENS + ANSWER_TOKENS)
        return int(min(fitting, self.options["max-num-seqs"], GATEWAY_CONCURRENCY))

    def load_seconds(self, throughput: float) -> float:
        """Return how long the base is read from the volume; FP8 is made of the same bf16 files.

        Args:
            throughput: The volume's, in MiB/s.
        """
        return self.model.weight_bytes(quantised=False) / (throughput * 2**20)

    def step_seconds(self, notes: int) -> float:
        """Return the least time in which each of some notes gets its next token."""
        context = PROMPT_TOKENS + ANSWER_TOKENS / 2
        read = self.model.read_bytes(quantised=self.quantised) + notes * context * self.model.kv_bytes()
        return read / self.gpu.bandwidth

    def prompt_seconds(self) -> float:
        """Return the least time for a prompt: two operations for each parameter and token."""
        flops = self.gpu.fp8_flops if self.quantised else self.gpu.bf16_flops
        return 2 * self.model.linear_parameters * PROMPT_TOKENS / flops

    def alone_seconds(self) -> float:
        """Return the least time for a note when there is no other."""
        return self.prompt_seconds() + ANSWER_TOKENS * self.step_seconds(1)

    def notes_a_second(self) -> float:
        """Return the most notes that are answered in a second, with as many at once as it takes."""
        notes = self.notes_at_once
        return 1 / (self.prompt_seconds() + ANSWER_TOKENS * self.step_seconds(notes) / notes)

    def cost_of_1000_notes(self) -> float:
        """Return USD for 1,000 notes while the instance has nothing but notes to do."""
        return 1000 / self.notes_a_second() * self.price / 3600


def capacities() -> dict[str, Capacity]:
    """Return the capacity of each profile of a GPU on the instance that provision.yml makes."""
    folder = role_variables.ROLES / "inference_stack/files"
    length = role_variables.defaults("inference_stack")["inference_stack_engine_max_model_len"]
    price = role_variables.defaults("infrastructure")["infrastructure_price_fallback"]["instance_hour"]
    profiles = role_variables.load(role_variables.ROLES / "inference_stack/vars/main.yml")["_inference_stack_profiles"]

    def options(name: str) -> dict[str, Any]:
        files = (folder / "engine.yaml", folder / "profiles" / f"{name}.yaml")
        return {key: value for path in files for key, value in yaml.safe_load(path.read_text("utf-8")).items()}

    return {name: Capacity(options(name), length, price) for name in profiles["gpu"]}


def table(by_profile: dict[str, Capacity]) -> str:
    """Return the table, a column for each profile."""
    columns = by_profile.values()
    some = next(iter(columns))
    rows: list[tuple[str, list[str]]] = [
        ("weights, GB", [f"{each.model.weight_bytes(quantised=each.quantised) / 1e9:.1f}" for each in columns]),
        ("KV cache, GB", [f"{each.kv_memory / 1e9:.1f}" for each in columns]),
        ("tokens that fit", [f"{each.tokens:,}" for each in columns]),
        (f"requests of {some.max_model_len:,} tokens at once", [f"{each.longest_at_once:.1f}" for each in columns]),
        ("notes at once", [str(each.notes_at_once) for each in columns]),
        *(
            (f"seconds to read the base at {speed} MiB/s", [f"{each.load_seconds(speed):.0f}" for each in columns])
            for speed in THROUGHPUTS
        ),
        ("tokens a second of one note, at most", [f"{1 / each.step_seconds(1):.0f}" for each in columns]),
        ("seconds for a note alone, at least", [f"{each.alone_seconds():.1f}" for each in columns]),
        ("notes a second, at most", [f"{each.notes_a_second():.1f}" for each in columns]),
        ("USD for 1,000 notes, at least", [f"{each.cost_of_1000_notes():.2f}" for each in columns]),
    ]
    head = [f"| Llama 3.1 8B on one {some.gpu.name}, computed | {' | '.join(f'`{name}`' for name in by_profile)} |"]
    head += ["|---|" + "---:|" * len(by_profile)]
    return "\n".join([*head, *(f"| {label} | {' | '.join(values)} |" for label, values in rows)])


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.capacity",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_write_option(parser, BENCHMARKS)
    args = parser.parse_args()
    publish(table(capacities()), args.write, parser.prog)


if __name__ == "__main__":
    main()
