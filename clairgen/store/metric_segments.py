"""The figures of a run's pairs in columns: Parquet files in its folder `metrics`, which follow from `run.db` and hold no text.

A segment has the made pairs of one recipe in a range of positions. By `pair_changes` it is known which ranges have changed, and
those segments are written again; all of them are for a new filter set. `manifest.json` names the segments that hold, so a
process that is killed leaves the former ones in force. The folder can be deleted at any time, and is never the truth.
"""

import json
import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import asdict, dataclass
from functools import lru_cache
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from clairgen.errors import RunError
from clairgen.folder_lock import locked_folder
from clairgen.keys import sample_number
from clairgen.records import FilterAction
from clairgen.store.directory import RunDirectory
from clairgen.store.pair_rows import LOST_BY
from clairgen.store.reader import Reader
from clairgen.whole_files import write_whole

if TYPE_CHECKING:
    import pyarrow as pa

FORMAT: Final = 2
"""Segments of another format are written again."""
_ROWS: Final = 200_000
"""Of a segment at most."""
_ROWS_AT_ONCE: Final = 20_000
_MANIFEST: Final = "manifest.json"
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
_NAME: Final = re.compile(r"[0-9]{6,12}\.parquet")
_END: Final = 2**62
"""Above all positions."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A file with the made pairs of a recipe whose positions are above those of the segment before and at most `last`."""

    file: str
    recipe: str
    last: int
    rows: int
    bytes: int
    """The size of the file, by which one that was cut or replaced is noticed."""


@dataclass(frozen=True, slots=True)
class SegmentFolder:
    """The segments of a run as its database is now, and the cost of each recipe's pairs in US dollars, None if not known."""

    path: Path
    segments: tuple[Segment, ...]
    costs: Mapping[str, float | None]

    def files(self, recipe: str) -> list[str]:
        """The paths of a recipe's files, in the order of their pairs."""
        return [str(self.path / one.file) for one in self.segments if one.recipe == recipe and one.rows]


@dataclass(frozen=True, slots=True)
class _Manifest:
    """What the folder holds: the segments, and which moment of which run they are of."""

    run_id: str
    filter_set: str
    change: int
    changed_pair: str
    segments: tuple[Segment, ...]
    costs: Mapping[str, float | None]

    @classmethod
    def read(cls, file: Path) -> "_Manifest | None":
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
            if content.pop("format") != FORMAT:
                return None
            segments = tuple(_segment(**one) for one in content.pop("segments"))
            numbers = [content["change"], *(number for one in segments for number in (one.last, one.rows, one.bytes))]
            are_numbers = all(type(number) is int and 0 <= number <= _END for number in numbers)
            if not are_numbers or not isinstance(content["costs"], dict):
                return None
            return cls(**content, segments=segments)
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return None

    def write(self, file: Path) -> None:
        content = asdict(self) | {"segments": [asdict(one) for one in self.segments]}
        write_whole(file, json.dumps({"format": FORMAT, **content}, indent=1))


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
        known, state = _Manifest.read(folder / _MANIFEST), await self._state()
        if known is not None and not (await self._continues(known, state) and _is_whole(folder, known)):
            known = None
        if known is None or known.change < state["change"]:
            segments = [one async for one in self._written(folder, known, rows)]
            costs = {recipe: await cost_usd(recipe) for recipe in dict.fromkeys(one.recipe for one in segments)}
            known = _Manifest(**state, segments=tuple(segments), costs=costs)
            known.write(folder / _MANIFEST)
        _remove_others(folder, known.segments)  # also what a process left that was killed
        return SegmentFolder(folder, known.segments, known.costs)

    async def _state(self) -> dict[str, Any]:
        row = await self._reader.row(_STATE)
        assert row is not None  # noqa: S101 - a query without FROM gives a row
        return dict(row)

    async def _continues(self, known: _Manifest, state: Mapping[str, Any]) -> bool:
        """Whether the run is the one that the segments are of, perhaps further on, and under the same filters."""
        sql = "SELECT pair_id FROM pair_changes WHERE change = ?"
        changed_pair = await self._reader.value(sql, (known.change,)) or ""
        return known.change <= state["change"] and (known.run_id, known.filter_set, known.changed_pair) == (
            state["run_id"],
            state["filter_set"],
            changed_pair,
        )

    async def _written(self, folder: Path, known: _Manifest | None, rows: int) -> AsyncIterator[Segment]:
        """All segments of the run, of which those that are not known, or in which pairs changed, are written first."""
        former = () if known is None else known.segments
        changed = {} if known is None else await self._changed_positions(known.change)
        if changed is None:
            former, changed = (), {}
        names = _free_names(folder)
        for (recipe,) in await self._reader.rows(
            "SELECT DISTINCT recipe FROM pairs WHERE status = 'made' ORDER BY recipe"
        ):
            own = [one for one in former if one.recipe == recipe]
            for after, one, last in _kept_and_stale(own, changed.get(recipe, []), rows, is_new=not former):
                if one is not None:
                    yield one
                    continue
                async for written in self._range(folder, names, recipe, after, last, rows):
                    yield written

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
            file, is_rest = next(names), len(table) < rows and last < _END
            pq.write_table(table, folder / file, compression="zstd")
            yield Segment(file, recipe, last if is_rest else end, len(table), (folder / file).stat().st_size)
            after = end

    async def _table(self, recipe: str, after: int, last: int, rows: int) -> "pa.Table | None":
        """The next pairs of a range, `rows` at most; None if there is none."""
        import pyarrow as pa

        batches = []
        while rows and (found := await self._reader.rows(_SELECT, (recipe, after, last, min(rows, _ROWS_AT_ONCE)))):
            batches.append(_batch(found))
            after, rows = found[-1]["position"], rows - len(found)
        return pa.Table.from_batches(batches) if batches else None


