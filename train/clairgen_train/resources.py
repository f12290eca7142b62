"""Memory and disk space that run out during a run, reported in one sentence."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError

from clairgen.errors import ConfigError, InputError
from clairgen_train.settings import TrainingSettings

_NO_SPACE = {errno.ENOSPC, errno.EDQUOT}
_NO_SPACE_WORDS = (
    "No space left on device",
    "Disk quota exceeded",
    "PytorchStreamWriter failed",  # torch.save on a full disk, which names no errno
    "file write failed",
)


@contextmanager
def resource_errors(settings: TrainingSettings, folder: Path) -> Iterator[None]:
    """Turn the libraries' errors about memory into ConfigError and those about disk space into InputError; others pass."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise ConfigError(_out_of_memory(settings)) from error
    except (RuntimeError, OSError, SafetensorError) as error:  # the libraries have no own types for these
        if "can't allocate memory" in str(error):
            raise ConfigError(_out_of_memory(settings)) from error
        if getattr(error, "errno", None) in _NO_SPACE or any(words in str(error) for words in _NO_SPACE_WORDS):
            raise InputError(
                f"the disk of {folder} is full; free some space, or set keep_checkpoints, and run the same command to continue"
            ) from error
        raise


def _out_of_memory(settings: TrainingSettings) -> str:
    lower = [f"device_batch_size (now {settings.device_batch_size})"] if settings.device_batch_size > 1 else []
    lower += [f"response_tokens (now {settings.response_tokens})"]
    further = [] if settings.gradient_checkpointing else ["set gradient_checkpointing"]
    further += [] if settings.lora else ["train adapters (lora.yaml)"]
    return f"memory ran out; lower {' or '.join(lower)}" + "".join(f", or {advice}" for advice in further)
