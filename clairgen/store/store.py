"""The store of a run, opened for writing (under the run's lock) or for reading beside a writer."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import aiosqlite

from clairgen.errors import StoreError
from clairgen.store.advice import Advice
from clairgen.store.batches import Batches
from clairgen.store.chosen_pairs import ChosenPairs
from clairgen.store.completions import Completions
from clairgen.store.connection import (
    open_beside_writer,
    open_for_short_write,
    open_writer,
    schema_version,
    store_errors,
)
from clairgen.store.directory import RunDirectory
from clairgen.store.evaluations import StoredEvaluations
from clairgen.store.filter_sets import FilterSets
from clairgen.store.imported_pairs import ImportedPairs
from clairgen.store.judgements import Judgements
from clairgen.store.metadata import Metadata
from clairgen.store.metric_segments import MetricSegments
from clairgen.store.pairs import Pairs
from clairgen.store.read_connection import open_reader
from clairgen.store.reader import Reader
from clairgen.store.review_queues import ReviewQueues
from clairgen.store.revisions import Revisions
from clairgen.store.schema import VERSION
from clairgen.store.scores import Scores
from clairgen.store.spending import Spending
from clairgen.store.statements import Statement, Write
from clairgen.store.tasks import Tasks
from clairgen.store.votes import Votes
from clairgen.store.writer import Writer

T = TypeVar("T")


async def _kept_nowhere_else() -> None:
    """There is no copy to wait for."""


@dataclass(slots=True)
class CopyGate:
    """What a copy of the run lets wait: `reached` returns once all that is committed by now is in the copy, if one is kept."""

    reached: Callable[[], Awaitable[None]] = _kept_nowhere_else


@dataclass(frozen=True, slots=True)
class Store:
    """The parts of a run's database."""

    tasks: Tasks
    completions: Completions
    pairs: Pairs
    chosen: ChosenPairs
    filter_sets: FilterSets
    metadata: Metadata
    judgements: Judgements
    scores: Scores
    spending: Spending
    advice: Advice
    evaluations: StoredEvaluations
    imported: ImportedPairs
    votes: Votes
    batches: Batches
    queues: ReviewQueues
    revisions: Revisions
    segments: MetricSegments
    paused: Callable[[float], AbstractAsyncContextManager[bool]]
    """See `Writer.paused`; where nothing is written there is nothing to pause."""
    leave_log: Callable[[], Awaitable[None]]
    """See `Writer.leave_log`."""
    copy: CopyGate


@asynccontextmanager
async def writing(
    run: RunDirectory, committed: Callable[[float], None] = lambda _seconds: None
) -> AsyncIterator[Store]:
    """The store for writing; creates and migrates it as needed. Hold the run's lock around this.

    `committed` is called with the seconds that each commit took.
    """
    async with AsyncExitStack() as stack:
        connection = await open_writer(run.database)
        writer = await stack.enter_async_context(Writer(connection, run.database, committed))
        reader = Reader(await open_beside_writer(run.database), run.database)
        stack.push_async_callback(reader.close)
        yield _store(reader, writer.write, writer)


async def short_write(run: RunDirectory, work: Callable[[Store], Awaitable[T]]) -> T:
    """Commit what `work` writes, in one transaction, and return its result; also while another process writes the run.

    Nobody else can write meanwhile, so `work` only looks things up and writes a few rows. It runs on an event loop of its own,
    so that nothing else that this process does keeps others waiting. An error in it leaves the run as it was. It never migrates.
    """
    run.require()
    run.refuse_emptied()
    return await asyncio.to_thread(asyncio.run, _short_write(run, work))


@asynccontextmanager
async def reading(run: RunDirectory, *, snapshot: bool = False) -> AsyncIterator[Store]:
    """The store for reading, also while another process writes it.

    As a `snapshot`, all that is read is of one moment, whatever is written meanwhile.
    """
    run.refuse_several()
    run.refuse_emptied()
    reader = Reader(await open_reader(run.database, snapshot=snapshot), run.database)
    try:
        yield _store(reader, _refuse, None)
    finally:
        await reader.close()


async def migrate(path: Path | str) -> tuple[int, int]:
    """Bring a run's database up to this version's schema; its version before and after."""
    run = RunDirectory(Path(path))
    run.require()
    run.refuse_emptied()
    with run.locked():
        before = await schema_version(run.database)
        async with writing(run):
            return before, VERSION


async def _short_write(run: RunDirectory, work: Callable[[Store], Awaitable[T]]) -> T:
    connection = await open_for_short_write(run.database)

    async def write(*statements: Statement) -> None:
        for sql, parameters in statements:
            await connection.execute(sql, parameters)

    try:
        with store_errors(run.database):
            result = await work(_store(Reader(connection, run.database), write, None))
            await connection.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(aiosqlite.Error):
            await connection.execute("ROLLBACK")
        raise
    finally:
        await connection.close()
    return result


def write_columns(path: Path) -> str | None:
    """Bring the metric segments of the run in a folder up to date, in a process that has no event loop yet.

    Returns what to say of segments that did not agree with the run.
    """

    async def work() -> str | None:
        run = RunDirectory(path)
        async with (
            reading(run, snapshot=True) as store,
            store.segments.updated(run, store.pairs.cost_usd) as columns,
        ):
            return None if columns is None else columns.note

    return asyncio.run(work())


async def _refuse(*_: Statement) -> None:
    raise StoreError("this store was opened for reading")


def _store(reader: Reader, write: Write, writer: Writer | None) -> Store:
    metadata = Metadata(reader, write)
    pairs = Pairs(reader, write)
    return Store(
        Tasks(reader, write),
        Completions(reader, write),
        pairs,
        ChosenPairs(reader, pairs),
        FilterSets(reader, writer, metadata),
        metadata,
        Judgements(reader),
        Scores(reader),
        Spending(reader, write),
        Advice(reader, write),
        StoredEvaluations(reader, write),
        ImportedPairs(reader, write),
        Votes(reader, write),
        Batches(reader, write),
        ReviewQueues(reader, write),
        Revisions(reader, write),
        MetricSegments(reader),
        (lambda _seconds: contextlib.nullcontext(True)) if writer is None else writer.paused,
        _kept_nowhere_else if writer is None else writer.leave_log,
        CopyGate(),
    )
