"""The tasks that a run would have once its source is read, and those whose pairs are to be made, without writing anything."""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from clairgen.config.models import RunConfig
from clairgen.keys import digest, messages_json
from clairgen.pipeline.ingest import IngestState, bad_row_error, conflicting_row, no_tasks_error, same_source
from clairgen.records import Task
from clairgen.sources import BadRow
from clairgen.store import Store
from clairgen.tasks import Row, read_tasks

_ALL = 2**62


class TaskSurvey:
    """The tasks of a run under a configuration; `store` is None for a new run, `state` says how far its source was read.

    `done` are the statuses that need no more requests, by recipe. After `to_make` is read to its end, `tasks`, `duplicates` and
    `bad_rows` are what the run would have.
    """

    def __init__(
        self,
        config: RunConfig,
        store: Store | None,
        state: IngestState | None,
        facts: dict[str, Any],
        done: Mapping[str, Sequence[str]],
        *,
        limit: int | None,
        skip_bad_lines: bool,
    ) -> None:
        self._config = config
        self._store = store
        self._state = state if state is not None and same_source(state.source, facts) else IngestState(facts)
        self._done = done
        self._limit = limit if limit is not None else _ALL
        self._skip_bad_lines = skip_bad_lines
        self._positions = 0
        self.duplicates = self._state.duplicates
        self.bad_rows = self._state.bad_rows

    @property
    def tasks(self) -> int:
        """How many tasks the session would be about."""
        return min(self._positions, self._limit)

    async def to_make(self) -> AsyncIterator[tuple[Task, tuple[str, ...]]]:
        """Tasks with the recipes whose pairs are to be made. Raises InputError as `ingest` does."""
        if self._store is not None:
            self._positions = await self._store.tasks.last_position()
            async for pending in self._store.tasks.undone(self._done, self._limit):
                yield pending.task, pending.recipes
        if not self._state.complete:
            for task in self._new_tasks(await self._stored()):
                yield task, tuple(self._done)

    async def _stored(self) -> dict[str, bytes]:
        """Hashes of the messages of the tasks that the store has, by id."""
        if self._store is None:
            return {}
        return {name: bytes.fromhex(messages) async for name, messages in self._store.tasks.identities()}

    def _new_tasks(self, by_id: dict[str, bytes]) -> Iterator[Task]:
        known = set(by_id.values())
        rows = read_tasks(self._config.tasks, self._config.seed, needs_scores=self._config.compares_by_scores)
        for row in islice(rows, self._state.rows):
            if isinstance(row, Row):  # the store has it, but not its id, if its prompt is that of another row
                by_id.setdefault(row.task.id, _messages_hash(row.task))
        for row in rows:
            if self._is_new(row, by_id, known) and isinstance(row, Row):
                self._positions += 1
                if self._positions <= self._limit:
                    yield row.task
        if not self._positions:
            raise no_tasks_error(self._config.tasks)

    def _is_new(self, row: Row | BadRow, by_id: dict[str, bytes], known: set[bytes]) -> bool:
        if isinstance(row, Row):
            messages = _messages_hash(row.task)
            if by_id.setdefault(row.task.id, messages) == messages:
                self.duplicates += messages in known
                is_new = messages not in known
                known.add(messages)
                return is_new
            row = conflicting_row(row)
        if not self._skip_bad_lines:
            raise bad_row_error(row)
        self.bad_rows += 1
        return False


def _messages_hash(task: Task) -> bytes:
    return bytes.fromhex(digest(messages_json(task.messages)))
