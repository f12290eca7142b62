"""KTO-pair's reference point, the KL between policy and reference (equation 9): estimated as the paper's TRL did, or on-policy.

On a toy whose KL was 19.7 nats a response, the old cross-half estimate gave 0 and 16, and samples of the policy itself 19.4.
"""

from dataclasses import dataclass
from typing import Any, Protocol, cast

import torch
from torch import Tensor
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import ExportableState

from clairgen_train.losses import PairScores


class Anchor(Protocol):
    """Gives KTO-pair its two KLs for a batch."""

    def kl(self, scores: PairScores, rows: Tensor) -> tuple[Tensor, Tensor]:
        """KL for the chosen term and for the rejected term, nats a response, not negative; `rows` [B] bool are KTO-pair's."""


class PaperEraAnchor:
    """The estimate of TRL's `kto_pair` at the paper's time: each half of the batch is anchored at the other's mean log-ratio.

    It is no KL of the policy, since no answer was sampled from it, and as in the old code gradients flow through it. That code
    took the mean over 2B terms where this package takes the mean over B pairs: its gradient was half of this one's.
    """

    def kl(self, scores: PairScores, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Mean log-ratio of the rejected, and of the chosen, over `rows`, each clamped at 0."""
        count = rows.sum().clamp(min=1)
        of_chosen = (scores.chosen_logratios * rows).sum() / count
        of_rejected = (scores.rejected_logratios * rows).sum() / count
        return of_rejected.clamp(min=0), of_chosen.clamp(min=0)


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the on-policy anchor samples: each rank draws `answers` answers to prompts of its batch, every `every` steps.

    They are drawn in twos to a prompt, and prompts are taken again where the batch has too few.
    `keep` is the part of the running mean that stays at a refresh; `max_new_tokens` should be what responses are cut to, since
    the KL is of responses up to there. A refresh costs one generation of that length, whatever `answers` is as long as they fit.
    """

    every: int = 16
    answers: int = 8
    max_new_tokens: int = 512
    keep: float = 0.8
    seed: int = 0


class RunningAnchor(TrainerCallback, ExportableState):
    """A running mean of log-ratios of answers that the policy itself gave: an unbiased KL, detached, the same on every rank.

    The mean is clamped at 0 where it is read, not sample by sample, which would bias it upwards. At the start the policy is the
    reference, so 0 is the true value. A checkpoint keeps it in `trainer_state.json`; floats come back from there bit by bit.
    """

    def __init__(
        self, every: int = 16, answers: int = 8, max_new_tokens: int = 512, keep: float = 0.8, seed: int = 0
    ) -> None:
        self.sampling = Sampling(every, answers, max_new_tokens, keep, seed)
        self.mean_nats = 0.0
        self.refreshed_at: int | None = None

    def is_due(self, step: int) -> bool:
        """Whether the answers of optimizer step `step` (from 0) have still to be sampled; once for all its micro-batches."""
        return step % self.sampling.every == 0 and self.refreshed_at != step

    def add(self, estimate_nats: float, step: int) -> None:
        """Take in the mean log-ratio (nats a response) of the answers sampled before step `step`."""
        first = self.refreshed_at is None
        keep = 0.0 if first else self.sampling.keep
        self.mean_nats = keep * self.mean_nats + (1 - keep) * estimate_nats
        self.refreshed_at = step

    def kl(self, scores: PairScores, rows: Tensor) -> tuple[Tensor, Tensor]:
        """The running mean for both terms."""
        value = torch.full_like(scores.ref_chosen_logps[0], max(self.mean_nats, 0.0))
        return value, value

    def state(self) -> dict[str, dict[str, object]]:
        """What a checkpoint keeps."""
        settings = {field: getattr(self.sampling, field) for field in Sampling.__dataclass_fields__}
        return {"args": settings, "attributes": {"mean_nats": self.mean_nats, "refreshed_at": self.refreshed_at}}

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        """Take up what the checkpoint kept; a run from the start finds its own first state there."""
        kept = cast(
            "dict[str, dict[str, dict[str, Any]]]", state.stateful_callbacks
        )  # what it holds once training begins
        if type(self).__name__ in kept:
            attributes = kept[type(self).__name__]["attributes"]
            self.mean_nats, self.refreshed_at = attributes["mean_nats"], attributes["refreshed_at"]
