"""The engines that the playbooks deploy: which there are, and what sets one apart from the other.

For the controller and for the instance.
"""

from __future__ import annotations

# By the setting engine/kind; the first is the default.
VLLM, LLAMACPP = ENGINES = ("vllm", "llamacpp")
# What each can compute on; the first is the default.
ACCELERATORS = {VLLM: ("gpu", "cpu"), LLAMACPP: ("cpu",)}
# Metrics that count the tokens of answers, and of prompts, each engine's.
GENERATED_TOKENS = ("vllm:generation_tokens_total", "llamacpp:tokens_predicted_total")
PROMPT_TOKENS = ("vllm:prompt_tokens_total", "llamacpp:prompt_tokens_total")
