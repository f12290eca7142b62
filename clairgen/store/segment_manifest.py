"""What is in a run's folder `metrics`: segments, and `manifest.json`, which names those that hold and says what they are of."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from typing import Any, Final

from clairgen.keys import canonical_json, digest
from clairgen.whole_files import write_whole

FORMAT: Final = 3
"""Segments of another format are written again."""
END: Final = 2**62
"""Above all positions."""
_MANIFEST: Final = "manifest.json"
_DAMAGED: Final = f"{_MANIFEST} is damaged or was changed"
_NAME: Final = re.compile(r"[0-9]{6,12}\.parquet")


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
    """The segments of a run as its database is now, and the cost of each recipe's pairs in US dollars, None if not known.

    `fault` is why the segments that were there could not be believed and were written again; None where they could.
    """

    path: Path
    segments: tuple[Segment, ...]
    costs: Mapping[str, float | None]
    fault: str | None = None

    @property
    def note(self) -> str | None:
        """What to say of the fault."""
        if self.fault is None:
            return None
        return f"the columns in {self.path} did not agree with the run ({self.fault}), and were written again"

    def files(self, recipe: str) -> list[str]:
        """The paths of a recipe's files, in the order of their pairs."""
        return [str(self.path / one.file) for one in self.segments if one.recipe == recipe and one.rows]


@dataclass(frozen=True, slots=True)
class Manifest:
    """What the folder holds: the segments, and which moment of which run they are of."""

    run_id: str
    filter_set: str
    change: int
    changed_pair: str
    segments: tuple[Segment, ...]
    costs: Mapping[str, float | None]

    @classmethod
    def read(cls, folder: Path) -> "Manifest | None":
        """The manifest of a folder; None where there is none, or one of another format.

        Raises ValueError for one that says something else than was written.
        """
        try:
            content = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
            if content.pop("format") != FORMAT:
                return None
            if content.pop("digest") != _digest(content):
                raise ValueError(_DAMAGED)
            segments = tuple(_segment(**one) for one in content.pop("segments"))
            numbers = [content["change"], *(number for one in segments for number in (one.last, one.rows, one.bytes))]
            are_numbers = all(type(number) is int and 0 <= number <= END for number in numbers)
            if not are_numbers or not isinstance(content["costs"], dict):
                raise ValueError(_DAMAGED)
            return cls(**content, segments=segments)
        except OSError:
            return None
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise ValueError(_DAMAGED) from error

    def write(self, folder: Path) -> None:
        """Put it in force in a folder. Raises OSError."""
        content = asdict(self)
        write_whole(folder / _MANIFEST, json.dumps({"format": FORMAT, "digest": _digest(content), **content}, indent=1))

    def file_fault(self, folder: Path) -> str | None:
        """What is wrong with the files as they are there; None if each is as large as it was written."""
        for one in self.segments:
            try:
                if (folder / one.file).stat().st_size != one.bytes:
                    return f"{one.file} has another size than it was written with"
            except FileNotFoundError:
                return f"{one.file} is missing"
        return None


def _digest(content: Any) -> str:  # noqa: ANN401 - JSON
    """Of all that a manifest says besides its format."""
    return digest(canonical_json(content))


def free_names(folder: Path) -> Iterator[str]:
    """Names above those of all files, so that no manifest of another moment means a newer file by a name of its own."""
    taken = [int(path.stem) for path in folder.iterdir() if _NAME.fullmatch(path.name)]
    return (f"{number:06}.parquet" for number in count(max(taken, default=0) + 1))


def remove_others(folder: Path, segments: Iterable[Segment]) -> None:
    """Remove the files that are none of these segments."""
    named = {one.file for one in segments}
    for path in folder.glob("*.parquet"):
        if path.name not in named:
            with suppress(OSError):  # of a folder that cannot be written, or of another kind: it is not read
                path.unlink()


def _segment(**values: Any) -> Segment:  # noqa: ANN401 - whatever a manifest says
    """A segment of a manifest; raises ValueError for a file that is not in its folder."""
    if not _NAME.fullmatch(values["file"]):
        raise ValueError(_DAMAGED)
    return Segment(**values)
