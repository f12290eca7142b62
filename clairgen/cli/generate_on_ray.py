"""`clairgen generate --on ray`: the shards of a run over the nodes of a Ray cluster, then one run of them here."""

import asyncio
import json
import math
import os
import shlex
import shutil
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.console import Console

from clairgen.cli.display import pairs_table, showing, spent_line
from clairgen.cli.output import progress_stream
from clairgen.cli.signals import SECONDS_TO_DRAIN, run_coroutine, run_drainable
from clairgen.copies import COPY_SECONDS
from clairgen.errors import (
    COPY,
    DRAINED,
    ENDPOINTS,
    FAILED,
    USER,
    BudgetError,
    ConfigError,
    CopyStoppedError,
    DrainedError,
    EndpointsError,
    RunError,
    RunStoppedError,
    UserError,
)
from clairgen.reporting.sanitize import plain_line, shortened
from clairgen.wording import counted

if TYPE_CHECKING:
    from clairgen.config.models import RunConfig
    from clairgen.pipeline.generate import Options
    from clairgen.ray_cluster.shard_driver import ShardsProgress
    from clairgen.ray_cluster.shard_process import ShardEnd, ShardJob
    from clairgen.task_shard import TaskShard

MOST_SHARDS: Final = 10_000
_SHARDS_FILE: Final = "shards.json"


class Engine(StrEnum):
    """What runs the shards of a run on many machines."""

    RAY = "ray"


OnOption = Annotated[
    Engine | None,
    typer.Option("--on", help="Make the run in shards over the nodes of a Ray cluster, and merge them into --run."),
]
ShardsOption = Annotated[
    int | None,
    typer.Option(
        "--shards",
        min=1,
        max=MOST_SHARDS,
        help="With --on ray: how many shards; left out, as many as nodes. A run keeps their number.",
    ),
]
AddressOption = Annotated[
    str | None,
    typer.Option(
        "--ray-address",
        help="With --on ray: the cluster's address, auto for the one that this machine belongs to, or local for a new one; left "
        "out, RAY_ADDRESS, a cluster of this machine, else a new one.",
    ),
]
CpusOption = Annotated[
    float, typer.Option("--shard-cpus", min=0, max=1024, help="With --on ray: CPUs that Ray reserves for each shard.")
]
NodesOption = Annotated[
    int | None,
    typer.Option(
        "--nodes", min=1, max=100_000, help="With --on ray: wait until so many nodes have joined the cluster."
    ),
]
LocalFolderOption = Annotated[
    Path | None,
    typer.Option(
        "--local-folder",
        help="With --on ray and --copy-to: the folder of each node for its shards; left out, one in Ray's temporary folder.",
    ),
]


@dataclass(frozen=True, slots=True)
class OnRay:
    """How a run is spread over a Ray cluster; see the options of the same names."""

    shards: int | None = None
    address: str | None = None
    shard_cpus: float = 1.0
    nodes: int | None = None
    local_folder: Path | None = None

    def words(self) -> list[str]:
        """The options as they are written; the number of shards is known to the run."""
        words = ["--on", Engine.RAY.value]
        words += ["--nodes", str(self.nodes)] if self.nodes is not None else []
        words += ["--ray-address", self.address] if self.address is not None else []
        words += ["--shard-cpus", f"{self.shard_cpus:g}"] if self.shard_cpus != 1 else []
        words += ["--local-folder", str(self.local_folder)] if self.local_folder is not None else []
        return words


def spread(engine: Engine | None, on_ray: OnRay) -> OnRay | None:
    """How a run is spread, if it is. Raises ConfigError for options of a run that is not."""
    if engine is None and on_ray != OnRay():
        given = next(field.name for field in fields(OnRay) if getattr(on_ray, field.name) != field.default)
        name = "ray-address" if given == "address" else given.replace("_", "-")
        raise ConfigError(f"--{name} is for --on ray; leave it out")
    return None if engine is None else on_ray


