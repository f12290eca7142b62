"""`import`: pairs of any data set become pairs of a run, measured and filtered like those that recipes made. No model is asked.

Rows are committed in batches together with how far the source was read, so an interrupted import goes on where it stopped.
"""

import asyncio
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any, Final

from clairgen.errors import DrainedError, InputError, RequestFailedError, RunError
from clairgen.filters.filter_settings import FilterSettings
from clairgen.filters.pipeline import FilterPipeline
from clairgen.finish_reason import RECORDED
from clairgen.import_source import ImportSource, import_source
from clairgen.installed import __version__
from clairgen.metrics.contrast import DEFAULT_TOKENIZER, check_length, contrasts
from clairgen.pair_shapes import find_shape
from clairgen.patterns import lazy_pattern
from clairgen.pipeline.refilter import TOKENIZER, refilter, settle_run_filters, unsettle_run_filters
from clairgen.records import Answer, Contrast, Pair
from clairgen.row_pairs import PairShape, ReadRow, RowPair, read_pairs
from clairgen.store import (
    IMPORTED,
    Identity,
    ImportedPair,
    MadePair,
    PairTexts,
    Plan,
    RunDirectory,
    Statement,
    Store,
    metadata_row,
    writing,
)
from clairgen.wording import counted, one_line_repr

DEFAULT_NAME: Final = "imported"
"""What imported pairs are called in place of a recipe."""
_KEY: Final = "import:"  # in the run's metadata, with the name of the pairs
_FIRST_ROWS: Final = 200
_ROWS_PER_COMMIT: Final = 1000
_MOST_REASONS: Final = 100
_NAME: Final = lazy_pattern(r"[A-Za-z0-9][A-Za-z0-9._-]*")  # it names a subset of exports
_OTHERS: Final = "other reasons"
_REPEATED: Final = "it repeats an earlier row: the same prompt, chosen and rejected"


@dataclass(frozen=True, slots=True)
class LeftOut:
    """How many rows hold no pair for one reason: where the first of them is, and the reason with its details."""

    count: int
    first: str
    why: str


@dataclass(frozen=True, slots=True)
class ImportState:
    """How far pairs were imported: what was understood of the source, and how many of its `rows` became `pairs`.

    `facts` are equal for equal sources. `left_out` counts rows by the reason why they hold no pair, `doubts` those of which a
    score was not used. `kinds` says what each further column holds: boolean, integer, number, text or json.
    """

    source: str
    facts: dict[str, str]
    columns: dict[str, str]
    sentence: str
    rows: int = 0
    pairs: int = 0
    left_out: dict[str, LeftOut] = field(default_factory=dict)
    doubts: int = 0
    first_doubt: str | None = None
    kinds: dict[str, str] = field(default_factory=dict)
    complete: bool = False

    @classmethod
    def from_record(cls, record: str) -> "ImportState":
        """The state as the run has it."""
        content = json.loads(record)
        return cls(**content | {"left_out": {why: LeftOut(**one) for why, one in content["left_out"].items()}})

    @property
    def rows_left_out(self) -> int:
        """Rows without a pair."""
        return sum(one.count for one in self.left_out.values())

    def __repr__(self) -> str:
        return one_line_repr(self, self.source, counted(self.rows, "row"), counted(self.pairs, "pair"))


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
    """What is imported: a `subset` and `split` of a folder or the hub, with `columns` named by their role, as `name`."""

    name: str = DEFAULT_NAME
    subset: str | None = None
    split: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)


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
    if not _NAME.fullmatch(options.name):
        raise InputError(f"{options.name!r} cannot name pairs; use letters, digits, dots and dashes")
    opened = await asyncio.to_thread(import_source, source, options.subset, options.split)
    shape = _shape(opened, options.columns)
    directory = RunDirectory(Path(run))
    directory.create()
    with directory.locked():
        async with writing(directory) as store:
            await store.metadata.initialize(__version__)
            state = await _begun(store, opened, shape, options)
            tell(f"{opened.name}: {state.sentence}.")
            before = state.rows
            if not state.complete:
                state = await _read(store, opened, shape, state, options.name, tell, stop)
            dropped = sum((await store.pairs.dropped()).get(options.name, {}).values())
            return ImportSummary(directory.path, options.name, state, state.pairs - dropped, state.rows - before)


