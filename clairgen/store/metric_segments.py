"""The figures of a run's pairs in columns: Parquet files in its folder `metrics`, which follow from `run.db` and hold no text.

A segment has the made pairs of one recipe in a range of positions. By `pair_changes` it is known which ranges have changed, and
those segments are written again; all of them are for a new filter set. `manifest.json` names the segments that hold, so a
process that is killed leaves the former ones in force. The folder can be deleted at any time, and is never the truth.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from clairgen.errors import RunError
from clairgen.folder_lock import locked_folder
from clairgen.records import FilterAction
from clairgen.store.directory import RunDirectory
from clairgen.store.pair_rows import LOST_BY
from clairgen.store.reader import Reader
from clairgen.store.segment_file import fault_in_file, segment_batch
from clairgen.store.segment_manifest import END, Manifest, Segment, SegmentFolder, free_names, remove_others
from clairgen.wording import counted

if TYPE_CHECKING:
    import pyarrow as pa

_ROWS: Final = 200_000
"""Of a segment at most."""
_ROWS_AT_ONCE: Final = 20_000
_SELECT: Final = f"""
SELECT p.id, p.position, p.task_id, {LOST_BY} AS lost_by, p.retried, p.failed_check, p.levenshtein, p.jaccard,
    p.length_ratio, p.tokenizer, p.metrics_version, p.filter_set,
    (SELECT json_group_array(DISTINCT f.reason) FROM filter_results f
        WHERE f.filter_set = p.filter_set AND f.pair_id = p.id AND f.action = '{FilterAction.MARK.value}') AS marks
FROM pairs p WHERE p.recipe = ? AND p.status = 'made' AND p.position > ? AND p.position <= ? ORDER BY p.position LIMIT ?
"""
_STATE: Final = """
SELECT coalesce((SELECT value FROM meta WHERE key = 'run_id'), '') AS run_id,
    coalesce((SELECT value FROM meta WHERE key = 'filter_set'), '') AS filter_set,
    coalesce(max(change), 0) AS change,
    coalesce((SELECT pair_id FROM pair_changes ORDER BY change DESC LIMIT 1), '') AS changed_pair
