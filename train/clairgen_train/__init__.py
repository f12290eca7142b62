"""Anchored training on preference pairs: the paper's objectives on TRL (arXiv 2408.06266, sections 4 and 5)."""

import os

os.environ.setdefault(
    "HF_HUB_DISABLE_TELEMETRY", "1"
)  # TRL reports every trainer that is built to the hub; that is the user's choice
