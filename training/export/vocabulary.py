"""A tokenizer of the Hugging Face form as llama.cpp's.

llama.cpp cuts a text before it applies merges by rules that are compiled into it, each under a name; a file can choose
one and cannot bring its own. Llama 3's is among them. That of the small model is not: its pre-tokens that are more than
letters become tokens that llama.cpp looks for in the raw text, the longest first, where the tokenizer takes the
leftmost first. The two differ where two of them share a space, as in ` has been `.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gguf.constants import TokenType  # type: ignore[import-not-found]
from tokenizers import Tokenizer

from training.export.errors import ExportError
from training.export.weights import read_document
from training.model.tokenizer import PRE_TOKENS

_LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


@dataclass(frozen=True)
class Vocabulary:
    """What a GGUF file says of its tokenizer.

    Attributes:
        tokens: texts by number; in characters that stand for bytes, but for those that are looked for in the raw text.
        types: of the tokens.
        merges: pairs with a space between them, the first to be applied first.
        special: numbers of the tokens that begin and end a text and fill a batch, as GGUF names them.
        chat_template: Jinja.
        is_exact: whether llama.cpp cuts every text as the tokenizer does.
    """

    tokens: list[str]
    types: list[TokenType]
    merges: list[str]
    special: dict[str, int]
    chat_template: str
    is_exact: bool


def read_vocabulary(folder: Path) -> Vocabulary:
    """Read `tokenizer.json` and `tokenizer_config.json`.

    Raises:
        ExportError: llama.cpp has no tokenizer of this kind.
    """
    document, settings = read_document(folder / "tokenizer.json"), read_document(folder / "tokenizer_config.json")
    model = document.get("model") or {}
    pattern = _pattern(document)
    if model.get("type") != "BPE" or not model.get("ignore_merges") or pattern not in (_LLAMA3, PRE_TOKENS):
        raise ExportError(
            f"{folder / 'tokenizer.json'} is neither Llama 3's tokenizer nor the small model's: llama.cpp's rules for "
            "it have another name, which this command does not know; llama.cpp's own convert_hf_to_gguf.py may"
        )
    template = settings.get("chat_template")
    if not isinstance(template, str):
        raise ExportError(f"{folder / 'tokenizer_config.json'} has no chat_template")
    special = {token["content"]: token["id"] for token in document.get("added_tokens", [])}
    texts: dict[int, str] = {number: text for text, number in model["vocab"].items()}
    texts |= {number: text for text, number in special.items()}
    if sorted(texts) != list(range(len(texts))):
        raise ExportError(f"the tokens in {folder / 'tokenizer.json'} are not numbered without gaps")
    types = dict.fromkeys(range(len(texts)), TokenType.NORMAL) | dict.fromkeys(special.values(), TokenType.CONTROL)
    if pattern == PRE_TOKENS:
        for number, text in _raw_tokens(Tokenizer.from_file(str(folder / "tokenizer.json")), texts, types):
            texts[number], types[number] = text, TokenType.USER_DEFINED
    numbers = {f"{name}_token_id": special.get(str(settings.get(f"{name}_token"))) for name in ("bos", "eos")}
    if None in numbers.values():
        raise ExportError(f"{folder / 'tokenizer_config.json'} has no bos_token or eos_token among the special ones")
    return Vocabulary(
        tokens=[texts[number] for number in range(len(texts))],
        types=[types[number] for number in range(len(texts))],
        merges=[merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]],
        special={name: number for name, number in numbers.items() if number is not None},
        chat_template=template,
        is_exact=pattern == _LLAMA3,
    )


def _pattern(document: dict[str, Any]) -> str | None:
    """Return the expression that a text is cut with, where it is followed by nothing but the bytes' characters."""
    match (document.get("pre_tokenizer") or {}).get("pretokenizers"):
        case [
            {"type": "Split", "pattern": {"Regex": str(pattern)}, "behavior": "Isolated"},
            {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False},
        ] if not document.get("normalizer"):
            return pattern
    return None


def _raw_tokens(tokenizer: Tokenizer, texts: dict[int, str], types: dict[int, TokenType]) -> list[tuple[int, str]]:
    """Return the tokens to look for in the raw text: pre-tokens of their own that are more than letters.

    Words are left to the rules of Llama 3, which take a run of letters as one pre-token too.
    """
    found = []
    for number in texts:
        text = tokenizer.decode([number], skip_special_tokens=False)
        is_text = "\ufffd" not in text and (text.isprintable() or not text.strip("\n\t\r"))
        if types[number] != TokenType.NORMAL or not is_text or text.isalpha():
            continue
        if tokenizer.encode(text, add_special_tokens=False).ids == [number] and _is_one(tokenizer, text):
            found.append((number, text))
    return found


def _is_one(tokenizer: Tokenizer, text: str) -> bool:
    pre_tokenizer: Any = tokenizer.pre_tokenizer
    return len(pre_tokenizer.pre_tokenize_str(text)) == 1
