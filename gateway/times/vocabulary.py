"""The words that days and times are said with."""

import re
import unicodedata

NUMBERS = {
    word: number
    for number, word in enumerate(
        ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"), start=1
    )
}
WEEKDAYS = {
    word: number
    for number, words in enumerate(
        ("monday mon", "tuesday tue tues", "wednesday wed", "thursday thu thur thurs", "friday fri", "saturday sat",
         "sunday sun")
    )
    for word in words.split()
}  # fmt: skip
MONTHS = {
    word: number
    for number, words in enumerate(
        ("january jan", "february feb", "march mar", "april apr", "may", "june jun", "july jul", "august aug",
         "september sep sept", "october oct", "november nov", "december dec"),
        start=1,
    )
    for word in words.split()
}  # fmt: skip
PARTS = {
    "morning": frozenset(range(12)),
    "afternoon": frozenset(range(12, 19)),
    "evening": frozenset(range(16, 24)),
    "night": frozenset((*range(18, 24), *range(6))),
}
"""The parts of a day with their hours; those of the night after midnight belong to the next date."""

COUNT = rf"(?:[0-9]{{1,4}}|an?|{'|'.join(NUMBERS)})"
WEEKDAY, MONTH, PART = (
    # The longest first: an expression takes the first that fits.
    f"(?:{'|'.join(sorted(words, key=len, reverse=True))})"
    for words in (WEEKDAYS, MONTHS, PARTS)
)

_HALF_DAY = re.compile(r"(?<=[\d ])([ap])\.?\s?m\b\.?")


def normal(words: str) -> str:
    """Return words in lower case, with single spaces and without the marks that change no meaning."""
    text = unicodedata.normalize("NFKC", words).casefold().replace("’", "'").replace(",", " ")
    text = _HALF_DAY.sub(r"\1m", text)
    return " ".join(text.split()).strip(" .!?;:")


def number(word: str) -> int:
    """Return the number that a word of `COUNT` means."""
    return 1 if word in ("a", "an") else NUMBERS[word] if word in NUMBERS else int(word)
