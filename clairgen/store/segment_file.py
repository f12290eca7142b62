"""The Parquet file of a segment (`metric_segments`): its columns, and whether a file can be the one that was written."""

import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clairgen.keys import sample_number
from clairgen.store.segment_manifest import Segment

if TYPE_CHECKING:
    import pyarrow as pa


def segment_batch(rows: Sequence[Sequence[Any]]) -> "pa.RecordBatch":
    """Rows of all columns but the last, `drawn`, as columns."""
    import pyarrow as pa

    schema = _schema()
    *selected, _drawn = schema.names
    columns = dict(zip(selected, map(list, zip(*rows, strict=True)), strict=True))
    columns["marks"] = [_reasons(marks) for marks in columns["marks"]]
    columns["drawn"] = [sample_number(task_id) for task_id in columns["task_id"]]
    return pa.RecordBatch.from_pydict(columns, schema=schema)


def fault_in_file(path: Path, segment: Segment, after: int) -> str | None:
    """What in a file's own description is not that of a segment whose positions are above `after`; None if nothing is."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            columns, metadata = file.schema_arrow, file.metadata
    except (pa.ArrowException, OSError):
        return f"{path.name} is damaged"
    if not columns.equals(_schema()) or metadata.num_rows != segment.rows:
        return f"{path.name} has other columns or another number of pairs than were written"
    at = columns.get_field_index("position")
    for group in range(metadata.num_row_groups):
        positions = metadata.row_group(group).column(at).statistics
        first, last = (None, None) if positions is None else (positions.min, positions.max)
        if first is None or last is None or first <= after or last > segment.last:
            return f"{path.name} has other pairs than were written"
    return None


def _schema() -> "pa.Schema":
    """The columns of a segment: those of a row in its order, and the number by which the pair's task is drawn for samples."""
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


@lru_cache(maxsize=10_000)
def _reasons(marks: str) -> list[str] | None:
    reasons: list[str] = json.loads(marks)
    return reasons or None
