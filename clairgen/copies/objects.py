"""What the objects of a copy are called and hold, each with the checksum that tells a whole one from a torn one.

    epochs/00000003                              who keeps the copy: a new one for each session, the newest counts
    allowances/00000003-00000002-250000000000    what the run may have come to by epoch 3, in picodollars: the newest counts
    00000003-0001/segments/0000000017            pages and pieces of files that were committed since segment 16
    00000003-0001/snapshots/0000000012/0001      a part of the whole database, which has all of segment 12 at least
    00000003-0001/snapshots/0000000012/parts     the list of these parts, written last

A folder such as 00000003-0001 is a stream: one epoch's segments without a gap. A snapshot was made while the database went on,
so it may have more than its segment; it is good once the segments up to the one that its list names are applied.
"""

import hashlib
import json
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Final, Self, TypeVar

from pydantic import TypeAdapter, ValidationError

ALLOWANCES: Final = "allowances"
_LEVEL: Final = 1
_DIGEST: Final = 64
_OBJECT: Final = re.compile(
    r"(?P<stream>\d{8}-\d{4})/(?P<kind>segments|snapshots)/(?P<number>\d{10})(/(?P<part>\d{4}|parts))?"
)
_ALLOWANCE: Final = re.compile(rf"{ALLOWANCES}/\d{{8}}-\d{{8}}-(?P<amount>\d{{1,19}})")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class FilePiece:
    """What changed in a small file: its bytes from `start` on, after which it ends; with -1 for `start` it is gone."""

    name: str
    start: int
    content: bytes


@dataclass(frozen=True, slots=True)
class Segment:
    """What was committed since the segment before.

    `previous` is the checksum of that one's object, and `is_restorable` whether the stream had a whole snapshot by then.
    `committed_at` is the time, in seconds since 1970, until which everything that was committed is in the copy with it.
    """

    number: int
    run: str
    previous: str
    committed_at: float
    is_restorable: bool
    page_bytes: int
    database_pages: int
    pages: Mapping[int, bytes]
    files: Sequence[FilePiece]

    def sealed(self) -> bytes:
        """The object that holds it."""
        facts = {
            **{name: getattr(self, name) for name in _FACTS},
            "pages": list(self.pages),
            "files": [[piece.name, piece.start, len(piece.content)] for piece in self.files],
        }
        contents = (*self.pages.values(), *(piece.content for piece in self.files))
        return sealed(b"".join((json.dumps(facts).encode(), b"\n", *contents)))

    @classmethod
    def unsealed(cls, content: bytes | None) -> Self | None:
        """The segment in an object; None for one that is not whole, or not there."""
        if (opened := unsealed(content)) is None:
            return None
        head, _, rest = opened.partition(b"\n")
        try:
            facts = _SEGMENT.validate_python(json.loads(head))
        except ValueError:
            return None
        body, position = memoryview(rest), 0

        def taken(count: int) -> bytes:
            nonlocal position
            position += count
            return bytes(body[position - count : position])

        pages = {page: taken(facts.page_bytes) for page in facts.pages}
        files = [FilePiece(name, start, taken(count)) for name, start, count in facts.files]
        return cls(**{name: getattr(facts, name) for name in _FACTS}, pages=pages, files=files)


@dataclass(frozen=True, slots=True)
class SnapshotParts:
    """A snapshot's parts by their checksums, and from which segment to which one it needs the others applied to it.

    Segments after `base` are applied, the first of which has `previous` before it; it is good after segment `needs`.
    """

    run: str
    base: int
    previous: str
    needs: int
    committed_at: float
    database_bytes: int
    parts: tuple[str, ...]

    def sealed(self) -> bytes:
        """The object that holds it."""
        return sealed(json.dumps(asdict(self)).encode())

    @classmethod
    def unsealed(cls, content: bytes | None) -> "SnapshotParts | None":
        """The list in an object; None for one that is not whole, or not there."""
        return facts_in(_PARTS, content)


