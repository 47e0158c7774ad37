"""The requests and answers of the endpoints, as the OpenAPI document shows them."""

import re
from datetime import datetime
from functools import cached_property
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, create_model, model_validator
from pydantic.config import JsonDict

from gateway.tasks import Task
from gateway.times.zones import MomentError, moment

SAID: JsonDict = {"now": "2026-11-28T09:00:00", "timezone": "Europe/Berlin"}
NOTE = (
    "64-year-old woman with stage IV lung adenocarcinoma, EGFR L858R mutation. She received osimertinib and had a "
    "partial response. Brain metastases were noted."
)


def _only_number(value: object) -> object:
    # Python takes true for 1, and pydantic takes "1" for it.
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("Input should be a valid integer")  # noqa: TRY004 - pydantic wants it so
    return value


# 16.0 is an integer in JSON Schema, so pydantic's strictness alone would refuse too much.
AsJson = BeforeValidator(_only_number)
# Beyond these, JavaScript and many others lose digits.
NumberId = Annotated[int, Field(strict=False, ge=-(2**53), le=2**53), AsJson]
MaxTokens = Annotated[int, Field(strict=False, ge=1, le=8192), AsJson]
Text = Annotated[
    str, Field(min_length=1, pattern=r"\S", description="The text, such as a clinical note.", examples=[NOTE])
]


# RFC 3339, with or without its offset; Python reads more forms, which other languages do not.
_DATE_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:[Zz]|[+-]\d\d:\d\d)?", re.ASCII)


class ResolveTimes(BaseModel):
    """When and where the text was said: its times are resolved against it, and stand in `resolved`."""

    model_config = ConfigDict(strict=True, json_schema_extra={"examples": [SAID]})

    now: str = Field(
        description="The moment, as in RFC 3339. Without an offset it is what the clocks of the time zone show.",
        json_schema_extra={"format": "date-time"},
    )
    timezone: str = Field(
        description="The time zone, by its name in the IANA time zone database.",
        json_schema_extra={"format": "iana-time-zone"},
    )

    @cached_property
    def moment(self) -> datetime:
        """The moment in its time zone."""
        return moment(datetime.fromisoformat(self.now.upper()), self.timezone)

    @model_validator(mode="after")
    def _is_a_moment(self) -> Self:
        form = "now: give a date and time such as 2026-11-28T09:00:00+01:00"
        if _DATE_TIME.fullmatch(self.now) is None:
            raise ValueError(form)
        try:
            _ = self.moment
        except MomentError:
            raise
        except ValueError:
            raise ValueError(form) from None
        return self


class Choices(BaseModel):
    """How to read a text. What is left out takes the task's own value."""

    model_config = ConfigDict(strict=True)

    temperature: float | None = Field(default=None, ge=0, le=2, allow_inf_nan=False)
    max_tokens: MaxTokens | None = Field(default=None, description="Tokens of the answer; one that is cut is an error.")
    model: str | None = Field(
        default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$", description="A model or adapter of the engine."
    )
    grounding: Literal["off", "report", "strict"] = Field(
        default="report", description="`strict` sets a value without evidence in the text to null."
    )
    resolve_times: ResolveTimes | None = Field(
        default=None, description="When and where the text was said; the answer then has `resolved`."
    )


class ExtractRequest(Choices):
    """A text, and how to read it. What is left out takes the task's own value."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"text": NOTE}]})

    text: Text


class EvidenceModel(BaseModel):
    """A span of the text: `text[start:end]`, in Unicode code points."""

    text: str
    start: int
    end: int
    match: Literal["exact", "normalized", "fuzzy"]


class WarningModel(BaseModel):
    """What was repaired or left out, and in which field."""

    code: str = Field(
        description="A fixed word, such as `ungrounded` (strict grounding set the value to null) or "
        "`evidence_time_limit` (the search for the value's evidence was ended by its time limit)."
    )
    detail: str
    field: str | None


class ChunkModel(BaseModel):
    """A part of the text, in code points, and how its extraction went."""

    index: int
    start: int
    end: int
    status: Literal["ok", "failed"]
    error: str | None


class Extracted(BaseModel):
    """What every extraction reports beside the fields."""

    evidence: dict[str, list[EvidenceModel]]
    confidence: dict[str, float | None] = Field(
        description="Geometric mean of the value's token probabilities, 0 to 1; not a calibrated probability."
    )
    raw_output: str
    tokens_used: int
    model: str
    task: str
    request_id: str
    chunks: list[ChunkModel]
    warnings: list[WarningModel]
    resolved: dict[str, str | None] | None = Field(
        default=None,
        description="With `resolve_times`, for each field that is a time: a date (2026-11-29) or a time with its "
        "offset (2026-11-29T09:00:00+01:00) of ISO 8601, or null and a warning. The field has the words.",
    )


RESERVED = frozenset(Extracted.model_fields)


def flat_model(task: Task) -> type[BaseModel]:
    """Return the model of the answer of /api/v1/extract: the task's fields at the top level, the rest beside them."""
    fields: dict[str, Any] = {spec.name: (str | None, Field(description=spec.description)) for spec in task.fields}
    return create_model("Extraction", __base__=Extracted, __doc__=task.description, **fields)
