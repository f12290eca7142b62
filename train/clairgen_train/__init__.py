"""Anchored training on preference pairs: the paper's objectives on TRL (arXiv 2408.06266, sections 4 and 5)."""

import os

os.environ.setdefault(
    "HF_HUB_DISABLE_TELEMETRY", "1"
)  # TRL tells the hub of every trainer that is made; that is the user's choice
