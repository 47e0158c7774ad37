"""What grounding does to an answer, from the outside; the rules themselves have tests in tests/gateway/grounding."""

import asyncio
import json

import pytest

from gateway.extraction import evidence
from tests.fakes.engine.scripted import GOLD, FakeEngine
from tests.gateway.conftest import Gateway

NOTHING = dict.fromkeys(GOLD)
# Passages of words in every order: the search takes much longer than the limits set here.
WORDS = [f"w{chr(97 + number)}xxxx" for number in range(26)]
HOSTILE = " ".join(WORDS * 15)
SLOW = " ".join(reversed(WORDS)) + " omega"


@pytest.mark.parametrize(
    ("text", "field", "value"),
    [
        (
            "Unresectable pancreatic ductal adenocarcinoma.",
            "cancer_type",
            "resectable pancreatic ductal adenocarcinoma",
        ),
        (
            "Well differentiated squamous cell carcinoma.",
            "cancer_type",
            "poorly differentiated squamous cell carcinoma",
        ),
        ("HER2 IHC 1+.", "biomarker", "HER2 positive"),
        ("No liver metastases.", "metastasis_site", "liver"),
    ],
)
async def test_strict_drops_what_the_note_denies(
    gateway: Gateway, engine: FakeEngine, text: str, field: str, value: str
) -> None:
    engine.answer = json.dumps(NOTHING | {field: value})
    answer = (await gateway.extract(text, grounding="strict")).json
    assert answer[field] is None
    assert [(warning["code"], warning["field"]) for warning in answer["warnings"]] == [("ungrounded", field)]


async def test_karyotypes_of_several_chunks_stay_whole(gateway: Gateway, engine: FakeEngine) -> None:
    engine.max_model_len = 700
    engine.answer = json.dumps(NOTHING | {"gene_mutation": "t(9;22)(q34;q11)"})
    answer = (await gateway.extract("Karyotype t(9;22)(q34;q11). " * 100, grounding="strict")).json
    assert len(answer["chunks"]) > 1
    assert answer["gene_mutation"] == "t(9;22)(q34;q11)"
    assert answer["warnings"] == []


async def test_the_search_for_evidence_ends_at_its_time_limit(
    gateway: Gateway, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence, "_MOST_SECONDS", 0.02)
    engine.answer = json.dumps(NOTHING | {"treatment": SLOW})
    answer = (await gateway.extract(HOSTILE)).json
    assert answer["treatment"] == SLOW
    assert answer["evidence"]["treatment"] == []
    assert [(warning["code"], warning["field"]) for warning in answer["warnings"]] == [
        ("evidence_time_limit", "treatment")
    ]
    strict = (await gateway.extract(HOSTILE, grounding="strict")).json
    assert strict["treatment"] is None
    assert [warning["code"] for warning in strict["warnings"]] == ["evidence_time_limit", "ungrounded"]


async def test_a_batch_of_such_texts_leaves_the_gateway_free(
    gateway: Gateway, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence, "_MOST_SECONDS", 0.1)
    engine.answer = json.dumps(NOTHING | {"treatment": SLOW})
    items = [{"text": HOSTILE} for _ in range(10)]
    batch = asyncio.create_task(gateway.call("POST", "/api/v1/extract/batch", json={"items": items}))
    turns = 0
    while not batch.done():
        assert (await gateway.call("GET", "/live")).status == 200
        turns += 1
        await asyncio.sleep(0.01)
    results = (await batch).json["results"]
    assert [result["result"]["warnings"][0]["code"] for result in results] == ["evidence_time_limit"] * 10
    assert turns >= 3
