"""The files that a job made: listed, sent one by one, or all as one archive; nothing outside their folder, and no links."""

import os
import stat
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from clairgen.folder_lock import LOCK_FILE

_MOST_FILES: Final = 10_000
_CHUNK_BYTES: Final = 1 << 18


@dataclass(frozen=True, slots=True)
class MadeFile:
    """A file: its path in the folder of what the job made, and its size in bytes."""

    name: str
    bytes: int


def made_files(folder: Path) -> list[MadeFile]:
    """The files in a folder, in the order of their names; none if there is no such folder. Not hidden ones, links, or a lock."""
    found: list[MadeFile] = []
    for where, folders, names in os.walk(folder, followlinks=False):
        folders[:] = sorted(one for one in folders if not one.startswith("."))
        for name in sorted(names):
            path = Path(where) / name
            if not name.startswith(".") and name != LOCK_FILE and stat.S_ISREG((facts := path.lstat()).st_mode):
                found.append(MadeFile(str(path.relative_to(folder)), facts.st_size))
        if len(found) > _MOST_FILES:
            break
    return found[:_MOST_FILES]


def made_file(folder: Path, name: str) -> Path | None:
    """One of the files in a folder by its name; None if there is none."""
    return folder / name if any(one.name == name for one in made_files(folder)) else None


def archive(folder: Path) -> Iterator[bytes]:
    """All the files of a folder as a tar archive, in which they lie in a folder of its name."""
    for one in made_files(folder):
        try:
            with (folder / one.name).open("rb") as file:
                facts = os.fstat(file.fileno())
                entry = tarfile.TarInfo(f"{folder.name}/{one.name}")
                entry.size, entry.mtime, entry.mode = facts.st_size, int(facts.st_mtime), 0o644
                yield entry.tobuf(tarfile.PAX_FORMAT)
                left = entry.size
                while left and (chunk := file.read(min(_CHUNK_BYTES, left))):
                    left -= len(chunk)
                    yield chunk
        except FileNotFoundError:
            continue  # it is being replaced
        yield b"\0" * (left + -entry.size % tarfile.BLOCKSIZE)
    yield b"\0" * (2 * tarfile.BLOCKSIZE)