@dataclass(frozen=True, slots=True)
class _SegmentFacts:
    number: int
    run: str
    previous: str
    committed_at: float
    is_restorable: bool
    page_bytes: int
    database_pages: int
    pages: list[int]
    files: list[tuple[str, int, int]]


_FACTS: Final = tuple(one.name for one in fields(_SegmentFacts) if one.name not in ("pages", "files"))
"""What a segment and the facts in its object say in the same way."""
_SEGMENT: Final = TypeAdapter(_SegmentFacts)
_PARTS: Final = TypeAdapter(SnapshotParts)


def sealed(content: bytes) -> bytes:
    """Content as an object: compressed, after its checksum and a line feed."""
    packed = zlib.compress(content, _LEVEL)
    return b"%s\n%s" % (hashlib.sha256(packed).hexdigest().encode(), packed)


def unsealed(content: bytes | None) -> bytes | None:
    """What an object holds; None for one that is not whole, or not there."""
    if content is None or digest_of(content) != hashlib.sha256(memoryview(content)[_DIGEST + 1 :]).hexdigest():
        return None
    try:
        return zlib.decompress(memoryview(content)[_DIGEST + 1 :])
    except zlib.error:
        return None


def digest_of(content: bytes) -> str:
    """The checksum that an object begins with."""
    return content[:_DIGEST].decode("ascii", "replace")


def facts_in(kind: TypeAdapter[T], content: bytes | None) -> T | None:
    """The facts of a kind in an object; None for one that is not whole, or not there."""
    opened = unsealed(content)
    try:
        return None if opened is None else kind.validate_json(opened)
    except ValidationError:
        return None


def stream_name(epoch: int, number: int) -> str:
    """The folder of an epoch's stream."""
    return f"{epoch:08}-{number:04}"


def segment_name(stream: str, number: int) -> str:
    """The name of a segment."""
    return f"{stream}/segments/{number:010}"


def snapshot_name(stream: str, base: int, part: int | None = None) -> str:
    """The name of a part of a snapshot, or that of the list of its parts."""
    return f"{stream}/snapshots/{base:010}/{'parts' if part is None else f'{part:04}'}"


def allowance_name(epoch: int, number: int, amount: int) -> str:
    """The name of an object that says what a run may have come to, by an epoch's statement of that number."""
    return f"{ALLOWANCES}/{epoch:08}-{number:08}-{amount}"


def allowance_in(name: str) -> int | None:
    """What the name of such an object says; None for another name."""
    found = _ALLOWANCE.fullmatch(name)
    return None if found is None else int(found["amount"])


@dataclass(frozen=True, slots=True)
class StreamNames:
    """What a stream has, by its objects' names: segments, and the snapshots that have a list, each by its number, rising."""

    name: str
    segments: tuple[int, ...]
    snapshots: tuple[int, ...]
    objects: tuple[str, ...]

    @property
    def epoch(self) -> int:
        """The epoch that wrote it."""
        return int(self.name.partition("-")[0])


def streams_of(names: Sequence[str]) -> list[StreamNames]:
    """The streams of a copy by the names of all its objects, the newest first."""
    by_stream: dict[str, list[str]] = {}
    for name in names:
        if found := _OBJECT.fullmatch(name):
            by_stream.setdefault(found["stream"], []).append(name)
    return [
        StreamNames(
            stream, _numbers(objects, "segments", None), _numbers(objects, "snapshots", "parts"), tuple(sorted(objects))
        )
        for stream, objects in sorted(by_stream.items(), reverse=True)
    ]


def needed_from(name: str) -> int:
    """The latest base of a snapshot that an object of a stream is needed for, as itself or as a segment after it."""
    found = _OBJECT.fullmatch(name)
    assert found is not None  # noqa: S101 - `streams_of` gives no others
    return int(found["number"]) - (found["kind"] == "segments")


def _numbers(objects: Sequence[str], kind: str, part: str | None) -> tuple[int, ...]:
    found = (_OBJECT.fullmatch(name) for name in objects)
    return tuple(sorted(int(one["number"]) for one in found if one and one["kind"] == kind and one["part"] == part))
