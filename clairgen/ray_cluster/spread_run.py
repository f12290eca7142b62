"""A run that is spread over a cluster: its folders, the number of its shards, which it keeps, and what each shard is given."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter, ValidationError

from clairgen.config.prices import plain_figure
from clairgen.copies import COPY_SECONDS
from clairgen.errors import ConfigError, RunError
from clairgen.keys import digest
from clairgen.pipeline.generate import Options
from clairgen.pipeline.run_shard import MERGED
from clairgen.pipeline.session import DRAIN_SECONDS
from clairgen.ray_cluster import OnRay
from clairgen.store import RunDirectory, reading, run_shard
from clairgen.task_shard import TaskShard
from clairgen.whole_files import write_whole

_SHARDS_FILE: Final = "shards.json"


@dataclass(frozen=True, slots=True)
class Settled:
    """What a run keeps from its first shards on: how many, where their copies are, and what divides limits among them."""

    shards: int
    copy_to: str | None
    divider: str


_SETTLED: Final = TypeAdapter(Settled)


@dataclass(frozen=True, slots=True)
class SpreadRun:
    """The merged run `path`, and beside it the folder of its shards."""

    path: Path

    @property
    def shards(self) -> Path:
        """The folder of the shards, or, where those are copied, of what was collected of them to be merged."""
        return self.path.with_name(f"{self.path.name}.shards")

    @property
    def name(self) -> str:
        """What the run is called on nodes, where other runs may be too."""
        return f"{self.path.name}-{digest(str(self.path))[:8]}"

    def create(self) -> None:
        """Make the folder of the shards. Raises RunError."""
        try:
            self.shards.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(
                f"the folder {self.shards} cannot be made: {error.strerror}; check its permissions"
            ) from error

    async def require_target(self) -> None:
        """Raise RunError, before anything is paid for, if shards could not be merged into the run."""
        directory = RunDirectory(self.path)
        directory.check_new()
        if not directory.database.exists():
            return
        async with reading(directory) as store:
            is_own = await store.tasks.last_position() and not await store.metadata.with_prefix(MERGED)
            if is_own or await run_shard(store) is not None:
                raise RunError(
                    f"--run {self.path} was not made on a cluster; go on with it without --on ray, or name a new folder"
                )

    def require_nothing_unmerged(self) -> None:
        """Raise RunError for shards that are not merged yet, of which an estimate over the run would know nothing."""
        if (self.shards / _SHARDS_FILE).exists() and not RunDirectory(self.path).database.exists():
            raise RunError(
                f"the shards of {self.path} have begun and are not merged yet, so an estimate would count what they have; run "
                "the command without --dry-run"
            )

    def settled(self, named: int | None, nodes: int, options: Options, on_ray: OnRay) -> Settled:
        """What the run keeps, by its first command or, before that, by this one. Raises ConfigError for a change of it."""
        copies = None if options.copy_to is None else str(options.copy_to)
        given = Settled(named or max(1, nodes), copies, _divider(options, on_ray))
        file = self.shards / _SHARDS_FILE
        try:
            kept = _SETTLED.validate_json(file.read_bytes()) if file.exists() else given
        except (OSError, ValidationError) as error:
            reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error.strerror
            raise RunError(f"{file} cannot be read: {reason}") from error
        if named is not None and named != kept.shards:
            raise ConfigError(
                f"--shards {named} is given, and the run was begun with {kept.shards}; go on with {kept.shards}, or name a new "
                "--run, with --reuse for the answers of the merged one"
            )
        if given.copy_to != kept.copy_to:
            begun = f"with --copy-to {kept.copy_to}" if kept.copy_to is not None else "without --copy-to"
            raise ConfigError(f"the run was begun {begun}; go on so, or what its shards have would be requested again")
        if given.divider != kept.divider:
            raise ConfigError(
                f"the run was begun with {kept.divider}, and what its shards may spend is known by that alone; go on so, or name "
                "a new --run, with --reuse for the answers of the merged one"
            )
        return kept

    def keep(self, settled: Settled) -> None:
        """Keep what is settled, before the first shard starts. Raises RunError."""
        file = self.shards / _SHARDS_FILE
        try:
            write_whole(file, _SETTLED.dump_json(settled))
        except OSError as error:
            raise RunError(f"{file} cannot be written: {error.strerror}") from error


def check_options(options: Options, on_ray: OnRay) -> None:
    """Raise ConfigError for options that shards over a cluster do not go with."""
    if options.shard is not None:
        raise ConfigError("--shard makes one shard and --on ray makes all of them; give one of the two")
    if options.detach:
        raise ConfigError(
            "--detach leaves a run to its batches, and --on ray waits for its shards; give one of the two"
        )
    if options.no_copy:
        raise ConfigError(
            "--no-copy lets one run go on alone, and with --on ray shards go on as they began; leave it out"
        )
    if on_ray.local_folder is not None and options.copy_to is None:
        raise ConfigError("--local-folder is lost with its node, so it needs --copy-to")
    if on_ray.vllm is None and (on_ray.vllm_replicas is not None or on_ray.vllm_gpus != 1 or on_ray.vllm_options):
        raise ConfigError("options of vLLM are given, and no model for it; name one with --vllm")
    if on_ray.no_coordinator and options.coordinator is not None:
        raise ConfigError(
            "--no-coordinator is given, and --coordinator or CLAIRGEN_COORDINATOR names one; give one of the two"
        )
    if options.no_budget and options.coordinator is not None:
        raise ConfigError(
            "--no-budget lifts a run's budget, and with --coordinator the budget is the group's; leave it out"
        )
    if on_ray.address == "local" and (on_ray.nodes or 1) > 1:
        raise ConfigError(
            f"--ray-address local starts a cluster of this machine alone, which --nodes {on_ray.nodes} would wait for in vain; "
            "leave one of the two out"
        )


def shard_options(options: Options, shards: int, shard_cpus: float) -> tuple[str, ...]:
    """The options of `clairgen generate` that each of so many shards is given; a budget is divided unless it is coordinated."""
    words: list[str] = []
    if options.coordinator is not None:
        words += ["--coordinator", options.coordinator.url, "--take-over"]
        words += ["--group", options.coordinator.group] if options.coordinator.group is not None else []
        words += ["--budget-usd", plain_figure(options.budget_usd)] if options.budget_usd is not None else []
    elif options.budget_usd is not None:
        words += ["--budget-usd", f"{math.floor(options.budget_usd / shards * 1e9) / 1e9:.9f}"]
    jobs = max(0, math.ceil(shard_cpus) - 1) if options.jobs is None else options.jobs
    words += ["--jobs", str(jobs)]  # by default as many as the CPUs that are reserved, not as the node has
    if options.limit is not None:
        words += ["--limit", str(options.limit)]
    if options.copy_every != COPY_SECONDS:
        words += ["--copy-every", f"{options.copy_every:g}"]
    if options.drain_seconds != DRAIN_SECONDS:
        words += ["--drain-seconds", f"{options.drain_seconds:g}"]
    flags = {
        "--no-budget": options.no_budget and options.coordinator is None,
        "--retry-failed": options.retry_failed,
        "--skip-bad-lines": options.skip_bad_lines,
        "--accept-changes": options.accept_changes,
        "--log-texts": options.log_texts,
    }
    words += [name for name, is_given in flags.items() if is_given]
    for other in options.reuse:
        words += ["--reuse", str(Path(other).absolute())]
    return tuple(words)


def place_of(copies: Path | str) -> str:
    """The place of all copies, wherever it is named from."""
    return str(copies).rstrip("/") if "://" in str(copies) else str(Path(copies).absolute())


def copy_of(copies: Path | str | None, shard: TaskShard) -> str | None:
    """Where a shard's copy lies, below the place of all; None without one."""
    return None if copies is None else f"{place_of(copies)}/shard-{shard.number}-of-{shard.count}"


def _divider(options: Options, on_ray: OnRay) -> str:
    if options.coordinator is not None:
        return "--coordinator URL"
    return "--no-coordinator" if on_ray.no_coordinator else "a coordinator of its own"
