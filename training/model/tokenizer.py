"""The small model's tokenizer: byte-level BPE that gives a value the same tokens in the note and in the answer.

It differs from the usual byte-level BPE in two ways. A space is a token of its own, so that a word has the same token
after a space and after a quotation mark; and frequent function words include their spaces, which keeps texts short.
The special tokens and the chat template are Llama 3's.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from tokenizers import Regex, Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel, Sequence, Split
from tokenizers.processors import TemplateProcessing
from tokenizers.trainers import BpeTrainer

from training.config import TokenizerConfig
from training.data.chat import BEGIN, CHAT_TEMPLATE, PADDING, SPECIAL_TOKENS, TURN_END

# Longest first: the first alternative that fits is taken.
_FUNCTION_WORDS = (
    "and the|at the|by the|for the|from the|in the|is no|no other|of the|on the|that was|to the|was not|with a|"
    "with an|with no|with the|a|after|an|and|are|as|at|be|been|but|by|for|from|had|has|have|he|her|his|in|is|no|"
    "not|of|on|or|she|that|the|their|then|this|to|was|were|which|with|without"
)
# JSON's punctuation with the spacing of json.dumps: one token between two values.
_JSON_PUNCTUATION = (r'": null, "', r'": null\}', r'": "', r'", "', r'"\}', r'\{"')
PRE_TOKENS = "|".join(
    (
        *_JSON_PUNCTUATION,
        f" (?:{_FUNCTION_WORDS}) ",
        r"[,;.:] ",
        r" \(",
        r"[\p{L}_]+",
        r"\p{N}",
        r"\n+",
        r"\s",
        r"[^\s\p{L}\p{N}]",
    )
)


def _pre_tokenizer() -> Sequence:
    return Sequence([Split(Regex(PRE_TOKENS), behavior="isolated"), ByteLevel(add_prefix_space=False, use_regex=False)])


def train_tokenizer(texts: Iterable[str], config: TokenizerConfig) -> Tokenizer:
    """Train the tokenizer on texts.

    The most frequent pre-tokens become tokens as they are (as Llama 3's tokenizer does with `ignore_merges`), so that
    the vocabulary has no fragments that only lead up to them; the others are encoded with merges trained on them.
    """
    pre_tokenizer = _pre_tokenizer()
    special = re.compile("|".join(map(re.escape, SPECIAL_TOKENS)))
    pre_tokens = Counter(
        pre_token
        for text in texts
        for part in special.split(text)
        for pre_token, _ in pre_tokenizer.pre_tokenize_str(part)
    )
    alphabet = sorted(ByteLevel.alphabet())
    budget = config.vocabulary - len(SPECIAL_TOKENS) - len(alphabet)
    by_frequency = sorted(pre_tokens, key=lambda pre_token: (-pre_tokens[pre_token], pre_token))
    whole = [pre_token for pre_token in by_frequency if len(pre_token) > 1 and pre_token not in alphabet][
        : min(config.whole_pieces, budget)
    ]

    # The merges are trained on the pre-tokens without a token of their own.
    own_token = set(whole)
    rest = {pre_token: count for pre_token, count in pre_tokens.items() if pre_token not in own_token}
    learner = Tokenizer(BPE())
    trainer = BpeTrainer(
        vocab_size=len(alphabet) + budget - len(whole),
        initial_alphabet=alphabet,
        show_progress=False,
        max_token_length=16,
    )
    learner.train_from_iterator(
        [pre_token for pre_token, count in rest.items() for _ in range(min(count, 50))], trainer
    )
    bpe = json.loads(learner.to_str())["model"]
    vocabulary: dict[str, int] = {}
    for token in (*SPECIAL_TOKENS, *alphabet, *whole, *sorted(bpe["vocab"], key=bpe["vocab"].__getitem__)):
        vocabulary.setdefault(token, len(vocabulary))
    merges = [tuple(merge) for merge in bpe["merges"]]

    tokenizer = Tokenizer(BPE(vocab=vocabulary, merges=merges, ignore_merges=True))
    tokenizer.add_special_tokens(list(SPECIAL_TOKENS))
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = ByteLevelDecoder()
    begin = tokenizer.token_to_id(BEGIN)
    tokenizer.post_processor = TemplateProcessing(single=f"{BEGIN} $A", special_tokens=[(BEGIN, begin)])
    return tokenizer


def save_tokenizer(tokenizer: Tokenizer, folder: Path, context: int) -> None:
    """Write `tokenizer.json` and `tokenizer_config.json`; `context` is the longest sequence in tokens."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": BEGIN,
        "eos_token": TURN_END,
        "pad_token": PADDING,
        "clean_up_tokenization_spaces": False,
        "model_max_length": context,
        "model_input_names": ["input_ids", "attention_mask"],
        "chat_template": CHAT_TEMPLATE,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")


def load_tokenizer(folder: Path) -> Tokenizer:
    """Read the tokenizer that `save_tokenizer` wrote."""
    return Tokenizer.from_file(str(folder / "tokenizer.json"))


def encode(tokenizer: Tokenizer, text: str) -> list[int]:
    """Encode a text that has its own special tokens: none is added."""
    return list(tokenizer.encode(text, add_special_tokens=False).ids)
