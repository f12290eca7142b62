"""The rows of a split as numbered files: Parquet, JSON lines or CSV, written a group of rows at a time."""

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from clairgen.patterns import lazy_pattern
from clairgen.row_files import csv_cell

if TYPE_CHECKING:
    import pyarrow as pa

Row = dict[str, Any]
ROWS_PER_SHARD: Final = 100_000
ROWS_AT_ONCE: Final = 1000
"""The most rows of a group, which are kept in memory before they are written."""
_ROWS_PER_GROUP: Final = 500
"""Of a group on average: the pair at its end says where that is, so that a row that comes or goes changes its group alone."""
_PAGES: Final = {"min_chunk_size": 32 * 1024, "max_chunk_size": 128 * 1024, "norm_level": 0}
"""Bytes of a page before compression, small ones, so that a changed row changes little."""
_WRITTEN: Final = frozenset({"reasoning", "privileged_context"})
"""The columns of plain text that models wrote."""
_SURROGATE = lazy_pattern("[\ud800-\udfff]")


class FileFormat(StrEnum):
    """What the files of an export are: Parquet, one JSON object a line, or CSV."""

    PARQUET = "parquet"
    JSONL = "jsonl"
    CSV = "csv"


class ShardedSplit:
    """Writes `FOLDER/SPLIT-00000-of-00001.parquet` and so on, a group of rows at a time; `close` gives the final names.

    `replaced` counts the lone surrogates, which no file can encode, that became U+FFFD.
    """

    def __init__(
        self,
        folder: Path,
        split: str,
        schema: "pa.Schema",
        file_format: FileFormat = FileFormat.PARQUET,
        *,
        rows_per_shard: int = ROWS_PER_SHARD,
    ) -> None:
        self.rows = 0
        self.replaced = 0
        self._folder = folder
        self._split = split
        self._schema = schema
        self._format = file_format
        self._rows_per_shard = rows_per_shard
        self._pending: list[Row] = []
        self._shards: list[Path] = []
        self._rows_in_shard = 0
        self._file: _RowFile | None = None

    def add(self, row: Row) -> None:
        """Add a row; it is handed to the file with the next full group."""
        self.rows += 1
        self._rows_in_shard += 1
        self._pending.append(row)
        is_full = len(self._pending) >= ROWS_AT_ONCE or self._rows_in_shard >= self._rows_per_shard
        if is_full or _ends_group(row):
            self._write_pending()
        if self._rows_in_shard >= self._rows_per_shard:
            self._end_shard()

    def close(self) -> None:
        """Write what is pending and give the shards their final names."""
        self._write_pending()
        self._end_shard()
        for number, shard in enumerate(self._shards):
            shard.rename(self._folder / f"{self._split}-{number:05d}-of-{len(self._shards):05d}.{self._format}")

    def abandon(self) -> None:
        """Close the open file; its folder is about to be removed."""
        self._pending.clear()
        self._end_shard()

    def _write_pending(self) -> None:
        if not self._pending:
            return
        if self._file is None:
            self._folder.mkdir(exist_ok=True)
            self._shards.append(self._folder / f"{self._split}-{len(self._shards):05d}.part")
            self._file = _FILES[self._format](self._shards[-1], self._schema)
        try:
            self._file.write(self._pending)
        except UnicodeEncodeError:
            clean, replaced = without_surrogates(self._pending)
            self.replaced += replaced
            self._file.write(clean)
        self._pending.clear()

    def _end_shard(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file = None
        self._rows_in_shard = 0


def without_surrogates(value: Any) -> tuple[Any, int]:  # noqa: ANN401 - any value of a row
    """`value` with U+FFFD for each surrogate in its texts, which UTF-8 cannot encode, and how many there were."""
    if isinstance(value, str):
        return (value, 0) if value.isascii() else _SURROGATE.subn("\ufffd", value)
    if isinstance(value, list):
        items = [without_surrogates(item) for item in value]
        return [item for item, _ in items], sum(count for _, count in items)
    if isinstance(value, dict):
        entries = {key: without_surrogates(item) for key, item in value.items()}
        return {key: item for key, (item, _) in entries.items()}, sum(count for _, count in entries.values())
    return value, 0


def _ends_group(row: Row) -> bool:
    """Whether a row is the last one of its group, by its pair alone."""
    key = f"{row['pair_id']}{row.get('label', '')}"
    return int.from_bytes(blake2b(key.encode("utf-8", "surrogatepass"), digest_size=4).digest()) % _ROWS_PER_GROUP == 0


class _RowFile(Protocol):
    """An open file of rows. `write` raises UnicodeEncodeError, and has written nothing, where a text has a lone surrogate."""

    def write(self, rows: Sequence[Row]) -> None: ...

    def close(self) -> None: ...


class _ParquetFile:
    """Parquet whose row groups and pages end where their content says, so that few changed rows change the bytes around them.

    Each write is a row group.
    """

    def __init__(self, path: Path, schema: "pa.Schema") -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._schema = schema
        texts = [field.name for field in schema if pa.types.is_string(field.type) or pa.types.is_list(field.type)]
        self._writer = pq.ParquetWriter(
            path,
            schema,
            compression="zstd",
            write_statistics=[
                name for name in schema.names if name not in texts
            ],  # the least text of a page says nothing
            use_content_defined_chunking=_PAGES,
            write_page_index=True,
        )

    def write(self, rows: Sequence[Row]) -> None:
        import pyarrow as pa

        self._writer.write_table(pa.Table.from_pylist(rows, schema=self._schema))

    def close(self) -> None:
        self._writer.close()


class _JsonLines:
    """One JSON object a line, in UTF-8."""

    def __init__(self, path: Path, _schema: "pa.Schema") -> None:
        self._file = path.open("wb")

    def write(self, rows: Sequence[Row]) -> None:
        lines = [f"{json.dumps(row, ensure_ascii=False, allow_nan=False)}\n" for row in rows]
        self._file.write("".join(lines).encode())

    def close(self) -> None:
        self._file.close()


class _CsvFile:
    """CSV as RFC 4180 has it, in UTF-8, with a header."""

    def __init__(self, path: Path, schema: "pa.Schema") -> None:
        self._file = path.open("w", encoding="utf-8", newline="")
        self._names = schema.names
        self._writer = csv.writer(self._file)
        self._writer.writerow(self._names)

    def write(self, rows: Sequence[Row]) -> None:
        cells = [[csv_cell(row.get(name), written=name in _WRITTEN) for name in self._names] for row in rows]
        for line in cells:
            "".join(cell for cell in line if isinstance(cell, str)).encode()  # raises before anything is written
        self._writer.writerows(cells)

    def close(self) -> None:
        self._file.close()


_FILES: Final[Mapping[FileFormat, Callable[[Path, "pa.Schema"], _RowFile]]] = {
    FileFormat.PARQUET: _ParquetFile,
    FileFormat.JSONL: _JsonLines,
    FileFormat.CSV: _CsvFile,
}
