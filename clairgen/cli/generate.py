"""`clairgen generate`: make the missing pairs of a run, or estimate what they would cost."""

import asyncio
import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from clairgen.cli.display import failure_lines, pairs_table, showing, spent_line
from clairgen.cli.estimate_table import print_requests
from clairgen.cli.generate_on_ray import generate_on_ray, refuse_unmerged
from clairgen.cli.import_pairs import left_out_lines
from clairgen.cli.output import progress_stream
from clairgen.cli.ray_options import (
    AddressOption,
    CpusOption,
    GpusOption,
    LocalFolderOption,
    NoCoordinatorOption,
    NodesOption,
    OnOption,
    ReplicasOption,
    ShardsOption,
    VllmModelOption,
    VllmWordsOption,
    spread,
    words_of,
)
from clairgen.cli.signals import SECONDS_TO_DRAIN, run_coroutine, run_drainable
from clairgen.copies import COPY_SECONDS
from clairgen.errors import (
    FAILED,
    BudgetError,
    ConfigError,
    DetachedError,
    NothingLeftError,
    ReplacedError,
)
from clairgen.pipeline.progress import Progress
from clairgen.ray_cluster import OnRay
from clairgen.reporting.sanitize import plain_line, plain_text
from clairgen.wording import counted

if TYPE_CHECKING:
    from clairgen.config.models import RunConfig
    from clairgen.pipeline.generate import Options, Summary
    from clairgen.task_shard import TaskShard


def generate_command(
    config: Annotated[Path, typer.Argument(help="The configuration (YAML).", show_default=False)],
    run: Annotated[
        Path, typer.Option("--run", help="The run directory: created if new, else continued.", show_default=False)
    ],
    limit: Annotated[int | None, typer.Option(min=1, max=2**40, help="Only the first LIMIT tasks of the run.")] = None,
    shard: Annotated[
        str | None,
        typer.Option(
            metavar="I/N",
            help="Only shard I of N (from 1/N to N/N) of the tasks, each in a run of its own; auto or auto/N takes I from the "
            "scheduler's environment, lease/N any that is free from the coordinator.",
            show_default=False,
        ),
    ] = None,
    coordinator: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            envvar="CLAIRGEN_COORDINATOR",
            help="The clairgen serve that divides rate limits and the budget, which are then those of all members together.",
            show_default=False,
        ),
    ] = None,
    group: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="The members among which it divides; left out, those with the same plans and tasks."
        ),
    ] = None,
    take_over: Annotated[
        bool,
        typer.Option(
            "--take-over",
            help="Take the shard at once from whoever holds it at the coordinator; for starters that know that this process has "
            "ended, or is cut off, as --on ray does.",
        ),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be requested and its cost; request nothing.")
    ] = False,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Try failed tasks again.")] = False,
    budget_usd: Annotated[
        float | None,
        typer.Option(help="Most that the run may cost, over all its sessions; the run remembers it."),
    ] = None,
    no_budget: Annotated[bool, typer.Option("--no-budget", help="Lift the run's budget.")] = False,
    reuse: Annotated[
        list[Path] | None,
        typer.Option(help="Another run whose answers to equal requests are reused; may be repeated."),
    ] = None,
    skip_bad_lines: Annotated[bool, typer.Option("--skip-bad-lines", help="Skip rows that hold no task.")] = False,
    accept_changes: Annotated[
        bool, typer.Option("--accept-changes", help="Continue with a configuration that changes the requests.")
    ] = False,
    log_texts: Annotated[
        bool, typer.Option("--log-texts", help="Write prompts and answers into run.log as well.")
    ] = False,
    detach: Annotated[
        bool,
        typer.Option(
            "--detach", help="Leave once all that is left waits in batches; the same command later collects them."
        ),
    ] = False,
    copy_to: Annotated[
        str | None,
        typer.Option(
            "--copy-to",
            metavar="URL",
            help="Keep a copy of the run there while it goes on: a folder, or any URL of fsspec such as s3://bucket/run. A new "
            "run directory is restored from it.",
            show_default=False,
        ),
    ] = None,
    copy_every: Annotated[
        float, typer.Option(min=0.1, max=3600, help="The seconds of work that a lost machine may cost with --copy-to.")
    ] = COPY_SECONDS,
    no_copy: Annotated[
        bool, typer.Option("--no-copy", help="Go on without the copy that the run has, also if another machine has it.")
    ] = False,
    drain_seconds: Annotated[
        float, typer.Option(min=0, max=86_400, help="After Ctrl-C: how long requests in flight may take to finish.")
    ] = SECONDS_TO_DRAIN,
    jobs: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=64,
            help="How many other processes measure pairs at once where answers come fast; by default one for each core but one.",
            show_default=False,
        ),
    ] = None,
    on: OnOption = None,
    shards: ShardsOption = None,
    nodes: NodesOption = None,
    ray_address: AddressOption = None,
    shard_cpus: CpusOption = 1.0,
    local_folder: LocalFolderOption = None,
    no_coordinator: NoCoordinatorOption = False,
    vllm: VllmModelOption = None,
    vllm_replicas: ReplicasOption = None,
    vllm_gpus: GpusOption = 1,
    vllm_options: VllmWordsOption = "",
) -> None:
    """Make preference pairs. Run it again at any time: only missing answers are requested.

    Example: clairgen generate config.yaml --run runs/first --limit 100
    """
    from clairgen.config.file import load_config
    from clairgen.coordination.coordinator_client import CoordinatorAddress
    from clairgen.pipeline.generate import Options
    from clairgen.task_shard import named_shard

    on_ray = spread(
        on,
        OnRay(
            shards,
            nodes,
            ray_address,
            shard_cpus,
            local_folder,
            no_coordinator,
            vllm,
            vllm_replicas,
            vllm_gpus,
            vllm_options,
        ),
    )
    loaded = load_config(config)
    if group is not None and coordinator is None:
        raise ConfigError(
            "--group names the members of a coordinator's group; name the coordinator with --coordinator URL"
        )
    options = Options(
        limit=limit,
        retry_failed=retry_failed,
        skip_bad_lines=skip_bad_lines,
        accept_changes=accept_changes,
        reuse=tuple(reuse or ()),
        log_texts=log_texts,
        drain_seconds=drain_seconds,
        budget_usd=budget_usd,
        no_budget=no_budget,
        detach=detach,
        shard=named_shard(shard, os.environ, is_coordinated=coordinator is not None) if shard is not None else None,
        coordinator=CoordinatorAddress.of(coordinator, os.environ, group) if coordinator is not None else None,
        takes_over=take_over,
        copy_to=copy_to,
        copy_every=copy_every,
        no_copy=no_copy,
        jobs=jobs,
    )
    if dry_run:
        if on_ray is None:
            refuse_unrestored(copy_to, run)
        else:
            refuse_unmerged(run)
        print_estimate(loaded, run, options)
        return
    if on_ray is not None:
        generate_on_ray(loaded, run, options, on_ray, again=_again(config, run, None, options, on_ray))
        return
    try:
        summary = generate_with_progress(loaded, run, options)
    except NothingLeftError as nothing_left:
        typer.echo(str(nothing_left))
        return
    made = summary.shard if options.shard is not None else None
    print_summary(summary, again=_again(config, summary.run, made, options, stopped_by=summary.stopped_by))
    if isinstance(summary.stopped_by, DetachedError):
        return
    if summary.stopped_by is not None:
        raise summary.stopped_by
    if summary.failed:
        raise typer.Exit(FAILED)


