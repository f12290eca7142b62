"""Merging an adapter into its base: as a model of its own, and as the base that a further adapter names."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from clairgen.errors import InputError, RunError
from clairgen_train.adapters import (
    ADAPTER_CONFIG,
    ModelSource,
    load_base,
    load_weights,
    model_source,
    tokenizer_places,
    with_adapter,
)
from clairgen_train.model import repair_generation_config
from clairgen_train.settings import TrainingSettings

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_PROBE_TOKENS = 64
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_MOST_LOST = 0.25
"""The share of what the adapter changes that merging may lose to rounding."""
_ROUNDING = {torch.float32: 1e-5, torch.bfloat16: 0.02, torch.float16: 0.005}
"""What rounding changes of logits at most, by the type of the weights, as a share of the largest logit (a root mean square)."""


@dataclass(frozen=True, slots=True)
class Merged:
    """What a merge came to: the base, and the share of the adapter's change in logits that was lost (root mean squares)."""

    base: str
    lost: float


def merge_adapter(
    adapter: str,
    out: Path,
    *,
    dtype: torch.dtype = torch.float32,
    revision: str | None = None,
    trust_remote_code: bool = False,
) -> Merged:
    """Write the adapter's base with the adapter merged into it, and its tokenizer, as a model into the new folder `out`.

    It is merged in fp32 and written in `dtype`; a half precision rounds small changes of weights away. The logits of the written
    model, loaded again, are compared with those of base and adapter, in fp32. Raises InputError for what is not an adapter or
    cannot be loaded, and for a folder in use; RunError where more than a quarter of the adapter's change is lost.
    """
    source = model_source(adapter, revision)
    if source.adapter is None:
        raise InputError(f"{adapter} has no {ADAPTER_CONFIG}, so it is not an adapter and there is nothing to merge")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} is not empty; name a new folder for the merged model")
    model = load_base(source, trust_remote_code=trust_remote_code, dtype=torch.float32)
    if getattr(model.config, "quantization_config", None) is not None:
        raise InputError(
            f"the base {source.base} is quantized, so an adapter cannot be merged into it; name the unquantized model as "
            f"base_model_name_or_path in {ADAPTER_CONFIG}"
        )
    whole = with_adapter(model, source)
    before = _probe_logits(whole)
    with whole.disable_adapter():
        changed = _rms(before - _probe_logits(whole))
    merged = whole.merge_and_unload(safe_merge=True)
    _untie_where_different(merged)
    partial = out.with_name(f".{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        save_whole(merged.to(dtype), source, partial, trust_remote_code=trust_remote_code)
        written = load_weights(
            ModelSource(str(partial), None), trust_remote_code=trust_remote_code, dtype=torch.float32
        )
        difference, largest = _rms(_probe_logits(written) - before), float(before.abs().max())
        lost = difference / changed if changed > _ROUNDING[torch.float32] * largest else 0.0
        if not difference <= _ROUNDING[dtype] * largest:
            raise RunError(
                f"the merged model's logits differ from those of base and adapter by {difference:.3g} (the largest is "
                f"{largest:.3g}), so it was not kept; use the adapter over {source.base} as it is"
            )
        if not lost <= _MOST_LOST:
            raise RunError(
                f"merging would lose {lost:.0%} of what the adapter changes to rounding, so the model was not kept; write it "
                f"with --dtype fp32, or use the adapter over {source.base} as it is"
            )
        if out.exists():
            out.rmdir()
        partial.rename(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return Merged(source.base, lost)


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


def name_base(model: "PreTrainedModel", settings: TrainingSettings, folder: Path, *, write: bool) -> None:
    """Give the model the name by which a new adapter is to find its base again.

    That is where it was loaded from, a path made absolute; if it is an adapter merged into its base, which is in no folder yet,
    it is `folder`, into which the process that may `write` writes it.
    """
    if settings.lora is None:
        return
    source = model_source(settings.model, settings.revision)
    if source.adapter is None:
        model.name_or_path = str(Path(source.base).resolve()) if Path(source.base).exists() else source.base
        return
    if write and not folder.is_dir():
        partial = folder.with_name(f".{folder.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        save_whole(model, source, partial, trust_remote_code=settings.trust_remote_code)
        partial.rename(folder)
    model.name_or_path = str(folder)


def _probe_logits(model: Any) -> torch.Tensor:  # noqa: ANN401 - a PeftModel, which has no types
    """Logits [1, tokens, vocabulary] in fp32 of the same pseudo-random ids each time."""
    vocabulary = int(model.config.get_text_config().vocab_size)
    ids = torch.randint(0, vocabulary, (1, _PROBE_TOKENS), generator=torch.Generator().manual_seed(0))
    model.eval()
    with torch.no_grad():
        logits: torch.Tensor = model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False).logits
    return logits.float()


def _rms(values: torch.Tensor) -> float:
    return float(values.pow(2).mean().sqrt())


def _untie_where_different(model: "PreTrainedModel") -> None:
    """Keep an embedding and an output layer that were trained apart, where the base had one tensor for both."""
    output: torch.nn.Module | None = model.get_output_embeddings()  # type: ignore[no-untyped-call]  # transformers leaves it so
    if not model.config.get_text_config().tie_word_embeddings or output is None:
        return
    first, last = (dict(layer.named_parameters())["weight"] for layer in (model.get_input_embeddings(), output))
    if not torch.equal(first, last):
        model.config.get_text_config().tie_word_embeddings = False
        model.config.tie_word_embeddings = False
