"""Llama 3's chat format: its special tokens and its template."""

BEGIN, END = "<|begin_of_text|>", "<|end_of_text|>"
HEADER_START, HEADER_END, TURN_END = "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"
PADDING = "<|finetune_right_pad_id|>"
SPECIAL_TOKENS = (BEGIN, END, HEADER_START, HEADER_END, TURN_END, PADDING)

# Llama 3's chat format without the date that Llama 3.1's template puts into the system turn: training never had it.
CHAT_TEMPLATE = (
    "{{ '<|begin_of_text|>' }}{% for message in messages %}"
    "{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' }}"
    "{{ message['content'] + '<|eot_id|>' }}"
    "{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}"
)


def header(role: str) -> str:
    """Return the header of a message by `role`."""
    return f"{HEADER_START}{role}{HEADER_END}\n\n"


def turn(role: str, content: str) -> str:
    """Return a complete message by `role`."""
    return f"{header(role)}{content}{TURN_END}"
