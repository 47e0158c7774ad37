"""Other projects' clients against the OpenAI endpoints."""

import asyncio
import json
from pathlib import Path

import langextract
import openai
import pytest
from langextract.providers.openai import OpenAILanguageModel

from tests.gateway.access.test_keys import line
from tests.gateway.conftest import NOTE, Gateway, StartGateway
from tests.gateway.fake_engine import FakeEngine

ANSWER = "two  words, \n and spaces "
MESSAGES: list[openai.types.chat.ChatCompletionMessageParam] = [{"role": "user", "content": NOTE}]


async def test_openais_client_gets_completions_streams_and_models(gateway: Gateway, engine: FakeEngine) -> None:
    engine.answer = ANSWER
    async with openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key="none", max_retries=0) as client:
        reply = await client.chat.completions.create(model="medical-ie", messages=MESSAGES, logprobs=True)
        assert reply.choices[0].message.content == ANSWER
        assert reply.usage is not None
        assert reply.usage.prompt_tokens == 100
        stream = await client.chat.completions.create(model="medical-ie", messages=MESSAGES, stream=True)
        assert "".join([event.choices[0].delta.content or "" async for event in stream]) == ANSWER
        assert [model.id async for model in client.models.list()] == ["base", "medical-ie", "assistant-intent"]


async def test_openais_client_understands_the_errors(
    start_gateway: StartGateway, engine: FakeEngine, tmp_path: Path
) -> None:
    (tmp_path / "keys").write_text(line("ward", "right"))
    gateway = await start_gateway(auth="required", api_keys_file=tmp_path / "keys")
    async with openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key="wrong", max_retries=0) as client:
        with pytest.raises(openai.AuthenticationError):
            await client.chat.completions.create(model="medical-ie", messages=MESSAGES)
    async with openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key="right", max_retries=0) as client:
        with pytest.raises(openai.NotFoundError):
            await client.chat.completions.create(model="nobody", messages=MESSAGES)
        with pytest.raises(openai.UnprocessableEntityError):
            await client.chat.completions.create(model="medical-ie", messages=[])
        engine.break_off_at = 3
        stream = await client.chat.completions.create(model="medical-ie", messages=MESSAGES, stream=True)
        with pytest.raises(openai.APIError, match="broke off"):
            _ = [event async for event in stream]
        await engine.stop()
        with pytest.raises(openai.InternalServerError) as caught:
            await client.chat.completions.create(model="medical-ie", messages=MESSAGES)
        assert caught.value.status_code == 503


async def test_langextract_grounds_what_comes_through_the_gateway(gateway: Gateway, engine: FakeEngine) -> None:
    found = [{"medication": "osimertinib"}, {"cancer": "lung adenocarcinoma"}]
    engine.answer = json.dumps({"extractions": [{**entry, f"{next(iter(entry))}_attributes": {}} for entry in found]})
    examples = [
        langextract.data.ExampleData(
            text="He took aspirin for colon cancer.",
            extractions=[
                langextract.data.Extraction("medication", "aspirin"),
                langextract.data.Extraction("cancer", "colon cancer"),
            ],
        )
    ]
    model = OpenAILanguageModel(model_id="base", api_key="none", base_url=f"{gateway.url}/v1")
    result = await asyncio.to_thread(
        langextract.extract,
        text_or_documents=NOTE,
        prompt_description="Extract medications and cancers.",
        examples=examples,
        model=model,
        fence_output=False,
        use_schema_constraints=False,
    )
    spans = [(span.extraction_text, span.char_interval) for span in result.extractions]
    assert [text for text, _ in spans] == ["osimertinib", "lung adenocarcinoma"]
    assert [NOTE[span.start_pos : span.end_pos] for _, span in spans] == ["osimertinib", "lung adenocarcinoma"]
    assert engine.bodies[0]["model"] == "base"
