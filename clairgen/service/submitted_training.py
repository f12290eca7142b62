"""Settings of a training run that were submitted over HTTP: which may be given, and what those with names and paths may name.

The service does not import the package for training, so settings are known here by their keys; `train` checks their values.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from clairgen.patterns import lazy_pattern
from clairgen.service.policy import Policy
from clairgen.service.runs_root import NotPermittedError, shown

_WORD: Final = lazy_pattern(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")


def checked_training(settings: Mapping[str, Any], policy: Policy) -> dict[str, Any]:
    """The settings, with all paths absolute and without links.

    Raises NotPermittedError for a setting that is unknown, or that would run code, load it from the hub, or send data elsewhere.
    """
    found = {}
    for name, value in settings.items():
        if name in _CHECKED:
            found[name] = None if value is None else _CHECKED[name](policy, name, value)
        elif name in _PLAIN:
            found[name] = value
        else:
            raise NotPermittedError(
                f"the setting {shown(name)} cannot be given in what is submitted to the service; use clairgen train"
            )
    return found


def _text(where: str, value: Any) -> str:  # noqa: ANN401 - any JSON value
    if not isinstance(value, str):
        raise NotPermittedError(f"{where}: {shown(str(value))} is not a text")
    return value


def _model(policy: Policy, where: str, value: Any) -> str:  # noqa: ANN401 - any JSON value
    return policy.model(_text(where, value), where)


def _file(policy: Policy, where: str, value: Any) -> str:  # noqa: ANN401 - any JSON value
    return str(policy.root.file(_text(where, value), where))


def _word(policy: Policy, where: str, value: Any) -> str:  # noqa: ANN401 - any JSON value
    """The name of something that a library has; one with a slash may be loaded from the hub, code included."""
    del policy
    if not _WORD.fullmatch(_text(where, value)):
        raise NotPermittedError(f"{where}: {shown(value)} is not a name of letters, digits, _, - and .")
    return str(value)


def _numbers(policy: Policy, where: str, value: Any) -> Any:  # noqa: ANN401 - any JSON value
    del policy
    if not isinstance(value, Mapping) or not all(isinstance(one, int | float) for one in value.values()):
        raise NotPermittedError(f"{where}: only numbers can be given in what is submitted to the service")
    return value


_CHECKED: Final[Mapping[str, Callable[[Policy, str, Any], Any]]] = {
    "model": _model,
    "reference_model": _model,
    "chat_template": _file,
    "revision": _word,
    "data_revision": _word,
    "subset": _word,
    "train_split": _word,
    "test_split": _word,
    "optimizer": _word,
    "scheduler": _word,
    "attn_implementation": _word,
    "scheduler_kwargs": _numbers,
}
_PLAIN: Final = frozenset(
    (
        *("objective", "pair_objectives", "beta", "ld_alpha", "margin_scale", "chosen_nll", "keep_identical"),
        *("held_out_pairs", "prompt_tokens", "response_tokens", "thinking", "truncation"),
        *("epochs", "batch_size", "device_batch_size", "learning_rate", "warmup_steps", "warmup_ratio", "weight_decay"),
        *(
            "max_grad_norm",
            "precision",
            "save_dtype",
            "seed",
            "lora",
            "kto_pair",
            "measure",
            "early_stopping",
            "keep_best",
        ),
        *("sampled_answers", "shared_prompt", "gradient_checkpointing", "checkpoints", "keep_checkpoints", "parallel"),
        *("gpus", "log_every"),
    )
)
"""Settings that are numbers, switches, words of a list that `train` knows, or names of a model's layers."""
REFUSED: Final = frozenset({"reference_cache", "report_to", "trl", "trust_remote_code"})
"""Settings that are never taken: a folder elsewhere, trackers that data would be sent to, whatever a library takes, and code."""
