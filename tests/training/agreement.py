"""What the trainers and TRL minimize, compared with the paper's equations in float64: value and gradient of a random batch.

The equations and their derivatives are written here independently, with Python's own floats, so that nothing is compared to
itself. The trainers' code runs as in training; only the model's log-probs are given, since models are not run in float64.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from clairgen_train.kl_anchor import RunningAnchor
from clairgen_train.settings import Objective
from tests.training.tiny import (
    TRL_PAIR_LOSSES,
    given_log_probs,
    pair_trainer,
    prepared_pairs,
    trl_loss,
    unpaired_trainer,
)

BETA, KL = 0.1, 4.0
COUNT, PROMPT, ANSWER = 16, 3, 7  # pairs, and tokens of a prompt and at most of an answer


@dataclass(frozen=True)
class Agreement:
    """Largest differences in a batch's loss and in its gradient with respect to log-probs; `source` computes the loss."""

    objective: Objective
    source: str
    value: float
    gradient: float


@dataclass(frozen=True)
class Numbers:
    """A batch by hand: log-ratios and the chosen answers' log-probs (nats), lengths in tokens."""

    chosen: list[float]
    rejected: list[float]
    chosen_logps: list[float]
    chosen_tokens: list[int]
    rejected_tokens: list[int]


def agreements(folder: Path) -> Iterator[Agreement]:
    """Every objective, by this package's loss and by TRL's where it has one."""
    for objective in TRL_PAIR_LOSSES:
        yield paired(folder, objective, "TRL")
    for objective in (*TRL_PAIR_LOSSES, Objective.KTO_PAIR):
        yield paired(folder, objective, "clairgen")
    for objective in (Objective.KTO, Objective.APO_ZERO_UNPAIRED):
        yield unpaired(folder, objective)


def paired(folder: Path, objective: Objective, source: str) -> Agreement:
    rows = prepared_pairs(4, ref_chosen_logps=[-9.0] * 4, ref_rejected_logps=[-9.0] * 4)
    anchor = RunningAnchor()
    anchor.mean_nats = KL
    settings = {"precompute_ref_log_probs": True, "beta": BETA}
    of_kto = objective is Objective.KTO_PAIR
    trainer = pair_trainer(folder, rows, objective, settings=settings, anchor=anchor if of_kto else None)
    log_probs, mask = random_answers()
    reference = random_reference()
    inputs = {
        "input_ids": torch.full(mask.shape, 5),
        "attention_mask": torch.ones_like(mask),
        "completion_mask": mask,
        "ref_chosen_logps": reference[:COUNT],
        "ref_rejected_logps": reference[COUNT:],
    }
    forward = given_log_probs(log_probs * mask[:, 1:])
    loss = trl_loss(trainer, forward, inputs) if source == "TRL" else trainer.compute_loss(forward, inputs)
    return compared(objective, source, loss, log_probs, mask, reference)


def unpaired(folder: Path, objective: Objective) -> Agreement:
    trainer = unpaired_trainer(
        folder, prepared_pairs(8), objective, settings={"precompute_ref_log_probs": True, "beta": BETA}
    )
    log_probs, mask = random_answers()
    reference = random_reference()
    mismatched = torch.zeros(2 * COUNT, 1 + PROMPT, dtype=torch.float64)
    mismatched[:, 0] = KL  # the sum of each mismatched answer, whose reference gave 0
    inputs = {
        "input_ids": torch.full(mask.shape, 5),
        "attention_mask": torch.ones_like(mask),
        "completion_mask": mask,
        "KL_input_ids": torch.full((2 * COUNT, 2 + PROMPT), 5),
        "KL_attention_mask": torch.ones(2 * COUNT, 2 + PROMPT),
        "KL_completion_mask": torch.ones(2 * COUNT, 2 + PROMPT),
        "ref_logps": reference,
        "ref_KL_logps": torch.zeros(2 * COUNT, dtype=torch.float64),
        "label": torch.arange(2 * COUNT) < COUNT,
    }

    def forward(*, input_ids: Tensor, **rest: object) -> object:
        given = log_probs * mask[:, 1:] if input_ids.shape == mask.shape else mismatched
        return given_log_probs(given)(**rest)

    loss = trainer.compute_loss(forward, inputs)
    return compared(objective, "TRL", loss, log_probs, mask, reference)