FROM pair_changes
"""


class MetricSegments:
    """The segments of one run, through the connection that its store reads by."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    @asynccontextmanager
    async def updated(
        self, run: RunDirectory, cost_usd: Callable[[str], Awaitable[float | None]], rows: int = _ROWS
    ) -> AsyncIterator[SegmentFolder | None]:
        """The segments of the run as the connection sees it, which nobody changes meanwhile; `rows` is the most of one.

        None where there can be none: another process uses them, or the folder cannot be written. `cost_usd` says what the pairs
        of a recipe cost.
        """
        with ExitStack() as stack:
            try:
                run.metrics.mkdir(exist_ok=True)
                stack.enter_context(locked_folder(run.metrics))
                found = await self._up_to_date(run.metrics, cost_usd, rows)
            except (OSError, RunError):
                found = None
            yield found

    async def _up_to_date(
        self, folder: Path, cost_usd: Callable[[str], Awaitable[float | None]], rows: int
    ) -> SegmentFolder:
        state = await self._state()
        try:
            known, fault = Manifest.read(folder), None
        except ValueError as error:
            known, fault = None, str(error)
        if known is not None and not await self._continues(known, state):
            known = None
        if known is not None and (fault := known.file_fault(folder)) is not None:
            known = None
        current = await self._current(folder, known, state, cost_usd, rows)
        if known is not None and (fault := await self._fault(folder, current.segments)) is not None:
            current = await self._current(folder, None, state, cost_usd, rows)
        remove_others(folder, current.segments)  # also what a process left that was killed
        return SegmentFolder(folder, current.segments, current.costs, fault)

    async def _current(
        self,
        folder: Path,
        known: Manifest | None,
        state: Mapping[str, Any],
        cost_usd: Callable[[str], Awaitable[float | None]],
        rows: int,
    ) -> Manifest:
        """The manifest of the run's state, in force with all its segments; of those only what is not known is written."""
        if known is not None and known.change == state["change"]:
            return known
        segments = [one async for one in self._written(folder, known, rows)]
        costs = {recipe: await cost_usd(recipe) for recipe in dict.fromkeys(one.recipe for one in segments)}
        current = Manifest(**state, segments=tuple(segments), costs=costs)
        current.write(folder)
        return current

    async def _fault(self, folder: Path, segments: Sequence[Segment]) -> str | None:
        """Where segments do not agree with the run's database by what can be counted quickly; None if they do."""
        made = "FROM pairs WHERE status = 'made'"
        for recipe in {*await self._recipes(), *(one.recipe for one in segments)}:
            after = 0
            for one in (*(one for one in segments if one.recipe == recipe), None):
                last, rows = (END, 0) if one is None else (one.last, one.rows)
                sql = f"SELECT count(*) {made} AND recipe = ? AND position > ? AND position <= ?"
                pairs = await self._reader.value(sql, (recipe, after, last))
                if pairs != rows:
                    has = "no file has them" if one is None else f"{one.file} is said to have {rows:,}"
                    return f"of {counted(pairs, 'pair')} {has}"
                if one is not None and (fault := fault_in_file(folder / one.file, one, after)) is not None:
                    return fault
                after = last
        return None

    async def _state(self) -> dict[str, Any]:
        row = await self._reader.row(_STATE)
        assert row is not None  # noqa: S101 - a query without FROM gives a row
        return dict(row)

    async def _continues(self, known: Manifest, state: Mapping[str, Any]) -> bool:
        """Whether the run is the one that the segments are of, perhaps further on, and under the same filters."""
        sql = "SELECT pair_id FROM pair_changes WHERE change = ?"
        changed_pair = await self._reader.value(sql, (known.change,)) or ""
        return known.change <= state["change"] and (known.run_id, known.filter_set, known.changed_pair) == (
            state["run_id"],
            state["filter_set"],
            changed_pair,
        )

    async def _written(self, folder: Path, known: Manifest | None, rows: int) -> AsyncIterator[Segment]:
        """All segments of the run, of which those that are not known, or in which pairs changed, are written first."""
        former = () if known is None else known.segments
        changed = {} if known is None else await self._changed_positions(known.change)
        if changed is None:
            former, changed = (), {}
        names = free_names(folder)
        for recipe in await self._recipes():
            own = [one for one in former if one.recipe == recipe]
            for after, one, last in _kept_and_stale(own, changed.get(recipe, []), rows, is_new=not former):
                if one is not None:
                    yield one
                    continue
                async for written in self._range(folder, names, recipe, after, last, rows):
                    yield written

    async def _recipes(self) -> list[str]:
        """The recipes of which there are made pairs, in order."""
        sql = "SELECT DISTINCT recipe FROM pairs WHERE status = 'made' ORDER BY recipe"
        return [recipe for (recipe,) in await self._reader.rows(sql)]

    async def _changed_positions(self, since: int) -> dict[str, list[int]] | None:
        """Where pairs have changed since a change, by recipe and in order; None if one is gone, which may have been anywhere."""
        sql = (
            "SELECT DISTINCT p.recipe, p.position FROM pair_changes c LEFT JOIN pairs p ON p.id = c.pair_id "
            "WHERE c.change > ? ORDER BY p.recipe, p.position"
        )
        found = defaultdict[str, list[int]](list)
        for recipe, position in await self._reader.rows(sql, (since,)):
            if recipe is None:
                return None
            found[recipe].append(position)
        return found

    async def _range(
        self, folder: Path, names: Iterator[str], recipe: str, after: int, last: int, rows: int
    ) -> AsyncIterator[Segment]:
        """Write what a recipe has in a range of positions, as one segment or several."""
        import pyarrow.parquet as pq

        while (table := await self._table(recipe, after, last, rows)) is not None:
            end = table.column("position")[-1].as_py()
            file, is_rest = next(names), len(table) < rows and last < END
            pq.write_table(table, folder / file, compression="zstd")
            yield Segment(file, recipe, last if is_rest else end, len(table), (folder / file).stat().st_size)
            after = end

    async def _table(self, recipe: str, after: int, last: int, rows: int) -> "pa.Table | None":
        """The next pairs of a range, `rows` at most; None if there is none."""
        import pyarrow as pa

        batches = []
        while rows and (found := await self._reader.rows(_SELECT, (recipe, after, last, min(rows, _ROWS_AT_ONCE)))):
            batches.append(segment_batch(found))
            after, rows = found[-1]["position"], rows - len(found)
        return pa.Table.from_batches(batches) if batches else None


def _kept_and_stale(
    segments: Sequence[Segment], changed: Sequence[int], rows: int, *, is_new: bool
) -> Iterator[tuple[int, Segment | None, int]]:
    """The ranges of a recipe as (after, segment, last), without a segment where it has to be written: there pairs changed.

    What comes behind the last segment is written with it, unless that is full.
    """
    lasts = [one.last for one in segments]
    stale = {bisect_left(lasts, position) for position in changed}
    after = 0
    for at, one in enumerate(segments):
        is_last = at == len(segments) - 1
        if is_last and (at in stale or (at + 1 in stale and one.rows < rows)):
            yield after, None, END
            return
        yield after, None if at in stale else one, one.last
        after = one.last
    if is_new or len(segments) in stale:
        yield after, None, END
