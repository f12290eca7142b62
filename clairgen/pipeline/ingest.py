"""Reads the tasks of a source into the store, once; an interrupted read continues at the row where it stopped."""

import asyncio
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from clairgen.config.models import TaskSource
from clairgen.errors import DrainedError, InputError
from clairgen.records import Task
from clairgen.sources import BadRow
from clairgen.store import SourceIndex, Statement, Store, metadata_row
from clairgen.store.metadata import SOURCE, same_source
from clairgen.tasks import Row, read_tasks

_ROWS_PER_COMMIT = 2000


@dataclass(frozen=True, slots=True)
class IngestState:
    """How far a source of tasks was read, and which rows were skipped.

    `first_bad` says what was wrong with the first bad row. `known` is the number of tasks from earlier sources. `doubts` counts
    the rows with a recorded score that is not used, and `first_doubt` says which score of which row was the first.
    """

    source: dict[str, Any]
    rows: int = 0
    duplicates: int = 0
    bad_rows: int = 0
    first_bad: str | None = None
    complete: bool = False
    known: int = 0
    doubts: int = 0
    first_doubt: str | None = None


async def ingest_state(store: Store) -> IngestState | None:
    """How far the run's source was read; None for a new run."""
    value = await store.metadata.get(SOURCE)
    return None if value is None else IngestState(**json.loads(value))


def state_row(state: IngestState) -> tuple[str, str]:
    """Key and value with which a run's metadata says how far its source was read."""
    return SOURCE, json.dumps(asdict(state))


def source_facts(source: TaskSource, seed: int, known: dict[str, Any] | None = None) -> dict[str, Any]:
    """What identifies the rows of a source; with the facts `known` of it before, a file that was not touched is not hashed."""
    facts: dict[str, Any] = source.model_dump(mode="json", exclude_none=True, exclude={"path", "assistant_turns"})
    if source.sample is not None:
        facts["seed"] = seed
    if source.path is not None:
        facts |= _file_facts(source.path, known or {})
    return facts


async def ingest(
    store: Store,
    source: TaskSource,
    seed: int,
    facts: dict[str, Any],
    *,
    skip_bad_lines: bool,
    stop: asyncio.Event,
    compared_by: Sequence[str] = (),
    needs_scores: bool = False,
    part: Callable[[Task], bool] | None = None,
) -> IngestState:
    """Read all rows that were not read yet into the store.

    `compared_by` are the recipes that choose between recorded answers: their pairs become pending where those changed.
    `needs_scores` is whether one of them goes by their scores. With `part` only the tasks for which it is true are stored, at
    their positions among all tasks, and the state counts all rows.
    Raises InputError for a bad row unless those are skipped, DrainedError once `stop` is set; the next call continues.
    """
    state = await ingest_state(store)
    if state is None or not same_source(state.source, facts):
        if state is not None and not await store.metadata.plans():
            await store.tasks.clear()  # the file was corrected before any request was planned: read it as new
        state = IngestState(facts, known=await store.tasks.last_position())
    if state.complete:
        return state
    rows = read_tasks(source, seed, needs_scores=needs_scores)
    if part is not None:
        return await _ingest_part(store, rows, part, state, source, skip_bad_lines=skip_bad_lines, stop=stop)
    merged: dict[str, str] = {}  # ids that the store does not have, since their rows repeat the prompt of another
    for start in range(0, state.rows, _ROWS_PER_COMMIT):
        await _add_merged(store, list(islice(rows, min(_ROWS_PER_COMMIT, state.rows - start))), merged)
    while group := list(islice(rows, _ROWS_PER_COMMIT)):
        state = await _commit(store, group, merged, state, skip_bad_lines=skip_bad_lines, compared_by=compared_by)
        await _add_merged(store, group, merged)
        if stop.is_set():
            raise DrainedError
    if not await store.tasks.count():
        raise no_tasks_error(source)
    return await _complete(store, state)


async def _complete(store: Store, state: IngestState) -> IngestState:
    state = replace(state, complete=True)
    await store.metadata.put(*state_row(state))
    return state


