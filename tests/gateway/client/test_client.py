"""The client of a gateway: what it waits for, and what it refuses by itself."""

from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from gateway.client.client import Client, ClientError

GOOD = {"stage": "IV"}


class FakeGateway:
    """Answers by the given responses in turn, and then well."""

    def __init__(self) -> None:
        """Begin with none."""
        self.responses: list[web.Response] = []
        self.paths: list[str] = []
        self.url = ""

    async def answer(self, request: web.Request) -> web.Response:
        """Answer any request."""
        self.paths.append(request.raw_path)
        return self.responses.pop(0) if self.responses else web.json_response(GOOD)


@pytest.fixture
async def fake() -> AsyncIterator[FakeGateway]:
    gateway, app = FakeGateway(), web.Application()
    app.router.add_route("*", "/{path:.*}", gateway.answer)
    async with TestServer(app) as server:
        gateway.url = str(server.make_url("/"))
        yield gateway


async def extract(
    url: str, text: str = "x", task: str | None = None, retries: int = 1, *, second_try: bool = True
) -> object:
    async with Client(url, None, timeout=10, retries=retries, second_try=second_try) as client:
        return await client.extract(text, task=task)


@pytest.mark.parametrize("status", [429, 502, 503, 504])
async def test_a_gateway_that_asks_to_wait_is_asked_again(fake: FakeGateway, status: int) -> None:
    fake.responses = [web.json_response({"detail": "busy"}, status=status, headers={"Retry-After": "0"})]
    assert await extract(fake.url) == GOOD
    assert len(fake.paths) == 2


async def test_the_waits_have_an_end(fake: FakeGateway) -> None:
    fake.responses = [web.json_response({"detail": "busy"}, status=503, headers={"Retry-After": "0"}) for _ in range(3)]
    with pytest.raises(ClientError, match="503: busy") as failed:
        await extract(fake.url, retries=2)
    assert failed.value.may_heal
    assert len(fake.paths) == 3


@pytest.mark.parametrize(("status", "may_heal"), [(401, False), (404, False), (413, False), (422, False), (500, True)])
async def test_a_refusal_is_told_at_once(fake: FakeGateway, status: int, may_heal: bool) -> None:
    fake.responses = [web.json_response({"detail": "no"}, status=status)]
    with pytest.raises(ClientError, match=f"{status}: no") as failed:
        await extract(fake.url)
    assert (failed.value.status, failed.value.may_heal) == (status, may_heal)
    assert len(fake.paths) == 1


def failures(status: int, media_type: str, count: int) -> list[web.Response]:
    headers = {"Retry-After": "0", "Content-Type": media_type}
    return [web.Response(body=b'{"detail": "failed"}', status=status, headers=headers) for _ in range(count)]


@pytest.mark.parametrize("status", [502, 504])
async def test_a_balancer_without_a_gateway_is_asked_as_often_as_allowed(fake: FakeGateway, status: int) -> None:
    fake.responses = failures(status, "text/html", 3)
    assert await extract(fake.url, retries=3, second_try=False) == GOOD
    assert len(fake.paths) == 4


@pytest.mark.parametrize("status", [502, 504])
@pytest.mark.parametrize("second_try", [True, False])
async def test_a_text_that_the_gateway_has_no_answer_for_gets_a_second_try(
    fake: FakeGateway, status: int, second_try: bool
) -> None:
    fake.responses = failures(status, "application/problem+json", 3)
    with pytest.raises(ClientError, match=f"{status}: failed") as failed:
        await extract(fake.url, retries=5, second_try=second_try)
    assert failed.value.may_heal
    assert len(fake.paths) == 1 + second_try


async def test_a_second_try_that_succeeds_is_the_answer(fake: FakeGateway) -> None:
    fake.responses = failures(502, "application/problem+json", 1)
    assert await extract(fake.url, retries=1) == GOOD


async def test_a_busy_gateway_does_not_use_up_the_second_try(fake: FakeGateway) -> None:
    own = "application/problem+json"
    fake.responses = [*failures(503, own, 2), *failures(502, own, 1), *failures(429, own, 1)]
    assert await extract(fake.url, retries=4) == GOOD


async def test_an_answer_that_is_no_gateways_does_not_count_as_one(fake: FakeGateway) -> None:
    fake.responses = [web.Response(text="<html>")]
    with pytest.raises(ClientError, match="200: the answer is not a gateway’s"):
        await extract(fake.url)


async def test_half_a_character_is_refused_before_anything_is_sent(fake: FakeGateway) -> None:
    with pytest.raises(ClientError, match="half of a character") as failed:
        await extract(fake.url, "melanoma \ud83d")
    assert (failed.value.status, failed.value.may_heal) == (422, False)
    assert fake.paths == []


async def test_a_tasks_name_stays_one_part_of_the_path(fake: FakeGateway) -> None:
    await extract(fake.url, task="../a/b?c#d é")
    assert fake.paths == ["/api/v1/tasks/..%2Fa%2Fb%3Fc%23d%20%C3%A9/extract"]


@pytest.mark.parametrize("url", ["no address", "http://", "ftp://host", "http://host:99999", "http://host:port"])
async def test_what_is_no_address_is_no_passing_failure(url: str) -> None:
    with pytest.raises(ClientError, match="is not an address such as") as failed:
        await extract(url)
    assert not failed.value.may_heal
