"""The loss of a batch is the same where the tokens with which all rows begin are computed once."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch", reason="in the training environment")

import torch

from tests.training import tiny
from training.model.llama import answer_loss, load_model

START = [5, 6, 7, 8, 9, 10]


def loss_and_gradient(
    folder: Path, rows: list[list[int]], first_target: int, *, shares_prompt: bool
) -> tuple[float, list[torch.Tensor], int]:
    """Return the loss, the gradients of all weights, and how many tokens were computed."""
    model, computed = load_model(folder), 0

    def count(_module: torch.nn.Module, _inputs: object, out: torch.Tensor) -> None:
        nonlocal computed
        computed += out.shape[0] * out.shape[1]

    model.model.embed_tokens.register_forward_hook(count)
    tokens = torch.tensor(rows)
    weights = torch.zeros(tokens.shape)
    weights[:, first_target:] = 1
    loss, _ = answer_loss(model, tokens, weights, shares_prompt)
    loss.backward()
    return loss.item(), [each.grad for each in model.parameters() if each.grad is not None], computed


@pytest.mark.parametrize(
    ("ends", "first_target", "computed"),
    [
        # The last token before the first that differs, or before a target, is computed for every row.
        ([[20, 21, 22, 23], [30, 31, 32, 33]], 8, 5 + 2 * 5),
        ([[20, 21, 22, 23], [20, 21, 22, 33], [20, 21, 25, 33]], 6, 5 + 3 * 5),
        ([[20, 21, 22, 23]], 8, 10),
    ],
)
def test_loss_and_gradients_do_not_depend_on_what_is_computed_once(
    ends: list[list[int]], first_target: int, computed: int, tmp_path: Path
) -> None:
    folder = tiny.write_base(tmp_path)
    rows = [START + end for end in ends]
    whole, gradients, all_tokens = loss_and_gradient(folder, rows, first_target, shares_prompt=False)
    shared, same, fewer = loss_and_gradient(folder, rows, first_target, shares_prompt=True)
    assert shared == pytest.approx(whole, rel=1e-5)
    assert len(same) == len(gradients)
    for one, other in zip(gradients, same, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)
    assert (all_tokens, fewer) == (len(rows) * 10, computed)


def test_rows_that_differ_from_the_first_token_on_are_computed_as_they_are(tmp_path: Path) -> None:
    folder = tiny.write_base(tmp_path)
    rows = [[20, *START], [30, *START]]
    whole, _, tokens = loss_and_gradient(folder, rows, 4, shares_prompt=False)
    same, _, computed = loss_and_gradient(folder, rows, 4, shares_prompt=True)
    assert same == pytest.approx(whole)
    assert computed == tokens
