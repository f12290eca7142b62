"""Where a run stands: its counts, or what is cheap to read again and again. Reads, also while the run goes on."""

from dataclasses import asdict, dataclass
from pathlib import Path

from clairgen.api.run_batches import BatchStatus, batches_of
from clairgen.config.prices import PICODOLLARS
from clairgen.filters.filter_settings import FilterSettings
from clairgen.pipeline.generate import pairs_in_words
from clairgen.pipeline.import_state import ImportState, import_states
from clairgen.pipeline.ingest import IngestState, ingest_state
from clairgen.pipeline.run_log import LastSession, last_session
from clairgen.store import EvaluationNumbers, RoleNumbers, RunDirectory, Spent, reading
from clairgen.wording import counted, one_line_repr


@dataclass(frozen=True, slots=True)
class Status:
    """Where a run stands: pairs by recipe and status, drops and failures by reason, what each role has answered.

    `imports` has how far pairs were imported, by the name that they have in place of a recipe; `evaluations` how far each
    evaluation in the directory is; `batches` the open ones.
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
    batches: list[BatchStatus]

    def __repr__(self) -> str:
        return one_line_repr(self, self.run, counted(self.tasks, "task"), *pairs_in_words(self.statuses, self.dropped))

    def to_json(self) -> dict[str, object]:
        """The stable object of `status --json`."""
        roles = {role.role: asdict(role) for role in self.roles}
        return {
            "run": str(self.run),
            "run_id": self.run_id,
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
            "filters": self.filters.model_dump(mode="json") if self.filters else None,
        }


async def status(run: Path | str) -> Status:
    """Where a run stands now."""
    directory = RunDirectory(Path(run))
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
            [one for one in await batches_of(store) if one.is_open],
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
