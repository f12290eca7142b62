"""Where a run stands: its counts, or what is cheap to read again and again. Reads, also while the run goes on."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from clairgen.api.run_batches import BatchStatus, batches_of
from clairgen.config.prices import PICODOLLARS
from clairgen.errors import InUseError
from clairgen.filters.filter_settings import FilterSettings
from clairgen.pipeline.generate import pairs_in_words
from clairgen.pipeline.import_state import ImportState, import_states
from clairgen.pipeline.ingest import IngestState, ingest_state
from clairgen.pipeline.progress import CopyState
from clairgen.pipeline.run_log import LastSession, last_session
from clairgen.store import (
    EvaluationNumbers,
    RoleNumbers,
    RunDirectory,
    Spent,
    folder_of,
    reading,
    run_shard,
    runs_inside,
    summed_counts,
)
from clairgen.task_shard import TaskShard
from clairgen.wording import counted, one_line_repr


@dataclass(frozen=True, slots=True)
class Status:
    """Where a run stands: pairs by recipe and status, drops and failures by reason, what each role has answered.

    `imports` has how far pairs were imported, by the name that they have in place of a recipe; `evaluations` how far each
    evaluation in the directory is. `shard` is which one the run is; None for a run of all tasks. `batches` are the open ones.
    `copy` is the copy as the last session that counted anything logged it, at `copy_at` in ISO 8601: what changed later is not
    in it.
    """

    run: Path
    run_id: str | None
    tasks: int
    source: IngestState | None
    statuses: dict[str, dict[str, int]]
    dropped: dict[str, dict[str, int]]
    failures: list[tuple[str, str, int, str]]
    roles: list[RoleNumbers]
    spent: Spent
    filters: FilterSettings | None
    imports: dict[str, ImportState]
    evaluations: list[EvaluationNumbers]
    shard: TaskShard | None = None
    batches: Sequence[BatchStatus] = ()
    copy: CopyState | None = None
    copy_at: str | None = None

    def __repr__(self) -> str:
        return one_line_repr(self, self.run, counted(self.tasks, "task"), *pairs_in_words(self.statuses, self.dropped))

    def to_json(self) -> dict[str, object]:
        """The stable object of `status --json`."""
        roles = {role.role: asdict(role) for role in self.roles}
        return {
            "run": str(self.run),
            "run_id": self.run_id,
            "shard": str(self.shard) if self.shard is not None else None,
            "tasks": self.tasks,
            "duplicates": self.source.duplicates if self.source else 0,
            "bad_rows": self.source.bad_rows if self.source else 0,
            "doubtful_rows": self.source.doubts if self.source else 0,
            "imports": {name: asdict(state) for name, state in self.imports.items()},
            "evaluations": [asdict(one) for one in self.evaluations],
            "pairs": self.statuses,
            "dropped": self.dropped,
            "failures": [
                {"recipe": recipe, "reason": reason, "count": count, "detail": detail}
                for recipe, reason, count, detail in self.failures
            ],
            "roles": {
                name: {key: value for key, value in role.items() if key != "role"} for name, role in roles.items()
            },
            "spent_usd": self.spent.total / PICODOLLARS,
            "unsettled_usd": self.spent.unsettled / PICODOLLARS,
            "unsettled_calls": self.spent.open_calls,
            "batches": [one.to_json() for one in self.batches],
            "copy": {**asdict(self.copy), "at": self.copy_at} if self.copy is not None else None,
            "filters": self.filters.model_dump(mode="json") if self.filters else None,
        }


async def status(run: Path | str) -> Status:
    """Where a run stands now."""
    directory = RunDirectory(Path(run))
    session = last_session(directory.events)
    counters = session.counters if session is not None else None
    async with reading(directory, snapshot=True) as store:
        in_force = await store.filter_sets.in_force()
        return Status(
            directory.path,
            await store.metadata.get("run_id"),
            await store.tasks.count(),
            await ingest_state(store),
            await store.pairs.statuses(),
            await store.pairs.dropped(),
            await store.pairs.failures(),
            await store.completions.numbers(),
            await store.spending.total(),
            FilterSettings.from_record(in_force[1]) if in_force else None,
            await import_states(store),
            await store.evaluations.numbers(),
            await run_shard(store),
            [one for one in await batches_of(store) if one.is_open],
            counters.copy if counters is not None else None,
            session.counted_at if session is not None else None,
        )


@dataclass(frozen=True, slots=True)
class ShardsStatus:
    """Where the shards of a run stand: each, whether a session is in progress in it, and all of them together.

    `missing` are the shards that are not in the folder. `in_use` are run directories that nobody can read now, since a process
    writes them on a network file system, with what their logs say; they are in no sum, and any of them may be a missing shard.
    """

    shards: list[Status]
    running: list[bool]
    together: Status
    missing: Sequence[TaskShard]
    in_use: Mapping[Path, LastSession | None] = field(default_factory=dict)

    def to_json(self) -> dict[str, object]:
        """The object of `status --json`: that of all shards together, with the state of each and the numbers of those missing."""
        each = [one.to_json() | {"running": running} for one, running in zip(self.shards, self.running, strict=True)]
        in_use = [
            {"run": str(path), "counters": session and session.counters and asdict(session.counters)}
            for path, session in self.in_use.items()
        ]
        missing = [str(one) for one in self.missing]
        return self.together.to_json() | {"shards": each, "missing_shards": missing, "in_use": in_use}


async def shards_status(folder: Path | str) -> ShardsStatus:
    """Where the shards in a folder stand, as one run. Raises RunError as `folder_of` does."""
    found: dict[Path, Status] = {}
    in_use: dict[Path, LastSession | None] = {}
    for path in runs_inside(Path(folder)):
        try:
            found[path] = await status(path)
        except InUseError:
            in_use[path] = last_session(RunDirectory(path).events)
    known = folder_of(Path(folder), [(path, one.shard) for path, one in found.items()])
    shards = [found[path] for path in known.shards.values()]
    sessions = [last_session(RunDirectory(one.run).events) for one in shards]
    running = [session is not None and session.running for session in sessions]
    return ShardsStatus(shards, running, _together(Path(folder), shards), known.missing, in_use)


def _together(folder: Path, shards: Sequence[Status]) -> Status:
    """The sums over shards, whose tasks, pairs and answers are different ones."""
    failures: dict[tuple[str, str], tuple[int, str]] = {}
    for recipe, reason, count, detail in (failure for one in shards for failure in one.failures):
        before, first = failures.get((recipe, reason), (0, detail))
        failures[recipe, reason] = before + count, first
    roles: dict[str, RoleNumbers] = {}
    for role in (role for one in shards for role in one.roles):
        roles[role.role] = roles[role.role] + role if role.role in roles else role
    return Status(
        run=folder,
        run_id=None,
        tasks=sum(one.tasks for one in shards),
        source=shards[0].source if shards else None,
        statuses=summed_counts(one.statuses for one in shards),
        dropped=summed_counts(one.dropped for one in shards),
        failures=sorted(((*key, *found) for key, found in failures.items()), key=lambda one: (-one[2], one[0], one[1])),
        roles=list(roles.values()),
        spent=sum((one.spent for one in shards), Spent(0, 0, 0, 0, 0)),
        filters=shards[0].filters if shards else None,
        imports={},
        evaluations=[],
        batches=[batch for one in shards for batch in one.batches],
    )


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A run at a glance: what is cheap to read repeatedly. `session` is what its log says of the last session."""

    run: Path
    statuses: dict[str, dict[str, int]]
    spent: Spent
    session: LastSession | None

    @property
    def running(self) -> bool:
        """Whether a session is in progress."""
        return self.session is not None and self.session.running

    def __repr__(self) -> str:
        return one_line_repr(
            self, self.run, *pairs_in_words(self.statuses, {}), "running" if self.running else "not running"
        )


async def snapshot(run: Path | str) -> Snapshot:
    """Where a run stands now, from its indexes and its log alone."""
    directory = RunDirectory(Path(run))
    async with reading(directory, snapshot=True) as store:
        return Snapshot(
            directory.path,
            await store.pairs.statuses(),
            await store.spending.total(),
            last_session(directory.events),
        )
