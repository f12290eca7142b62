"""Anchored training on preference pairs: the paper's objectives on TRL (arXiv 2408.06266, sections 4 and 5)."""

import logging
import os
import warnings


def silence_libraries() -> None:
    """Turn off the libraries' telemetry, their progress bars, and those of their warnings that a user can do nothing about.

    For commands, which own their process: all else in this package leaves logging, warnings and the environment alone. To be
    called before the libraries are loaded, since they read the environment then.
    """
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")  # TRL reports every trainer that is built to the hub
    import datasets
    import transformers

    for silence in (transformers.logging.set_verbosity_error, transformers.utils.logging.disable_progress_bar):
        silence()  # type: ignore[no-untyped-call]  # transformers leaves them so
    datasets.disable_progress_bars()
    logging.getLogger("accelerate").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", category=FutureWarning)
