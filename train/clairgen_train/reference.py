"""Log-probabilities of all pairs under the reference: computed once for all epochs, cached on disk for all runs over them."""

import hashlib
import json
import os
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from accelerate.utils import broadcast_object_list, is_peft_model
from trl.models import prepare_deepspeed

from clairgen.errors import InputError
from clairgen.text import counted
from clairgen_train.metrics_log import say
from clairgen_train.pair_log_probs import PairLogProbs, Score, pair_log_probs

if TYPE_CHECKING:
    from datasets import Dataset

    from clairgen_train.pair_trainer import PairTrainer

_EXACT_TOLERANCE = (1e-4, 1e-3)
_LOW_PRECISION_TOLERANCE = (1e-2, 0.1)
"""Relative, and absolute in nats per response."""


def cache_folder(chosen: Path | None) -> Path:
    """Where reference log-probabilities are cached: the chosen folder, else clairgen's in the user's cache."""
    if chosen is not None:
        return chosen.expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "clairgen" / "references"


class CachedReferences:
    """Adds the reference's log-probabilities to a PairTrainer's pairs: from `folder`, or by one pass that is cached there.

    It replaces TRL's own pass, which runs when the models have their fused head and are not wrapped yet, so the shared forward
    is installed here too: reference and training take the same path. `pairs_hash` identifies the token ids. Cached values are
    compared with the model on a first batch, and computed again where they do not match.
    """

    def __init__(self, folder: Path, pairs_hash: str, *, share: bool, pad_token_id: int) -> None:
        self._folder, self._pairs_hash, self._share, self._pad_token_id = folder, pairs_hash, share, pad_token_id

    def __call__(self, trainer: "PairTrainer", pairs: "Dataset") -> "Dataset":
        """`pairs` with the columns `ref_chosen_logps` and `ref_rejected_logps`; called on every rank.

        Safe with several ranks: all look first and compute together unless all have the file; one rank per node writes to a
        temporary name and renames, so that a file is complete or absent.
        """
        from datasets import Dataset, concatenate_datasets

        forward = _install_shared_forward(trainer) if self._share else "trl"
        accelerator = trainer.accelerator
        file = self._file(trainer, forward)
        cached = torch.tensor([int(file.is_file())], device=accelerator.device)
        is_cached = bool(accelerator.gather(cached).min())
        score = _reference_score(trainer)
        if is_cached and not self._matches(Dataset.from_file(str(file)), pairs, trainer, score):
            is_cached = False
            if accelerator.is_main_process:
                say("the cached reference log-probabilities do not match the model")
        if not is_cached:
            if accelerator.is_main_process:
                say(f"computing the reference log-probabilities of {counted(len(pairs), 'pair')}, once")
            log_probs = self._log_probs(pairs, trainer, score)
            if accelerator.is_local_main_process:
                _write(log_probs, file)
        accelerator.wait_for_everyone()
        return concatenate_datasets([pairs, Dataset.from_file(str(file))], axis=1)

    def _file(self, trainer: "PairTrainer", forward: str) -> Path:
        model = trainer.ref_model or trainer.model
        key = [
            reference_key(
                model_hash=trainer._precompute_model_hash,  # noqa: SLF001 - TRL computes it for its own cache
                config=model.config.to_json_string(),
                pairs_hash=self._pairs_hash,
                dtype=f"{trainer.model.dtype}, {trainer.accelerator.mixed_precision}",
                forward=f"{forward}, {model.config._attn_implementation}",  # noqa: SLF001 - it has no other name
            )
        ]
        broadcast_object_list(key, from_process=0)  # the weights may be on the first rank alone
        return self._folder / f"{key[0]}.arrow"

    def _matches(self, cached: "Dataset", pairs: "Dataset", trainer: "PairTrainer", score: Score) -> bool:
        """Whether the cached values of the first pairs are those of the model, up to the noise of its arithmetic."""
        count = min(len(pairs), trainer.args.per_device_train_batch_size * trainer.accelerator.num_processes)
        now = self._log_probs(pairs.select(range(count)), trainer, score)
        exact = trainer.model.dtype == torch.float32 and trainer.accelerator.mixed_precision == "no"
        relative, absolute = _EXACT_TOLERANCE if exact else _LOW_PRECISION_TOLERANCE
        return all(
            torch.allclose(torch.tensor(cached[column][:count]), values, rtol=relative, atol=absolute)
            for column, values in (("ref_chosen_logps", now.chosen), ("ref_rejected_logps", now.rejected))
        )

    def _log_probs(self, pairs: "Dataset", trainer: "PairTrainer", score: Score) -> PairLogProbs:
        return pair_log_probs(
            score,
            pairs,
            accelerator=trainer.accelerator,
            pad_token_id=self._pad_token_id,
            batch_size=trainer.args.per_device_train_batch_size,
        )


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


def _reference_score(trainer: "PairTrainer") -> Score:
    model = trainer.ref_model or trainer.model
    if trainer.ref_model is None and trainer.is_deepspeed_enabled:
        model = prepare_deepspeed(trainer.model, trainer.accelerator)
    return lambda batch: torch.cat(trainer.compute_ref_log_probs(model, batch))


def _install_shared_forward(trainer: "PairTrainer") -> str:
    """Install the shared forward on the models; the name of the forward that is in use afterwards."""
    from clairgen_train.forward import install_shared_forward

    for model in filter(None, (trainer.model, trainer.ref_model)):
        reason = install_shared_forward(model.get_base_model() if is_peft_model(model) else model)
        if reason is not None:
            if trainer.accelerator.is_main_process:
                say(f"the prefix that two answers share is computed twice: {reason}")
            return "trl"
    return "shared"


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
