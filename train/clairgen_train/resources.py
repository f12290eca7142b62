"""Memory or disk that runs out is told in a sentence with what to lower or free."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from safetensors import SafetensorError

from clairgen.errors import ConfigError, InputError
from clairgen_train.run_folder import RunFolder
from clairgen_train.settings import TrainingSettings


@contextmanager
def resources_told(settings: TrainingSettings, folder: RunFolder) -> Iterator[None]:
    """Turn what the libraries raise then into ConfigError or InputError; other errors pass."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise ConfigError(_too_little_memory(settings)) from error
    except (RuntimeError, OSError, SafetensorError) as error:  # which have no types of their own for these
        if "can't allocate memory" in str(error):
            raise ConfigError(_too_little_memory(settings)) from error
        if "No space left on device" in str(error):
            raise InputError(
                f"the disk of {folder.path} is full; free some space, or set keep_checkpoints, and run the same command to go on"
            ) from error
        raise


def _too_little_memory(settings: TrainingSettings) -> str:
    lower = [f"device_batch_size (now {settings.device_batch_size})"] if settings.device_batch_size > 1 else []
    lower += [f"response_tokens (now {settings.response_tokens})"]
    further = [] if settings.gradient_checkpointing else ["set gradient_checkpointing"]
    further += [] if settings.lora else ["train adapters (lora.yaml)"]
    return f"memory ran out; lower {' or '.join(lower)}" + "".join(f", or {advice}" for advice in further)
