"""The times of an answer, resolved against the moment that the text was said at."""

from collections.abc import Mapping
from datetime import datetime

from gateway.extraction.decoding import Repair
from gateway.tasks import Task
from gateway.times.resolver import resolve


def resolve_times(
    task: Task, fields: Mapping[str, str | None], said_at: datetime
) -> tuple[dict[str, str | None], list[Repair]]:
    """Resolve the fields that the task says are times.

    Args:
        task: the task.
        fields: the values, as they were said.
        said_at: when the text was said; its `tzinfo` is a `ZoneInfo`.

    Returns:
        For each field that is a time a date or a time of ISO 8601, or None; and a warning for each value that was not
        resolved, or not as plainly as it seems.
    """
    resolved: dict[str, str | None] = {}
    warnings = []
    for name, value in fields.items():
        if not task.by_name[name].is_time:
            continue
        resolution = None if value is None else resolve(value, said_at)
        resolved[name] = None if resolution is None else resolution.value
        if resolution is not None and resolution.remark is not None:
            warnings.append(Repair(resolution.remark.code, resolution.remark.detail, name))
    return resolved, warnings
