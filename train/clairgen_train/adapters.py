"""Where a model's weights are: a folder or hub name of its own, or an adapter and its base, which are loaded as one."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from clairgen.errors import InputError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

ADAPTER_CONFIG = "adapter_config.json"


@dataclass(frozen=True, slots=True)
class ModelSource:
    """Where a model is: the folder or hub name of its weights, and of an adapter over them, if there is one."""

    base: str
    revision: str | None
    adapter: str | None = None
    adapter_revision: str | None = None


def model_source(model: str, revision: str | None = None) -> ModelSource:
    """The base and the adapter that a folder or hub name stands for; a model without an adapter is its own base.

    Raises InputError for an adapter that does not name its base.
    """
    from transformers.utils.peft_utils import find_adapter_config_file

    try:
        file = find_adapter_config_file(model, revision=revision)
        config = None if file is None else json.loads(Path(file).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{model} cannot be read, so check it: {' '.join(str(error).split())[:300]}") from error
    if config is None:
        return ModelSource(model, revision)
    base = config.get("base_model_name_or_path") if isinstance(config, dict) else None
    if not isinstance(base, str) or not base:
        raise InputError(
            f"the adapter {model} does not say in {ADAPTER_CONFIG} which model it belongs to; add it there"
        )
    return ModelSource(base, config.get("revision"), model, revision)


def load_weights(source: ModelSource, *, trust_remote_code: bool = False, **options: Any) -> "PreTrainedModel":  # noqa: ANN401
    """The model, from safetensors only, with its adapter merged into it in memory; `options` are those of `from_pretrained`.

    Raises InputError if it cannot be loaded.
    """
    model = load_base(source, trust_remote_code=trust_remote_code, **options)
    if source.adapter is None:
        return model
    merged: PreTrainedModel = with_adapter(model, source).merge_and_unload(safe_merge=True)
    return merged.requires_grad_(True)  # PEFT froze it


def tokenizer_places(source: ModelSource) -> list[tuple[str, str | None]]:
    """Where a model's tokenizer may be, with the revision: beside the adapter first, then with its base."""
    beside = [] if source.adapter is None else [(source.adapter, source.adapter_revision)]
    return [*beside, (source.base, source.revision)]


def load_base(source: ModelSource, *, trust_remote_code: bool, **options: Any) -> "PreTrainedModel":  # noqa: ANN401
    """The base's weights alone; `options` are those of `from_pretrained`. Raises InputError if they cannot be loaded."""
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM

    try:
        loaded = AutoModelForCausalLM.from_pretrained(
            source.base,
            revision=source.revision,
            trust_remote_code=trust_remote_code,
            use_safetensors=True,
            output_loading_info=True,
            **options,
        )
    except (OSError, ValueError, RuntimeError, ImportError, SafetensorError) as error:
        raise InputError(not_loaded(source, error)) from error
    model, loading = cast("tuple[PreTrainedModel, dict[str, list[str]]]", loaded)  # with output_loading_info
    if missing := sorted(loading["missing_keys"]):  # transformers fills them with random numbers
        raise InputError(
            f"the files of {source.base} lack weights that its config.json asks for ({len(missing)}, such as {missing[0]}), "
            "which would be random; get the model again, or correct its config.json"
        )
    return model


def with_adapter(model: "PreTrainedModel", source: ModelSource) -> Any:  # noqa: ANN401 - a PeftModel, which has no types
    """`model`, the base, with the adapter over it. Raises InputError where the two do not fit together."""
    from peft import PeftModel
    from safetensors import SafetensorError

    try:
        return PeftModel.from_pretrained(
            model, source.adapter or source.base, revision=source.adapter_revision, use_safetensors=True
        )
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, SafetensorError) as error:
        raise InputError(
            f"the adapter {source.adapter} does not load over its base {source.base}; check that they belong together "
            f"({' '.join(str(error).split())[:300]})"
        ) from error


def not_loaded(source: ModelSource, error: Exception) -> str:
    """The sentence about a base, or a model that is its own, that transformers cannot load."""
    reason = " ".join(str(error).split())[:300]
    if (source.base.startswith((".", "/", "~")) or source.base.count("/") > 1) and not Path(source.base).exists():
        reason = "there is no such folder"
    if "ignore_mismatched_sizes" in reason:  # transformers printed the shapes, which are silenced
        reason = "its weights have other shapes than its config.json says"
    of_adapter = "" if source.adapter is None else f", the base of the adapter {source.adapter},"
    return (
        f"the model {source.base}{of_adapter} cannot be loaded; give a folder with config.json and safetensors, or a name on the "
        f"hub ({reason})"
    )
