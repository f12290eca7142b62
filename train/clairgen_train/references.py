"""Log-probabilities of all pairs under the reference, computed once for all epochs and kept on disk for all runs over them."""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from clairgen_train.measuring import PairLogProbs

if TYPE_CHECKING:
    from accelerate import Accelerator
    from datasets import Dataset

_VERSION = 1


def cache_folder(chosen: Path | None) -> Path:
    """Where reference log-probabilities are kept: the folder that was chosen, else clairgen's in the user's cache."""
    if chosen is not None:
        return chosen.expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "clairgen" / "references"


def reference_key(*, model_hash: str, pairs_hash: str, dtype: str, forward: str) -> str:
    """The name of a cache file.

    `model_hash` is of the weights, `pairs_hash` of the token ids; `dtype` and `forward` say how it was computed, since in
    bfloat16 a pass of another shape shifts log-probabilities.
    """
    facts = [_VERSION, model_hash, pairs_hash, dtype, forward, torch.__version__]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def with_references(
    pairs: "Dataset", key: str, folder: Path, accelerator: "Accelerator", compute: Callable[[], PairLogProbs]
) -> "Dataset":
    """`pairs` with the columns `ref_chosen_logps` and `ref_rejected_logps`, from the cache or by `compute`.

    Safe with several ranks: all look first and compute together unless all have it; one a node writes, under another name, and
    then renames; a file that was torn is not there.
    """
    from datasets import Dataset, concatenate_datasets

    file = folder / f"{key}.arrow"
    there = torch.tensor([int(file.is_file())], device=accelerator.device)
    if not bool(accelerator.gather(there).min()):
        log_probs = compute()
        if accelerator.is_local_main_process:
            _write(log_probs, file)
    accelerator.wait_for_everyone()
    return concatenate_datasets([pairs, Dataset.from_file(str(file))], axis=1)


def _write(log_probs: PairLogProbs, file: Path) -> None:
    import pyarrow as pa

    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(f".{os.getpid()}.partial")
    table = pa.table(
        {"ref_chosen_logps": log_probs.chosen.numpy(), "ref_rejected_logps": log_probs.rejected.numpy()},
    )
    with pa.OSFile(str(partial), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    partial.rename(file)
