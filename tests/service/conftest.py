"""The Chromium in which pages are looked at."""

from tests.reporting.conftest import chromium

__all__ = ["chromium"]
