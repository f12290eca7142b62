"""The tasks that a run would have once its source is read, and those whose pairs are to be made, without writing anything."""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import Any

from clairgen.config.models import RunConfig
from clairgen.keys import digest, messages_json
from clairgen.pipeline.import_pairs import OpenedSource, begun_import, new_state
from clairgen.pipeline.import_state import ImportState
from clairgen.pipeline.ingest import IngestState, bad_row_error, conflicting_row, no_tasks_error
from clairgen.records import Message, Task
from clairgen.row_pairs import RowPair, count_left_out
from clairgen.sources import BadRow
from clairgen.store import Store
from clairgen.store.metadata import same_source
from clairgen.tasks import TASK_ID_DIGITS, Row, read_tasks

_ALL = 2**62


@dataclass(slots=True)
class ImportSurvey:
    """What is not imported yet of a source: so many `pairs` once `read` was read to its end; `state` says why rows hold none."""

    opened: OpenedSource
    state: ImportState
    pairs: int = 0

    @classmethod
    async def begun(cls, store: Store | None, opened: OpenedSource) -> "ImportSurvey":
        """The survey of a source. Raises RunError where the run, None for a new one, has other pairs of its name."""
        return cls(opened, new_state(opened) if store is None else await begun_import(store, opened))

    @property
    def name(self) -> str:
        """What the pairs are called."""
        return self.opened.options.name

    @property
    def complete(self) -> bool:
        """Whether all was imported before."""
        return self.state.complete

    def read(self) -> Iterator[RowPair]:
        """The pairs that are not imported yet; rows that repeat another are among them."""
        if self.state.complete:
            return
        left_out = dict(self.state.left_out)
        for row in self.opened.read(self.state.rows):
            if isinstance(row.found, str):
                count_left_out(left_out, row.found, row)
            else:
                self.pairs += 1
                yield row.found
        self.state = replace(self.state, left_out=left_out)


class TaskSurvey:
    """The tasks of a run under a configuration; `store` is None for a new run, `state` says how far its source was read.

    `done` are the statuses that need no more requests, by recipe; `part` says which tasks a run has that has only a part. After
    `to_make` is read to its end, `tasks`, `duplicates` and
    `bad_rows` are what the run would have.
    """

    def __init__(
        self,
        config: RunConfig,
        store: Store | None,
        state: IngestState | None,
        facts: dict[str, Any] | None,
        done: Mapping[str, Sequence[str]],
        imports: Sequence[ImportSurvey] = (),
        *,
        limit: int | None,
        skip_bad_lines: bool,
        part: Callable[[Task], bool] | None = None,
    ) -> None:
        self._config = config
        self._store = store
        is_known = state is not None and facts is not None and same_source(state.source, facts)
        self._state = state if state is not None and is_known else IngestState(facts or {}, complete=facts is None)
        self.imports = imports
        self._done = done
        self._limit = limit if limit is not None else _ALL
        self._skip_bad_lines = skip_bad_lines
        self._part = part
        self._positions = 0
        self._of_part = 0
        self.duplicates = self._state.duplicates
        self.bad_rows = self._state.bad_rows

    @property
    def tasks(self) -> int:
        """How many tasks the session would be about."""
        return self._of_part if self._part is not None else min(self._positions, self._limit)

    async def to_make(self) -> AsyncIterator[tuple[Task, tuple[str, ...]]]:
        """Tasks with the recipes whose pairs are to be made. Raises InputError as `ingest` does."""
        if self._store is not None:
            self._positions = await self._store.tasks.last_position()
            self._of_part = await self._store.tasks.count(self._limit)
            async for pending in self._store.tasks.undone(self._done, self._limit):
                yield pending.task, pending.recipes
        if self._state.complete and all(one.complete for one in self.imports):
            return
        if self._part is not None:
            async for task in self._new_tasks_of_part(self._part):
                yield task, tuple(self._done)
            return
        by_id = await self._stored()
        known = set(by_id.values())
        for task in self._within_limit(chain(self._new_tasks(by_id, known), self._imported_tasks(known))):
            yield task, tuple(self._done)

    async def _new_tasks_of_part(self, part: Callable[[Task], bool]) -> AsyncIterator[Task]:
        """The tasks of a part that the store lacks; all rows are read, since its positions are those among all tasks."""
        stored, by_id, known = set((await self._stored()).values()), dict[str, bytes](), set[bytes]()
        self.duplicates = self.bad_rows = position = 0
        source = self._config.task_source
        for row in read_tasks(source, self._config.seed, needs_scores=self._config.compares_by_scores):
            if not self._is_new(row, by_id, known) or not isinstance(row, Row):
                continue
            position += 1
            if position <= self._limit and part(row.task) and _messages_hash(row.task.messages) not in stored:
                self._of_part += 1
                yield row.task
        if not position:
            raise no_tasks_error(source)

    async def _stored(self) -> dict[str, bytes]:
        """Hashes of the messages of the tasks that the store has, by id."""
        if self._store is None:
            return {}
        return {name: bytes.fromhex(messages) async for name, messages in self._store.tasks.identities()}

    def _within_limit(self, tasks: Iterator[Task]) -> Iterator[Task]:
        for task in tasks:
            self._positions += 1
            if self._positions <= self._limit:
                yield task

    def _new_tasks(self, by_id: dict[str, bytes], known: set[bytes]) -> Iterator[Task]:
        if self._state.complete:
            return
        source = self._config.task_source
        rows = read_tasks(source, self._config.seed, needs_scores=self._config.compares_by_scores)
        for row in islice(rows, self._state.rows):
            if isinstance(row, Row):  # the store has it, but not its id, if its prompt is that of another row
                by_id.setdefault(row.task.id, _messages_hash(row.task.messages))
        for row in rows:
            if self._is_new(row, by_id, known) and isinstance(row, Row):
                yield row.task
        if not self._positions:
            raise no_tasks_error(source)

    def _imported_tasks(self, known: set[bytes]) -> Iterator[Task]:
        for one in self.imports:
            for pair in one.read():
                messages = _messages_hash(pair.messages)
                if messages not in known:
                    known.add(messages)
                    yield Task(pair.name or messages.hex()[:TASK_ID_DIGITS], pair.messages)

    def _is_new(self, row: Row | BadRow, by_id: dict[str, bytes], known: set[bytes]) -> bool:
        if isinstance(row, Row):
            messages = _messages_hash(row.task.messages)
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


def _messages_hash(messages: Sequence[Message]) -> bytes:
    return bytes.fromhex(digest(messages_json(messages)))
