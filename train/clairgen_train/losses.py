"""The losses of section 4 and the forms of DPO that correct for length, each a pure function of rewards, beside its equation.

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


def dpo(chosen_rewards: Tensor, rejected_rewards: Tensor, margin: Tensor | float = 0.0) -> Tensor:
    """Equation 6: -log s(r_w - r_l - m). Tensors [B] to [B]; widens the difference, whichever way the two of them go.

    The margin m (in units of rewards, 0 in the paper) is by how much chosen's reward should be the higher one: DPO with an
    offset (arXiv 2402.10571), for pairs of which it is known how far apart the answers are.
    """
    return -logsigmoid(chosen_rewards - rejected_rewards - margin)


def dpo_norm(
    chosen_rewards: Tensor,
    rejected_rewards: Tensor,
    chosen_tokens: Tensor,
    rejected_tokens: Tensor,
    margin: Tensor | float = 0.0,
) -> Tensor:
    """Length-normalized DPO (Tulu 3, arXiv 2411.15124; TRL's `sigmoid_norm`): -log s(r_w / |y_w| - r_l / |y_l| - m). [B].

    |y| are the answers' tokens [B]. Rewards are means over tokens, so a long answer has no larger reward for its length alone.
    A suitable beta is larger than DPO's by the order of an answer's length; with a margin it is SimPO with a reference.
    """
    return dpo(per_token(chosen_rewards, chosen_tokens), per_token(rejected_rewards, rejected_tokens), margin)


def per_token(rewards: Tensor, tokens: Tensor) -> Tensor:
    """Rewards [B] of whole answers as means over their `tokens` [B]."""
    return rewards / tokens.clamp(min=1)


def length_desensitized(token_logps: Tensor, mask: Tensor, alpha: float) -> Tensor:
    """LD-DPO's log-likelihoods (arXiv 2409.06411): beyond the shorter answer's length a pair's longer one counts alpha.

    [2B], nats. `token_logps` [2B, T] are nats per token, chosen answers first, and `mask` [2B, T] marks the tokens of responses.
    With alpha 1 they are the sums over the whole responses, with 0 both answers count as many tokens as the shorter one has.
    """
    position, lengths = mask.cumsum(dim=1), mask.sum(dim=1)
    shorter = torch.minimum(*lengths.chunk(2)).repeat(2).unsqueeze(1)
    token_logps = token_logps * mask
    return token_logps.sum(dim=1) - (1 - alpha) * (token_logps * (position > shorter)).sum(dim=1)


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
    """Log-probabilities of B pairs under policy and reference: sums over response tokens (nats), and the answers' token counts.

    `whole_chosen_logps` are the policy's sums over whole chosen answers, where the others are `length_desensitized`; None where
    they are whole anyway.
    """

    chosen_logps: Tensor
    rejected_logps: Tensor
    ref_chosen_logps: Tensor
    ref_rejected_logps: Tensor
    chosen_tokens: Tensor
    rejected_tokens: Tensor
    whole_chosen_logps: Tensor | None = None

    @property
    def chosen_logratios(self) -> Tensor:
        """log(pi / pi_ref) of the chosen answers, [B], nats."""
        return self.chosen_logps - self.ref_chosen_logps

    @property
    def rejected_logratios(self) -> Tensor:
        """log(pi / pi_ref) of the rejected answers, [B], nats."""
        return self.rejected_logps - self.ref_rejected_logps

    @property
    def chosen_log_likelihoods(self) -> Tensor:
        """Log pi of the whole chosen answers, [B], nats."""
        return self.chosen_logps if self.whole_chosen_logps is None else self.whole_chosen_logps

    def rewards(self, objective: Tensor, beta: float) -> tuple[Tensor, Tensor]:
        """Those of chosen and rejected answers, [B] each, means over tokens under `dpo-norm`; `objective` [B] has codes."""
        rows = objective == Objective.DPO_NORM.code
        sides = ((self.chosen_logratios, self.chosen_tokens), (self.rejected_logratios, self.rejected_tokens))
        chosen, rejected = (
            beta * torch.where(rows, per_token(logratios, tokens), logratios) for logratios, tokens in sides
        )
        return chosen, rejected


def pair_losses(
    scores: PairScores,
    objective: Tensor,
    weight: Tensor,
    *,
    beta: float,
    kl: tuple[Tensor, Tensor],
    margin: Tensor | None = None,
    sft_tokens: Tensor | None = None,
    chosen_nll: float = 0.0,
    chosen_tokens: Tensor | None = None,
) -> Tensor:
    """Each pair's loss under its own objective, times its weight, [B]: the mean over B is the loss of a mixed batch.

    `objective` [B] holds codes of paired objectives or NO_OBJECTIVE, `weight` [B] is without unit; `kl` are KTO-pair's anchors
    for chosen and for rejected (nats per response). `margin` [B] is that of `dpo` and `dpo_norm`, 0 if left out. `sft_tokens` is
    the mean length of the chosen answers under SFT that are averaged together, of these B if left out. The weights are not
    normalized, so that a pair counts the same in any batch: a weight of 2 equals the pair given twice, and a batch of k
    objectives is the mean of k batches, each weighted by its share of rows.

    `chosen_nll` times the negative log-likelihood of chosen is added to every row's loss, before its weight; as with SFT it is a
    mean over tokens, and `chosen_tokens` is the mean length of all chosen answers that are averaged together, of these B if left
    out.
    """
    chosen, rejected = scores.rewards(objective, beta)
    offset = torch.zeros_like(chosen) if margin is None else margin
    losses = torch.zeros_like(chosen)
    of_rewards: dict[Objective, Callable[[Tensor, Tensor], Tensor]] = {
        Objective.DPO: lambda r_w, r_l: dpo(r_w, r_l, offset),
        Objective.DPO_NORM: lambda r_w, r_l: dpo(r_w, r_l, offset),  # these rows' rewards are means over tokens
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
    losses = torch.where(rows, sft(scores.chosen_log_likelihoods, sft_tokens), losses)
    if chosen_nll:
        mean_tokens = scores.chosen_tokens.to(losses).mean() if chosen_tokens is None else chosen_tokens
        losses = losses + chosen_nll * sft(scores.chosen_log_likelihoods, mean_tokens)
    return losses * weight
