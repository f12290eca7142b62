"""A model's generation settings: what transformers would refuse to save, repaired or refused before training; where it stops."""

import re
from typing import TYPE_CHECKING

from transformers import AutoConfig, GenerationConfig, PreTrainedConfig

from clairgen.errors import InputError
from clairgen_train.settings import TrainingSettings

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_NAMED = re.compile(r"^- `(\w+)`:", re.MULTILINE)


def repair_generation_config(config: GenerationConfig, model: str) -> list[str]:
    """Unset what has no effect in `config`, such as a temperature without sampling; the names of what was unset.

    Raises InputError where it could not be saved even then; `model` names it in the sentence.
    """
    unset: list[str] = []
    while True:
        try:
            config.validate(strict=True)
        except ValueError as error:
            names = [name for name in _NAMED.findall(str(error)) if getattr(config, name, None) is not None]
            if not names:
                raise InputError(_refusal(model, error)) from error
            for name in names:
                setattr(config, name, None)
            unset += names
        else:
            return unset


def check_generation_config(settings: TrainingSettings) -> list[str]:
    """The names that `repair_generation_config` will unset, from the model's files alone; empty if it has no such file.

    Raises InputError for generation settings that cannot be loaded or saved.
    """
    try:
        config = GenerationConfig.from_pretrained(settings.model, revision=settings.revision or "main")
    except OSError:
        return []
    except ValueError as error:
        raise InputError(_refusal(settings.model, error)) from error
    return repair_generation_config(config, settings.model)


def stop_tokens(settings: TrainingSettings, tokenizer: "PreTrainedTokenizerBase") -> frozenset[int]:
    """The ids of the tokens at which the model stops generating: by its files, and the tokenizer's end token.

    Raises InputError where the files give something else.
    """
    config: GenerationConfig | PreTrainedConfig
    try:
        config = GenerationConfig.from_pretrained(settings.model, revision=settings.revision or "main")
    except OSError:  # transformers then takes them from the model's own configuration
        config = AutoConfig.from_pretrained(
            settings.model, revision=settings.revision, trust_remote_code=settings.trust_remote_code
        )
    found = [getattr(config, "eos_token_id", None), tokenizer.eos_token_id]
    ids = [each for ends in found for each in (ends if isinstance(ends, list) else [ends]) if each is not None]
    if wrong := [each for each in ids if not isinstance(each, int)]:
        raise InputError(
            f"eos_token_id of {settings.model} is {wrong[0]!r}, which is no token id; correct its generation_config.json"
        )
    return frozenset(ids)


def _refusal(model: str, error: ValueError) -> str:
    reason = " ".join(str(error).split())[:300]
    return (
        f"the trained model could not be saved with the generation_config.json of {model}; correct that file ({reason})"
    )
