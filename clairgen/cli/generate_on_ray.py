"""`clairgen generate --on ray`: the shards of a run over the nodes of a Ray cluster, then one run of them here."""

import asyncio
import os
import shlex
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Console

from clairgen.cli.display import failure_lines, pairs_table, showing, spent_line
from clairgen.cli.output import progress_stream
from clairgen.cli.signals import SECONDS_TO_SUM_UP, run_coroutine, run_drainable
from clairgen.errors import (
    COPY,
    DRAINED,
    ENDPOINTS,
    FAILED,
    REPLACED,
    USER,
    BudgetError,
    CopyStoppedError,
    DrainedError,
    EndpointsError,
    ReplacedError,
    RunStoppedError,
    UserError,
)
from clairgen.ray_cluster import OnRay
from clairgen.reporting.sanitize import plain_line
from clairgen.wording import counted

if TYPE_CHECKING:
    from clairgen.config.models import RunConfig
    from clairgen.coordination.coordinator_client import CoordinatorAddress
    from clairgen.pipeline.generate import Options
    from clairgen.ray_cluster.shard_process import ShardEnd
    from clairgen.ray_cluster.spread_run import SpreadRun
    from clairgen.task_shard import TaskShard


def refuse_unmerged(run: Path) -> None:
    """Raise RunError where an estimate would be about a new run, although its shards have begun."""
    from clairgen.ray_cluster.spread_run import SpreadRun

    SpreadRun(run.absolute()).require_nothing_unmerged()


def generate_on_ray(config: "RunConfig", run: Path, options: "Options", on_ray: OnRay, again: str) -> None:
    """Make all shards of a run and merge them into it; `again` is the command that continues.

    Run it again at any time, after a kill of this command or of nodes too.
    """
    from clairgen.folder_lock import locked_folder
    from clairgen.installed import require_ray_extra

    require_ray_extra()
    # Else Ray writes about actors between our lines; it reads this when it is imported.
    os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".")
    from clairgen.ray_cluster.ray_run import merged, settled_shards, shards_made
    from clairgen.ray_cluster.ray_session import ray_session
    from clairgen.ray_cluster.shard_driver import ShardsProgress
    from clairgen.ray_cluster.spread_run import SpreadRun, check_options

    check_options(options, on_ray)
    spread_run = SpreadRun(run.absolute())
    run_coroutine(spread_run.require_target())
    spread_run.create()
    progress = ShardsProgress()

    async def work(stop: asyncio.Event) -> "dict[TaskShard, ShardEnd]":
        async with showing(progress, Console(file=progress_stream()), stop):
            settled = await settled_shards(spread_run, options, on_ray, progress, stop)
            async with _coordinated(spread_run, options, on_ray, progress.note) as coordinator:
                given = replace(options, coordinator=coordinator)
                return await shards_made(config, spread_run, settled, given, on_ray, progress, stop)

    with locked_folder(spread_run.shards):
        with ray_session(on_ray.address):
            try:
                ends = run_drainable(work, options.drain_seconds + SECONDS_TO_SUM_UP)  # which each shard takes as well
            except DrainedError as error:
                if options.copy_to is None:
                    raise
                raise DrainedError(
                    "Stopped at once; what each shard has committed is on its node, and in its copy but for the last "
                    f"{options.copy_every:g} s; run the same command to continue."
                ) from error
        _raise_what_stopped(ends, again)
        run_coroutine(merged(config, spread_run, ends, options.copy_to))
    _print_merged(run, ends, again, is_limited=options.limit is not None)


@asynccontextmanager
async def _coordinated(
    run: "SpreadRun", options: "Options", on_ray: OnRay, note: Callable[[str], None]
) -> "AsyncIterator[CoordinatorAddress | None]":
    """The coordinator of the shards: the named one, one for as long as the block runs, or none; `note` is told which."""
    from clairgen.ray_cluster.ray_session import address_of_command
    from clairgen.ray_cluster.spread_run import place_of
    from clairgen.service.coordinator.run_coordinator import run_coordinator
    from clairgen.service.runs_root import RunsRoot

    if options.coordinator is not None or on_ray.no_coordinator:
        if options.coordinator is not None:
            note(f"the coordinator at {options.coordinator.url} divides limits and the budget among the shards")
        yield options.coordinator
        return
    copies = f"{place_of(options.copy_to)}/coordinator" if options.copy_to is not None else None
    starting = run_coordinator(
        address_of_command(), RunsRoot(run.shards), run.path.name, copies, os.environ, no_budget=options.no_budget
    )
    async with starting as address:
        note(f"a coordinator of this command, at {address.url}, divides limits and the budget among the shards")
        yield address


def _raise_what_stopped(ends: "Mapping[TaskShard, ShardEnd]", again: str) -> None:
    """Raise the error that the command ends with before anything is merged, if there is one."""
    from clairgen.ray_cluster.shard_driver import ends_all

    failing = next(((shard, end) for shard, end in ends.items() if ends_all(end)), None)
    if failing is None and not any(end.code == DRAINED for end in ends.values()):
        return
    if failing is None or failing[1].code not in (USER, REPLACED):
        typer.echo(f"Continue with: {plain_line(again)}")
    if failing is None:
        raise DrainedError("Stopped; what the shards have committed is kept, and is merged once all are made.")
    shard, end = failing
    said = end.sentence or f"its process ended with code {end.code}"
    if end.is_crash:
        said = f"it crashes again and again: {said}"
    elif end.code == REPLACED:
        said = f"{said}; another command makes this run by now, so let that one finish"
    sentence = f"shard {shard} on {end.node}: {said}"
    errors: dict[int, Callable[[str], Exception]] = {
        ENDPOINTS: EndpointsError,
        COPY: CopyStoppedError,
        REPLACED: ReplacedError,
        USER: UserError,
    }
    raise RunStoppedError(sentence) if end.is_crash else errors.get(end.code, RunStoppedError)(sentence)


def _print_merged(run: Path, ends: "Mapping[TaskShard, ShardEnd]", again: str, *, is_limited: bool) -> None:
    """Print how the merged run stands; `is_limited` is whether pairs may be left that were not asked for."""
    from clairgen import api

    found = run_coroutine(api.status(run))
    Console().print(pairs_table(found.statuses, found.dropped))
    if found.spent.calls:
        typer.echo(spent_line(found.spent))
    for line in failure_lines(found.failures, again):
        typer.echo(line)
    reached = [end for end in ends.values() if end.has_reached_its_budget]
    if reached:
        typer.echo(f"Continue with: {plain_line(again)}")
        raise BudgetError(
            f"{counted(len(reached), 'shard')} of {len(ends)} reached the budget; the first of them says: "
            f"{reached[0].said}",
            None,
        )
    pending = 0 if is_limited else sum(counts.get("pending", 0) for counts in found.statuses.values())
    if pending:
        typer.echo(f"{counted(pending, 'pair')} still to be made. Continue with: {plain_line(again)}")
    typer.echo(f"Next: clairgen report {plain_line(shlex.quote(str(run)))}")
    if pending or any(counts.get("failed") for counts in found.statuses.values()):
        raise typer.Exit(FAILED)
