"""How commands show a run: its progress on stderr, live or a line now and then, its pairs by recipe, what it has spent."""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.live import Live
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from clairgen.cli.counters_view import CountersView
from clairgen.pipeline.progress import Counters, Money, Progress
from clairgen.pipeline.progress_words import copy_words, money_words, pairs_words, time_left_words
from clairgen.reporting.sanitize import plain_line, plain_text, safe_line, shortened
from clairgen.wording import counted

if TYPE_CHECKING:
    from clairgen.store import Spent


_REFRESH_SECONDS = 0.25
_NOTEBOOK_SECONDS = 1.0
_LINE_SECONDS = 30.0


@contextlib.asynccontextmanager
async def showing(progress: Progress, console: Console, stop: asyncio.Event) -> AsyncIterator[None]:
    """Show `progress` on `console` while the block runs, and that it is coming to an end once `stop` is set."""
    start = time.monotonic()
    if console.is_jupyter:
        shown = _in_notebook(progress, console, start)
    else:
        shown = _live(progress, console, start, stop) if console.is_terminal else _lines(progress, console, start)
    display = asyncio.create_task(shown)
    try:
        yield
    finally:
        display.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await display
        _print_notes(progress, console)


def counters_line(counters: Counters) -> str:
    """The counters on one line: pairs, answers by role, dollars and the time left."""
    roles = ", ".join(
        f"{name} {role.answered} answered and {role.in_flight} in flight" for name, role in counters.roles.items()
    )
    return f"{pairs_words(counters)}; {f'{roles}; ' if roles else ''}{_money_and_time(counters)}"


def pairs_table(
    statuses: Mapping[str, Mapping[str, int]], dropped: Mapping[str, Mapping[str, int]] | None = None
) -> Table:
    """A row for each recipe; without the counts of `dropped` pairs the columns kept and dropped are left out."""
    pairs = Table(box=None, pad_edge=False)
    pairs.add_column("recipe")
    filtered = ("kept", "dropped") if dropped is not None else ()
    for title in ("made", *filtered, "failed", "to be made"):
        pairs.add_column(title, justify="right", no_wrap=True)
    for recipe, counts in statuses.items():
        made, lost = counts.get("made", 0), sum((dropped or {}).get(recipe, {}).values())
        kept_and_dropped = (made - lost, lost) if dropped is not None else ()
        figures = (made, *kept_and_dropped, counts.get("failed", 0), counts.get("pending", 0))
        pairs.add_row(safe_line(recipe), *(f"{figure:,}" for figure in figures))
    return pairs


def failure_lines(failures: Sequence[tuple[str, str, int, str]], again: str) -> Iterator[str]:
    """What failed, as (recipe, reason, count, detail), and what can be done about it; `again` is the command that continues."""
    from clairgen.pipeline.failures import retry_sentences

    by_reason = Counter[str]()
    for recipe, reason, count, detail in failures:
        yield failure_line(recipe, reason, count, detail)
        by_reason[reason] += count
    yield from map(plain_line, retry_sentences(by_reason, again))


def failure_line(recipe: str, reason: str, count: int, detail: str) -> str:
    """How many of a recipe failed for a reason, and the detail of the first."""
    return f"{count:,} of {plain_line(recipe)} failed: {plain_line(reason)}: {shortened(detail)}"


def spent_line(spent: "Spent | Money") -> str:
    """What a run can have cost so far, and how much of it is not certain."""
    from clairgen.config.prices import PICODOLLARS, dollars
    from clairgen.store import Spent

    if isinstance(spent, Spent):
        spent = Money(spent.total / PICODOLLARS, spent.unsettled / PICODOLLARS, spent.open_calls, spent.uncounted_calls)
    parts = [f"Spent: {dollars(spent.spent_usd)}, failed attempts included"]
    if calls := spent.uncertain_calls - spent.uncounted_calls:
        parts.append(
            f"{dollars(spent.uncertain_usd)} of it is not certain: the most that {counted(calls, 'request')} in flight or of "
            "unknown cost can have cost"
        )
    if spent.uncounted_calls:
        parts.append(f"not counted: {counted(spent.uncounted_calls, 'request')} of unknown cost without max_tokens")
    return "; ".join(parts)


async def _live(progress: Progress, console: Console, start: float, stop: asyncio.Event) -> None:
    with Live(console=console, auto_refresh=False, transient=True) as live:
        while True:
            _print_notes(progress, live.console)
            counters = progress.counters(time.monotonic() - start)
            live.update(CountersView(counters, is_stopping=stop.is_set()), refresh=True)
            await asyncio.sleep(_REFRESH_SECONDS)


async def _in_notebook(progress: Progress, console: Console, start: float) -> None:
    """Show the counters in the cell's output, in one place that is written again, also a last time at the end."""
    from IPython.display import display  # the notebook has it

    def view() -> Padding:  # which notebooks can show, as they cannot a group
        return Padding(CountersView(progress.counters(time.monotonic() - start)), 0)

    place = display(view(), display_id=True)
    try:
        while True:
            await asyncio.sleep(_NOTEBOOK_SECONDS)
            _print_notes(progress, console)
            place.update(view())
    finally:
        place.update(view())


async def _lines(progress: Progress, console: Console, start: float) -> None:
    while True:
        await asyncio.sleep(_LINE_SECONDS)
        _print_notes(progress, console)
        console.print(Text(counters_line(progress.counters(time.monotonic() - start))), soft_wrap=True)


def _print_notes(progress: Progress, console: Console) -> None:
    """Print the notes that were not printed yet."""
    while progress.notes:
        console.print(Text(f"Note: {plain_text(progress.notes.pop(0))}", style="yellow"), soft_wrap=True)


def _money_and_time(counters: Counters) -> str:
    return "; ".join(filter(None, (money_words(counters), copy_words(counters.copy), time_left_words(counters))))
