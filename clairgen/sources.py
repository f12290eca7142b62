"""Where tasks are read from: the rows of a .jsonl, .csv or .parquet file, or of a data set on the Hugging Face hub."""

import csv
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clairgen.config.models import TaskSource
from clairgen.errors import InputError, MissingExtraError


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that holds no task: where it is in its source, and why."""

    where: str
    why: str


SourceRow = tuple[str, Mapping[str, Any] | BadRow]
"""Where a row is, such as `tasks.jsonl line 3`, and its cells by column."""


def check_source(source: TaskSource) -> None:
    """Raise InputError for a file of tasks that is missing, unreadable or in another format, before anything is set up."""
    if source.path is None:
        return
    if source.path.suffix not in _READERS:
        raise InputError(f"tasks are read from {', '.join(_READERS)} files; {source.path} is none of them")
    try:
        with source.path.open("rb"):
            pass
    except FileNotFoundError as error:
        raise InputError(f"there is no file of tasks {source.path}; check `path` under `tasks`") from error
    except OSError as error:
        raise InputError(f"the file of tasks {source.path} cannot be read: {error.strerror}") from error


def source_rows(source: TaskSource) -> Callable[[], Iterator[SourceRow]]:
    """A function that reads the source's rows from the start each time it is called.

    Raises InputError for a source that cannot be opened, MissingExtraError if packages that reading it needs are not installed.
    """
    if source.hub is not None:
        return _hub_rows(source.hub, source.subset, source.split)
    check_source(source)
    path = source.path or Path()
    return lambda: _READERS[path.suffix](path)


def _jsonl_rows(path: Path) -> Iterator[SourceRow]:
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            where = f"{path.name} line {number}"
            if not line.strip():
                continue
            try:
                content = json.loads(line)
            except (ValueError, RecursionError) as error:
                yield where, BadRow(where, f"it is not valid JSON ({error})")
                continue
            yield where, content if isinstance(content, dict) else BadRow(where, "it is not a JSON object")


def _csv_rows(path: Path) -> Iterator[SourceRow]:
    csv.field_size_limit(sys.maxsize)
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            reader = csv.DictReader(lines)
            for content in reader:
                yield f"{path.name} line {reader.line_num}", {str(key): cell for key, cell in content.items()}
    except (csv.Error, UnicodeDecodeError) as error:
        raise InputError(f"the file of tasks {path} is not UTF-8 CSV: {error}") from error


def _parquet_rows(path: Path) -> Iterator[SourceRow]:
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtraError("Reading parquet", "data") from error
    try:
        number = 0
        for batch in pyarrow.parquet.ParquetFile(path).iter_batches(batch_size=1000):
            for content in batch.to_pylist():
                number += 1
                yield f"{path.name} row {number}", content
    except (pyarrow.ArrowException, OSError) as error:
        raise InputError(f"the file of tasks {path} is not valid parquet: {str(error).splitlines()[0]}") from error


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
    return lambda: ((f"{name} row {number}", content) for number, content in enumerate(data, start=1))
