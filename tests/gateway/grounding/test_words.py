"""Words are read in bounded time, however long they are made."""

from gateway.grounding.words import fold


def test_a_word_longer_than_any_value_is_not_folded() -> None:
    # Each of these characters is eighteen, once folded.
    word = "\ufdfa" * 100_000
    assert fold(word) == word
    assert len(fold("\ufdfa" * 10)) > 100
