"""One split of one subset as Parquet files of bounded size, written row group by row group so that memory stays flat."""

from pathlib import Path
from typing import TYPE_CHECKING

from clairgen.exporting.rows import Row

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

ROWS_PER_GROUP = 1000


class ShardedSplit:
    """Writes `FOLDER/SPLIT-00000-of-00001.parquet` and so on; the names are given by `close`, which knows how many."""

    def __init__(self, folder: Path, split: str, schema: "pa.Schema", *, rows_per_shard: int) -> None:
        self.rows = 0
        self._folder = folder
        self._split = split
        self._schema = schema
        self._rows_per_shard = rows_per_shard
        self._pending: list[Row] = []
        self._shards: list[Path] = []
        self._rows_in_shard = 0
        self._writer: pq.ParquetWriter | None = None

    def add(self, row: Row) -> None:
        """Take a row; it is on disk after the next full row group."""
        self.rows += 1
        self._rows_in_shard += 1
        self._pending.append(row)
        if len(self._pending) >= ROWS_PER_GROUP or self._rows_in_shard >= self._rows_per_shard:
            self._write_pending()
        if self._rows_in_shard >= self._rows_per_shard:
            self._end_shard()

    def close(self) -> None:
        """Write what is pending and give the shards their final names."""
        self._write_pending()
        self._end_shard()
        for number, shard in enumerate(self._shards):
            shard.rename(self._folder / f"{self._split}-{number:05d}-of-{len(self._shards):05d}.parquet")

    def abandon(self) -> None:
        """Let go of the open file, whose folder is about to be removed."""
        self._pending.clear()
        self._end_shard()

    def _write_pending(self) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        if not self._pending:
            return
        if self._writer is None:
            self._folder.mkdir(exist_ok=True)
            self._shards.append(self._folder / f"{self._split}-{len(self._shards):05d}.part")
            self._writer = pq.ParquetWriter(self._shards[-1], self._schema, compression="zstd")
        self._writer.write_table(pa.Table.from_pylist(self._pending, schema=self._schema))
        self._pending.clear()

    def _end_shard(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._writer = None
        self._rows_in_shard = 0
