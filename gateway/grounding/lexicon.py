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


def _phrases(value: object) -> object:
    """Return the phrases of a text between "|"; what is no text is left to the model's own check."""
    if not isinstance(value, str):
        return value
    return frozenset(tuple(phrase.split()) for phrase in value.split("|"))


def _pairs(value: object) -> object:
    """Return a mapping with each key of two words as a pair; what is no mapping is left to the model's own check."""
    if not isinstance(value, dict):
        return value
    return {tuple(key.split()) if isinstance(key, str) else key: name for key, name in value.items()}


_Words = Annotated[tuple[str, ...], BeforeValidator(_split), Field(min_length=1)]
_WordSet = Annotated[frozenset[str], BeforeValidator(_split), Field(min_length=1)]

_Phrases = Annotated[frozenset[Annotated[tuple[str, ...], Field(min_length=1)]], BeforeValidator(_phrases)]


class Lexicon(BaseModel):
    """The lists of `lexicon.yaml`, which says what each is for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    abbreviations: _WordSet
    numbered: _WordSet
    synonyms: Mapping[str, str]
    no_plurals: _WordSet
    compounds: Annotated[Mapping[tuple[str, str], str], BeforeValidator(_pairs)]
    connectives: _WordSet
    stage_labels: _WordSet
    other_labels: _WordSet
    copulas: _WordSet
    stop_words: _WordSet
    negations: _WordSet
    opposites: tuple[tuple[_WordSet, _WordSet], ...]
    place_words: _WordSet
    polarity: _WordSet
    hyphened_prefixes: _WordSet
    spaced_prefixes: _WordSet
    other_prefixes: _WordSet
    denials: _Phrases
    statement_openers: _WordSet
    denied: _Phrases
    denied_done: _Phrases
    proposed: _WordSet
    harmless: _WordSet
    refused: _WordSet
    denied_headings: _Phrases
    relatives: _WordSet
    relatives_have: _WordSet
    denied_suffixes: _WordSet
    not_done: _WordSet
    denied_fillers: _WordSet
    denial_ends: _WordSet
    denial_links: Mapping[str, _WordSet]
    examinations: _WordSet
    denial_takes: _WordSet
    unspaced_denials: _WordSet
    unspaced_denied: _WordSet
    unspaced_fillers: _WordSet
    markers: _WordSet
    receptors: _WordSet
    scores: _WordSet
    score_names: _WordSet
    leveled: _WordSet
    levels: Mapping[str, str]
    amino_acids: Mapping[str, str]
    counters: _WordSet
    particles: _WordSet
    measures: _WordSet
    variant_words: _WordSet
    headings: frozenset[_Words]
    suffixes: _WordSet
    not_added: _WordSet
    capitals_only: _WordSet
    capitals_cues: _WordSet

    @model_validator(mode="after")
    def _lists_fit_together(self) -> Self:
        if not self.not_added <= self.suffixes:
            raise ValueError("not_added must hold suffixes only")
        if self.stage_labels & self.other_labels:
            raise ValueError("a label of a stage cannot be another label too")
        if not self.spaced_prefixes <= self.hyphened_prefixes:
            raise ValueError("spaced_prefixes must hold hyphened_prefixes only")
        if not self.receptors <= self.markers:
            raise ValueError("receptors must hold markers only")
        if not self.denial_links.keys() <= self.denial_ends:
            raise ValueError("denial_links must have denial_ends as keys only")
        return self

    def opposites_of(self) -> Mapping[str, frozenset[str]]:
        """Return for each word of `opposites` all words that turn its finding round."""
        result: dict[str, frozenset[str]] = {}
        for one, other in self.opposites:
            for words, reverse in ((one, other), (other, one)):
                for word in words:
                    result[word] = result.get(word, frozenset()) | reverse
        return result

    def variants_of(self) -> Mapping[str, frozenset[str]]:
        """Return for each word of `opposites` the words that stand on its side, itself among them."""
        result: dict[str, frozenset[str]] = {}
        for side in (side for sides in self.opposites for side in sides):
            for word in side:
                result[word] = result.get(word, frozenset()) | side
        return result


LEXICON = Lexicon.model_validate(yaml.safe_load(Path(__file__).with_name("lexicon.yaml").read_text("utf-8")))
