"""Readers of bodies. What cannot be valid is refused before it is parsed: millions of values take long to read."""

from pydantic import BaseModel, TypeAdapter

from gateway.api.http.problems import ProblemError

MEMBERS = 10_000
"""Values that any request may have beside those that its endpoint is about."""


def check_values(data: bytes, most: int, request: str) -> None:
    """Refuse a body that has more values than such a request can have, without reading it as JSON.

    What is not JSON may be refused for this too, as where its texts end is not known.

    Args:
        data: the body.
        most: values that it may have; texts of any content count as one.
        request: what the body is meant to be, for the message.

    Raises:
        ProblemError: it has more.
    """
    if _separators(data) <= most:
        return
    # Those within texts are none; texts end where a quotation mark has no backslash of its own before it.
    bare = data.replace(rb"\\", b"").replace(rb"\"", b"")
    # A text is a value or has a separator behind it, so that many texts need not be cut out.
    if bare.count(b'"') > 2 * (most + 1) or sum(map(_separators, bare.split(b'"')[::2])) > most:
        raise ProblemError(413, f"the body has more values than {request} can have")


def _separators(data: bytes) -> int:
    return data.count(b",") + data.count(b":")


class TextReader[Model: BaseModel]:
    """Reads requests that hold one text."""

    def __init__(self, model: type[Model]) -> None:
        """Make a reader of requests of this model."""
        self._adapter: TypeAdapter[Model] = TypeAdapter(model)

    def validate_json(self, data: bytes, /) -> Model:
        """Read a body.

        Raises:
            ValidationError: it is not JSON, or a member is not valid.
            ProblemError: it has far more values than such a request has members.
        """
        check_values(data, MEMBERS, "a request with one text")
        return self._adapter.validate_json(data)