def refuse_unrestored(copy_to: str | None, run: Path) -> None:
    """Raise ConfigError where an estimate would be about a new run, although there is a copy that it would be restored from."""
    if copy_to is None:
        return
    from clairgen.copies.epochs import holds_run
    from clairgen.copies.restoring import is_restorable_into
    from clairgen.copies.storage import open_storage
    from clairgen.store import RunDirectory

    if is_restorable_into(RunDirectory(run)) and holds_run(open_storage(copy_to)):
        raise ConfigError(
            f"--dry-run writes nothing, and {run} is to be restored first: clairgen restore {copy_to} --run {run}"
        )


def generate_with_progress(config: "RunConfig", run: Path, options: "Options") -> "Summary":
    """Generate with progress on stderr; Ctrl-C drains."""
    from clairgen.inference.runtime import Runtime
    from clairgen.pipeline.generate import generate
    from clairgen_train.reward_model import load_reward_model

    async def work(stop: asyncio.Event) -> "Summary":
        progress = Progress()
        async with showing(progress, Console(file=progress_stream()), stop):
            runtime = Runtime(load_reward_model=load_reward_model)
            return await generate(config, run, options, progress=progress, stop=stop, runtime=runtime)

    return run_drainable(work, options.drain_seconds)


def print_summary(summary: "Summary", again: str) -> None:
    """Print how a session left its run; `again` is the command that continues it."""
    _print_rows(summary)
    Console().print(pairs_table(summary.statuses, summary.dropped))
    for recipe, dropped in summary.dropped.items():
        reasons = ", ".join(f"{count:,} {plain_line(reason)}" for reason, count in dropped.items())
        typer.echo(f"Dropped of {plain_line(recipe)}: {reasons}")
    if summary.progress.money.has_calls:
        typer.echo(spent_line(summary.progress.money))
    for line in failure_lines(summary.failures, again):
        typer.echo(line)
    if isinstance(summary.stopped_by, DetachedError):
        typer.echo(f"{plain_line(str(summary.stopped_by))}: {plain_line(again)}")
    elif isinstance(summary.stopped_by, ReplacedError):
        typer.echo("The process that has the run by now makes what is left.")
    elif summary.stopped_by is not None:
        typer.echo(f"Continue with: {plain_line(again)}")
    elif summary.shard is not None:
        none = "" if summary.statuses else ", which has none of the tasks"
        typer.echo(f"This is shard {summary.shard}{none}. Next, with all of them: clairgen merge SHARDS --run RUN")
    else:
        typer.echo(f"Next: clairgen report {plain_line(shlex.quote(str(summary.run)))}")


