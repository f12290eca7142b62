"""Log-probabilities of all pairs under the reference: computed once for all epochs, cached on disk for all runs over them."""

import hashlib
import inspect
import json
import math
import os
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, cast

import torch
from accelerate.utils import broadcast_object_list, is_peft_model
from torch import nn
from trl.models import prepare_deepspeed

from clairgen.errors import InputError, RunStoppedError
from clairgen.wording import counted
from clairgen_train.metrics_log import say
from clairgen_train.pair_log_probs import PairLogProbs, Score, pair_log_probs, policy_score

if TYPE_CHECKING:
    from datasets import Dataset
    from peft import PeftModel

    from clairgen_train.pair_trainer import PairTrainer
    from clairgen_train.unpaired_trainer import UnpairedTrainer

    Trainer = PairTrainer | UnpairedTrainer

_COLUMNS = ("ref_chosen_logps", "ref_rejected_logps")
_EXACT_TOLERANCE = (1e-4, 1e-3)
_LOW_PRECISION_TOLERANCE = (1e-2, 0.1)
"""Relative, and absolute in nats per response."""


def cache_folder(chosen: Path | None) -> Path:
    """Where reference log-probabilities are cached: the chosen folder, else clairgen's in the user's cache."""
    if chosen is not None:
        return chosen.expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "clairgen" / "references"


class CachedReferences:
    """Adds the reference's log-probabilities to a trainer's pairs: from `folder`, or by one pass that is cached there.

    It replaces TRL's own pass, which runs when the models have their fused head and are not wrapped yet, so the shared forward
    is installed here too: reference and training take the same path. `pairs_hash` identifies the token ids, and with them the
    tokenizer and the chat template. Cached values are compared with the reference on a first batch, and computed again where they
    do not match; so is the model to train, whose rewards must begin at 0, unless the reference is another model (not `is_start`).
    """

    def __init__(self, folder: Path, pairs_hash: str, *, share: bool, pad_token_id: int, is_start: bool = True) -> None:
        self._folder, self._pairs_hash, self._share, self._pad_token_id = folder, pairs_hash, share, pad_token_id
        self._is_start = is_start

    def __call__(self, trainer: "Trainer", pairs: "Dataset") -> "Dataset":
        """`pairs` with the columns `ref_chosen_logps` and `ref_rejected_logps`; called on every rank.

        Safe with several ranks: all look first and compute together unless all have the file; one rank per node writes to a
        temporary name and renames, so that a file is complete or absent. Raises RunStoppedError where the model is not the
        reference before the first step.
        """
        from datasets import Dataset, concatenate_datasets

        forward = _install_shared_forward(trainer) if self._share else "trl"
        accelerator = trainer.accelerator
        file = self._file(trainer, forward)
        stored = _stored(file, len(pairs))
        is_cached = bool(accelerator.gather(torch.tensor([int(stored is not None)], device=accelerator.device)).min())
        score = _reference_score(trainer)
        if stored is not None and is_cached and self._difference(stored, pairs, trainer, score).is_too_large:
            is_cached = False
            if accelerator.is_main_process:
                say(f"the cached reference log-probabilities do not match the model ({file})")
        if not is_cached:
            if accelerator.is_main_process:
                say(f"computing the reference log-probabilities of {counted(len(pairs), 'pair')}, once")
            log_probs = self._log_probs(pairs, trainer, score)
            if accelerator.is_local_main_process:
                _write(log_probs, file)
        accelerator.wait_for_everyone()
        references = Dataset.from_file(str(file))
        if self._is_start:
            self._require_start(trainer, pairs, references, file)
        return concatenate_datasets([pairs, references], axis=1)

    def _file(self, trainer: "Trainer", forward: str) -> Path:
        model = trainer.ref_model or trainer.model
        device = trainer.accelerator.device.type
        key = [
            reference_key(
                model_hash=weights_hash(trainer),
                config=model.config.to_json_string(),
                pairs_hash=self._pairs_hash,
                dtype=f"{trainer.model.dtype}, {trainer.accelerator.mixed_precision}, {device}",
                forward=f"{forward}, {model.config._attn_implementation}, {_code_hash(model)}",  # noqa: SLF001 - it has no other name
            )
        ]
        broadcast_object_list(key, from_process=0)  # the weights may be on the first rank alone
        return self._folder / f"{key[0]}.arrow"

    def _require_start(self, trainer: "Trainer", pairs: "Dataset", references: "Dataset", file: Path) -> None:
        """Raise RunStoppedError unless the model to train gives the reference's log-probabilities, so that rewards begin at 0.

        Adapters begin without effect. A model whose weights are not here yet (DeepSpeed, or FSDP ranks that load none) is not
        checked.
        """
        if trainer.is_deepspeed_enabled or any(parameter.is_meta for parameter in trainer.model.parameters()):
            return
        alpha = getattr(trainer.args, "ld_alpha", None)  # which only the configuration for pairs has
        found = self._difference(references, pairs, trainer, policy_score(trainer.model, trainer.accelerator, alpha))
        if found.is_too_large:
            what = (
                "are not finite numbers, so it cannot be trained; check its weights, or use precision fp32"
                if not math.isfinite(found.nats)
                else f"differ from the reference's by up to {found.nats:.2g} nats a response, more than rounding explains, so "
                f"its rewards would not begin at 0; remove the cached reference {file} and run the same command again"
            )
            raise RunStoppedError(f"before the first step the model's log-probabilities {what}")

    def _difference(self, references: "Dataset", pairs: "Dataset", trainer: "Trainer", score: Score) -> "_Difference":
        """How far the stored values of the first pairs are from those of `score` now."""
        count = min(len(pairs), trainer.args.per_device_train_batch_size * trainer.accelerator.num_processes)
        now = self._log_probs(pairs.select(range(count)), trainer, score)
        exact = trainer.model.dtype == torch.float32 and trainer.accelerator.mixed_precision == "no"
        relative, absolute = _EXACT_TOLERANCE if exact else _LOW_PRECISION_TOLERANCE
        stored = torch.cat([torch.tensor(references[name][:count]) for name in _COLUMNS])
        values = torch.cat([now.chosen, now.rejected])
        gaps = (stored - values).abs()
        return _Difference(gaps.max().item(), not bool((gaps <= absolute + relative * values.abs()).all()))

    def _log_probs(self, pairs: "Dataset", trainer: "Trainer", score: Score) -> PairLogProbs:
        return pair_log_probs(
            score,
            pairs,
            accelerator=trainer.accelerator,
            pad_token_id=self._pad_token_id,
            batch_size=trainer.args.per_device_train_batch_size,
        )


