"""The small files that make a folder a run beside its database, and what changed in them since the last look."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from clairgen.copies.objects import FilePiece

_COPIED: Final = re.compile(r"config\.yaml|run\.log(\.1)?|tasks-[0-9a-f]+\.jsonl|batches/(?!\.)[\w.-]+")
_Seen = tuple[int, int, int]
"""Of a file: which one it is, when it was changed, and how many bytes of it were taken."""


def is_copied(name: str) -> bool:
    """Whether a file of a run, by its name in the run's folder, is in a copy of the run. Such a name leads nowhere else."""
    return _COPIED.fullmatch(name) is not None


class SmallFiles:
    """Follows a run's small files: configuration, log, tasks that a program gave, and what is on its way into batches."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen: dict[str, _Seen] = {}

    def forget(self) -> None:
        """Take all files as not seen."""
        self._seen.clear()

    def changes(self, most_bytes: int) -> list[FilePiece]:
        """What changed since the last call, of `most_bytes` at most: what was appended, or a file from its start."""
        pieces: list[FilePiece] = []
        left = most_bytes
        present = dict(self._present())
        for name, path in present.items():
            if left <= 0:
                return pieces
            if (piece := self._change(name, path, left)) is not None:
                pieces.append(piece)
                left -= len(piece.content)
        gone = self._seen.keys() - present.keys()
        for name in gone:
            del self._seen[name]
        return pieces + [FilePiece(name, -1, b"") for name in sorted(gone)]

    def _change(self, name: str, path: Path, most_bytes: int) -> FilePiece | None:
        try:
            with path.open("rb") as file:
                facts = path.stat()
                which, changed, taken = self._seen.get(name, (-1, -1, 0))
                is_same = which == facts.st_ino and (taken < facts.st_size or changed == facts.st_mtime_ns)
                start = taken if is_same else 0
                if is_same and taken == facts.st_size:
                    return None
                file.seek(start)
                content = file.read(most_bytes)
        except OSError:
            return None  # gone by now, or for the next look
        self._seen[name] = facts.st_ino, facts.st_mtime_ns, start + len(content)
        return FilePiece(name, start, content)

    def _present(self) -> Iterator[tuple[str, Path]]:
        for folder in (self._folder, self._folder / "batches"):
            for path in sorted(folder.iterdir()) if folder.is_dir() else ():
                name = path.relative_to(self._folder).as_posix()
                if is_copied(name) and path.is_file():
                    yield name, path
