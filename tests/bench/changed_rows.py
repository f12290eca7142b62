"""How much of an export is uploaded again when few of its rows changed: `python -m tests.bench.changed_rows [ROWS]`.

The hub stores files in chunks that end where their content says (a rolling hash over 64 bytes; 64 KiB on average, 8 to 128 KiB),
and sends only chunks that it does not have. The share of the second export's bytes that lie in chunks of the first is printed,
for Parquet as clairgen writes it and for the same rows in Parquet whose row groups end after a number of rows.
"""

import hashlib
import random
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from clairgen.exporting.columns import ExportFormat, features
from clairgen.exporting.shards import Row, ShardedSplit

_WORDS = [
    f"{first}{second}{third}" for first in "bdfgklmnprst" for second in ("a", "ei", "o", "u") for third in "lmnrst"
]
_SMALLEST, _LARGEST, _MASK = 8 * 1024, 128 * 1024, np.uint64(0xFFFF << 48)
_GEAR = np.random.default_rng(0).integers(0, 2**64, 256, dtype=np.uint64)


def rows(count: int) -> list[Row]:
    """Rows of an export with some 2 KB of text each."""
    return [_row(number, 0) for number in range(count)]


def _row(number: int, version: int) -> Row:
    drawn = random.Random(f"{number} {version}")
    prompt, chosen, reasoning = [" ".join(drawn.choices(_WORDS, k=drawn.randint(*size))) for size in _SIZES]
    words = chosen.split()
    for place in drawn.sample(range(len(words)), len(words) // 5):
        words[place] = drawn.choice(_WORDS)
    return {
        "prompt": [{"role": "user", "content": prompt}],
        "chosen": [{"role": "assistant", "content": chosen}],
        "rejected": [{"role": "assistant", "content": " ".join(words)}],
        "task_id": f"{drawn.getrandbits(80):020x}",
        "pair_id": f"{drawn.getrandbits(80):020x}",
        "recipe": "clair",
        "chosen_model": "teacher",
        "rejected_model": "student",
        "jaccard": 100 * drawn.random(),
        "tokenizer": "treebank",
        "levenshtein": drawn.randint(1, 3000),
        "length_ratio": drawn.random() * 2,
        "reasoning": reasoning,
        "marks": [],
    }


_SIZES = ((10, 60), (60, 240), (20, 120))


def changes(count: int) -> dict[str, Callable[[list[Row]], list[Row]]]:
    """What may have become of 1% of the rows."""
    few = count // 100
    scattered = set(random.Random(1).sample(range(count), few))
    middle = range(count // 2, count // 2 + few)
    return {
        "rewritten, one after another": lambda old: [_row(n, 1) if n in middle else row for n, row in enumerate(old)],
        "rewritten, here and there": lambda old: [_row(n, 1) if n in scattered else row for n, row in enumerate(old)],
        "left out, one after another": lambda old: [row for n, row in enumerate(old) if n not in middle],
        "left out, here and there": lambda old: [row for n, row in enumerate(old) if n not in scattered],
        "added at the end": lambda old: old + [_row(count + n, 0) for n in range(few)],
    }


def chunks(content: bytes) -> Iterator[bytes]:
    """The content in chunks that end where a rolling hash over 64 bytes says."""
    hashes = _GEAR[np.frombuffer(content, dtype=np.uint8)]
    for width in (1, 2, 4, 8, 16, 32):  # the hash of 2w bytes is that of the last w plus that of the w before, shifted
        older = np.zeros_like(hashes)
        older[width:] = hashes[:-width] << np.uint64(width)
        hashes = hashes + older
    begin = 0
    for end in _ends(np.flatnonzero((hashes & _MASK) == 0), len(content)):
        yield content[begin:end]
        begin = end


def _ends(places: npt.NDArray[np.int64], length: int) -> Iterator[int]:
    begin = 0
    while begin < length:
        found = np.searchsorted(places, begin + _SMALLEST)
        place = int(places[found]) + 1 if found < len(places) else length
        begin = min(place, begin + _LARGEST, length)
        yield begin


def as_clairgen(content: Sequence[Row], folder: Path) -> Path:
    """The file that an export has."""
    split = ShardedSplit(folder, "train", features(ExportFormat.PREFERENCE).arrow_schema)
    for row in content:
        split.add(row)
    split.close()
    return next(folder.glob("*.parquet"))


def plain(content: Sequence[Row], folder: Path) -> Path:
    """The same rows in row groups of a thousand, with what pyarrow does by itself."""
    folder.mkdir()
    schema = features(ExportFormat.PREFERENCE).arrow_schema
    with pq.ParquetWriter(folder / "plain.parquet", schema, compression="zstd") as writer:
        for start in range(0, len(content), 1000):
            writer.write_table(pa.Table.from_pylist(content[start : start + 1000], schema=schema))
    return folder / "plain.parquet"


def main(count: int) -> None:
    """Print the share of bytes in known chunks for each change and each way to write."""
    old = rows(count)
    print(f"{count:,} rows; share of the second file's bytes in chunks of the first")  # noqa: T201
    with tempfile.TemporaryDirectory() as name:
        for way in (as_clairgen, plain):
            before = way(old, Path(name) / f"{way.__name__}-before")
            known = {hashlib.blake2b(chunk).digest() for chunk in chunks(before.read_bytes())}
            groups = pq.ParquetFile(before).metadata.num_row_groups
            print(f"{way.__name__}: {before.stat().st_size / 1e6:.1f} MB, {groups} row groups")  # noqa: T201
            for number, (what, change) in enumerate(changes(count).items()):
                after = way(change(old), Path(name) / f"{way.__name__}-{number}").read_bytes()
                shared = sum(len(chunk) for chunk in chunks(after) if hashlib.blake2b(chunk).digest() in known)
                print(f"  {what}: {shared / len(after):.1%}")  # noqa: T201


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 50_000)
