"""What pairs are imported from: a file, a folder of `datasets`, or a data set on the Hugging Face hub; its rows, and its hash."""

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from clairgen.errors import InputError, MissingExtraError
from clairgen.sources import SourceRow, file_rows, table_rows

if TYPE_CHECKING:
    from datasets import Dataset

HUB: Final = "hub:"
"""How a source begins that is a data set on the hub, as `hub:owner/name`."""
KEPT_RUN: Final = "runs/kept"
"""The folder that suggested commands name for a run that keeps the pairs of a source."""
_BATCH: Final = 1000
_MOST_NAMED: Final = 5
_PREFERRED: Final = ("train", "train_prefs")
"""The splits that are taken if none is named."""
_TRAINED_ON: Final = "train"
_HELD_OUT: Final = ("test", "validation", "valid", "val", "eval", "dev")
"""How the names of splits begin; the rest, as in `train_prefs`, is the same for those that belong together."""
_HASHED: Final = frozenset({".arrow", ".parquet", ".jsonl", ".json", ".csv"})


@dataclass(frozen=True, slots=True)
class ImportSource:
    """A source of rows: `name` for people, `facts` that are equal for equal rows, and `rows`, which reads from the start.

    `unread` names the files of a folder that have rows and are not read.
    """

    name: str
    facts: dict[str, str]
    rows: Callable[[], Iterator[SourceRow]]
    unread: tuple[str, ...] = ()

    @property
    def unread_in_words(self) -> str:
        """The files that are not read, as the end of a sentence; empty without any."""
        if not self.unread:
            return ""
        more = f" and {len(self.unread) - _MOST_NAMED:,} more" if len(self.unread) > _MOST_NAMED else ""
        return f"; files that are not read: {', '.join(self.unread[:_MOST_NAMED])}{more}"


@dataclass(frozen=True, slots=True)
class _Loaded:
    """What the library `datasets` loaded, `data`, and the `files` that it reads of a folder; of a folder of its own, all."""

    data: Any
    files: tuple[Path, ...] = ()
    unread: tuple[str, ...] = ()


def import_source(source: str, subset: str | None, split: str | None) -> ImportSource:
    """The source that is named: a path, or `hub:owner/name`. `subset` and `split` are for folders and the hub.

    Without `split` it is `train`, `train_prefs`, or the only one. Raises InputError, one sentence, for what cannot be opened, has
    several splits or subsets of which none was named, or is a file although one was.
    """
    path = Path(source)
    if source.startswith(HUB):
        name = _hub_name(source)
        return _of_datasets(_loaded(name, subset), name, subset, split, {"hub": name})
    if not path.exists():
        hint = f"; for the data set of the hub write {HUB}{source}" if source.count("/") == 1 else ""
        raise InputError(f"there is no file or folder {source} to import from{hint}")
    if path.is_dir():
        loaded = _loaded(source, subset)
        return _of_datasets(loaded, source, subset, split, {"sha256": _hash(path, loaded.files)})
    for option, value in (("--subset", subset), ("--split", split)):
        if value is not None:
            raise InputError(f"{source} is a file and has no {option.strip('-')} {value!r}; leave {option} out")
    file_rows(path, "pairs")
    return ImportSource(path.name, {"sha256": _hash(path)}, lambda: file_rows(path, "pairs"))


def holds_rows(folder: Path) -> bool:
    """Whether a folder has files with rows of a data set, in it or below."""
    return _is_saved(str(folder)) or any(path.suffix in _HASHED for path in folder.rglob("*"))


def import_splits(source: str, subset: str | None, splits: Sequence[str]) -> tuple[list[ImportSource], list[str]]:
    """The sources of several splits, and the names of those that are left out.

    Without `splits` it is the one that `import_source` takes and those held out from it: `test_prefs` beside `train_prefs`.
    Raises InputError as `import_source` does.
    """
    if not source.startswith(HUB) and not Path(source).is_dir():
        return [import_source(source, subset, next(iter(splits), None))], []
    name = _hub_name(source) if source.startswith(HUB) else source
    facts = {"hub": name} if source.startswith(HUB) else {"sha256": ""}
    loaded = _loaded(name, subset)
    if not _has_splits(loaded.data):
        return [_of_datasets(loaded, name, subset, next(iter(splits), None), facts)], []
    names = [str(one) for one in loaded.data]
    first = _split(name, names, next(iter(splits), None))
    wanted = list(dict.fromkeys(splits)) or [first, *_held_out_from(first, names)]
    sources = [_of_datasets(loaded, name, subset, split, facts) for split in wanted]
    return sources, [split for split in names if split not in wanted]


