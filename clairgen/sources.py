"""Where tasks are read from: the rows of a .jsonl, .csv or .parquet file, or of a data set on the Hugging Face hub."""

import csv
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from clairgen.config.models import TaskSource
from clairgen.errors import InputError, MissingExtraError
from clairgen.row_files import json_lines, not_utf8, require_readable_rows, strict_json
from clairgen.wording import counted

if TYPE_CHECKING:
    import pyarrow


_ARRAY: Final = ".json"


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that holds no task: where it is in its source, and why."""

    where: str
    why: str


SourceRow = tuple[str, Mapping[str, Any] | BadRow]
"""Where a row is, such as `tasks.jsonl line 3`, and its cells by column."""


def check_source(source: TaskSource) -> None:
    """Raise InputError for a file of tasks that is missing, unreadable or in another format, before anything is set up."""
    if source.path is not None:
        _check_file(source.path, "tasks", "check `path` under `tasks`")


def source_rows(source: TaskSource) -> Callable[[], Iterator[SourceRow]]:
    """A function that reads the source's rows from the start each time it is called.

    Raises InputError for a source that cannot be opened, MissingExtraError if packages that reading it needs are not installed.
    """
    if source.hub is not None:
        return _hub_rows(source.hub, source.subset, source.split)
    check_source(source)
    path = source.path or Path()
    return lambda: _READERS[path.suffix](path)


def file_rows(path: Path, what: str) -> Iterator[SourceRow]:
    """The rows of a file of `what`, such as `recorded answers`, which may also be one JSON array (.json).

    Raises InputError for a file that is missing, unreadable or in another format.
    """
    _check_file(path, what, "check its name", arrays=True)
    return _array_rows(path) if path.suffix == _ARRAY else _READERS[path.suffix](path)


def _check_file(path: Path, what: str, hint: str, *, arrays: bool = False) -> None:
    suffixes = [*_READERS, *((_ARRAY,) if arrays else ())]
    if path.suffix not in suffixes:
        raise InputError(f"{what} are read from {', '.join(suffixes)} files; {path} is none of them{_way_out(path)}")
    try:
        require_readable_rows(path, f"the file of {what}")
    except FileNotFoundError as error:
        raise InputError(f"there is no file of {what} {path}; {hint}") from error
    except OSError as error:
        raise InputError(f"the file of {what} {path} cannot be read: {error.strerror}") from error


def _array_rows(path: Path) -> Iterator[SourceRow]:
    try:
        content = strict_json(path.read_bytes().decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise InputError(f"the file {path}: {not_utf8(error)}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"the file {path} is not valid JSON ({error})") from error
    if not isinstance(content, list):
        raise InputError(f"the file {path} is not a JSON array of objects; write one, or one object a line as .jsonl")
    for number, row in enumerate(content, start=1):
        where = f"{path.name} row {number}"
        yield where, row if isinstance(row, Mapping) else BadRow(where, "it is not a JSON object")


def _jsonl_rows(path: Path) -> Iterator[SourceRow]:
    for number, content in json_lines(path):
        where = f"{path.name} line {number}"
        yield where, BadRow(where, content) if isinstance(content, str) else content


def _csv_rows(path: Path) -> Iterator[SourceRow]:
    """Rows of a CSV file; a quote that is never closed would swallow rows, so the file is refused."""
    csv.field_size_limit(sys.maxsize)
    begin = 1
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            reader = csv.reader(lines, strict=True)
            columns = next(reader, [])
            _require_different([name for name in columns if name], path)
            begin = reader.line_num + 1
            for cells in reader:
                where = f"{path.name} line {begin}"
                begin = reader.line_num + 1
                if not cells:
                    continue
                if len(cells) != len(columns):
                    yield (
                        where,
                        BadRow(where, f"it has {counted(len(cells), 'cell')} and the header has {len(columns)}"),
                    )
                    continue
                yield where, dict(zip(columns, cells, strict=True))
    except UnicodeDecodeError as error:
        raise InputError(f"the file {path}: {not_utf8(error)}") from error
    except csv.Error as error:
        raise InputError(
            f"the file {path} is not valid CSV in the row that begins at line {begin} ({error}); check its quotes"
        ) from error


def _require_different(columns: Sequence[str], path: Path) -> None:
    if double := [name for name in columns if columns.count(name) > 1]:
        raise InputError(f"the file {path} has two columns {double[0]!r}; rename one")


def _parquet_rows(path: Path) -> Iterator[SourceRow]:
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtraError("Reading parquet", "data") from error
    number = 0
    try:
        file = pyarrow.parquet.ParquetFile(path)
        _require_different([one.name for one in file.schema_arrow], path)
        for batch in file.iter_batches(batch_size=1000):
            yield from table_rows(path.name, number, batch)
            number += batch.num_rows
    except (pyarrow.ArrowException, OSError) as error:
        raise InputError(f"the file {path} is not valid parquet: {str(error).splitlines()[0]}") from error


def table_rows(name: str, before: int, batch: "pyarrow.RecordBatch") -> Iterator[SourceRow]:
    """The rows of a batch that follows `before` rows of the source `name`."""
    for number, content in enumerate(_rows_of_batch(batch), start=before + 1):
        where = f"{name} row {number}"
        yield where, BadRow(where, content) if isinstance(content, str) else content


def _rows_of_batch(batch: "pyarrow.RecordBatch") -> Sequence[Mapping[str, Any] | str]:
    """The rows of a batch, or why one of them is none."""
    try:
        return batch.to_pylist()
    except (ValueError, OverflowError):  # by one of its rows
        return [_row_of(batch.slice(row, 1)) for row in range(batch.num_rows)]


def _row_of(single: "pyarrow.RecordBatch") -> Mapping[str, Any] | str:
    try:
        row: Mapping[str, Any] = single.to_pylist()[0]
    except UnicodeDecodeError as error:
        return not_utf8(error)
    except (ValueError, OverflowError) as error:
        return f"it has a value that cannot be read ({error})"
    return row


_READERS: Mapping[str, Callable[[Path], Iterator[SourceRow]]] = {
    ".jsonl": _jsonl_rows,
    ".csv": _csv_rows,
    ".parquet": _parquet_rows,
}


def _hub_rows(name: str, subset: str | None, split: str) -> Callable[[], Iterator[SourceRow]]:
    try:
        import datasets
    except ImportError as error:
        raise MissingExtraError("Reading a data set from the hub", "data") from error
    try:
        data = datasets.load_dataset(name, subset, split=split)
    except Exception as error:  # the library raises anything, from OSError to its own tree
        raise InputError(
            f"the hub data set {name!r} (split {split!r}) cannot be loaded: {str(error).splitlines()[0]}"
        ) from error
    return lambda: _numbered(name, data)


def _numbered(name: str, data: Iterable[Mapping[str, Any]]) -> Iterator[SourceRow]:
    number = 0
    try:
        for number, content in enumerate(data, start=1):
            yield f"{name} row {number}", content
    except UnicodeDecodeError as error:
        raise InputError(f"the hub data set {name!r}, row {number + 1}: {not_utf8(error)}") from error


def _way_out(path: Path) -> str:
    """What to do with a file in a form that is close to one that is read."""
    ways = {
        ".json": f"; write one object a line, for instance with: jq -c '.[]' {path.name} > {path.stem}.jsonl",
        ".gz": f"; unpack it: gunzip --keep {path.name}",
        ".zst": f"; unpack it: unzstd {path.name}",
        ".tsv": "; write it with commas, as .csv",
    }
    return ways.get(path.suffix, "")
