"""A model's generation settings that transformers would refuse to save: repaired or refused before training."""

import re

from transformers import GenerationConfig

from clairgen.errors import InputError

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


def check_generation_config(model: str, revision: str | None) -> list[str]:
    """The names that `repair_generation_config` will unset, from the model's files alone; empty if it has no such file.

    Raises InputError for generation settings that cannot be loaded or saved.
    """
    try:
        config = GenerationConfig.from_pretrained(model, revision=revision or "main")
    except OSError:
        return []
    except ValueError as error:
        raise InputError(_refusal(model, error)) from error
    return repair_generation_config(config, model)


def _refusal(model: str, error: ValueError) -> str:
    reason = " ".join(str(error).split())[:300]
    return (
        f"the trained model could not be saved with the generation_config.json of {model}; correct that file ({reason})"
    )
