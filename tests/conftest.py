"""Which tests are slow by their kind, and how many examples Hypothesis tries where time is short."""

import pytest
from hypothesis import settings

SLOW_KINDS = ("browser", "process", "train")

# Examples have no deadline: the first ones compile patterns and import packages, which takes long on a busy machine.
settings.register_profile("whole", deadline=None)
settings.load_profile("whole")
settings.register_profile("few", max_examples=20, deadline=None)  # --hypothesis-profile few; the default is 100


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if any(item.get_closest_marker(kind) for kind in SLOW_KINDS):
            item.add_marker(pytest.mark.slow)
