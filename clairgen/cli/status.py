"""`clairgen status`: where a run stands."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from clairgen import api
from clairgen.cli.progress import counters_line, counters_table
from clairgen.config.prices import PICODOLLARS, dollars
from clairgen.pipeline.run_log import LastSession
from clairgen.reporting.sanitize import safe_line
from clairgen.store import Spent


def status(
    run: Annotated[Path, typer.Argument(help="The run directory.", show_default=False)],
    json: Annotated[bool, typer.Option("--json", help="One JSON object, for scripts.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Follow the run until it ends, or Ctrl-C.")] = False,
) -> None:
    """Show where a run stands: pairs, failures, answers, tokens and dollars. Works while the run goes on.

    Example: clairgen status runs/first
    """
    from clairgen.cli.signals import run as run_coroutine

    if watch:
        _watch(run)
        return
    found = run_coroutine(api.status(run))
    if json:
        typer.echo(_json(found))
    else:
        _print(found)


def _watch(run: Path) -> None:
    import contextlib

    from rich.console import Console

    from clairgen.cli.signals import run as run_coroutine

    with contextlib.suppress(KeyboardInterrupt):
        run_coroutine(watch(run, Console()))


def _json(found: "api.Status") -> str:
    import json
    from dataclasses import asdict

    from clairgen.config.prices import PICODOLLARS

    return json.dumps(
        {
            "run": str(found.run),
            "run_id": found.run_id,
            "tasks": found.tasks,
            "duplicates": found.source.duplicates if found.source else 0,
            "bad_rows": found.source.bad_rows if found.source else 0,
            "pairs": found.statuses,
            "dropped": found.dropped,
            "failures": [
                {"recipe": recipe, "reason": reason, "count": count, "detail": detail}
                for recipe, reason, count, detail in found.failures
            ],
            "roles": {
                role.role: {key: value for key, value in asdict(role).items() if key != "role"} for role in found.roles
            },
            "spent_usd": found.spent.settled / PICODOLLARS,
            "unsettled_usd": found.spent.unsettled / PICODOLLARS,
            "unsettled_calls": found.spent.open_calls,
            "filters": found.filters.model_dump(mode="json") if found.filters else None,
        },
        indent=2,
    )


def _print(found: "api.Status") -> None:
    from rich.console import Console
    from rich.table import Table

    from clairgen.reporting.sanitize import plain_line, safe_line, shortened

    console = Console()
    console.print(safe_line(f"{found.run}: {found.tasks:,} tasks"))
    console.print(pairs_table(found.statuses, found.dropped))
    roles = Table(box=None, pad_edge=False)
    roles.add_column("role")
    for title in ("answers", "reused", "tokens in", "tokens out", "dollars"):
        roles.add_column(title, justify="right", no_wrap=True)
    for role in found.roles:
        dollars = "–" if role.cost_usd is None else f"{role.cost_usd:,.2f}"
        counts_of_role = (role.completions, role.reused, role.prompt_tokens, role.completion_tokens)
        roles.add_row(safe_line(role.role), *(f"{count:,}" for count in counts_of_role), dollars)
    console.print()
    console.print(roles)
    if found.spent.calls:
        typer.echo(f"\n{spent_line(found.spent)}")
    for recipe, reason, count, detail in found.failures:
        typer.echo(f"{count:,} of {recipe} failed: {plain_line(reason)}: {shortened(detail)}")


_REFRESH_SECONDS = 2.0  # counting a million pairs takes a tenth of a second
_LINE_SECONDS = 10.0


async def watch(run: Path, console: Console) -> None:
    """Show a run until its session ends: live in a terminal, a line now and then elsewhere. A finished one is shown once."""
    if not console.is_terminal:
        while (seen := await api.snapshot(run)).running:
            console.print(Text(_line(seen)), soft_wrap=True)
            await asyncio.sleep(_LINE_SECONDS)
        console.print(Text(_line(seen)), soft_wrap=True)
        return
    with Live(console=console, auto_refresh=False) as live:
        while (seen := await api.snapshot(run)).running:
            live.update(_view(seen), refresh=True)
            await asyncio.sleep(_REFRESH_SECONDS)
        live.update(_view(seen), refresh=True)


def _view(seen: api.Snapshot) -> Group:
    parts: list[RenderableType] = [safe_line(f"{seen.run}: {_state(seen.session)}"), Text(), pairs_table(seen.statuses)]
    if seen.session is not None and seen.session.counters is not None:
        parts += [Text(), Text("this session" if seen.running else "its last session", style="dim")]
        parts.append(counters_table(seen.session.counters))
    if seen.spent.calls:
        parts += [Text(), Text(spent_line(seen.spent))]
    return Group(*parts)


def _line(seen: api.Snapshot) -> str:
    made = sum(counts.get("made", 0) for counts in seen.statuses.values())
    left = sum(counts.get("pending", 0) for counts in seen.statuses.values())
    session = f"; {counters_line(seen.session.counters)}" if seen.session and seen.session.counters else ""
    return f"{_state(seen.session)}: {made:,} pairs made, {left:,} to be made{session if seen.running else ''}"


def _state(session: LastSession | None) -> str:
    if session is None:
        return "no log"
    if session.running:
        return "running"
    if session.ended is None:
        return "not running (its last session was killed, or hangs)"
    return "ended" if session.ended == "done" else f"stopped ({session.ended})"


def pairs_table(
    statuses: Mapping[str, Mapping[str, int]], dropped: Mapping[str, Mapping[str, int]] | None = None
) -> Table:
    """A row a recipe; without the counts of `dropped` pairs it does not tell what is kept."""
    pairs = Table(box=None, pad_edge=False)
    pairs.add_column("recipe")
    filtered = ("kept", "dropped") if dropped is not None else ()
    for title in ("made", *filtered, "failed", "to be made"):
        pairs.add_column(title, justify="right", no_wrap=True)
    for recipe, counts in statuses.items():
        made, lost = counts.get("made", 0), sum((dropped or {}).get(recipe, {}).values())
        sifted_figures = (made - lost, lost) if dropped is not None else ()
        figures = (made, *sifted_figures, counts.get("failed", 0), counts.get("pending", 0))
        pairs.add_row(safe_line(recipe), *(f"{figure:,}" for figure in figures))
    return pairs


def spent_line(spent: Spent) -> str:
    """What a run has cost, and may have."""
    unknown = (
        f", and at most {dollars(spent.unsettled / PICODOLLARS)} for {spent.open_calls:,} calls in flight or of unknown outcome"
        if spent.open_calls
        else ""
    )
    return f"Spent: {dollars(spent.settled / PICODOLLARS)}{unknown}, failed tries included"