def _hub_name(source: str) -> str:
    name = source.removeprefix(HUB)
    if name.count("/") > 1 or not name.strip("/"):
        raise InputError(f"{source} is no data set of the hub; write hub:owner/name")
    return name


def _of_datasets(
    loaded: _Loaded,
    name: str,
    subset: str | None,
    split: str | None,
    facts: dict[str, str],
) -> ImportSource:
    """A folder or a data set on the hub, read with the library `datasets`, a batch in memory at a time."""
    found = loaded.data
    if _has_splits(found):
        split = _split(name, list(found), split)
        found = found[split]
    elif split is not None:
        raise InputError(f"{name} has no splits, so leave --split {split} out")
    checksums = sorted(found.info.download_checksums or {}) if "hub" in facts else []
    facts = facts | {"rows": str(len(found)), "subset": subset or "", "split": split or ""}
    if checksums:
        facts |= {"files": hashlib.sha256(json.dumps(checksums).encode()).hexdigest()}
    shown = Path(name).name if "sha256" in facts else name
    where = f"{shown}{f' {subset}' if subset else ''}{f' {split}' if split else ''}"
    return ImportSource(where, facts, lambda: _rows(where, found), loaded.unread)


def _loaded(name: str, subset: str | None) -> _Loaded:
    try:
        import datasets
    except ImportError as error:
        raise MissingExtraError("Reading a folder or a data set of the hub", "data") from error
    try:
        if _is_saved(name):
            return _Loaded(datasets.load_from_disk(name))
        builder = datasets.load_dataset_builder(name, subset)
        builder.download_and_prepare()
        found = builder.as_dataset()
    except Exception as error:  # the library raises anything, from OSError to its own tree
        reason = " ".join(str(_first_cause(error)).split())[:300]
        raise InputError(f"the data set {name} cannot be read: {reason}") from error

    if not Path(name).is_dir():
        return _Loaded(found)
    files = [Path(file) for of_split in (builder.config.data_files or {}).values() for file in of_split]
    folder = Path(name).resolve()
    read = {file.resolve() for file in files}
    others = [file.relative_to(folder) for file in _with_rows(folder) if subset is None and file.resolve() not in read]
    return _Loaded(found, tuple(sorted(files)), tuple(map(str, others)))


def _first_cause(error: BaseException) -> BaseException:
    """The error that the library met, in place of its own that says only that there was one."""
    while (cause := error.__cause__) is not None:
        error = cause
    return error


def _has_splits(found: object) -> bool:
    return isinstance(found, dict)  # as a DatasetDict is


def _held_out_from(split: str, splits: Sequence[str]) -> list[str]:
    if not split.startswith(_TRAINED_ON):
        return []
    rest = split.removeprefix(_TRAINED_ON)
    return [held_out for name in _HELD_OUT if (held_out := f"{name}{rest}") in splits]


def _rows(name: str, data: "Dataset") -> Iterator[SourceRow]:
    batches: Any = data.with_format("arrow").iter(batch_size=_BATCH)
    number = 0
    for table in batches:
        for batch in table.to_batches():
            yield from table_rows(name, number, batch)
            number += batch.num_rows


def _split(name: str, splits: list[str], wanted: str | None) -> str:
    """The split to read."""
    if wanted is not None:
        if wanted not in splits:
            raise InputError(f"{name} has no split {wanted!r}; it has {', '.join(splits)}")
        return wanted
    usual = next((split for split in _PREFERRED if split in splits), None)
    if usual is None and len(splits) > 1:
        raise InputError(f"{name} has the splits {', '.join(splits)}; name one with --split")
    return usual or splits[0]


def _is_saved(folder: str) -> bool:
    """Whether a folder is what `save_to_disk` writes."""
    return any((Path(folder) / name).is_file() for name in ("dataset_dict.json", "state.json"))


def _with_rows(folder: Path) -> list[Path]:
    """The files with rows in a folder and below it."""
    return sorted(one for one in folder.rglob("*") if one.suffix in _HASHED and one.is_file())


def _hash(path: Path, files: Sequence[Path] = ()) -> str:
    """The hash of a file, or of the names and contents of `files` of a folder, by default of those with rows."""
    found = hashlib.sha256()
    try:
        if not path.is_dir():
            with path.open("rb") as content:
                return hashlib.file_digest(content, "sha256").hexdigest()
        for file in files or _with_rows(path):
            with file.open("rb") as content:
                found.update(
                    f"{os.path.relpath(file, path)} {hashlib.file_digest(content, 'sha256').hexdigest()}\n".encode()
                )
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    return found.hexdigest()
