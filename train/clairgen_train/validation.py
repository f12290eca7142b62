"""What a training run on pairs refuses before a model is touched, each in one sentence."""

import math

from datasets import Dataset, IterableDataset
from trl import DPOConfig

from clairgen.errors import ConfigError, InputError
from clairgen_train.settings import Objective

_LOSS_TYPES = (["sigmoid"], ["sigmoid_norm"], ["apo_zero"], ["apo_down"], ["sft"])
"""TRL's names of the objectives, of which the first is its default; a trainer's `objective` says which one is meant."""


def validate_loss_options(args: DPOConfig) -> None:
    """Raise ConfigError for an option that changes TRL's losses, but neither the paper's equations nor this package's losses."""
    changed = {
        "loss_type": args.loss_type not in _LOSS_TYPES,
        "label_smoothing": args.label_smoothing != 0,
        "use_weighting": args.use_weighting,
        "f_divergence_type": args.f_divergence_type != "reverse_kl",
        "loss_weights": args.loss_weights is not None,
    }
    found = [name for name, is_set in changed.items() if is_set]
    if found:
        raise ConfigError(f"{found[0]} changes TRL's losses but not the paper's equations; leave it at its default.")


def validate_ld_alpha(alpha: float | None, objective: Objective) -> None:
    """Raise ConfigError for TRL's `ld_alpha` outside its range, or with an objective that cannot use it."""
    if alpha is None:
        return
    if not 0 <= alpha <= 1:
        raise ConfigError(f"ld_alpha is {alpha}; it must be a number from 0 to 1.")
    if (reason := objective.without_ld_alpha) is not None:
        raise ConfigError(f"ld_alpha cannot be used with {objective.value}, {reason}; leave it out.")


def validate_chosen_nll(weight: float, objective: Objective) -> None:
    """Raise ConfigError for a likelihood term that the objective has already, or a weight that is not one."""
    if not 0 <= weight < math.inf:
        raise ConfigError(f"chosen_nll is {weight}; it must be a finite number of at least 0.")
    if weight and (reason := objective.without_likelihood_term) is not None:
        raise ConfigError(f"chosen_nll has no use with {objective.value}, {reason}; leave it out, or train on pairs.")


def require_map_style(dataset: object) -> None:
    """Raise InputError for a data set that is streamed: its length and its rows must be known before the first step."""
    if isinstance(dataset, IterableDataset):
        raise InputError(
            "The training data is an IterableDataset, whose rows are not known in advance; load it as a Dataset "
            "(load_dataset without streaming, or Dataset.from_generator)."
        )
    if not isinstance(dataset, Dataset):
        raise InputError(f"The training data is a {type(dataset).__name__}; load it as a Dataset.")


def validate_pairs(dataset: Dataset, objective: Objective, *, has_anchor: bool) -> None:
    """Raise InputError for objectives or weights that pairs cannot have, ConfigError for a run that lacks what it needs."""
    require_map_style(dataset)
    paired = [each.value for each in Objective if each.is_paired]
    names = dataset.unique("objective") if "objective" in dataset.column_names else []
    unknown = [name for name in names if name not in paired]
    if unknown:
        raise InputError(
            f"The column `objective` holds {unknown[0]}, which is not an objective for pairs; use one of "
            f"{', '.join(paired)}."
        )
    weights = dataset.unique("weight") if "weight" in dataset.column_names else []
    wrong = [weight for weight in weights if not 0 <= weight < math.inf]
    if wrong:
        raise InputError(
            f"The column `weight` holds {wrong[0]}; a pair's weight must be a finite number of at least 0, and 1 for an ordinary "
            "pair."
        )
    _validate_margins(dataset, objective)
    if not objective.is_paired:
        raise ConfigError(f"{objective.value} trains on single answers; it needs UnpairedTrainer, not PairTrainer.")
    if not has_anchor and (objective is Objective.KTO_PAIR or Objective.KTO_PAIR.value in names):
        raise ConfigError("kto-pair needs an anchor for its KL: pass `anchor` a RunningAnchor or a PaperEraAnchor.")


def _validate_margins(dataset: Dataset, objective: Objective) -> None:
    """Raise InputError for margins that are no numbers, below 0, or of pairs whose objective has no use for one."""
    if "margin" not in dataset.column_names:
        return
    margins = dataset["margin"][:]
    wrong = [margin for margin in margins if margin is None or not 0 <= margin < math.inf]
    if wrong:
        raise InputError(
            f"The column `margin` holds {wrong[0]}; a pair's margin must be a finite number of at least 0, in units of rewards."
        )
    own = dataset["objective"][:] if "objective" in dataset.column_names else [objective.value] * len(margins)
    unused = {name for name, margin in zip(own, margins, strict=True) if margin and not Objective(name).takes_margin}
    if unused:
        raise InputError(
            f"The column `margin` has no use with {min(unused)}; use dpo or dpo-norm, or remove the column."
        )
