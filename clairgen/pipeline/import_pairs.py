"""`import`: pairs of any data set become pairs of a run, measured and filtered like those that recipes made. No model is asked.

Rows are committed in batches together with how far the source was read, so an interrupted import goes on where it stopped.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Final

from clairgen.config.models import RunConfig
from clairgen.errors import DrainedError, InputError, RunError
from clairgen.filters.filter_settings import FilterSettings
from clairgen.import_source import ImportSource, import_source
from clairgen.installed import __version__
from clairgen.long_texts import usable_cores
from clairgen.metrics.contrast import DEFAULT_TOKENIZER
from clairgen.pair_shapes import shape_of
from clairgen.patterns import lazy_pattern
from clairgen.pipeline.import_state import ImportState, import_state, kinds_with, state_row
from clairgen.pipeline.refilter import refilter, settle_run_filters, unsettle_run_filters
from clairgen.pipeline.row_measures import MeasuredBatch, answers_of_row, measured_batches
from clairgen.pipeline.run_shard import require_whole
from clairgen.records import Pair
from clairgen.row_pairs import PairShape, ReadRow, count_left_out, read_pairs
from clairgen.store import (
    HUMAN_REVISION,
    IMPORTED,
    ImportedPair,
    MadePair,
    PairTexts,
    Plan,
    RunDirectory,
    Store,
    writing,
)
from clairgen.store.metadata import TOKENIZER
from clairgen.wording import counted, one_line_repr

DEFAULT_NAME: Final = "imported"
"""What imported pairs are called in place of a recipe."""
_ROWS_PER_COMMIT: Final = 1000
_MOST_JOBS: Final = 8
NAME: Final = lazy_pattern(r"[A-Za-z0-9][A-Za-z0-9._-]*")
"""What a name of imported pairs may be: it names a subset of exports."""
_REPEATED: Final = "it repeats an earlier row: the same prompt, chosen and rejected"


@dataclass(frozen=True, slots=True)
class ImportSummary:
    """What an import left in a run: its state, the `name` of the pairs, how many are kept, and how many rows this call read."""

    run: Path
    name: str
    state: ImportState
    kept: int
    rows_read: int

    def __repr__(self) -> str:
        facts = (
            counted(self.state.pairs, "pair"),
            f"{self.kept:,} kept",
            f"{self.state.rows_left_out:,} rows left out",
        )
        return one_line_repr(self, f"{self.name} from {self.state.source}", *facts)


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """What is imported: a `subset` and `split` of a folder or the hub, with `columns` named by their role, as `name`.

    `jobs` is how many processes measure pairs at once; None for one for each core.
    """

    name: str = DEFAULT_NAME
    subset: str | None = None
    split: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    jobs: int | None = None


@dataclass(frozen=True, slots=True)
class OpenedSource:
    """A source whose pairs are understood, and what is imported of it."""

    source: ImportSource
    shape: PairShape
    options: ImportOptions

    @property
    def sentence(self) -> str:
        """How the source is read."""
        return f"{self.source.name}: {self.shape.sentence}{self.source.unread_in_words}."

    def read(self, after: int = 0) -> Iterator[ReadRow]:
        """What the rows behind the first `after` hold."""
        return read_pairs(islice(self.source.rows(), after, None), self.shape)


def open_source(source: str, options: ImportOptions) -> OpenedSource:
    """The source with what its first rows are understood as. Raises InputError where they are not, or it cannot be opened."""
    if not NAME.fullmatch(options.name):
        raise InputError(f"{options.name!r} cannot name pairs; use letters, digits, dots and dashes")
    if options.name == HUMAN_REVISION:
        raise InputError(
            f"{HUMAN_REVISION} is what pairs are called that people make by editing answers; choose another name"
        )
    opened = import_source(source, options.subset, options.split)
    return OpenedSource(opened, shape_of(opened, options.columns), options)


def open_imports(config: RunConfig) -> list[OpenedSource]:
    """The sources under `import` of a configuration. Raises InputError as `open_source` does."""
    try:
        return [
            open_source(one.source, ImportOptions(one.name, one.subset, one.split, one.columns))
            for one in config.imports or ()
        ]
    except InputError as error:
        hint = "; in a configuration, --column ROLE=NAME is `columns: {ROLE: NAME}`" if "--column" in str(error) else ""
        raise InputError(f"import: {error}{hint}") from error


async def import_pairs(
    source: str,
    run: Path | str,
    options: ImportOptions | None = None,
    *,
    tell: Callable[[str], None] = lambda _: None,
    stop: asyncio.Event | None = None,
) -> ImportSummary:
    """Import the pairs of a file, folder or hub data set (`hub:owner/name`) into a run, which is made if it is new.

    `tell` is given what was understood before anything is written, and then how far the import is. Raises InputError for a
    source whose pairs are not understood, RunError for one that has changed since a part of it was imported, DrainedError once
    `stop` is set; the next call continues.
    """
    options, stop = options or ImportOptions(), stop or asyncio.Event()
    opened = await asyncio.to_thread(open_source, source, options)
    directory = RunDirectory(Path(run))
    directory.create()
    with directory.locked():
        async with writing(directory) as store:
            await store.metadata.initialize(__version__)
            await require_whole(store, directory.path, "an import")
            before, state = await import_into(store, opened, tell, stop)
            dropped = sum((await store.pairs.dropped()).get(options.name, {}).values())
            return ImportSummary(directory.path, options.name, state, state.pairs - dropped, state.rows - before.rows)


async def import_into(
    store: Store, opened: OpenedSource, tell: Callable[[str], None], stop: asyncio.Event
) -> tuple[ImportState, ImportState]:
    """Import what is not imported yet of a source into an open run; returns how far that was before, and is now."""
    before = state = await begun_import(store, opened)
    if not state.complete:
        plan = Plan(opened.options.name, {IMPORTED: opened.source.name}, revises=False)
        await store.metadata.record_plan(plan, changed=False)
        tell(opened.sentence)
        state = await _read(store, opened, state, tell, stop)
    return before, state


async def begun_import(store: Store, opened: OpenedSource) -> ImportState:
    """How far a source is imported. Raises RunError where the run has other pairs of its name."""
    source, options = opened.source, opened.options
    state = await import_state(store, options.name)
    other = "give these another name (--as NAME, or `name` under `import`), or name a new folder for --run"
    if state is None:
        if options.name in await store.metadata.plans():
            raise RunError(f"the run has pairs that the recipe {options.name} made; {other}")
        return new_state(opened)
    if state.facts != source.facts:
        raise RunError(
            f"the run has pairs as {options.name} from {state.source}, and {source.name} is another source or has changed since; "
            f"{other}"
        )
    if state.columns != dict(options.columns):
        before = " ".join(f"--column {role}={column}" for role, column in state.columns.items()) or "no --column"
        raise RunError(f"{state.source} was imported as {options.name} with {before}; give the same, or {other}")
    return state


def new_state(opened: OpenedSource) -> ImportState:
    """The state of an import that has read nothing."""
    return ImportState(opened.source.name, opened.source.facts, dict(opened.options.columns), opened.shape.sentence)


async def _read(
    store: Store, opened: OpenedSource, state: ImportState, tell: Callable[[str], None], stop: asyncio.Event
) -> ImportState:
    """Import the rows that were not read yet, a batch at a time, then compare pairs where a filter does that."""
    number, settings, tokenizer = await _filters_in_force(store)
    await unsettle_run_filters(store, settings)
    jobs = opened.options.jobs or min(usable_cores(), _MOST_JOBS)
    rows = opened.read(state.rows)
    batches = iter(lambda: list(islice(rows, _ROWS_PER_COMMIT)), [])
    async with aclosing(measured_batches(batches, opened.options.name, settings, tokenizer, jobs)) as measured:
        async for batch in measured:
            before, state = state, await _commit(store, batch, state, opened.options.name, number)
            if state.rows // 100_000 > before.rows // 100_000:
                tell(f"{counted(state.rows, 'row')} read, {counted(state.pairs, 'pair')} imported")
            if stop.is_set():
                raise DrainedError
    await settle_run_filters(store, number, settings)
    state = replace(state, complete=True)
    await store.imported.add([], number, state.pairs, state_row(opened.options.name, state))
    return state


async def _filters_in_force(store: Store) -> tuple[int, FilterSettings, str]:
    """The filter set that the run has, or the default one, and the tokenizer of its contrasts."""
    in_force = await store.filter_sets.in_force()
    tokenizer = await store.metadata.get(TOKENIZER) or DEFAULT_TOKENIZER
    if in_force is not None:
        return in_force[0], FilterSettings.from_record(in_force[1]), tokenizer
    settings = FilterSettings()
    number = await refilter(store, settings, tokenizer)
    await store.metadata.put(TOKENIZER, tokenizer)
    return number, settings, tokenizer


async def _commit(store: Store, batch: MeasuredBatch, state: ImportState, name: str, filter_set: int) -> ImportState:
    """Commit the pairs of a batch together with the state after it, which is returned."""
    left_out = dict(state.left_out)
    for row in batch.rows:
        if isinstance(row.found, str):
            count_left_out(left_out, row.found, row)
    held = batch.pairs
    texts = [PairTexts(pair.messages, pair.chosen, pair.rejected, pair.name) for _, pair, _ in held]
    pairs: list[ImportedPair] = []
    identities = await store.imported.identities(texts, name)
    for (row, pair, (contrast, findings)), identity in zip(held, identities, strict=True):
        if identity is None:
            count_left_out(left_out, _REPEATED, row)
            continue
        outcome = Pair(identity.task_id, name, *answers_of_row(pair), pair.reasoning)
        pairs.append(ImportedPair(identity, MadePair(outcome, pair.messages, contrast, findings), pair.further))
    doubtful = [(row, pair.doubt) for row, pair, _ in held if pair.doubt is not None]
    after = replace(
        state,
        rows=state.rows + sum(row.rows for row in batch.rows),
        pairs=state.pairs + len(pairs),
        left_out=left_out,
        doubts=state.doubts + len(doubtful),
        first_doubt=state.first_doubt or (f"{doubtful[0][0].where}: {doubtful[0][1]}" if doubtful else None),
        kinds=kinds_with(state.kinds, (pair.source_columns for pair in pairs)),
    )
    await store.imported.add(pairs, filter_set, state.pairs, state_row(name, after))
    return after
