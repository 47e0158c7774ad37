"""Readers of bodies. What cannot be valid is refused before it is parsed: millions of values take long to read."""

from pydantic import BaseModel, TypeAdapter

from gateway.api.http.problems import ProblemError

# Separators of the members beside the texts.
_OTHERS = 10_000


def check_separators(data: bytes, longest: int) -> None:
    """Refuse a body that has more values than it may have characters of text.

    Args:
        data: the body.
        longest: characters that all its texts may have together.

    Raises:
        ProblemError: it has more separators than such texts and the values between them can have.
    """
    if data.count(b",") + data.count(b":") > 2 * longest + _OTHERS:
        raise ProblemError(413, f"the body has more values than a request with {longest} characters of text can have")


class TextReader[Model: BaseModel]:
    """Reads requests that hold one text."""

    def __init__(self, model: type[Model], longest: int) -> None:
        """Make a reader.

        Args:
            model: of the requests.
            longest: characters that the text may have.
        """
        self._adapter: TypeAdapter[Model] = TypeAdapter(model)
        self._longest = longest

    def validate_json(self, data: bytes, /) -> Model:
        """Read a body.

        Raises:
            ValidationError: it is not JSON, or a member is not valid.
            ProblemError: it has far more values than a text can have characters.
        """
        check_separators(data, self._longest)
        return self._adapter.validate_json(data)
