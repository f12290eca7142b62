"""A statement: SQL with its parameters."""

from collections.abc import Sequence
from typing import Any

Statement = tuple[str, Sequence[Any]]
"""SQL with its parameters."""
