"""The words that grounding knows of medical English, read from `lexicon.yaml` at import."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Self

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator


def _split(value: object) -> object:
    """Return the words of a text; what is no text is left to the model's own check.

    Raises:
        ValueError: a word stands there twice or is not in lower case.
    """
    if not isinstance(value, str):
        return value
    words = value.split()
    if len(set(words)) < len(words) or value != value.lower():
        raise ValueError("the words must be in lower case, each of them once")
    return tuple(words)


_Words = Annotated[tuple[str, ...], BeforeValidator(_split), Field(min_length=1)]
_WordSet = Annotated[frozenset[str], BeforeValidator(_split), Field(min_length=1)]


class Lexicon(BaseModel):
    """The lists of `lexicon.yaml`, which says what each is for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    abbreviations: _WordSet
    numbered: _WordSet
    synonyms: Mapping[str, str]
    connectives: _WordSet
    stage_labels: _WordSet
    other_labels: _WordSet
    copulas: _WordSet
    stop_words: _WordSet
    negations: _WordSet
    opposites: tuple[tuple[_WordSet, _WordSet], ...]
    polarity: _WordSet
    measures: _WordSet
    headings: frozenset[_Words]
    suffixes: _WordSet
    not_added: _WordSet
    capitals_only: _WordSet

    @model_validator(mode="after")
    def _lists_fit_together(self) -> Self:
        if not self.not_added <= self.suffixes:
            raise ValueError("not_added must hold suffixes only")
        if self.stage_labels & self.other_labels:
            raise ValueError("a label of a stage cannot be another label too")
        return self

    def opposites_of(self) -> Mapping[str, frozenset[str]]:
        """Return for each word of `opposites` all words that turn its finding round."""
        result: dict[str, frozenset[str]] = {}
        for one, other in self.opposites:
            for words, reverse in ((one, other), (other, one)):
                for word in words:
                    result[word] = result.get(word, frozenset()) | reverse
        return result


LEXICON = Lexicon.model_validate(yaml.safe_load(Path(__file__).with_name("lexicon.yaml").read_text("utf-8")))