def _print_rows(summary: "Summary") -> None:
    """Print which rows of sources hold no task, or no pair."""
    tasks = summary.tasks
    if tasks.duplicates:
        typer.echo(f"{counted(tasks.duplicates, 'row')} that repeated a prompt of the run: merged with it.")
    if tasks.bad_rows:
        typer.echo(
            f"{counted(tasks.bad_rows, 'row')} without a task: skipped, the first at {plain_line(tasks.first_bad or '')}."
        )
    if tasks.doubts:
        typer.echo(
            f"{counted(tasks.doubts, 'row')} with a recorded score that is not used, the first at "
            f"{plain_line(tasks.first_doubt or '')}; name another with `scores` under `tasks` if the data set has one."
        )
    for name, state in summary.imports.items():
        for line in left_out_lines(state):
            typer.echo(f"{plain_line(name)}: {line}")


def print_estimate(config: "RunConfig", run: Path, options: "Options") -> None:
    """Estimate a session and print it; nothing is requested and nothing is written."""
    from clairgen.pipeline.estimate import estimate

    found = run_coroutine(estimate(config, run, options))
    for note in found.notes:
        typer.echo(f"Note: {plain_text(note)}", err=True)
    for planned in found.imports:
        typer.echo(
            f"To be imported as {plain_line(planned.name)}: at most {counted(planned.pairs, 'pair')}; "
            f"{plain_line(planned.opened.sentence)}"
        )
        for line in left_out_lines(planned.state):
            typer.echo(line)
    typer.echo(
        f"{counted(found.tasks, 'task')} ({counted(found.duplicates, 'repeated prompt')} merged, "
        f"{counted(found.bad_rows, 'bad row')}), {counted(found.pairs_made, 'pair')} made already. Still to be requested:"
    )
    if not found.roles:
        recipes = (
            "these recipes use the answers that the data set contains" if config.recipes else "there are no recipes"
        )
        typer.echo(f"Nothing: {recipes}.")
        return
    print_requests(found.roles, found.answers_found, found.spent, found.budget_usd, what="these pairs")


def _again(
    config: Path,
    run: Path,
    shard: "TaskShard | None",
    options: "Options",
    on_ray: OnRay | None = None,
    stopped_by: Exception | None = None,
) -> str:
    """The command that continues a run, quoted for a shell; with a budget that can go on, if the budget stopped it."""
    from clairgen.config.prices import plain_figure

    enough_usd = stopped_by.enough_usd if isinstance(stopped_by, BudgetError) else None
    budget_usd = options.budget_usd if enough_usd is None else enough_usd
    command = ["clairgen", "generate", str(config), "--run", str(run)]
    command += words_of(on_ray) if on_ray is not None else []
    command += ["--shard", str(shard)] if shard is not None else []
    if options.coordinator is not None:
        command += ["--coordinator", options.coordinator.url]
        command += ["--group", options.coordinator.group] if options.coordinator.group is not None else []
    command += ["--limit", str(options.limit)] if options.limit is not None else []
    command += ["--budget-usd", plain_figure(budget_usd)] if budget_usd is not None else []
    command += ["--copy-to", str(options.copy_to)] if options.copy_to is not None else []
    command += ["--copy-every", f"{options.copy_every:g}"] if options.copy_every != COPY_SECONDS else []
    command += ["--no-copy"] if options.no_copy else []
    command += ["--drain-seconds", f"{options.drain_seconds:g}"] if options.drain_seconds != SECONDS_TO_DRAIN else []
    command += ["--detach"] if options.detach else []
    command += ["--jobs", str(options.jobs)] if options.jobs is not None else []
    command += ["--skip-bad-lines"] if options.skip_bad_lines else []
    for other in options.reuse:
        command += ["--reuse", str(other)]
    return shlex.join(command)
