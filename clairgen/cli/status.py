"""`clairgen status`: where a run stands, once or until its session ends."""

import asyncio
import contextlib
import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from clairgen.cli.counters_view import CountersView
from clairgen.cli.display import counters_line, failure_line, pairs_table, spent_line
from clairgen.cli.output import output_has_ended
from clairgen.cli.signals import run_coroutine
from clairgen.config.prices import PICODOLLARS
from clairgen.errors import ConfigError, InUseError
from clairgen.pipeline.progress_words import behind_words, pairs_words
from clairgen.pipeline.run_log import LastSession, last_session, session_words
from clairgen.reporting.sanitize import plain_line, safe_line
from clairgen.store.directory import RunDirectory
from clairgen.task_shard import shards_named
from clairgen.wording import counted

if TYPE_CHECKING:
    from clairgen import api
    from clairgen.store import RoleNumbers


_REFRESH_SECONDS: Final = 2.0  # counting a million pairs takes a tenth of a second
_LINE_SECONDS: Final = 10.0


def status_command(
    run: Annotated[
        Path, typer.Argument(help="The run directory, a folder of shards, or that of iterate.", show_default=False)
    ],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, for scripts.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Follow the run until it ends, or Ctrl-C.")] = False,
) -> None:
    """Show where a run stands: pairs, failures, answers, tokens and dollars. Also works while the run goes on.

    Example: clairgen status runs/first
    """
    from clairgen import api
    from clairgen.iteration.lineage import read_lineage
    from clairgen.store import runs_inside

    if (lineage := read_lineage(run)) is not None and not watch:
        from clairgen.cli.rounds_table import print_lineage

        print_lineage(lineage, run, as_json=as_json)
        return
    if runs_inside(run):
        _print_shards(run, as_json=as_json, watch=watch)
        return
    if watch:
        with contextlib.suppress(KeyboardInterrupt):
            run_coroutine(watch_run(run, Console()))
        return
    try:
        found = run_coroutine(api.status(run))
    except InUseError as error:  # and on a network file system
        if as_json or (session := _logged(run)) is None:
            raise
        Console().print(_view_of_log(run, session))
        typer.echo(str(error))
        return
    if as_json:
        typer.echo(json.dumps(found.to_json(), indent=2))
    else:
        _print_status(Console(), found)


def _print_shards(folder: Path, *, as_json: bool, watch: bool) -> None:
    """Print where each shard in a folder stands, and all of them as one run."""
    from clairgen.api.run_status import shards_status

    if watch:
        raise ConfigError(f"--watch follows one run, and {folder} has several; name one of them, or leave --watch out")
    found = run_coroutine(shards_status(folder))
    if as_json:
        typer.echo(json.dumps(found.to_json(), indent=2))
        return
    table = Table(box=None, pad_edge=False)
    for title in ("shard", "folder", "session"):
        table.add_column(title)
    for title in ("tasks", "made", "failed", "to be made", "dollars"):
        table.add_column(title, justify="right", no_wrap=True)
    for one, running in zip(found.shards, found.running, strict=True):
        counts = [sum(of.get(name, 0) for of in one.statuses.values()) for name in ("made", "failed", "pending")]
        session = "running" if running else "ended"
        spent = f"{one.spent.total / PICODOLLARS:,.2f}"
        figures = (f"{count:,}" for count in (one.tasks, *counts))
        table.add_row(str(one.shard), safe_line(one.run.name), session, *figures, spent)
    for path, logged in found.in_use.items():
        words = f"{session_words(logged)}, {pairs_words(logged.counters)}" if logged and logged.counters else "running"
        table.add_row("?", safe_line(path.name), words)
    console = Console()
    console.print(table)
    console.print()
    _print_status(console, found.together)
    if found.in_use:
        console.print(
            f"{counted(len(found.in_use), 'folder')} being written on a network file system, where nobody can read it meanwhile: "
            "in no sum, and known by the log alone",
            soft_wrap=True,
        )
    if found.missing:
        where = f"Not in {folder}, or one of those being written" if found.in_use else f"Not in {folder}"
        console.print(safe_line(f"{where}: shard {shards_named(found.missing)}"), soft_wrap=True)


async def watch_run(run: Path, console: Console) -> None:
    """Show a run until its session ends: live in a terminal, a line now and then elsewhere. A finished one is shown once."""
    if not console.is_terminal:
        while (seen := await _seen(run)).running and not output_has_ended():
            console.print(Text(_line(seen)), soft_wrap=True)
            await asyncio.sleep(_LINE_SECONDS)
        console.print(Text(_line(seen)), soft_wrap=True)
        return
    with Live(console=console, auto_refresh=False) as live:
        while (seen := await _seen(run)).running and not output_has_ended():
            live.update(_view(run, seen), refresh=True)
            await asyncio.sleep(_REFRESH_SECONDS)
        live.update(_view(run, seen), refresh=True)


async def _seen(run: Path) -> "api.Snapshot | LastSession":
    """A run at a glance; where a process writes it on a network file system, what its log says."""
    from clairgen import api

    try:
        return await api.snapshot(run)
    except InUseError:
        if (session := _logged(run)) is None:
            raise
        return session


