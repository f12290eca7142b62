"""What a run says before its first step: whether its learning rate fits a small model, and how its model finds the pairs."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from clairgen.stats import wilson
from clairgen.wording import counted
from clairgen_train.settings import Objective, TrainingSettings

if TYPE_CHECKING:
    from datasets import Dataset
    from torch import nn

_SMALL_MODEL: Final = 10_000_000
_LARGE_MODELS_RATE: Final = 1e-6
"""At most this, a learning rate is one for billions of parameters: the paper's is 2e-7."""


def opening_remarks(model: "nn.Module", rows: "Dataset", settings: TrainingSettings) -> list[str]:
    """Sentences for the user. `model` is whole and not trained yet, `rows` have the reference's log-probabilities, if any."""
    parameters = sum(
        getattr(parameter, "ds_numel", parameter.numel()) for parameter in model.parameters()
    )  # DeepSpeed's shards
    rate = learning_rate_remark(settings, parameters)
    return [*([] if rate is None else [rate]), *likelihood_remarks(rows, settings)]


def learning_rate_remark(settings: TrainingSettings, parameters: int) -> str | None:
    """That the learning rate was meant for a model a thousand times as large, where that is so."""
    if parameters >= _SMALL_MODEL or settings.learning_rate > _LARGE_MODELS_RATE:
        return None
    return (
        f"warning: learning_rate {settings.learning_rate:g} is one for billions of parameters (the paper trains 8 billion with "
        f"2e-7), and {settings.model} has {parameters:,}, which will hardly move; try --config classroom, or --set "
        "learning_rate=3e-4"
    )


@dataclass(frozen=True, slots=True)
class Likelihoods:
    """How likely a model finds `pairs` pairs: in `preferred` of them the winner is likelier; nats per token of each side."""

    pairs: int
    preferred: int
    chosen: float
    rejected: float


def likelihoods(rows: "Dataset") -> Likelihoods | None:
    """Those of the reference over prepared pairs whose answers differ; None without such pairs, or without a reference."""
    import pyarrow.compute as pc

    if not {"ref_chosen_logps", "ref_rejected_logps"} <= set(rows.column_names):
        return None
    pairs = preferred = 0
    nats, tokens = [0.0, 0.0], [0, 0]
    for batch in rows.with_format("arrow").iter(batch_size=1000):  # token ids stay on disk
        ids = [batch["chosen_ids"], batch["rejected_ids"]]
        lengths = zip(*(pc.list_value_length(column).to_pylist() for column in ids), strict=True)
        log_probs = zip(batch["ref_chosen_logps"].to_pylist(), batch["ref_rejected_logps"].to_pylist(), strict=True)
        for row, (length, log_prob) in enumerate(zip(lengths, log_probs, strict=True)):
            if not length[1] or (length[0] == length[1] and ids[0][row] == ids[1][row]):
                continue
            pairs += 1
            preferred += log_prob[0] > log_prob[1]
            for side in (0, 1):
                nats[side] += log_prob[side]
                tokens[side] += length[side]
    return Likelihoods(pairs, preferred, nats[0] / tokens[0], nats[1] / tokens[1]) if pairs else None


def likelihood_remarks(rows: "Dataset", settings: TrainingSettings) -> list[str]:
    """Whether winners are likelier than losers before training, and what follows where the interval is wholly on one side.

    Nothing with `ld_alpha`, under which the reference's log-probabilities are not of whole answers.
    """
    found = likelihoods(rows) if settings.ld_alpha is None else None
    interval = None if found is None else wilson(found.preferred, found.pairs)
    if found is None or interval is None:
        return []
    low, high = interval
    share = f"{found.preferred / found.pairs:.0%} of {counted(found.pairs, 'pair')}"
    fact = (
        f"before training, {settings.model} finds the winner likelier than the loser in {share} (95% interval {low:.0%} to "
        f"{high:.0%}); per token, winners have {found.chosen:.2f} nats and losers {found.rejected:.2f}"
    )
    remarks = [fact]
    if low > 0.5:
        remarks.append(
            "warning: the model prefers most winners already, so the contrast has less to teach than so many pairs of its own "
            "mistakes; check that the losers are answers of this model (clairgen advise RUN tells)"
        )
    elif high < 0.5 and settings.objective in (Objective.DPO, Objective.DPO_NORM) and not settings.chosen_nll:
        remarks.append(
            f"note: the model prefers most losers, and {settings.objective.value} only widens the difference: winners may become "
            "less likely too. Watch them (clairgen report --training OUT), or use --objective apo-zero or --set chosen_nll=1"
        )
    return remarks