def _schema() -> "pa.Schema":
    """The columns of a segment: those of _SELECT in its order, and the number by which the pair's task is drawn for samples."""
    import pyarrow as pa

    text, number, real = pa.string(), pa.int64(), pa.float64()
    columns: dict[str, pa.DataType] = {
        "id": text,
        "position": number,
        "task_id": text,
        "lost_by": text,
        "retried": number,
        "failed_check": text,
        "levenshtein": number,
        "jaccard": real,
        "length_ratio": real,
        "tokenizer": text,
        "metrics_version": number,
        "filter_set": number,
        "marks": pa.list_(text),
        "drawn": number,
    }
    return pa.schema(columns)


def _batch(rows: Sequence[Sequence[Any]]) -> "pa.RecordBatch":
    """Rows of _SELECT as columns."""
    import pyarrow as pa

    schema = _schema()
    *selected, _drawn = schema.names
    columns = dict(zip(selected, map(list, zip(*rows, strict=True)), strict=True))
    columns["marks"] = [_reasons(marks) for marks in columns["marks"]]
    columns["drawn"] = [sample_number(task_id) for task_id in columns["task_id"]]
    return pa.RecordBatch.from_pydict(columns, schema=schema)


@lru_cache(maxsize=10_000)
def _reasons(marks: str) -> list[str] | None:
    reasons: list[str] = json.loads(marks)
    return reasons or None


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
            yield after, None, _END
            return
        yield after, None if at in stale else one, one.last
        after = one.last
    if is_new or len(segments) in stale:
        yield after, None, _END


def _segment(**values: Any) -> Segment:  # noqa: ANN401 - whatever a manifest says
    """A segment of a manifest; raises ValueError for a file that is not in its folder."""
    if not _NAME.fullmatch(values["file"]):
        raise ValueError(values["file"])
    return Segment(**values)


def _is_whole(folder: Path, known: _Manifest) -> bool:
    """Whether all files are there, each as large as it was written."""
    try:
        return all((folder / one.file).stat().st_size == one.bytes for one in known.segments)
    except FileNotFoundError:
        return False


def _free_names(folder: Path) -> Iterator[str]:
    """Names above those of all files, so that no manifest of another moment means a newer file by a name of its own."""
    taken = [int(path.stem) for path in folder.iterdir() if _NAME.fullmatch(path.name)]
    return (f"{number:06}.parquet" for number in count(max(taken, default=0) + 1))


def _remove_others(folder: Path, segments: Iterable[Segment]) -> None:
    named = {one.file for one in segments}
    for path in folder.glob("*.parquet"):
        if path.name not in named:
            with suppress(OSError):  # of a folder that cannot be written, or of another kind: it is not read
                path.unlink()