@dataclass(frozen=True, slots=True)
class _Difference:
    """The largest difference of two log-probabilities, nats a response, and whether one is larger than rounding explains."""

    nats: float
    is_too_large: bool


class NoReferences:
    """Stands in for CachedReferences where no loss has a reference (SFT): installs the shared forward, and no more."""

    def __init__(self, *, share: bool) -> None:
        self._share = share

    def __call__(self, trainer: "Trainer", pairs: "Dataset") -> "Dataset":
        """`pairs` as they are; called on every rank."""
        if self._share:
            _install_shared_forward(trainer)
        return pairs


def reference_key(*, model_hash: str, config: str, pairs_hash: str, dtype: str, forward: str) -> str:
    """The name of a cache file: all that shapes a log-probability.

    `model_hash` is of the weights, `config` the model's configuration as JSON, `pairs_hash` of the token ids; `dtype` and
    `forward` are how it was computed, since in bfloat16 a pass of another shape shifts log-probabilities.
    """
    shape = json.loads(config)
    for name in ("_name_or_path", "architectures", "dtype", "transformers_version"):
        shape.pop(name, None)
    versions = [version(name) for name in ("clairgen", "torch", "transformers", "trl")]
    facts = [*versions, model_hash, shape, pairs_hash, dtype, forward]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def weights_hash(trainer: "Trainer") -> str:
    """The hash of the reference's weights: of the model before adapters, whose rank and seed do not matter to it."""
    if trainer.ref_model is None and is_peft_model(trainer.model):
        found = hashlib.sha256()
        for name, tensor in sorted(trainer.model.state_dict().items()):
            if ".default." not in name:  # the adapter to train, by PEFT's name
                found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
                found.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
        return found.hexdigest()
    return str(trainer._precompute_model_hash)  # noqa: SLF001 - TRL computes it for its own cache


def _code_hash(model: nn.Module) -> str:
    """The hash of a model's own code, which came with its weights; transformers' is known by its version."""
    base = cast("PeftModel", model).get_base_model() if is_peft_model(model) else model
    module = inspect.getmodule(type(base))
    if module is None or module.__file__ is None or module.__name__.startswith("transformers.models."):
        return ""
    return hashlib.sha256(Path(module.__file__).read_bytes()).hexdigest()


def _reference_score(trainer: "Trainer") -> Score:
    model = trainer.ref_model or trainer.model
    if trainer.ref_model is None and trainer.is_deepspeed_enabled:
        model = prepare_deepspeed(trainer.model, trainer.accelerator)
    return lambda batch: trainer.reference_log_probs(model, batch)


def _install_shared_forward(trainer: "Trainer") -> str:
    """Install the shared forward on the models; the name of the forward that is in use afterwards."""
    from clairgen_train.forward import install_shared_forward

    for model in filter(None, (trainer.model, trainer.ref_model)):
        reason = install_shared_forward(model.get_base_model() if is_peft_model(model) else model)
        if reason is not None:
            if trainer.accelerator.is_main_process:
                say(f"the prefix that two answers share is computed twice: {reason}")
            return "trl"
    return "shared"


def _stored(file: Path, count: int) -> "Dataset | None":
    """The cached values of `count` pairs; None where there are none, or the file is damaged."""
    import pyarrow as pa
    from datasets import Dataset

    if not file.is_file():
        return None
    try:
        stored = Dataset.from_file(str(file))
    except (OSError, pa.ArrowException):
        return None
    return stored if len(stored) == count and set(_COLUMNS) <= set(stored.column_names) else None


def _write(log_probs: PairLogProbs, file: Path) -> None:
    import pyarrow as pa

    partial = file.with_suffix(f".{os.getpid()}.partial")
    table = pa.table(
        {"ref_chosen_logps": log_probs.chosen.numpy(), "ref_rejected_logps": log_probs.rejected.numpy()},
    )
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with pa.OSFile(str(partial), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as stream:
            stream.write_table(table)
        partial.rename(file)
    except OSError as error:
        raise InputError(
            f"the reference log-probabilities cannot be saved in {file.parent}: {error.strerror or error}; name another folder "
            "with --set reference_cache=FOLDER"
        ) from error
