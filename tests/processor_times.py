"""A pytest plugin that says what the tests cost: processor seconds by file and by test, those of ended children included.

`make test-times`; a server that a fixture shares counts where it ends.
"""

import os
from collections import defaultdict
from collections.abc import Generator

import pytest

SHOWN = 25

_seconds: dict[str, float] = {}


def processor_seconds() -> float:
    """Processor seconds of this process and of the children that it has waited for."""
    return sum(os.times()[:4])


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    before = processor_seconds()
    result = yield
    _seconds[item.nodeid] = processor_seconds() - before
    return result


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    files: defaultdict[str, float] = defaultdict(float)
    for test, seconds in _seconds.items():
        files[test.partition("::")[0]] += seconds
    for title, costs in (("files", files), ("tests", _seconds)):
        terminalreporter.write_sep("=", f"processor seconds of the dearest {title}")
        for name, seconds in sorted(costs.items(), key=lambda cost: -cost[1])[:SHOWN]:
            terminalreporter.write_line(f"{seconds:8.2f}  {name}")
    terminalreporter.write_line(f"{processor_seconds():8.2f}  in all, with starting and collecting")
