"""The losses of section 4, each a pure function of rewards, beside its equation.

Rewards are r(x, y) = beta * log(pi(y|x) / pi_ref(y|x)), without unit; s is the logistic function. Every loss is a tensor [B],
one number per pair or per answer, whose mean a run minimizes. Where the paper writes -s(x) the loss here is 1 - s(x), as in TRL:
the constant keeps it from going below zero and changes no gradient.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from clairgen_train.settings import Objective

NO_OBJECTIVE = -1
"""The code of a row that no objective trains, in place of an objective's: its only loss is the likelihood term."""


def dpo(chosen_rewards: Tensor, rejected_rewards: Tensor) -> Tensor:
    """Equation 6: -log s(r_w - r_l). Two tensors [B] to [B]; widens the difference, whichever way the two of them go."""
    return -logsigmoid(chosen_rewards - rejected_rewards)


def apo_zero(chosen_rewards: Tensor, rejected_rewards: Tensor) -> Tensor:
    """Equation 7 plus 1: -s(r_w) + s(r_l). Two tensors [B] to [B]; raises chosen, lowers rejected."""
    return 1 - chosen_rewards.sigmoid() + rejected_rewards.sigmoid()


def apo_down(chosen_rewards: Tensor, rejected_rewards: Tensor) -> Tensor:
    """Equation 8 plus 1: s(r_w) - s(r_w - r_l). Two tensors [B] to [B]; lowers chosen, and rejected more.

    The gradient in r_w is d(r_w) - d(r_w - r_l) with d = s(1 - s): zero at the start, and it can have either sign.
    """
    return chosen_rewards.sigmoid() + 1 - (chosen_rewards - rejected_rewards).sigmoid()


def kto_pair(
    chosen_rewards: Tensor, rejected_rewards: Tensor, chosen_anchor: Tensor, rejected_anchor: Tensor | None = None
) -> Tensor:
    """Equation 9 plus 2: -s(r_w - beta KL) - s(beta KL - r_l). Tensors [B] to [B].

    An anchor is beta times the KL between policy and reference (nats per response, not negative), a scalar or [B]. The first
    serves both terms unless `rejected_anchor` is given for the second.
    """
    second = chosen_anchor if rejected_anchor is None else rejected_anchor
    return 1 - (chosen_rewards - chosen_anchor).sigmoid() + 1 - (second - rejected_rewards).sigmoid()


def kto(rewards: Tensor, desirable: Tensor, anchor: Tensor) -> Tensor:
    """KTO (arXiv 2402.01306, equation 8, both weights 1): 1 - s(r - beta KL) for desirable answers, else 1 - s(beta KL - r).

    `rewards` [B], `desirable` [B] bool, `anchor` = beta KL as a scalar; [B].
    """
    return 1 - torch.where(desirable, rewards - anchor, anchor - rewards).sigmoid()


def apo_zero_unpaired(rewards: Tensor, desirable: Tensor) -> Tensor:
    """KTO with KL fixed to zero (section 5.4's unpaired variant): the two terms of equation 7, one per answer. [B]."""
    return kto(rewards, desirable, rewards.new_zeros(()))


def sft(chosen_logps: Tensor, mean_tokens: Tensor) -> Tensor:
    """Negative log-likelihood of chosen, as a mean over tokens: what TRL's SFTTrainer minimizes, not a mean of means.

    `chosen_logps` [B] are sums over the response (nats), `mean_tokens` (a scalar) is the mean length of all answers that are
    averaged together. The mean of the result over these answers is nats per token, so a long answer weighs more.
    """
    return -chosen_logps / mean_tokens.clamp(min=1)


@dataclass(frozen=True, slots=True)
class PairScores:
    """Log-probabilities of B pairs under policy and reference: sums over response tokens (nats), and chosen's token counts."""

    chosen_logps: Tensor
    rejected_logps: Tensor
    ref_chosen_logps: Tensor
    ref_rejected_logps: Tensor
    chosen_tokens: Tensor

    @property
    def chosen_logratios(self) -> Tensor:
        """log(pi / pi_ref) of the chosen answers, [B], nats."""
        return self.chosen_logps - self.ref_chosen_logps

    @property
    def rejected_logratios(self) -> Tensor:
        """log(pi / pi_ref) of the rejected answers, [B], nats."""
        return self.rejected_logps - self.ref_rejected_logps


def pair_losses(
    scores: PairScores,
    objective: Tensor,
    weight: Tensor,
    *,
    beta: float,
    kl: tuple[Tensor, Tensor],
    sft_tokens: Tensor | None = None,
    chosen_nll: float = 0.0,
    chosen_tokens: Tensor | None = None,
) -> Tensor:
    """Each pair's loss under its own objective, times its weight, [B]: the mean over B is the loss of a mixed batch.

    `objective` [B] holds codes of paired objectives or NO_OBJECTIVE, `weight` [B] is without unit; `kl` are KTO-pair's anchors
    for chosen and for rejected (nats per response). `sft_tokens` is the mean length of the chosen answers under SFT that are
    averaged together, of these B if left out. The weights are not normalized, so that a pair counts the same in any batch: a
    weight of 2 equals the pair given twice, and a batch of k objectives is the mean of k batches, each weighted by its share of
    rows.

    `chosen_nll` times the negative log-likelihood of chosen is added to every row's loss, before its weight; as with SFT it is a
    mean over tokens, and `chosen_tokens` is the mean length of all chosen answers that are averaged together, of these B if left
    out.
    """
    chosen, rejected = beta * scores.chosen_logratios, beta * scores.rejected_logratios
    losses = torch.zeros_like(chosen)
    of_rewards: dict[Objective, Callable[[Tensor, Tensor], Tensor]] = {
        Objective.DPO: dpo,
        Objective.APO_ZERO: apo_zero,
        Objective.APO_DOWN: apo_down,
        Objective.KTO_PAIR: lambda r_w, r_l: kto_pair(r_w, r_l, beta * kl[0], beta * kl[1]),
    }
    # Every loss on every row: B is small, and finding out which objectives occur would wait for the GPU
    for name, loss in of_rewards.items():
        losses = torch.where(objective == name.code, loss(chosen, rejected), losses)
    rows = objective == Objective.SFT.code
    if sft_tokens is None:
        sft_tokens = (scores.chosen_tokens * rows).sum() / rows.sum().clamp(min=1)
    losses = torch.where(rows, sft(scores.chosen_logps, sft_tokens), losses)
    if chosen_nll:
        mean_tokens = scores.chosen_tokens.to(losses).mean() if chosen_tokens is None else chosen_tokens
        losses = losses + chosen_nll * sft(scores.chosen_logps, mean_tokens)
    return losses * weight
