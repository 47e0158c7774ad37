"""A text becomes the chat messages that the adapter was trained on."""

import re
from functools import lru_cache

from gateway.tasks import Prompt, Task

Messages = list[dict[str, str]]

# The engine's tokenizer reads these anywhere in a prompt: a text that holds one could end the user's turn and speak for
# the system. A space inside takes that power away and leaves the words readable.
_SPECIAL_TOKEN = re.compile(r"<(?=\|[A-Za-z0-9_]{1,64}\|>)")


def build_messages(task: Task, text: str) -> Messages:
    """Build the chat messages for one text.

    Args:
        task: whose prompt to use.
        text: the text, any length that the engine takes.

    Returns:
        A system and a user message. Where the text holds chat-control tokens such as `<|eot_id|>`, a space is put into
        them; nothing else is changed.
    """
    system, before, after = _around(task.prompt)
    if "<|" in text:
        text = _SPECIAL_TOKEN.sub("< ", text)
    return [{"role": "system", "content": system}, {"role": "user", "content": f"{before}{text}{after}"}]


@lru_cache(maxsize=256)
def _around(prompt: Prompt) -> tuple[str, str, str]:
    """Return the system prompt, and what stands before and after the text in the user's message."""
    before, after = prompt.template.split("{text}")
    return (
        prompt.system,
        before.replace("{instruction}", prompt.instruction),
        after.replace("{instruction}", prompt.instruction),
    )
