"""Memory that runs out is told in a sentence with what to lower."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from clairgen.errors import ConfigError
from clairgen_train.settings import TrainingSettings


@contextmanager
def memory_told(settings: TrainingSettings) -> Iterator[None]:
    """Say what to lower where memory runs out."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if not isinstance(error, torch.OutOfMemoryError | MemoryError) and "can't allocate memory" not in str(error):
            raise
        lower = [f"device_batch_size (now {settings.device_batch_size})"] if settings.device_batch_size > 1 else []
        lower += [f"response_tokens (now {settings.response_tokens})"]
        further = [] if settings.gradient_checkpointing else ["set gradient_checkpointing"]
        further += [] if settings.lora else ["train adapters (lora.yaml)"]
        raise ConfigError(
            f"memory ran out; lower {' or '.join(lower)}" + "".join(f", or {advice}" for advice in further)
        ) from error
