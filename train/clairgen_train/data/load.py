"""Loading a data set: a folder that `clairgen export` wrote, a parquet or JSON Lines file, or one on the hub."""

import hashlib
import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from clairgen.conversations import is_encodable
from clairgen.errors import InputError
from clairgen.row_files import json_lines, require_readable_rows, require_regular_file
from clairgen_train.data.rows import row_kind

if TYPE_CHECKING:
    from datasets import Dataset

T = TypeVar("T")

_FILES = {".parquet": "parquet", ".jsonl": "json", ".json": "json"}
_HASHED = {*_FILES, ".arrow", ".csv", ".gz", ".zst"}


def read_split(
    data: str, subset: str | None, split: str, *, revision: str | None = None, required: bool | None = None
) -> "Dataset | None":
    """One split of a data set; None if it does not have that split, or no row in it.

    `revision` is of a data set on the hub. A split that is `required` (by default `train`) is never None. Raises InputError, one
    sentence, for a data set that does not exist, has several subsets and none named, or lacks a required split.
    """
    needed = split == "train" if required is None else required
    path = Path(data)
    if path.exists() and revision is not None:
        raise InputError(f"{data} is on this machine and has no revision {revision!r}; leave the revision out")
    if path.exists() and not path.is_dir():
        return _from_file(path, data, subset, split, required=needed)
    if not path.is_dir() and (data.startswith((".", "/", "~")) or data.count("/") != 1):
        raise InputError(
            f"there is no data set {data}; give a folder that clairgen export wrote, or owner/name of the hub"
        )
    try:
        return _from_folder_or_hub(data, subset, split, revision, required=needed)
    except _UnreadableError:
        for file in sorted(path.rglob("*.jsonl")):
            _require_valid_lines(file)
        for file in sorted(path.rglob("*.parquet")):
            _require_any_row(file)
        raise


def data_hash(data: str) -> str | None:
    """The hash of a local data set's files, by name and content; None for one on the hub."""
    path = Path(data)
    if not path.exists():
        return None
    found = hashlib.sha256()
    try:
        if not path.is_dir():
            require_regular_file(path, "the data set")
        files = (
            sorted(file for file in path.rglob("*") if file.suffix in _HASHED and file.is_file())
            if path.is_dir()
            else [path]
        )
        for file in files:
            with file.open("rb") as content:
                found.update(
                    f"{file.relative_to(path)} {hashlib.file_digest(content, 'sha256').hexdigest()}\n".encode()
                )
    except OSError as error:
        raise InputError(f"the data set {data} cannot be read, so check or replace it: {error.strerror}") from error
    return found.hexdigest()


def _from_file(path: Path, data: str, subset: str | None, split: str, *, required: bool) -> "Dataset | None":
    if path.suffix not in _FILES:
        unpack = f": unpack it, for instance with gunzip --keep {path.name}" if path.suffix == ".gz" else ""
        raise InputError(
            f"{data} is not a data set that can be read; give a folder, or a .parquet or .jsonl file{unpack}"
        )
    require_readable_rows(path, "the data set")
    if subset is not None:
        raise InputError(f"{data} is a file and has no subset {subset!r}; leave --subset out")
    if split != "train":
        if not required:
            return None
        raise InputError(
            f"{data} is a file, which has the split `train` alone and no split {split!r}; leave train_split out"
        )
    try:
        rows = _loaded(data, _FILES[path.suffix], data_files=str(path), split="train")
    except _UnreadableError:
        _require_valid_lines(path)
        raise
    return _require_rows(rows, data)


def _from_folder_or_hub(
    data: str, subset: str | None, split: str, revision: str | None, *, required: bool
) -> "Dataset | None":
    import datasets

    name = _subset(data, subset, revision)
    names: list[str] = _readable(data, lambda: datasets.get_dataset_split_names(data, name, revision=revision))
    if split not in names:
        if not required:
            return None
        raise InputError(
            f"{data} has no split `{split}`; it has {', '.join(names)}: name the one to train on with --set train_split=NAME"
        )
    try:
        return _require_rows(_loaded(data, data, name=name, split=split, revision=revision), data)
    except _EmptyError:
        if required:
            raise
        return None


def _require_valid_lines(path: Path) -> None:
    """Raise InputError with the number of the line that is at fault, which the library's message often lacks."""
    if path.suffix == ".parquet" or not path.is_file():
        return
    for number, content in json_lines(path):
        if isinstance(content, str):
            if path.suffix == ".json" and number == 1:
                return  # one array over several lines
            raise InputError(f"{path} line {number:,}: {content}; correct or remove that line")
        if not is_encodable(json.dumps(content, ensure_ascii=False)):
            raise InputError(
                f"{path} line {number:,}: it contains half a surrogate pair, which is not text; correct or remove that line"
            )


def _require_any_row(file: Path) -> None:
    """Raise InputError for a parquet file without rows, which the library cannot read, nor any other split beside it."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with suppress(OSError, pa.ArrowException):
        if pq.read_metadata(file).num_rows == 0:
            raise InputError(f"{file} has no rows, so the data set cannot be read; remove that file")


def _subset(data: str, subset: str | None, revision: str | None) -> str:
    """The name of the subset to read: `subset`, or the only one."""
    import datasets

    names: list[str] = _readable(data, lambda: datasets.get_dataset_config_names(data, revision=revision))
    if subset is None and len(names) > 1:
        raise InputError(f"{data} has the subsets {', '.join(names)}; name one with --subset")
    if subset is not None and subset not in names:
        raise InputError(f"{data} has no subset {subset!r}; it has {', '.join(names)}")
    return subset or names[0]


class _EmptyError(InputError):
    """A split without rows."""

    def __init__(self, data: str) -> None:
        super().__init__(f"{data} is empty; make more pairs or loosen the filters")


class _UnreadableError(InputError):
    """A data set that the library cannot read."""


def _loaded(data: str, builder: str, **choice: str | None) -> "Dataset":
    import datasets

    return _readable(data, lambda: datasets.load_dataset(builder, **choice))


def _readable(data: str, read: Callable[[], T]) -> T:
    """What `read` returns; its errors as InputError."""
    from datasets.exceptions import DatasetNotFoundError, DatasetsError

    try:
        with _without_warnings("datasets"):  # those about files that it cannot read are repeated in the exception
            return read()
    except DatasetNotFoundError as error:
        raise InputError(
            f"there is no data set {data} on the hub, or it is private; check the name and HF_TOKEN"
        ) from error
    except StopIteration as error:  # raised by its JSON Lines reader
        raise _EmptyError(data) from error
    except (OSError, ValueError, RuntimeError, DatasetsError) as error:
        if "corresponds to no data" in str(error):  # what it says of a split whose files have no rows
            raise _EmptyError(data) from error
        if "save_to_disk" in str(error):
            raise InputError(
                f"the data set {data} was saved with save_to_disk, which is not read; write it with to_parquet and name that file"
            ) from error
        reason = " ".join(str(error.__cause__ or error).split())[:300]
        raise _UnreadableError(f"the data set {data} cannot be read, so check or replace it: {reason}") from error


@contextmanager
def _without_warnings(library: str) -> Iterator[None]:
    """Log nothing of a library inside the block."""
    logger = logging.getLogger(library)
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(level)


def _require_rows(rows: "Dataset", data: str) -> "Dataset":
    """`rows`, if there are any and their columns are of a kind that can be trained on."""
    row_kind(rows.column_names, data)
    if not len(rows):
        raise _EmptyError(data)
    return rows
