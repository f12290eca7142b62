"""LoRA adapters as models: the base that an adapter belongs to, the two loaded as one, and merged into a folder of their own."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from clairgen.errors import InputError, RunError
from clairgen_train.generation_config import repair_generation_config

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_ADAPTER_CONFIG = "adapter_config.json"
_PROBE_TOKENS = 64
_TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 0.05, torch.float16: 0.01}
"""The largest difference of a logit that merging may make, by the type of the weights, as a share of the largest logit."""


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
            f"the adapter {model} does not say in {_ADAPTER_CONFIG} which model it belongs to; add it there"
        )
    return ModelSource(base, config.get("revision"), model, revision)


def load_weights(source: ModelSource, *, trust_remote_code: bool = False, **options: Any) -> "PreTrainedModel":  # noqa: ANN401
    """The model, from safetensors only, with its adapter merged into it in memory; `options` are those of `from_pretrained`.

    Raises InputError if it cannot be loaded.
    """
    model = _loaded_base(source, trust_remote_code=trust_remote_code, **options)
    if source.adapter is None:
        return model
    merged: PreTrainedModel = _with_adapter(model, source).merge_and_unload(safe_merge=True)
    return merged.requires_grad_(True)  # PEFT froze it


@dataclass(frozen=True, slots=True)
class Merged:
    """What a merge came to: the base, the largest difference of a logit, and the largest logit."""

    base: str
    difference: float
    largest_logit: float


def merge_adapter(adapter: str, out: Path, *, revision: str | None = None, trust_remote_code: bool = False) -> Merged:
    """Write the adapter's base with the adapter merged into it, and its tokenizer, as a model into the new folder `out`.

    The logits of the written model, loaded again, are compared with those of base and adapter. Raises InputError for what is not
    an adapter or cannot be loaded, and for a folder in use; RunError where the logits differ by more than rounding.
    """
    source = model_source(adapter, revision)
    if source.adapter is None:
        raise InputError(f"{adapter} has no {_ADAPTER_CONFIG}, so it is not an adapter and there is nothing to merge")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} is not empty; name a new folder for the merged model")
    model = _loaded_base(source, trust_remote_code=trust_remote_code, dtype="auto")
    if getattr(model.config, "quantization_config", None) is not None:
        raise InputError(
            f"the base {source.base} is quantized, so an adapter cannot be merged into it; name the unquantized model as "
            f"base_model_name_or_path in {_ADAPTER_CONFIG}"
        )
    whole = _with_adapter(model, source)
    before = _probe_logits(whole)
    merged = whole.merge_and_unload(safe_merge=True)
    _untie_where_different(merged)
    partial = out.with_name(f".{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        save_whole(merged, source, partial, trust_remote_code=trust_remote_code)
        written = load_weights(ModelSource(str(partial), None), trust_remote_code=trust_remote_code, dtype="auto")
        difference = float((_probe_logits(written) - before).abs().max())
        largest = float(before.abs().max())
        if not difference <= _TOLERANCE.get(written.dtype, 0.05) * largest:
            raise RunError(
                f"the merged model's logits differ from those of base and adapter by {difference:.3g} (the largest is "
                f"{largest:.3g}), so it was not kept; use the adapter over {source.base} as it is"
            )
        if out.exists():
            out.rmdir()
        partial.rename(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return Merged(source.base, difference, largest)


def save_whole(model: "PreTrainedModel", source: ModelSource, folder: Path, *, trust_remote_code: bool = False) -> None:
    """Write a merged model with its tokenizer into `folder`."""
    from transformers import AutoTokenizer

    if model.generation_config is not None:
        repair_generation_config(model.generation_config, source.base)
    try:
        model.save_pretrained(folder)
    except OSError as error:
        raise InputError(
            f"{folder.parent} cannot be written: {error.strerror or error}; name another folder"
        ) from error
    for place, revision in tokenizer_places(source):
        try:
            tokenizer = AutoTokenizer.from_pretrained(place, revision=revision, trust_remote_code=trust_remote_code)
        except (OSError, ValueError):
            continue
        tokenizer.save_pretrained(folder)
        return


def tokenizer_places(source: ModelSource) -> list[tuple[str, str | None]]:
    """Where a model's tokenizer may be, with the revision: beside the adapter first, then with its base."""
    beside = [] if source.adapter is None else [(source.adapter, source.adapter_revision)]
    return [*beside, (source.base, source.revision)]


def _loaded_base(source: ModelSource, *, trust_remote_code: bool, **options: Any) -> "PreTrainedModel":  # noqa: ANN401
    from transformers import AutoModelForCausalLM

    try:
        model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
            source.base,
            revision=source.revision,
            trust_remote_code=trust_remote_code,
            use_safetensors=True,
            **options,
        )
    except (OSError, ValueError, RuntimeError, ImportError) as error:
        of_adapter = "" if source.adapter is None else f", the base of the adapter {source.adapter},"
        raise InputError(
            f"the model {source.base}{of_adapter} cannot be loaded; give a folder with config.json and safetensors, or a name on "
            f"the hub ({' '.join(str(error).split())[:300]})"
        ) from error
    return model


def _with_adapter(model: "PreTrainedModel", source: ModelSource) -> Any:  # noqa: ANN401 - a PeftModel, which has no types
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


def _probe_logits(model: Any) -> torch.Tensor:  # noqa: ANN401 - a PeftModel, which has no types
    """Logits [1, tokens, vocabulary] in fp32 of the same pseudo-random ids each time."""
    vocabulary = int(model.config.get_text_config().vocab_size)
    ids = torch.randint(0, vocabulary, (1, _PROBE_TOKENS), generator=torch.Generator().manual_seed(0))
    model.eval()
    with torch.no_grad():
        logits: torch.Tensor = model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False).logits
    return logits.float()


def _untie_where_different(model: "PreTrainedModel") -> None:
    """Keep an embedding and an output layer that were trained apart, where the base had one tensor for both."""
    output: torch.nn.Module | None = model.get_output_embeddings()  # type: ignore[no-untyped-call]  # transformers leaves it so
    if not model.config.get_text_config().tie_word_embeddings or output is None:
        return
    first, last = (dict(layer.named_parameters())["weight"] for layer in (model.get_input_embeddings(), output))
    if not torch.equal(first, last):
        model.config.get_text_config().tie_word_embeddings = False
        model.config.tie_word_embeddings = False
