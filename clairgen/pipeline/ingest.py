"""Reading the tasks into the store, once: interrupted reading goes on at the row where it stopped."""

import asyncio
import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from clairgen.config.models import TaskSource
from clairgen.errors import DrainedError, InputError
from clairgen.sources import BadRow
from clairgen.store import Statement, Store, fact_row
from clairgen.tasks import Row, read_tasks

_FACT = "source"
_ROWS_A_COMMIT = 2000


@dataclass(frozen=True, slots=True)
class Reading:
    """How far a source of tasks was read in, and what was passed over; `known` tasks the run had from another source."""

    source: dict[str, Any]
    rows: int = 0
    duplicates: int = 0
    bad_rows: int = 0
    first_bad: str | None = None
    complete: bool = False
    known: int = 0


async def last_reading(store: Store) -> Reading | None:
    """How far the run's tasks were read in; None for a new run."""
    fact = await store.facts.get(_FACT)
    return None if fact is None else Reading(**json.loads(fact))


def source_facts(source: TaskSource, seed: int, known: dict[str, Any] | None = None) -> dict[str, Any]:
    """What identifies the rows of a source; `known` facts spare the hashing of a file that was not touched."""
    facts: dict[str, Any] = source.model_dump(mode="json", exclude_none=True, exclude={"path"})
    if source.sample is not None:
        facts["seed"] = seed
    if source.path is not None:
        facts |= _file_facts(source.path, known or {})
    return facts


def same_source(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two sources give the same rows; a file that was only touched or moved is the same."""
    return {**one, "touched": None} == {**other, "touched": None}


async def ingest(
    store: Store, source: TaskSource, seed: int, facts: dict[str, Any], *, skip_bad_lines: bool, stop: asyncio.Event
) -> Reading:
    """Read all rows that are not read yet into the store.

    Raises InputError for a bad row unless those are skipped, DrainedError once `stop` is set; the next call goes on.
    """
    reading = await last_reading(store)
    if reading is None or not same_source(reading.source, facts):
        if reading is not None and not await store.facts.plans():
            await store.tasks.clear()  # the file was mended before anything was planned: read it as new
        reading = Reading(facts, known=await store.tasks.last_position())
    if reading.complete:
        return reading
    rows = islice(read_tasks(source, seed), reading.rows, None)
    while group := list(islice(rows, _ROWS_A_COMMIT)):
        reading = await _commit(store, group, reading, skip_bad_lines=skip_bad_lines)
        if stop.is_set():
            raise DrainedError
    if not await store.tasks.count():
        raise InputError(f"{source.path or source.hub} holds no task; give it at least one row with a prompt")
    reading = replace(reading, complete=True)
    await store.facts.put(_FACT, _json(reading))
    return reading


async def _commit(store: Store, group: Sequence[Row | BadRow], reading: Reading, *, skip_bad_lines: bool) -> Reading:
    """Commit a group of rows together with how far that is."""
    after = reading

    def counted(duplicates: int, conflicts: Sequence[Row]) -> Statement:
        nonlocal after
        bad = [row for row in group if isinstance(row, BadRow)]
        bad += [BadRow(row.where, f"its id {row.task.id!r} stands for another prompt already") for row in conflicts]
        if bad and not skip_bad_lines:
            raise InputError(
                f"{bad[0].where}: {bad[0].why}; mend it, or pass --skip-bad-lines to go on without such rows"
            )
        after = replace(
            reading,
            rows=reading.rows + len(group),
            duplicates=reading.duplicates + duplicates,
            bad_rows=reading.bad_rows + len(bad),
            first_bad=reading.first_bad or (f"{bad[0].where}: {bad[0].why}" if bad else None),
        )
        return fact_row(_FACT, _json(after))

    await store.tasks.add([row for row in group if isinstance(row, Row)], counted, reading.known)
    return after


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


def _json(reading: Reading) -> str:
    return json.dumps(asdict(reading))
