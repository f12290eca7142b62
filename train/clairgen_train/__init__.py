"""Anchored training on preference pairs: the paper's objectives on TRL (arXiv 2408.06266, sections 4 and 5)."""

import gc
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def loading_libraries() -> Iterator[None]:
    """For commands, which own their process: inside the block modules that need torch, transformers or trl are imported.

    The libraries' telemetry, progress bars, and those of their warnings that a user can do nothing about are off. Meanwhile
    no garbage is collected, and later none among what was loaded: looking for it there took a sixth of the time to a first
    step.
    All else in this package leaves the process's logging, warnings and environment alone.
    """
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")  # TRL reports every trainer that is built to the hub
    collects = gc.isenabled()
    gc.disable()
    try:
        import datasets
        import transformers

        for silence in (transformers.logging.set_verbosity_error, transformers.utils.logging.disable_progress_bar):
            silence()  # type: ignore[no-untyped-call]  # transformers leaves them so
        datasets.disable_progress_bars()
        logging.getLogger("accelerate").setLevel(logging.ERROR)
        warnings.filterwarnings("ignore", category=FutureWarning)
        yield
    finally:
        if collects:
            gc.freeze()
            gc.enable()
