"""KTO-pair's anchor, the KL between policy and reference (equation 9): estimated as the paper's TRL did, or on-policy.

On a toy whose KL was 19.7 nats per response, the old cross-half estimate gave 0 and 16, and samples of the policy itself 19.4.
"""

from dataclasses import dataclass
from typing import Any, Protocol, cast

import torch
from torch import Tensor
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import ExportableState

from clairgen_train.losses import PairScores

_STATE = frozenset({"mean_nats", "weight", "refreshed_at"})


class Anchor(Protocol):
    """Estimates KTO-pair's two KLs for a batch."""

    def kl(self, scores: PairScores, rows: Tensor) -> tuple[Tensor, Tensor]:
        """KL for the chosen term and for the rejected term, nats per response, not negative; `rows` [B] bool marks KTO-pair's."""


class PaperEraAnchor:
    """The estimate of TRL's `kto_pair` at the paper's time: each half of the batch is anchored at the other's mean log-ratio.

    It is not a KL of the policy, since no answer was sampled from the policy, and as in the old code gradients flow through it.
    That code took the mean over 2B terms where this package takes the mean over B pairs: its gradient was half as large.
    """

    def kl(self, scores: PairScores, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Mean log-ratio of the rejected, and of the chosen, over `rows`, each clamped at 0."""
        count = rows.sum().clamp(min=1)
        of_chosen = (scores.chosen_logratios * rows).sum() / count
        of_rejected = (scores.rejected_logratios * rows).sum() / count
        return of_rejected.clamp(min=0), of_chosen.clamp(min=0)


@dataclass(frozen=True, slots=True)
class AnchorSampling:
    """How the on-policy anchor samples: each rank samples `answers` answers to random training prompts, every `every` steps.

    Each prompt gets two answers. `keep` is the weight of the running mean at a refresh; `max_new_tokens` should be the length
    that responses are truncated to, since the KL is over responses up to there. A refresh costs one generation of that length,
    however many `answers` there are, as long as they fit into memory.
    """

    every: int = 16
    answers: int = 8
    max_new_tokens: int = 512
    keep: float = 0.5
    seed: int = 0


class RunningAnchor(TrainerCallback, ExportableState):
    """A running mean of log-ratios of answers sampled from the policy: an unbiased KL, detached, the same on every rank.

    The mean is clamped at 0 where it is used, not sample by sample, which would bias it upwards. At the start the policy is the
    reference, so 0 is the true value and is not estimated; the first estimate has full weight (Adam's bias correction), since
    otherwise the mean would stay near that 0 for many refreshes. A checkpoint saves it in `trainer_state.json`, which restores
    floats exactly.
    """

    def __init__(
        self, every: int = 16, answers: int = 8, max_new_tokens: int = 512, keep: float = 0.5, seed: int = 0
    ) -> None:
        self.sampling = AnchorSampling(every, answers, max_new_tokens, keep, seed)
        self.mean_nats = 0.0
        self.weight = 0.0  # of all estimates so far in the uncorrected mean
        self.refreshed_at: int | None = None

    def is_due(self, step: int) -> bool:
        """Whether answers must be sampled before optimizer step `step` (from 0, where the KL is 0), once per step."""
        return step > 0 and step % self.sampling.every == 0 and self.refreshed_at != step

    def add(self, estimate_nats: float, step: int) -> None:
        """Update the mean by the log-ratio (nats per response) of the answers sampled before step `step`."""
        keep = self.sampling.keep
        weight = keep * self.weight + (1 - keep)
        self.mean_nats += (1 - keep) / weight * (estimate_nats - self.mean_nats)
        self.weight, self.refreshed_at = weight, step

    def kl(self, scores: PairScores, rows: Tensor) -> tuple[Tensor, Tensor]:
        """The running mean for both terms."""
        value = torch.full_like(scores.ref_chosen_logps[0], max(self.mean_nats, 0.0))
        return value, value

    def state(self) -> dict[str, dict[str, object]]:
        """What a checkpoint saves."""
        settings = {field: getattr(self.sampling, field) for field in AnchorSampling.__dataclass_fields__}
        return {"args": settings, "attributes": {name: getattr(self, name) for name in _STATE}}

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        """Restore the checkpoint's state; a new run finds its own initial state there."""
        kept = cast(
            "dict[str, dict[str, dict[str, Any]]]", state.stateful_callbacks
        )  # what it holds once training begins
        if type(self).__name__ in kept:
            attributes = kept[type(self).__name__]["attributes"]
            for name in _STATE & attributes.keys():
                setattr(self, name, attributes[name])