async def import_states(store: Store) -> dict[str, ImportState]:
    """The state of each import of a run, by the name of its pairs."""
    found = {}
    for name, plan in (await store.metadata.plans()).items():
        record = await store.metadata.get(f"{_KEY}{name}") if plan.imported_from is not None else None
        if record is not None:
            found[name] = ImportState.from_record(record)
    return found


def merged_kinds(several: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """What columns hold of which each of `several` says it: integers and numbers are numbers, all other mixtures JSON."""
    kinds: dict[str, str] = {}
    for one in several:
        for column, kind in one.items():
            if (known := kinds.setdefault(column, kind)) != kind:
                kinds[column] = "number" if {known, kind} == {"integer", "number"} else "json"
    return kinds


def _shape(source: ImportSource, columns: Mapping[str, str]) -> PairShape:
    first = [content for _, content in islice(source.rows(), _FIRST_ROWS) if isinstance(content, Mapping)]
    if not first:
        raise InputError(f"{source.name} has no row that can be read; give it at least one with a pair")
    return find_shape(first, columns, source.name)


async def _begun(store: Store, source: ImportSource, shape: PairShape, options: ImportOptions) -> ImportState:
    """The state of this import: new, or as it was when it stopped. Raises RunError where the run has other pairs of the name."""
    record = await store.metadata.get(f"{_KEY}{options.name}")
    other = "give these another name with --as NAME, or name a new folder for --run"
    if record is None:
        if options.name in await store.metadata.plans():
            raise RunError(f"the run has pairs that the recipe {options.name} made; {other}")
        state = ImportState(source.name, source.facts, dict(options.columns), shape.sentence)
        await store.metadata.record_plan(Plan(options.name, {IMPORTED: source.name}, revises=False), changed=False)
        return state
    state = ImportState.from_record(record)
    if state.facts != source.facts:
        raise RunError(
            f"the run has pairs as {options.name} from {state.source}, and {source.name} is another source or has changed since; "
            f"{other}"
        )
    if state.columns != dict(options.columns):
        before = " ".join(f"--column {role}={column}" for role, column in state.columns.items()) or "no --column"
        raise RunError(f"{state.source} was imported as {options.name} with {before}; give the same, or {other}")
    return state


async def _read(
    store: Store,
    source: ImportSource,
    shape: PairShape,
    state: ImportState,
    name: str,
    tell: Callable[[str], None],
    stop: asyncio.Event,
) -> ImportState:
    """Import the rows that were not read yet, a batch at a time, then compare pairs where a filter does that."""
    number, settings, tokenizer = await _filters_in_force(store)
    await unsettle_run_filters(store, settings)
    importer = _Importer(store, name, number, FilterPipeline(settings), tokenizer)
    found = read_pairs(islice(source.rows(), state.rows, None), shape)
    while batch := list(islice(found, _ROWS_PER_COMMIT)):
        state = await importer.commit(batch, state)
        if state.rows // 100_000 > (state.rows - sum(row.rows for row in batch)) // 100_000:
            tell(f"{counted(state.rows, 'row')} read, {counted(state.pairs, 'pair')} imported")
        if stop.is_set():
            raise DrainedError
    await settle_run_filters(store, number, settings)
    state = replace(state, complete=True)
    await store.metadata.put(f"{_KEY}{name}", _record(state))
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


@dataclass(frozen=True, slots=True)
class _Importer:
    """What batches of rows are committed with."""

    store: Store
    name: str
    filter_set: int
    filters: FilterPipeline
    tokenizer: str

    async def commit(self, batch: Sequence[ReadRow], state: ImportState) -> ImportState:
        """Commit the pairs of a batch together with the state after it, which is returned."""
        left_out = dict(state.left_out)
        usable: list[tuple[ReadRow, RowPair]] = []
        for row in batch:
            reason = row.found if isinstance(row.found, str) else _too_long(row.found)
            if reason is not None or isinstance(row.found, str):
                _count(left_out, str(reason), row)
            else:
                usable.append((row, row.found))
        texts = [PairTexts(pair.messages, pair.chosen, pair.rejected, pair.name) for _, pair in usable]
        new: list[tuple[Identity, RowPair]] = []
        identities = await self.store.imported.identities(texts, self.name)
        for (row, pair), identity in zip(usable, identities, strict=True):
            if identity is None:
                _count(left_out, _REPEATED, row)
            else:
                new.append((identity, pair))
        pairs = await asyncio.to_thread(self._measured, new)
        doubtful = [(row, pair.doubt) for row, pair in usable if pair.doubt is not None]
        after = replace(
            state,
            rows=state.rows + sum(row.rows for row in batch),
            pairs=state.pairs + len(pairs),
            left_out=left_out,
            doubts=state.doubts + len(doubtful),
            first_doubt=state.first_doubt or (f"{doubtful[0][0].where}: {doubtful[0][1]}" if doubtful else None),
            kinds=_kinds(state.kinds, (pair.further for _, pair in new)),
        )
        await self.store.imported.add(pairs, self.filter_set, state.pairs, self._state_row(after))
        return after

    def _state_row(self, state: ImportState) -> Statement:
        return metadata_row(f"{_KEY}{self.name}", _record(state))

    def _measured(self, new: Sequence[tuple[Identity, RowPair]]) -> list[ImportedPair]:
        """The pairs with their contrast and what the filters find. A pair's text stays as it is, space around it included."""
        chosen, rejected = [pair.chosen for _, pair in new], [pair.rejected for _, pair in new]
        return [
            ImportedPair(identity, self._made(identity, pair, contrast), pair.further)
            for (identity, pair), contrast in zip(new, contrasts(chosen, rejected, self.tokenizer), strict=True)
        ]

    def _made(self, identity: Identity, pair: RowPair, contrast: Contrast) -> MadePair:
        outcome = Pair(
            identity.task_id,
            self.name,
            Answer(pair.chosen, RECORDED, "", pair.chosen_model),
            Answer(pair.rejected, RECORDED, "", pair.rejected_model),
            pair.reasoning,
        )
        findings = self.filters.apply(
            outcome, contrast, revises=False, prompt=pair.messages, source_columns=pair.further
        )
        return MadePair(outcome, pair.messages, contrast, findings)


def _too_long(pair: RowPair) -> str | None:
    try:
        check_length(pair.chosen, pair.rejected)
    except RequestFailedError as error:
        return error.detail
    return None


def _count(left_out: dict[str, LeftOut], reason: str, row: ReadRow) -> None:
    """Count a row that holds no pair under its reason, without what that says in brackets, which differs from row to row."""
    kind = reason.partition(" (")[0].partition("; ")[0]
    if kind not in left_out and len(left_out) >= _MOST_REASONS:
        kind = _OTHERS
    before = left_out.get(kind, LeftOut(0, row.where, reason))
    left_out[kind] = replace(before, count=before.count + row.rows)


def _kinds(before: Mapping[str, str], rows: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """What the further columns hold, with those of more rows."""
    return merged_kinds([before, *({column: _kind(value) for column, value in row.items()} for row in rows)])


def _kind(value: object) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, str):
        return "text"
    return "integer" if isinstance(value, int) else "number" if isinstance(value, float) else "json"


def _record(state: ImportState) -> str:
    return json.dumps(asdict(state))