def generate_on_ray(config: "RunConfig", run: Path, options: "Options", on_ray: OnRay, again: str) -> None:
    """Make all shards of a run and merge them into it; `again` is the command that continues.

    Run it again at any time, after a kill of this command or of nodes too.
    """
    from clairgen.folder_lock import locked_folder
    from clairgen.installed import require_ray_extra
    from clairgen.ray_cluster.shard_driver import ShardsProgress

    require_ray_extra()

    os.environ.setdefault(
        "RAY_DEDUP_LOGS_SKIP_REGEX", "."
    )  # else Ray writes between our lines; it reads this when imported
    from clairgen.ray_cluster.ray_session import living_nodes, ray_session

    _check(options, on_ray)
    run = run.absolute()
    run_coroutine(_require_target(run))
    shards_folder = run.with_name(f"{run.name}.shards")
    try:
        shards_folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"the folder {shards_folder} cannot be made: {error.strerror}") from error
    progress = ShardsProgress()
    with locked_folder(shards_folder), ray_session(on_ray.address):

        async def work(stop: asyncio.Event) -> "dict[TaskShard, ShardEnd]":
            async with showing(progress, Console(file=progress_stream()), stop):
                if on_ray.nodes is not None:
                    from clairgen.ray_cluster.ray_session import wait_for_nodes

                    await wait_for_nodes(on_ray.nodes, progress.note, stop)
                count = _settled_count(shards_folder, on_ray.shards, len(living_nodes()), options.copy_to)
                return await _shards_made(config, run, shards_folder, options, on_ray, count, progress, stop)

        ends = run_drainable(work, options.drain_seconds)
        _raise_what_stopped(ends, again)
        if options.copy_to is not None:
            _collect(shards_folder, {shard: str(_copy_of(options.copy_to, shard)) for shard in ends})
        _print_merged(config, run, shards_folder, ends, again)
        if options.copy_to is not None:
            _remove_shards(shards_folder)


def _check(options: "Options", on_ray: OnRay) -> None:
    """Raise ConfigError for options that shards over a cluster do not go with."""
    if options.shard is not None:
        raise ConfigError("--shard makes one shard and --on ray makes all of them; give one of the two")
    if options.detach:
        raise ConfigError(
            "--detach leaves a run to its batches, and --on ray waits for its shards; give one of the two"
        )


async def _require_target(run: Path) -> None:
    """Raise RunError, before anything is paid for, if shards could not be merged into `run`."""
    from clairgen.pipeline.run_shard import MERGED, run_shard
    from clairgen.store import RunDirectory, reading

    directory = RunDirectory(run)
    directory.check_new()
    if not directory.database.exists():
        return
    async with reading(directory) as store:
        is_own = await store.tasks.last_position() and not await store.metadata.with_prefix(MERGED)
        if is_own or await run_shard(store) is not None:
            raise RunError(
                f"--run {run} was not made on a cluster; go on with it without --on ray, or name a new folder"
            )