def _logged(run: Path) -> LastSession | None:
    return last_session(RunDirectory(run).events)


def _print_status(console: Console, found: "api.Status") -> None:
    is_of_evaluations = bool(found.evaluations) and not found.tasks
    if not is_of_evaluations:
        which = f", shard {found.shard}" if found.shard is not None else ""
        console.print(safe_line(f"{found.run}: {counted(found.tasks, 'task')}{which}"))
        console.print(pairs_table(found.statuses, found.dropped))
    if found.filters is not None:
        console.print(safe_line(f"Filters: {found.filters.description}", "dim"), soft_wrap=True)
    if found.evaluations:
        _print_evaluations(console, found)
    for name, state in found.imports.items():
        so_far = "" if state.complete else " so far; run the same clairgen import again"
        left = f", {counted(state.rows_left_out, 'row')} left out" if state.left_out else ""
        console.print(
            safe_line(f"{name}: {counted(state.rows, 'row')} of {state.source} imported{left}{so_far}"), soft_wrap=True
        )
    if found.roles or not found.imports:
        console.print()
        console.print(_roles_table(found.roles))
    if found.batches:
        from clairgen.cli.batches import batch_lines

        console.print()
        typer.echo("\n".join(batch_lines(found.batches)))
    if found.spent.calls:
        typer.echo(f"\n{spent_line(found.spent)}")
    if found.copy is not None:
        at = f"{found.copy_at:.19}".replace("T", " ")
        typer.echo(
            f"Copy at {plain_line(found.copy.address)}, by the log at {at} UTC: {behind_words(found.copy)}; what was done "
            "without --copy-to since then is not in it"
        )
    for failure in found.failures:
        typer.echo(failure_line(*failure))


def _print_evaluations(console: Console, found: "api.Status") -> None:
    console.print(safe_line(f"{found.run}: {counted(len(found.evaluations), 'evaluation')}"))
    for one in found.evaluations:
        others = [f", {count:,} {status}" for status, count in one.statuses.items() if status != "scored"]
        done = f"{sum(one.statuses.values()):,} of {counted(one.items, 'item')} done"
        console.print(safe_line(f"{one.label}: {one.kind} on {one.data}, {done}{''.join(others)}"), soft_wrap=True)
    typer.echo(f"Their results: clairgen evaluate show {plain_line(shlex.quote(str(found.run)))}")


def _view_of_log(run: Path, session: LastSession) -> Group:
    """What a terminal shows of a run of which only the log can be read."""
    parts: list[RenderableType] = [safe_line(f"{run}: {session_words(session)}")]
    if session.counters is not None:
        parts += [Text(), Text("this session", style="dim"), CountersView(session.counters, lines_besides=4)]
    return Group(*parts)


def _view(run: Path, seen: "api.Snapshot | LastSession") -> Group:
    """What a terminal shows of a run that is watched."""
    if isinstance(seen, LastSession):
        return _view_of_log(run, seen)
    parts: list[RenderableType] = [safe_line(f"{seen.run}: {session_words(seen.session)}")]
    parts += [Text(), pairs_table(seen.statuses)]
    if seen.session is not None and seen.session.counters is not None:
        parts += [Text(), Text("this session" if seen.running else "its last session", style="dim")]
        besides = len(parts) + len(seen.statuses) + 3
        parts.append(CountersView(seen.session.counters, lines_besides=besides))
    if seen.spent.calls:
        parts += [Text(), Text(spent_line(seen.spent))]
    return Group(*parts)


def _line(seen: "api.Snapshot | LastSession") -> str:
    """The same on one line."""
    if isinstance(seen, LastSession):
        return f"{session_words(seen)}: {counters_line(seen.counters)}" if seen.counters else session_words(seen)
    made = sum(counts.get("made", 0) for counts in seen.statuses.values())
    left = sum(counts.get("pending", 0) for counts in seen.statuses.values())
    session = f"; {counters_line(seen.session.counters)}" if seen.session and seen.session.counters else ""
    return f"{session_words(seen.session)}: {counted(made, 'pair')} made, {left:,} to be made{session if seen.running else ''}"


def _roles_table(numbers: "list[RoleNumbers]") -> Table:
    roles = Table(box=None, pad_edge=False)
    roles.add_column("role")
    thinks = any(role.thought for role in numbers)
    for title in (
        "answers",
        "reused",
        "cut off",
        *(["with thoughts"] if thinks else []),
        "tokens in",
        "tokens out",
        "dollars",
    ):
        roles.add_column(title, justify="right", no_wrap=True)
    for role in numbers:
        cost = "–" if role.cost_usd is None else f"{role.cost_usd:,.2f}"
        thought = [role.thought] if thinks else []
        counts = (role.completions, role.reused, role.cut_off, *thought, role.prompt_tokens, role.completion_tokens)
        roles.add_row(safe_line(role.role), *(f"{count:,}" for count in counts), cost)
    return roles
