"""How much text fits: what is learnt of some texts must not weigh on all others."""

from pathlib import Path

import pytest

from gateway.engine.engine import Engine
from gateway.extraction.budget import TokenBudget
from gateway.extraction.workers import Workers
from gateway.settings import Settings
from gateway.tasks import load_task

LIMIT = 7000
NOTE = "Stage IV lung adenocarcinoma, EGFR L858R. " * 220  # 9,240 bytes, which at a quarter of a token each fit


@pytest.fixture
def budget() -> TokenBudget:
    return TokenBudget(Engine(Settings(auth="off")), Workers())


def test_a_text_that_may_be_too_long_is_counted_until_a_density_is_known(budget: TokenBudget) -> None:
    assert not budget.surely_fits("m", NOTE, LIMIT)
    budget.learn("m", NOTE, len(NOTE) // 4)
    assert budget.surely_fits("m", NOTE, LIMIT)
    assert not budget.surely_fits("other", NOTE, LIMIT)


@pytest.mark.parametrize("tokens", [len(NOTE), 10**9])
def test_a_dense_text_or_a_wrong_count_does_not_have_all_texts_counted(budget: TokenBudget, tokens: int) -> None:
    budget.learn("m", NOTE, tokens)
    assert budget.surely_fits("m", NOTE, LIMIT)
    for _ in range(70):
        budget.learn("m", NOTE, len(NOTE) // 4)
    assert budget.surely_fits("m", NOTE * 2, 2 * LIMIT - 4000)


def test_density_is_of_bytes_so_that_other_scripts_are_not_counted_thrice(budget: TokenBudget) -> None:
    text = "\u80ba\u764c" * 1000  # 6,000 bytes, a token a character
    budget.learn("m", text, 2000)
    assert budget.surely_fits("m", text, 3000)


@pytest.mark.parametrize("length", [64, 700, 4096])
async def test_prompt_text_and_answer_share_a_models_length(
    budget: TokenBudget, monkeypatch: pytest.MonkeyPatch, length: int
) -> None:
    async def lengths(**_: object) -> dict[str, int]:
        return {"m": length}

    monkeypatch.setattr(budget._engine, "model_lengths", lengths)
    task = load_task(Path("gateway/tasks/medical_ie.yaml"))
    limit, max_tokens = await budget.limits(task, "m", 8000, deadline=0)
    assert 32 <= limit <= task.max_input_tokens
    assert max_tokens == length // 2
