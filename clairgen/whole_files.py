"""Writing a file as a whole: whoever looks at its name finds the new content or the former one, also after a kill."""

import os
from pathlib import Path


def write_whole(file: Path, content: str | bytes) -> None:
    """Write a file, text as UTF-8, and the folders that it is in; it is on disk, its name included, when this returns.

    Raises OSError.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f"{_partial_start(file)}{os.getpid()}.partial")
    with partial.open("wb") as stream:
        stream.write(content.encode("utf-8") if isinstance(content, str) else content)
        stream.flush()
        os.fsync(stream.fileno())
    put_in_place(partial, file)


def put_in_place(written: Path, file: Path) -> None:
    """Give a file that is on disk its name, which is on disk, too, when this returns. Raises OSError."""
    written.replace(file)
    flush_names(file.parent)


def flush_names(folder: Path) -> None:
    """Have the names of a folder's files on disk. Raises OSError."""
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def is_partial(path: Path, file: Path) -> bool:
    """Whether a path is what a kill left of writing a file."""
    return path.name.startswith(_partial_start(file)) and path.name.endswith(".partial")


def _partial_start(file: Path) -> str:
    return f".{file.name}."
