"""The counters in terminals of every size."""

from dataclasses import replace

import pytest
from rich.console import Console

from clairgen.cli.counters_view import CountersView
from clairgen.pipeline.progress import Counters, Money, RoleCounters
from clairgen.records import EndpointState

LARGE = (1_234_567, 123_456_789_012, 98_765_432)


def endpoint(name: str, breaker: str = "closed") -> EndpointState:
    return EndpointState(name, 3, 0, 16, 42.0, None, "learned", breaker, 7.0 if breaker == "open" else 0.0, 0.0)


def role(*endpoints: EndpointState) -> RoleCounters:
    answered, tokens_in, tokens_out = LARGE
    failed = {"rate-limited": 1234, "timeout": 12}
    return RoleCounters(answered, answered, 5, failed, 9, tokens_in, tokens_out, 12_345.67, 3, 44, endpoints)


def counters(roles: int = 3, endpoints: int = 1) -> Counters:
    named = {
        f"role{n}-{'x' * n}": role(*(endpoint(f"http://10.0.0.{m}:8000/v1") for m in range(endpoints)))
        for n in range(roles)
    }
    money = Money(1234.56, reserved_usd=12.34, budget_usd=5000.0)
    return Counters(100.0, 1_000_000, {"clair": 123_456}, {}, named, money)


def screen(shown: Counters, width: int, height: int = 24, *, is_stopping: bool = False) -> list[str]:
    console = Console(width=width, height=height, color_system=None)
    with console.capture() as capture:
        console.print(CountersView(shown, is_stopping))
    return [line.rstrip() for line in capture.get().splitlines()]


@pytest.mark.parametrize("width", [40, 60, 80, 100, 140])
@pytest.mark.parametrize("roles", [1, 3, 40])
def test_it_fits_and_cuts_no_figure(width: int, roles: int) -> None:
    shown = screen(counters(roles), width, is_stopping=True)
    assert len(shown) < 24
    assert max(map(len, shown)) <= width
    text = " ".join(" ".join(shown).split())
    for figure in ("123,456 of 1,000,000 pairs, 0 failed", "$1,234.56 spent of $5,000.00, $12.34 reserved;"):
        assert figure in text
    title = next(line for line in shown if line.startswith("role"))
    row = next(line for line in shown if line.startswith("role0"))
    assert "answers" in title
    assert row.split()[1] == "1,234,567"
    assert "…" not in "".join(row.split()[1:])
    assert text.startswith("Stopping: what is in flight is being finished; press Ctrl-C again to stop at once.")
    assert (" more" in text) == (roles == 40)


def test_columns_are_left_out_in_a_fixed_order() -> None:
    def titles(width: int) -> int:
        row = next(line for line in screen(counters(1), width) if line.startswith("role0"))
        return len(row.split())

    widths = [titles(width) for width in range(40, 140)]
    assert widths == sorted(widths)
    assert (widths[0], widths[-1]) == (4, 11)
    assert "123,456,789,012" in " ".join(screen(counters(1), 120))
    assert "123,456,789,012" not in " ".join(screen(counters(1), 80))


def test_endpoints_are_shown_where_there_is_room_those_that_fail_first() -> None:
    wide = counters(1, 3)
    [(name, one)] = wide.roles.items()
    broken = replace(one, endpoints=(*one.endpoints, endpoint("http://broken:1/v1", "open")))
    shown = screen(replace(wide, roles={name: broken}), 100, 24)
    at = next(number for number, line in enumerate(shown) if "endpoint" in line)
    assert shown[at + 1].split() == [
        "role0-",
        "broken:1/v1",
        "3",
        "of",
        "16",
        "42/min",
        "learned",
        *["circuit", "breaker", "open,", "tries", "again", "in", "7", "s"],
    ]
    assert "available" in shown[at + 2]
    assert not any("endpoint" in line for line in screen(wide, 100, 10))
    assert screen(counters(1, 40), 100, 15)[-1] == "+35 more"
