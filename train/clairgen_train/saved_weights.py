"""Files of saved weights: whether they are whole, whether they are those of a model, and the trained model's in bfloat16."""

import json
import pickle
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from clairgen.errors import RunError
from clairgen.whole_files import write_whole

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class LoadResult(Protocol):
    """What torch says of a state that was loaded: the names that it lacked, and those that no weight has."""

    missing_keys: list[str]
    unexpected_keys: list[str]


def is_whole(file: Path) -> bool:
    """Whether a file of safetensors, or one of torch's, is there up to its end; what it holds is not read."""
    from safetensors import SafetensorError, safe_open  # needs torch, an optional package

    if file.suffix != ".safetensors":
        return zipfile.is_zipfile(file)
    try:
        with safe_open(file, framework="pt"):
            return True
    except (SafetensorError, OSError):
        return False


class LoadsWholeCheckpoints:
    """For trainers of transformers: a checkpoint from which weights would be missing is loaded as models are, or refused.

    transformers' own trainer passes over names that the model has not, and trains on with what was there before. Some families
    are saved under other names than those of their parameters, such as experts one by one; `from_pretrained` converts them.
    """

    model: Any  # the trainer's own, which trl leaves untyped
    state: Any
    _resumed_from: str | None = None

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: object = None) -> None:
        self._resumed_from = resume_from_checkpoint
        try:
            super()._load_from_checkpoint(resume_from_checkpoint, model)  # type: ignore[misc]  # the trainer's
        finally:
            self._resumed_from = None

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        """Raises RunError where the files can be read, but hold something else than this run's optimizer and schedule."""
        import torch

        try:
            super()._load_optimizer_and_scheduler(checkpoint)  # type: ignore[misc]  # the trainer's
        except torch.OutOfMemoryError:
            raise
        except (pickle.UnpicklingError, RuntimeError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise RunError(
                f"{checkpoint} does not hold the state of this run's optimizer and schedule "
                f"({' '.join(str(error).split())[:200] or type(error).__name__}); remove that checkpoint to go on from the one "
                "before, or train in a new folder"
            ) from error

    def _issue_warnings_after_load(self, load_result: LoadResult) -> None:
        """Raises RunError for a checkpoint that does not hold all weights of the model."""
        if not _lacking(self.model, load_result):
            return
        checkpoint = str(self._resumed_from or self.state.best_model_checkpoint)
        dtype = next(self.model.parameters()).dtype
        whole, found = type(self.model).from_pretrained(checkpoint, dtype=dtype, output_loading_info=True)
        lacking = [*found["missing_keys"], *found["unexpected_keys"], *(name for name, *_ in found["mismatched_keys"])]
        if lacking:
            raise RunError(
                f"{checkpoint} does not hold the weights of this model ({len(lacking)} are missing or those of another one, such "
                f"as {min(lacking)}); remove that checkpoint to go on from the one before, or train in a new folder"
            )
        self.model.load_state_dict(whole.state_dict())


def _lacking(model: "PreTrainedModel", found: LoadResult) -> list[str]:
    """What a checkpoint lacked or had too much of. Tied weights are saved once, and come with those that they are tied to."""
    tied = set(getattr(model, "all_tied_weights_keys", None) or ()) | set(model._keys_to_ignore_on_save or ())  # noqa: SLF001
    return [name for name in found.missing_keys if name not in tied] + list(found.unexpected_keys)


def round_to_bf16(folder: Path) -> None:
    """Rewrite the saved weights of a model or an adapter in bfloat16, file by file, each of them whole or not at all."""
    import torch
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    size = 0
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, framework="pt") as opened:
            metadata = opened.metadata()
        weights = {
            name: tensor.to(torch.bfloat16) if tensor.is_floating_point() else tensor
            for name, tensor in load_file(file).items()
        }
        size += sum(tensor.numel() * tensor.element_size() for tensor in weights.values())
        partial = file.with_suffix(".partial")
        save_file(weights, partial, metadata=metadata)
        partial.replace(file)
    index, config = folder / "model.safetensors.index.json", folder / "config.json"
    if index.is_file():
        content = json.loads(index.read_text(encoding="utf-8"))
        content["metadata"]["total_size"] = size
        write_whole(index, json.dumps(content, indent=2) + "\n")
    if config.is_file():
        content = json.loads(config.read_text(encoding="utf-8")) | {"dtype": "bfloat16"}
        write_whole(config, json.dumps(content, indent=2) + "\n")
