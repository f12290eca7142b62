"""Figures over the segments of one run or of many (`metric_segments`), by DuckDB: one scan of a few columns for a recipe."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from clairgen.errors import StoreError

if TYPE_CHECKING:
    import duckdb

COLUMNS: Final = {"jaccard": "100 * jaccard", "levenshtein": "levenshtein", "length_ratio": "length_ratio"}
"""The metrics, and their values in figures, in SQL."""


@dataclass(frozen=True, slots=True)
class Bins:
    """The bins of a metric: `count` of them, `step` wide from `lowest` on, of its base 2 logarithms if `logarithmic`.

    With `zero_bin` the first is for 0 alone. What is outside counts in the first or the last one.
    """

    lowest: float
    step: float
    count: int
    logarithmic: bool = False
    zero_bin: bool = False


@dataclass(frozen=True, slots=True)
class MetricSums:
    """A metric over some pairs: how many have it, their mean, the sum of squared distances from it, and the count in each bin."""

    n: int
    mean: float
    squares: float
    bins: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class OutcomeFigures:
    """The pairs of a recipe that are kept (`lost_by` is None) or not for one reason: how many, and their metrics by name."""

    lost_by: str | None
    pairs: int
    retried: int
    metrics: Mapping[str, MetricSums]


class SegmentFigures:
    """Queries over Parquet files of one recipe, in this process; each takes a few columns of all rows."""

    def __init__(self, connection: "duckdb.DuckDBPyConnection", files: Sequence[str]) -> None:
        self._connection = connection
        self._files = list(files)

    def outcomes(self, bins: Mapping[str, Bins]) -> list[OutcomeFigures]:
        """The pairs by what became of them, with the metrics that `bins` names."""
        columns = ", ".join(_aggregates(COLUMNS[name], one) for name, one in bins.items())
        rows = self._rows(f"SELECT lost_by, count(*), sum(retried), {columns} FROM pairs GROUP BY lost_by")
        return [
            OutcomeFigures(lost_by, pairs, retried, _metrics(bins, rest)) for lost_by, pairs, retried, *rest in rows
        ]

    def failed_checks(self) -> dict[str, int]:
        """How many pairs still fail a check, by the check."""
        sql = "SELECT failed_check, count(*) FROM pairs WHERE failed_check IS NOT NULL GROUP BY 1"
        return dict(self._rows(sql))

    def marks(self) -> dict[str, int]:
        """How many pairs are marked, by reason."""
        return dict(self._rows("SELECT mark, count(*) FROM (SELECT unnest(marks) AS mark FROM pairs) GROUP BY 1"))

    def sample(self, most: int) -> list[str]:
        """The ids of the pairs whose task has a sample number of at most `most`, in the order of their positions."""
        return [
            identity for (identity,) in self._rows(f"SELECT id FROM pairs WHERE drawn <= {most:d} ORDER BY position")
        ]

    def first_tasks(self, tasks: int) -> list[str]:
        """The ids of the pairs of so many tasks, or a few more, with the smallest sample numbers, in the order of positions."""
        last = f"SELECT max(drawn) FROM (SELECT drawn FROM pairs ORDER BY drawn LIMIT {tasks:d})"
        return [
            identity for (identity,) in self._rows(f"SELECT id FROM pairs WHERE drawn <= ({last}) ORDER BY position")
        ]

    def _rows(self, sql: str) -> list[tuple[Any, ...]]:
        import duckdb

        try:
            return self._of_files(sql, self._files)
        except duckdb.Error as error:
            folder, said = self._folder_to_blame(sql), str(error).partition("\n")[0]
            raise StoreError(
                f"the columns in {folder} cannot be read ({said}); delete that folder, and they are written again"
            ) from error

    def _of_files(self, sql: str, files: Sequence[str]) -> list[tuple[Any, ...]]:
        pairs = "SELECT * FROM read_parquet($files, hive_partitioning = false)"
        return self._connection.execute(
            f"WITH pairs AS ({pairs}) {sql}", {"files": list(map(_as_it_is, files))}
        ).fetchall()

    def _folder_to_blame(self, sql: str) -> str:
        """The folder of the first file that cannot be read alone; of the first of all, if each can."""
        import duckdb

        for file in self._files:
            try:
                self._of_files(sql, [file])
            except duckdb.Error:
                return file.rpartition("/")[0]
        return self._files[0].rpartition("/")[0]


@contextlib.contextmanager
def figures_connection() -> Iterator["duckdb.DuckDBPyConnection"]:
    """A connection without a database, on which figures are taken."""
    import duckdb

    settings: dict[str, str | bool | int | float | list[str]] = {"autoinstall_known_extensions": False}  # no download
    with contextlib.closing(duckdb.connect(":memory:", config=settings)) as connection:
        yield connection


def _as_it_is(file: str) -> str:
    """A path as a pattern that only this path meets."""
    return "".join(f"[{character}]" if character in "*?[" else character for character in file)


def _aggregates(value: str, bins: Bins) -> str:
    return f"count({value}), avg({value}), var_pop({value}), histogram({_bin(value, bins)})"


def _bin(value: str, bins: Bins) -> str:
    """The number of the bin that a value is in, in SQL; null for none."""
    scaled = f"CASE WHEN {value} > 0 THEN log2({value}) ELSE {bins.lowest} END" if bins.logarithmic else value
    first = 1 if bins.zero_bin else 0
    number = (
        f"least(greatest(floor((({scaled}) - ({bins.lowest})) / {bins.step})::BIGINT, 0) + {first}, {bins.count - 1})"
    )
    zero = f"WHEN {value} = 0 THEN 0 " if bins.zero_bin else ""
    return f"CASE WHEN {value} IS NULL THEN NULL {zero}ELSE {number} END"


def _metrics(bins: Mapping[str, Bins], values: Sequence[Any]) -> dict[str, MetricSums]:
    found = {}
    for at, name in enumerate(bins):
        n, mean, variance, counts = values[4 * at : 4 * at + 4]
        found[name] = MetricSums(n, mean or 0.0, (variance or 0.0) * n, counts or {})
    return found