def compared(
    objective: Objective, source: str, loss: Tensor, log_probs: Tensor, mask: Tensor, reference: Tensor
) -> Agreement:
    sums = (log_probs.detach() * mask[:, 1:]).sum(dim=1)
    ratios = (sums - reference).tolist()
    tokens = mask.sum(dim=1).tolist()
    numbers = Numbers(ratios[:COUNT], ratios[COUNT:], sums[:COUNT].tolist(), tokens[:COUNT], tokens[COUNT:])
    value, slopes = by_hand(objective, numbers)
    found = torch.autograd.grad(loss, log_probs)[0]
    wanted = torch.tensor(slopes, dtype=torch.float64)[:, None] * mask[:, 1:]
    return Agreement(objective, source, abs(loss.item() - value), (found - wanted).abs().max().item())


def by_hand(objective: Objective, of: Numbers) -> tuple[float, list[float]]:
    """The batch's mean loss by the equation (plus its constant), and its derivatives: chosen answers, then rejected ones."""
    if objective is Objective.SFT:
        total = sum(of.chosen_tokens)
        return -sum(of.chosen_logps) / total, [-1 / total] * COUNT + [0.0] * COUNT
    if objective is Objective.DPO_NORM:
        return by_hand_per_token(of)
    terms = [one_pair(objective, BETA * w, BETA * r) for w, r in zip(of.chosen, of.rejected, strict=True)]
    rows = COUNT if objective.is_paired else 2 * COUNT
    value = sum(term[0] for term in terms) / rows
    return value, [BETA * term[1] / rows for term in terms] + [BETA * term[2] / rows for term in terms]


def by_hand_per_token(of: Numbers) -> tuple[float, list[float]]:
    """The same of length-normalized DPO: a log-ratio counts as its mean over the answer's tokens."""
    value, ups, downs = 0.0, [], []
    for w, r, longs, others in zip(of.chosen, of.rejected, of.chosen_tokens, of.rejected_tokens, strict=True):
        margin = BETA * w / longs - BETA * r / others
        value -= math.log(s(margin)) / COUNT
        ups.append(-BETA * s(-margin) / longs / COUNT)
        downs.append(BETA * s(-margin) / others / COUNT)
    return value, ups + downs


def one_pair(objective: Objective, r_w: float, r_l: float) -> tuple[float, float, float]:
    """Loss, slope in r_w, slope in r_l."""
    margin, kl = r_w - r_l, BETA * KL
    match objective:
        case Objective.DPO:  # (6)
            return -math.log(s(margin)), -s(-margin), s(-margin)
        case Objective.APO_ZERO | Objective.APO_ZERO_UNPAIRED:  # (7) + 1
            return 1 - s(r_w) + s(r_l), -d(r_w), d(r_l)
        case Objective.APO_DOWN:  # (8) + 1
            return 1 + s(r_w) - s(margin), d(r_w) - d(margin), d(margin)
        case Objective.KTO_PAIR | Objective.KTO:  # (9) + 2
            return 2 - s(r_w - kl) - s(kl - r_l), -d(r_w - kl), d(kl - r_l)
        case _:
            raise ValueError(objective)


def s(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def d(x: float) -> float:
    return s(x) * s(-x)


def random_answers() -> tuple[Tensor, Tensor]:
    """Log-probs [2 COUNT, T - 1], and the mask of answers of different lengths, outside of which a model gives zeros."""
    generator = torch.Generator().manual_seed(11)
    lengths = torch.randint(1, ANSWER + 1, (2 * COUNT, 1), generator=generator)
    positions = torch.arange(PROMPT + ANSWER)
    mask = ((positions >= PROMPT) & (positions < PROMPT + lengths)).long()
    log_probs = -6 * torch.rand(2 * COUNT, PROMPT + ANSWER - 1, generator=generator, dtype=torch.float64)
    return log_probs.requires_grad_(), mask


def random_reference() -> Tensor:
    return -24 * torch.rand(2 * COUNT, generator=torch.Generator().manual_seed(12), dtype=torch.float64)
