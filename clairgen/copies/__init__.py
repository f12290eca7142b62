"""A durable copy of a run on other storage, kept while the run goes on, and restoring a run from it."""

from typing import Final

COPY_SECONDS: Final = 5.0
"""Default of how often a copy is brought up to what is committed."""
