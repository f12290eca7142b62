"""The head's values and gradients against TRL's, over several tiles, with all options that a head may have."""

import pytest
import torch
from torch import Tensor
from trl.kernels.chunked_logprob import ChunkedLogProbFunction

from clairgen_train.forward.tiled_head import HeadRules, TiledLogProbs

VOCABULARY = 40_000  # 64 rows a tile
OUTPUTS = ("log_probs", "entropy", "log_sum_sq_probs", "mean_logits", "is_top1")


def _head(*, bias: bool) -> tuple[Tensor, Tensor, Tensor | None, Tensor]:
    torch.manual_seed(0)
    hidden, weight = torch.randn(150, 8, requires_grad=True), torch.randn(VOCABULARY, 8, requires_grad=True)
    targets = torch.randint(VOCABULARY, (150,))
    with torch.no_grad():
        targets[::2] = (hidden @ weight.t()).argmax(1)[::2]
    return hidden, weight, torch.randn(VOCABULARY, requires_grad=True) if bias else None, targets


def _results(values: tuple[Tensor, ...], *leaves: Tensor | None) -> tuple[list[Tensor], list[Tensor]]:
    there = [leaf for leaf in leaves if leaf is not None]
    (values[0] * torch.linspace(-1, 1, len(values[0]))).sum().backward()  # type: ignore[no-untyped-call] # so it is in torch
    gradients = [leaf.grad.clone() for leaf in there if leaf.grad is not None]
    for leaf in there:
        leaf.grad = None
    return [value.detach() for value in values], gradients


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    "rules",
    [
        HeadRules(1.0, 1.0, None, OUTPUTS),
        HeadRules(0.7, 0.3, None, OUTPUTS),
        HeadRules(1.0, 2.0, 5.0, OUTPUTS),
        HeadRules(0.7, 1.0, 5.0, OUTPUTS),
    ],
)
def test_values_and_gradients_are_those_of_trls_head(rules: HeadRules, bias: bool) -> None:
    hidden, weight, offset, targets = _head(bias=bias)
    ours = TiledLogProbs.apply(hidden, weight, offset, targets, rules)  # type: ignore[no-untyped-call] # so it is in torch
    scaling = rules.temperature, 32768, rules.final_logit_softcapping, rules.logit_scale
    theirs = ChunkedLogProbFunction.apply(hidden, weight, offset, targets, *scaling, OUTPUTS)
    found, expected = _results(ours, hidden, weight, offset), _results(theirs, hidden, weight, offset)
    assert 10 <= int(expected[0][4].sum()) < 100
    for mine, wanted in zip(found[0] + found[1], expected[0] + expected[1], strict=True):
        torch.testing.assert_close(mine, wanted, rtol=1e-4, atol=1e-5)


def test_under_autocast_logits_are_rounded_as_trl_rounds_them() -> None:
    hidden, weight, _, targets = _head(bias=False)
    rules = HeadRules(1.0, 1.0, None, OUTPUTS)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        ours = TiledLogProbs.apply(hidden, weight, None, targets, rules)  # type: ignore[no-untyped-call] # so it is in torch
        theirs = ChunkedLogProbFunction.apply(hidden, weight, None, targets, 1.0, 32768, None, 1.0, OUTPUTS)
    found, expected = _results(ours, hidden, weight), _results(theirs, hidden, weight)
    torch.testing.assert_close(found[0][:4], expected[0][:4], rtol=1e-4, atol=1e-4)
    for mine, wanted in zip(found[1], expected[1], strict=True):
        assert float((mine - wanted).norm() / wanted.norm()) < 5e-3


def test_of_equal_logits_only_the_first_is_the_most_likely() -> None:
    weight = torch.zeros(6, 2)
    weight[[2, 4]] = 1.0
    hidden, targets = torch.ones(3, 2), torch.tensor([2, 4, 0])
    found = TiledLogProbs.apply(hidden, weight, None, targets, HeadRules(1.0, 1.0, None, OUTPUTS))  # type: ignore[no-untyped-call] # so it is in torch
    assert found[4].tolist() == [True, False, False]


def test_a_frozen_head_gets_no_gradient() -> None:
    hidden, weight, _, targets = _head(bias=False)
    frozen = weight.detach()
    values = TiledLogProbs.apply(hidden, frozen, None, targets, HeadRules(1.0, 1.0, None, ("log_probs",)))  # type: ignore[no-untyped-call] # so it is in torch
    values[0].sum().backward()
    assert values[1:] == (None, None, None, None)
    assert frozen.grad is None and hidden.grad is not None