def _settled_count(folder: Path, named: int | None, nodes: int, copy_to: str | None) -> int:
    """How many shards the run has, which it keeps from its first command on, as it does the place of their copies.

    Raises ConfigError where others are named.
    """
    from clairgen.whole_files import write_whole

    file = folder / _SHARDS_FILE
    try:
        known = json.loads(file.read_text(encoding="utf-8")) if file.exists() else None
        if known is None:
            known = {"shards": named or max(1, nodes), "copy_to": copy_to}
            write_whole(file, json.dumps(known))
        count, place = int(known["shards"]), known["copy_to"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{file} cannot be read or written: {error}") from error
    if named is not None and named != count:
        raise ConfigError(
            f"--shards {named} is given, and the run was begun with {count}; go on with {count}, or name a new --run, with "
            "--reuse for the answers of the merged one"
        )
    if place != copy_to:
        begun = f"with --copy-to {place}" if place is not None else "without --copy-to"
        raise ConfigError(f"the run was begun {begun}; go on so, or what its shards have would be requested again")
    return count


async def _shards_made(
    config: "RunConfig",
    run: Path,
    folder: Path,
    options: "Options",
    on_ray: OnRay,
    count: int,
    progress: "ShardsProgress",
    stop: asyncio.Event,
) -> "dict[TaskShard, ShardEnd]":
    """Make all shards, each with its share of the limits."""
    from clairgen.config.file import config_yaml
    from clairgen.keys import digest
    from clairgen.ray_cluster.equal_shares import share_of, share_sentence
    from clairgen.ray_cluster.ray_session import RemoteActor, ShardFolder, start_shard
    from clairgen.ray_cluster.shard_driver import run_shards
    from clairgen.ray_cluster.shard_process import ShardJob
    from clairgen.task_shard import TaskShard

    budget_usd = options.budget_usd if options.budget_usd is not None else config.budget_usd
    if (shares := share_sentence(config, count, budget_usd)) is not None:
        progress.note(shares)
    configuration, words = config_yaml(share_of(config, count)), shard_options(options, count)
    jobs = [
        ShardJob(shard, configuration, words, _copy_of(options.copy_to, shard))
        for shard in (TaskShard(number, count) for number in range(1, count + 1))
    ]
    where = ShardFolder(
        f"{run.name}-{digest(str(run))[:8]}",
        kept=str(folder) if options.copy_to is None else None,
        local=str(on_ray.local_folder) if on_ray.local_folder is not None else None,
    )

    def start(job: "ShardJob") -> RemoteActor:
        return start_shard(job, where, on_ray.shard_cpus)

    return await run_shards(jobs, start, progress, stop)


def shard_options(options: "Options", shards: int) -> tuple[str, ...]:
    """The options of `clairgen generate` that each of so many shards is given."""
    words: list[str] = []
    if options.budget_usd is not None:
        words += ["--budget-usd", f"{math.floor(options.budget_usd / shards * 1e9) / 1e9:.9f}"]
    if options.limit is not None:
        words += ["--limit", str(options.limit)]
    if options.copy_every != COPY_SECONDS:
        words += ["--copy-every", f"{options.copy_every:g}"]
    if options.drain_seconds != SECONDS_TO_DRAIN:
        words += ["--drain-seconds", f"{options.drain_seconds:g}"]
    flags = {
        "--no-budget": options.no_budget,
        "--retry-failed": options.retry_failed,
        "--skip-bad-lines": options.skip_bad_lines,
        "--accept-changes": options.accept_changes,
        "--log-texts": options.log_texts,
    }
    words += [name for name, is_given in flags.items() if is_given]
    for other in options.reuse:
        words += ["--reuse", str(Path(other).resolve())]
    return tuple(words)


def _copy_of(copies: str | None, shard: "TaskShard") -> str | None:
    """Where a shard's copy lies, below the place of all."""
    if copies is None:
        return None
    place = copies.rstrip("/") if "://" in copies else str(Path(copies).absolute())
    return f"{place}/shard-{shard.number}-of-{shard.count}"


def _raise_what_stopped(ends: "Mapping[TaskShard, ShardEnd]", again: str) -> None:
    """Raise the error that the command ends with before anything is merged, if there is one."""
    from clairgen.ray_cluster.shard_driver import ends_all

    failing = next(((shard, end) for shard, end in ends.items() if ends_all(end)), None)
    if failing is None and not any(end.code == DRAINED for end in ends.values()):
        return
    if failing is None or failing[1].code != USER:
        typer.echo(f"Continue with: {plain_line(again)}")
    if failing is None:
        raise DrainedError("Stopped; what the shards have committed is kept, and is merged once all are made.")
    shard, end = failing
    sentence = f"shard {shard} on {end.node}: {end.sentence or f'its process ended with code {end.code}'}"
    errors: dict[int, Callable[[str], Exception]] = {
        ENDPOINTS: EndpointsError,
        COPY: CopyStoppedError,
        USER: UserError,
    }
    raise errors.get(end.code, RunStoppedError)(sentence)


def _collect(folder: Path, copies: "Mapping[TaskShard, str]") -> None:
    """Restore all shards from their copies into a folder here."""
    from clairgen.copies.restoring import restore
    from clairgen.copies.storage import open_storage
    from clairgen.store import RunDirectory

    _remove_shards(folder)
    for shard, address in copies.items():
        restore(open_storage(address), RunDirectory(folder / str(shard.number)))


def _remove_shards(folder: Path) -> None:
    """Delete the shards that were collected; their copies have them."""
    from clairgen.store import runs_inside

    for shard in runs_inside(folder):
        shutil.rmtree(shard)


def _print_merged(
    config: "RunConfig", run: Path, folder: Path, ends: "Mapping[TaskShard, ShardEnd]", again: str
) -> None:
    """Merge the shards and print how the run stands."""
    from clairgen import api
    from clairgen.config.file import config_yaml
    from clairgen.pipeline.failures import retry_sentences
    from clairgen.pipeline.merge_shards import merge_shards
    from clairgen.store import RunDirectory

    run_coroutine(merge_shards([folder], run))
    RunDirectory(run).save_config(config_yaml(config))  # that of a shard has its share of the limits
    found = run_coroutine(api.status(run))
    Console().print(pairs_table(found.statuses, found.dropped))
    if found.spent.calls:
        typer.echo(spent_line(found.spent))
    by_reason = Counter[str]()
    for recipe, reason, count, detail in found.failures:
        typer.echo(f"{count:,} of {plain_line(recipe)} failed: {plain_line(reason)}: {shortened(detail)}")
        by_reason[reason] += count
    for sentence in retry_sentences(by_reason, again):
        typer.echo(plain_line(sentence))
    reached = [end for end in ends.values() if end.has_reached_its_budget]
    if reached:
        typer.echo(f"Continue with: {plain_line(again)}")
        raise BudgetError(
            f"{counted(len(reached), 'shard')} of {len(ends)} reached their share of the budget; the first of them says: "
            f"{reached[0].said}",
            None,
        )
    typer.echo(f"Next: clairgen report {plain_line(shlex.quote(str(run)))}")
    if any(counts.get("failed") for counts in found.statuses.values()):
        raise typer.Exit(FAILED)
