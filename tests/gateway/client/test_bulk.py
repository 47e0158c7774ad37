"""Many texts at once: what one of them fails by is its own."""

import asyncio
import errno
import io
import json
from pathlib import Path
from typing import Any

import pytest

from gateway.client.bulk import Failure, Summary, run
from gateway.client.client import Client, ClientError
from gateway.client.items import Item
from gateway.client.results import Results, open_results


class FakeClient(Client):
    """A client without a gateway: a text is answered by itself, or ends in the error that it is a key of."""

    def __init__(self, errors: dict[str, ClientError]) -> None:
        """Keep the errors by text."""
        super().__init__("http://fake", None, timeout=1, retries=0)
        self.errors = errors
        self.asked: list[str] = []

    async def extract(self, text: str, *, task: str | None = None, **choices: Any) -> dict[str, Any]:
        """Return the text, after the others had their turn."""
        self.asked.append(text)
        await asyncio.sleep(0)
        if error := self.errors.get(text):
            raise error
        return {"text": text}


def items(*texts: str) -> list[Item]:
    return [Item(index, index + 1, None, text) for index, text in enumerate(texts)]


async def extract(client: Client, given: list[Item], output: Path, jobs: int = 2) -> Summary:
    with open_results(output, [], given, {}) as results:
        return await run(client, given, results, jobs=jobs, progress=io.StringIO())


async def test_a_line_that_cannot_be_used_gets_its_reason_and_the_others_go_on(tmp_path: Path) -> None:
    given = [*items("a"), Item(1, 2, "x", None, "is not JSON"), Item(2, 3, None, "c")]
    client = FakeClient({})
    summary = await extract(client, given, tmp_path / "out")
    assert client.asked == ["a", "c"]
    assert (summary.done, summary.failures) == (2, [Failure(2, "line 2: is not JSON", may_heal=False)])
    failed = next(row for row in map(json.loads, (tmp_path / "out").read_text().splitlines()) if row["index"] == 1)
    assert (failed["id"], failed["input"], failed["status"]) == ("x", None, 422)
    assert failed["error"] == "line 2: is not JSON"


@pytest.mark.parametrize("status", [0, 408, 413, 422, 429, 500, 502, 503, 504])
async def test_a_failure_of_the_gateway_is_that_of_its_text(status: int, tmp_path: Path) -> None:
    client = FakeClient({"b": ClientError(status, "reason")})
    summary = await extract(client, items("a", "b", "c"), tmp_path / "out", jobs=1)
    assert client.asked == ["a", "b", "c"]
    assert summary == Summary(0, 2, [Failure(2, "reason", may_heal=status not in (413, 422))])


async def test_a_disk_that_did_not_take_the_results_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some file systems tell only then that they are full."""

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left on device"):
        await extract(FakeClient({}), items("a"), tmp_path / "out")


async def test_half_a_character_fails_only_its_text(tmp_path: Path) -> None:
    given = items("melanoma \ud83d")
    client = Client("http://127.0.0.1:9", None, timeout=1, retries=0)  # which is never called
    async with client:
        summary = await extract(client, given, tmp_path / "out")
    reason = "the text has half of a character (a lone surrogate) at position 9"
    assert summary.failures == [Failure(1, reason, may_heal=False)]


async def test_an_output_that_cannot_be_written_ends_the_run_and_keeps_what_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Results.write

    def full(self: Results, item: Item, outcome: dict[str, Any]) -> None:
        if item.index == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(self, item, outcome)

    given = items(*"abcdef")
    with monkeypatch.context() as patched:
        patched.setattr(Results, "write", full)
        with pytest.raises(OSError, match="No space left on device"):
            await extract(FakeClient({}), given, tmp_path / "out", jobs=3)
    done = len((tmp_path / "out").read_text().splitlines())
    assert 2 <= done < 6
    assert await extract(FakeClient({}), given, tmp_path / "out") == Summary(done, 6 - done, [])