async def _ingest_part(
    store: Store,
    rows: Iterator[Row | BadRow],
    part: Callable[[Task], bool],
    state: IngestState,
    source: TaskSource,
    *,
    skip_bad_lines: bool,
    stop: asyncio.Event,
) -> IngestState:
    """The same for a run that stores a part of the tasks."""
    with SourceIndex() as index:
        for start in range(0, state.rows, _ROWS_PER_COMMIT):
            index.sorted(_good(list(islice(rows, min(_ROWS_PER_COMMIT, state.rows - start)))))
        while group := list(islice(rows, _ROWS_PER_COMMIT)):
            found = index.sorted(_good(group))
            state = _after(state, group, found.duplicates, found.conflicts, skip_bad_lines=skip_bad_lines)
            tasks = [new for new in found.tasks if part(new.row.task)]
            await store.tasks.add_numbered(tasks, metadata_row(*state_row(state)))
            if stop.is_set():
                raise DrainedError
    if state.rows == state.duplicates + state.bad_rows:
        raise no_tasks_error(source)
    return await _complete(store, state)


def conflicting_row(row: Row) -> BadRow:
    """A row whose id the run has with another prompt."""
    return BadRow(row.where, f"its id {row.task.id!r} already belongs to another prompt")


def bad_row_error(row: BadRow) -> InputError:
    """The error that a bad row is unless those are skipped."""
    return InputError(f"{row.where}: {row.why}; correct it, or pass --skip-bad-lines to go on without such rows")


def no_tasks_error(source: TaskSource) -> InputError:
    """The error that a source without tasks is."""
    return InputError(f"{source.path or source.hub} has no tasks; give it at least one row with a prompt")


async def _commit(
    store: Store,
    group: Sequence[Row | BadRow],
    merged: Mapping[str, str],
    state: IngestState,
    *,
    skip_bad_lines: bool,
    compared_by: Sequence[str],
) -> IngestState:
    """Commit a group of rows together with the state after it."""
    after = state

    def counted(duplicates: int, conflicts: Sequence[Row]) -> Statement:
        nonlocal after
        after = _after(state, group, duplicates, conflicts, skip_bad_lines=skip_bad_lines)
        return metadata_row(*state_row(after))

    await store.tasks.add(_good(group), counted, state.known, merged, compared_by)
    return after


def _after(
    state: IngestState,
    group: Sequence[Row | BadRow],
    duplicates: int,
    conflicts: Sequence[Row],
    *,
    skip_bad_lines: bool,
) -> IngestState:
    """The state after a group of rows, among which are so many duplicates. InputError for a bad row unless those are skipped."""
    bad = [row for row in group if isinstance(row, BadRow)]
    bad += [conflicting_row(row) for row in conflicts]
    if bad and not skip_bad_lines:
        raise bad_row_error(bad[0])
    doubtful = [row for row in group if isinstance(row, Row) and row.doubt]
    return replace(
        state,
        rows=state.rows + len(group),
        duplicates=state.duplicates + duplicates,
        bad_rows=state.bad_rows + len(bad),
        first_bad=state.first_bad or (f"{bad[0].where}: {bad[0].why}" if bad else None),
        doubts=state.doubts + len(doubtful),
        first_doubt=state.first_doubt or (f"{doubtful[0].where}: {doubtful[0].doubt}" if doubtful else None),
    )


def _good(group: Sequence[Row | BadRow]) -> list[Row]:
    return [row for row in group if isinstance(row, Row)]


async def _add_merged(store: Store, group: Sequence[Row | BadRow], merged: dict[str, str]) -> None:
    """Add to `merged` the ids that rows of a committed group have and the store does not, with the hash of their messages."""
    for task_id, messages_hash in (await store.tasks.ids_not_stored(_good(group))).items():
        merged.setdefault(task_id, messages_hash)


def _file_facts(path: Path, known: dict[str, Any]) -> dict[str, Any]:
    try:
        state = path.stat()
        touched = f"{state.st_size}:{state.st_mtime_ns}:{state.st_ino}"
        if known.get("touched") == touched:
            return {"touched": touched, "sha256": known["sha256"]}
        with path.open("rb") as content:
            return {"touched": touched, "sha256": hashlib.file_digest(content, "sha256").hexdigest()}
    except OSError as error:
        raise InputError(f"the file of tasks {path} cannot be read: {error.strerror}") from error
