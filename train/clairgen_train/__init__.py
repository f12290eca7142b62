"""Anchored training on preference pairs: the paper's objectives on TRL (arXiv 2408.06266, sections 4 and 5)."""

import gc
import logging
import os
import signal
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


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


@contextmanager
def handled_signals(handler: Callable[[int, FrameType | None], object]) -> Iterator[None]:
    """Let `handler` handle the signals that end a program, except those that the process was started to ignore (nohup).

    Signals reach the main thread alone; in any other nothing is handled.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heeded = [number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, handler) for number in heeded}
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)
