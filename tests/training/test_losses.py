"""Each pure loss against values worked by hand, the equations' gradients, and figure 3's directions and magnitudes."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from clairgen_train.losses import (
    NO_OBJECTIVE,
    PairScores,
    apo_down,
    apo_zero,
    apo_zero_unpaired,
    dpo,
    dpo_norm,
    kto,
    kto_pair,
    length_desensitized,
    pair_losses,
    sft,
)
from clairgen_train.settings import Objective

Loss = Callable[[Tensor, Tensor], Tensor]
GRID = torch.linspace(-6, 6, 49, dtype=torch.float64)


def double(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def gradients(loss: Loss, chosen: Tensor, rejected: Tensor) -> tuple[Tensor, Tensor]:
    """How steep the loss is in r_w and in r_l, pair by pair."""
    chosen, rejected = chosen.clone().requires_grad_(), rejected.clone().requires_grad_()
    found = torch.autograd.grad(loss(chosen, rejected).sum(), (chosen, rejected))
    return found[0], found[1]


def grid() -> tuple[Tensor, Tensor]:
    return GRID.repeat(len(GRID)), GRID.repeat_interleave(len(GRID))


def slope(x: Tensor) -> Tensor:
    """d(x) = s(x)(1 - s(x)) of figure 3."""
    return torch.sigmoid(x) * torch.sigmoid(-x)


@pytest.mark.parametrize(
    ("log_ratios", "of_zero", "of_down"),
    [((2, -3), 0.875723, 0.927375), ((-2, -5), 0.927375, 0.875723), ((5, 5), 1.0, 1.122459)],
)
def test_apo_gives_the_golden_values_at_beta_a_tenth(
    log_ratios: tuple[float, float], of_zero: float, of_down: float
) -> None:
    chosen, rejected = double(0.1 * log_ratios[0]), double(0.1 * log_ratios[1])
    assert apo_zero(chosen, rejected).item() == pytest.approx(of_zero, abs=5e-7)
    assert apo_down(chosen, rejected).item() == pytest.approx(of_down, abs=5e-7)


def test_rewards_of_log_3_have_values_worked_by_hand() -> None:
    up, down = double(math.log(3)), double(-math.log(3))  # s = 3/4 and 1/4; their difference is log 9, s = 9/10
    assert dpo(up, down).item() == pytest.approx(math.log(10 / 9), abs=1e-15)
    assert apo_zero(up, down).item() == pytest.approx(1 - 3 / 4 + 1 / 4, abs=1e-15)
    assert apo_down(up, down).item() == pytest.approx(3 / 4 + 1 - 9 / 10, abs=1e-15)
    assert kto_pair(up, down, double(math.log(3))).item() == pytest.approx(1 - 1 / 2 + 1 - 9 / 10, abs=1e-15)
    assert kto(up, torch.tensor([True]), double(math.log(3))).item() == pytest.approx(1 / 2, abs=1e-15)
    assert kto(down, torch.tensor([False]), double(math.log(3))).item() == pytest.approx(1 / 10, abs=1e-15)
    assert apo_zero_unpaired(up, torch.tensor([True])).item() == pytest.approx(1 / 4, abs=1e-15)
    assert apo_zero_unpaired(up, torch.tensor([False])).item() == pytest.approx(3 / 4, abs=1e-15)


def test_sft_is_a_mean_over_tokens_so_long_answers_weigh_more() -> None:
    losses = sft(double(-6, -2), torch.tensor([10, 2]).double().mean())
    assert losses.mean().item() == pytest.approx((6 + 2) / 12, abs=1e-15)


def test_dpo_only_widens_the_difference() -> None:
    chosen, rejected = grid()
    up, down = gradients(dpo, chosen, rejected)
    assert torch.equal(up, -down)
    assert bool((up < 0).all())
    torch.testing.assert_close(-up, torch.sigmoid(rejected - chosen), rtol=0, atol=1e-15)


def test_a_margin_of_log_3_asks_for_rewards_that_far_apart() -> None:
    up, down = double(math.log(9)), double(0.0)
    assert dpo(up, down, math.log(3)).item() == pytest.approx(math.log(4 / 3), abs=1e-15)  # s(log 3) = 3/4
    assert dpo(up, down, double(math.log(9))).item() == pytest.approx(math.log(2), abs=1e-15)
    chosen, rejected = grid()
    shifted = gradients(lambda r_w, r_l: dpo(r_w, r_l, 1.5), chosen, rejected)
    for one, other in zip(shifted, gradients(dpo, chosen - 1.5, rejected), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-15)
    assert bool((shifted[0] < gradients(dpo, chosen, rejected)[0]).all())  # the wider margin pulls harder


def test_length_normalized_dpo_has_values_and_slopes_worked_by_hand() -> None:
    chosen, rejected, tokens = double(2 * math.log(3)), double(-3 * math.log(3)), torch.tensor([2])
    # per token the rewards are log 3 and -log 3, whose difference is log 9
    assert dpo_norm(chosen, rejected, tokens, torch.tensor([3])).item() == pytest.approx(math.log(10 / 9), abs=1e-15)
    assert dpo_norm(chosen, rejected, tokens, torch.tensor([3]), math.log(3)).item() == pytest.approx(
        math.log(4 / 3), abs=1e-15
    )
    up, down = gradients(lambda r_w, r_l: dpo_norm(r_w, r_l, tokens, torch.tensor([3])), chosen, rejected)
    assert up.item() == pytest.approx(-1 / 10 / 2, abs=1e-15)  # raises chosen, in each of two tokens
    assert down.item() == pytest.approx(1 / 10 / 3, abs=1e-15)  # lowers rejected
    long = gradients(lambda r_w, r_l: dpo_norm(r_w, r_l, 10 * tokens, torch.tensor([30])), 10 * chosen, 10 * rejected)
    torch.testing.assert_close(10 * long[0], up, rtol=0, atol=1e-15)  # ten times as long, the same in all


def test_tokens_beyond_the_shorter_answer_count_alpha() -> None:
    logps = torch.tensor([[0, -1, -2, -4, -8], [0, 0, -3, -5, 0]], dtype=torch.float64)  # one pair: 4 and 2 tokens
    mask = torch.tensor([[0, 1, 1, 1, 1], [0, 0, 1, 1, 0]])
    assert length_desensitized(logps, mask, 0.25).tolist() == [-1 - 2 - 0.25 * (4 + 8), -8]
    assert length_desensitized(logps, mask, 0.0).tolist() == [-3, -8]
    assert length_desensitized(logps, mask, 1.0).tolist() == logps.sum(dim=1).tolist()
    exchanged = length_desensitized(logps.flip(0), mask.flip(0), 0.25)
    assert exchanged.tolist() == [-8, -6]  # whichever of the two is the longer one
    logps.requires_grad_()
    slopes = torch.autograd.grad(length_desensitized(logps, mask, 0.25).sum(), logps)[0]
    assert slopes.tolist() == [[0, 1, 1, 0.25, 0.25], [0, 0, 1, 1, 0]]


def test_the_likelihood_term_is_of_whole_answers_where_rewards_are_not() -> None:
    whole = PairScores(
        double(-3), double(-8), double(-3), double(-8), torch.tensor([4]), torch.tensor([2]), double(-15)
    )
    zero = double(0.0)[0]
    losses = pair_losses(
        whole, torch.tensor([Objective.DPO.code]), double(1), beta=0.1, kl=(zero, zero), chosen_nll=2.0
    )
    assert losses.item() == pytest.approx(math.log(2) + 2 * 15 / 4, abs=1e-15)


def test_each_pair_has_its_own_margin_under_the_two_forms_of_dpo_alone() -> None:
    paired = [each for each in Objective if each.is_paired]
    whole, kl = scores(len(paired)), (double(2.0)[0], double(3.0)[0])
    codes, ones = torch.tensor([each.code for each in paired]), torch.ones(len(paired))
    plain, with_margin = (
        pair_losses(whole, codes, ones, beta=0.1, kl=kl, margin=margin) for margin in (None, 0.5 * ones)
    )
    assert [each for each, lower, higher in zip(paired, plain, with_margin, strict=True) if higher > lower] == [
        Objective.DPO,
        Objective.DPO_NORM,
    ]
    assert [each for each in Objective if each.takes_margin] == [Objective.DPO, Objective.DPO_NORM]


def test_apo_zero_raises_chosen_and_lowers_rejected_and_each_saturates() -> None:
    chosen, rejected = grid()
    up, down = gradients(apo_zero, chosen, rejected)
    torch.testing.assert_close(up, -slope(chosen), rtol=0, atol=1e-15)
    torch.testing.assert_close(down, slope(rejected), rtol=0, atol=1e-15)
    assert slope(GRID).argmax() == GRID.abs().argmin()
    assert slope(GRID)[-1] < slope(double(0.0)) / 90


def test_each_term_of_apo_down_pushes_as_figure_3_says() -> None:
    chosen, rejected = grid()
    first = gradients(lambda r_w, r_l: r_w.sigmoid() + 0 * r_l, chosen, rejected)[0]
    second = gradients(lambda r_w, r_l: -(r_w - r_l).sigmoid(), chosen, rejected)
    assert bool((first > 0).all())  # lowers chosen
    assert bool((second[0] < 0).all())  # the margin's term raises chosen
    assert bool((second[1] > 0).all())  # and lowers rejected
    whole = gradients(apo_down, chosen, rejected)
    torch.testing.assert_close(whole[0], slope(chosen) - slope(chosen - rejected), rtol=0, atol=1e-15)
    torch.testing.assert_close(whole[1], slope(chosen - rejected), rtol=0, atol=1e-15)


def test_apo_down_lowers_chosen_on_the_whole_only_while_the_margin_is_wider_than_chosens_reward() -> None:
    chosen, rejected = grid()
    net = gradients(apo_down, chosen, rejected)[0]
    margin = chosen - rejected
    assert bool((net[chosen.abs() < margin.abs() - 1e-9] > 0).all())
    assert bool((net[chosen.abs() > margin.abs() + 1e-9] < 0).all())
    assert gradients(apo_down, double(0.0), double(0.0))[0].item() == 0


def test_kto_pair_is_apo_zero_with_beta_kl_taken_off_both_rewards() -> None:
    chosen, rejected = grid()
    anchor = double(1.7)[0]

    def anchored(r_w: Tensor, r_l: Tensor) -> Tensor:
        return kto_pair(r_w, r_l, anchor)

    def shifted(r_w: Tensor, r_l: Tensor) -> Tensor:
        return apo_zero(r_w - anchor, r_l - anchor)

    torch.testing.assert_close(anchored(chosen, rejected), shifted(chosen, rejected), rtol=0, atol=1e-15)
    for one, other in zip(gradients(anchored, chosen, rejected), gradients(shifted, chosen, rejected), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-15)


def test_a_pair_and_its_two_labeled_answers_have_the_same_loss() -> None:
    chosen, rejected = grid()
    good, bad = torch.ones_like(chosen).bool(), torch.zeros_like(chosen).bool()
    apart = apo_zero_unpaired(chosen, good) + apo_zero_unpaired(rejected, bad)
    torch.testing.assert_close(apart, apo_zero(chosen, rejected), rtol=0, atol=1e-15)
    anchor = double(0.6)[0]
    torch.testing.assert_close(
        kto(chosen, good, anchor) + kto(rejected, bad, anchor), kto_pair(chosen, rejected, anchor), rtol=0, atol=1e-15
    )


def scores(count: int) -> PairScores:
    generator = torch.Generator().manual_seed(3)
    logps = -20 * torch.rand(4, count, generator=generator, dtype=torch.float64)
    one, two, three, four = logps.requires_grad_()
    return PairScores(one, two, three, four, *torch.randint(1, 9, (2, count), generator=generator))


def taken(whole: PairScores, rows: Tensor) -> PairScores:
    given = {name: getattr(whole, name) for name in PairScores.__dataclass_fields__}
    return PairScores(**{name: values[rows] for name, values in given.items() if values is not None})


def test_a_mixed_batch_is_the_mean_of_its_parts_by_rows_in_value_and_gradient() -> None:
    paired = [each for each in Objective if each.is_paired]
    objective = torch.tensor([each.code for each in paired] * 3)
    whole = scores(len(objective))
    weight, kl = torch.ones(len(objective)), (double(2.0)[0], double(3.0)[0])
    mixed = pair_losses(whole, objective, weight, beta=0.1, kl=kl).mean()
    parts = double(0.0)[0]
    for each in paired:
        rows = objective == each.code
        part = pair_losses(taken(whole, rows), objective[rows], weight[rows], beta=0.1, kl=kl).mean()
        parts = parts + part * rows.sum() / len(rows)
    assert mixed.item() == pytest.approx(parts.item(), abs=1e-14)
    wanted = torch.autograd.grad(parts, whole.chosen_logps, retain_graph=True)[0]
    torch.testing.assert_close(torch.autograd.grad(mixed, whole.chosen_logps)[0], wanted, rtol=0, atol=1e-15)


def test_a_weight_of_two_is_the_pair_given_twice_and_of_nothing_the_pair_left_out() -> None:
    objective, zero = torch.tensor([Objective.APO_ZERO.code] * 3), double(0.0)[0]
    whole = scores(3)
    weighted = pair_losses(whole, objective, double(2, 1, 0), beta=0.1, kl=(zero, zero)).sum()
    twice = taken(whole, torch.tensor([0, 0, 1]))
    assert weighted.item() == pytest.approx(
        pair_losses(twice, objective, double(1, 1, 1), beta=0.1, kl=(zero, zero)).sum().item(), abs=1e-14
    )
    assert torch.autograd.grad(weighted, whole.chosen_logps)[0][2] == 0


def test_the_likelihood_term_has_values_and_slopes_worked_by_hand() -> None:
    logps = double(-6, -2, -4).requires_grad_()  # 10, 2 and 4 tokens: 16 in all
    whole = PairScores(
        logps, double(-1, -1, -1), double(-6, -2, -4), double(-1, -1, -1), torch.tensor([10, 2, 4]), torch.ones(3)
    )
    codes = torch.tensor([Objective.APO_ZERO.code, Objective.DPO.code, NO_OBJECTIVE])
    weight, zero = double(1, 3, 2), double(0.0)[0]
    losses = pair_losses(whole, codes, weight, beta=0.1, kl=(zero, zero), chosen_nll=0.5)
    # at rewards of 0 the objectives give 1, log 2 and nothing; each row has half its nats over the mean of 16/3 tokens
    by_hand = [1 + 0.5 * 6 * 3 / 16, 3 * (math.log(2) + 0.5 * 2 * 3 / 16), 2 * (0.5 * 4 * 3 / 16)]
    torch.testing.assert_close(losses, double(*by_hand), rtol=0, atol=1e-15)
    slopes = torch.autograd.grad(losses.mean(), logps)[0]
    # below zero, so that the step raises chosen: a quarter of beta for APO-zero, half for DPO, and 0.5 / 16 times the weight
    by_hand = [-0.1 / 4 / 3 - 0.5 / 16, -3 * (0.1 / 2 / 3 + 0.5 / 16), -2 * 0.5 / 16]
    torch.testing.assert_close(slopes, double(*by_hand), rtol=0, atol=1e-15)


@pytest.mark.parametrize("objective", [each for each in Objective if each.is_paired and each is not Objective.SFT])
def test_the_mean_of_the_likelihood_terms_is_nats_per_chosen_token(objective: Objective) -> None:
    whole, kl = scores(7), (double(2.0)[0], double(3.0)[0])
    codes, weight = torch.full((7,), objective.code), torch.ones(7)
    plain, with_term = (pair_losses(whole, codes, weight, beta=0.1, kl=kl, chosen_nll=nll).mean() for nll in (0.0, 2.0))
    nats_per_token = -whole.chosen_logps.sum() / whole.chosen_tokens.sum()
    assert (with_term - plain).item() == pytest.approx(2 * nats_per_token.item(), abs=1e-14)


def test_no_loss_has_a_nan_gradient_at_extreme_rewards() -> None:
    ones = torch.ones(1)
    of_tokens: Loss = lambda r_w, r_l: dpo_norm(r_w, r_l, ones, 7 * ones)  # noqa: E731
    for loss in (dpo, of_tokens, apo_zero, apo_down, lambda r_w, r_l: kto_pair(r_w, r_l, double(50.0)[0])):
        for sign in (1, -1):
            for gradient in gradients(loss, double(1e4 * sign), double(-1e4 * sign)):
                assert bool(gradient.isfinite().all())


def test_codes_are_positions_in_the_list_of_objectives() -> None:
    assert [each.code for each in Objective] == list(range(len(Objective)))
