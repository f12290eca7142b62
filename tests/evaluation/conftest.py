from tests.reporting.conftest import chromium

__all__ = ["chromium"]
