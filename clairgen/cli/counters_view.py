"""The counters of a session in a terminal of any size: what does not fit is left out whole, never cut."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, JustifyMethod, RenderableType, RenderResult
from rich.progress_bar import ProgressBar
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from clairgen.pipeline.progress import Counters, RoleCounters
from clairgen.pipeline.progress_words import (
    availability_words,
    copy_words,
    money_words,
    pairs_words,
    time_left_words,
)
from clairgen.records import EndpointState
from clairgen.reporting.sanitize import plain_line, safe_line

STOPPING: Final = "Stopping: what is in flight is being finished; press Ctrl-C again to stop at once."
_BAR: Final = 30
_GAP: Final = 2
_SHARES_OF_NAMES: Final = {"role": 5, "endpoint": 3}  # a fifth and a third of the width
_LINES_OF_A_TABLE: Final = 3
_TITLES: Final = (
    *("answers", "stored", "in\nflight", "waiting", "failed\ntries", "given\nup"),
    *("tokens\nin", "tokens\nout", "dollars", "per s"),
)
_SHORTEST_NAME: Final = 8
_FIRST_LEFT_OUT: Final = (
    *("tokens\nin", "tokens\nout", "stored", "waiting", "given\nup"),
    *("per s", "failed\ntries", "dollars", "in\nflight", "answers"),
)
"""The columns of the roles in the order in which they are left out where they do not fit."""


@dataclass(frozen=True, slots=True)
class CountersView:
    """Counters as a bar, a table of the roles and, where there is room, one of the endpoints.

    `is_stopping` says above them that the session is coming to its end. `lines_besides` of the screen have something else.
    """

    counters: Counters
    is_stopping: bool = False
    lines_besides: int = 0

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """What fits of it, from what matters most."""
        counters, width = self.counters, options.max_width
        room = console.height - self.lines_besides - 1  # the cursor has a line

        def lines(part: RenderableType) -> list[list[Segment]]:
            return console.render_lines(part, options, pad=False, new_lines=True)

        def shown(found: list[list[Segment]]) -> Iterator[Segment]:
            nonlocal room
            room -= len(found)
            return chain.from_iterable(found)

        if self.is_stopping:
            yield from shown(lines(Text(STOPPING, style="yellow")))
        yield from shown(lines(_head(counters, width)))
        words = filter(None, (money_words(counters), copy_words(counters.copy), time_left_words(counters)))
        yield from shown(lines(Text("; ".join(words))))
        if counters.roles:
            yield from shown(lines(_roles(counters, width, room)))
        if failed := _failed_words(counters.roles):
            found = lines(safe_line(f"Failed attempts: {failed}", style="dim"))
            if len(found) <= room:
                yield from shown(found)
        if any(role.endpoints for role in counters.roles.values()) and room > _LINES_OF_A_TABLE:
            yield _endpoints(counters.roles, width, room)


def _head(counters: Counters, width: int) -> Table:
    """The bar and the pairs, beside each other if there is room."""
    words = pairs_words(counters)
    beside = width - cell_len(words) - 1
    bar = ProgressBar(
        total=max(counters.pairs_to_make, 1),
        completed=counters.done,
        width=min(_BAR, beside if beside >= 10 else width),
    )
    head = Table.grid(padding=(0, 1))
    if beside >= 10:
        head.add_row(bar, Text(words))
    else:
        head.add_row(bar)
        head.add_row(Text(words))
    return head


def _roles(counters: Counters, width: int, room: int) -> Table:
    """A row for each role, of as many as fit, with the columns that fit."""
    most = max(room - _LINES_OF_A_TABLE, 1)
    roles = list(counters.roles.items())
    shown = roles if len(roles) <= most else roles[: most - 1]
    rows = [{"role": plain_line(name), **_figures(role, counters.seconds)} for name, role in shown]
    more = [{"role": f"+{len(roles) - len(shown):,} more"}] if len(shown) < len(roles) else []
    return _table(["role", *_TITLES], _FIRST_LEFT_OUT, [*rows, *more], width, {"role"})


def _endpoints(roles: Mapping[str, RoleCounters], width: int, room: int) -> Table:
    """A row for each endpoint of each role, of as many as fit: first those that are sent nothing now."""
    states = [(name, state) for name, role in roles.items() for state in role.endpoints]
    states.sort(key=lambda entry: not availability_words(entry[1]))
    most = max(room - _LINES_OF_A_TABLE + 1, 1)
    shown = states if len(states) <= most else states[: most - 1]
    rows = [
        {
            "role": plain_line(name),
            "endpoint": plain_line(state.name).removeprefix("https://").removeprefix("http://"),
            "in flight": f"{state.in_flight:,} of {state.concurrency_limit:,}",
            "rate limit": _rate_limit(state),
            "state": availability_words(state) or "available",
        }
        for name, state in shown
    ]
    more = [{"role": f"+{len(states) - len(shown):,} more"}] if len(shown) < len(states) else []
    titles = ["role", "endpoint", "in flight", "rate limit", "state"]
    return _table(
        titles, ("rate limit", "role", "in flight"), [*rows, *more], width, {"role", "endpoint", "rate limit", "state"}
    )


def _rate_limit(state: EndpointState) -> str:
    rates = ((state.requests_per_minute, ""), (state.tokens_per_minute, " tokens"))
    limits = [f"{rate:,.0f}{unit}/min" for rate, unit in rates if rate is not None]
    return " ".join([*limits, *([state.rate_limit_source] if limits and state.rate_limit_source else [])]) or "–"


def _table(
    titles: Sequence[str],
    first_left_out: Sequence[str],
    rows: Sequence[Mapping[str, str]],
    width: int,
    left: Collection[str],
) -> Table:
    """A table of the columns that fit: the others go in the order given. Names are shortened, figures never are."""
    widths = {
        title: max(map(cell_len, [*title.split("\n"), *(row.get(title, "") for row in rows)])) for title in titles
    }
    for name in ("role", "endpoint"):
        if name in widths:
            widths[name] = min(widths[name], max(width // _SHARES_OF_NAMES[name], _SHORTEST_NAME))
    kept = list(titles)
    for title in first_left_out:
        if sum(widths[one] + _GAP for one in kept) - _GAP <= width:
            break
        kept.remove(title)
    over = sum(widths[one] + _GAP for one in kept) - _GAP - width
    name = "endpoint" if "endpoint" in kept else "role"
    widths[name] = max(widths[name] - max(over, 0), _SHORTEST_NAME)
    table = Table(box=None, header_style="dim", pad_edge=False, padding=(0, _GAP, 0, 0))
    for title in kept:
        justify: JustifyMethod = "left" if title in left else "right"
        table.add_column(title, justify=justify, no_wrap=True, width=widths[title], overflow="ellipsis")
    for row in rows:
        table.add_row(*(Text(row.get(title, "")) for title in kept))
    return table


def _figures(role: RoleCounters, seconds: float) -> dict[str, str]:
    counts = (role.answered, role.stored, role.in_flight, role.waiting, sum(role.failed_attempts.values()), role.failed)
    figures = (
        *(f"{count:,}" for count in (*counts, role.prompt_tokens, role.completion_tokens)),
        "–" if role.cost_usd is None else f"{role.cost_usd:,.2f}",
        f"{role.answered / max(seconds, 1e-9):,.1f}",
    )
    return dict(zip(_TITLES, figures, strict=True))


def _failed_words(roles: Mapping[str, RoleCounters]) -> str:
    return ", ".join(
        f"{count:,} {reason} ({name})"
        for name, role in roles.items()
        for reason, count in sorted(role.failed_attempts.items(), key=lambda entry: -entry[1])
    )
