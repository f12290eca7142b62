"""Where a copy lies: objects under names, in a folder or on any storage that fsspec reaches (s3://, gs://, ...).

An object is written whole under a name that is used once, since object stores neither append nor rename.
"""

import contextlib
import os
import re
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar
from urllib.parse import urlsplit

from clairgen.errors import ConfigError, CopyError, MissingExtraError
from clairgen.whole_files import flush_names, write_whole

_LONGEST_DETAIL: Final = 200
_SEPARATOR: Final = "://"
_CHAIN: Final = "::"  # of fsspec, whose first part urlsplit would take for all of the scheme
_WITH_CONTAINER: Final = ("abfs", "abfss")  # abfs://container@account.dfs.core.windows.net/folder
_LOCAL: Final = ("file", "local")
_NO_FOLDER: Final = re.compile(r"~[^/]*|[A-Za-z][A-Za-z0-9+.-]+:(?=/|$)")  # a shell leaves --copy-to=~/copy as it is

T = TypeVar("T")


class Storage(Protocol):
    """Objects by names, which may have slashes; `address` is how a user named it. All raise CopyError, and may take long."""

    @property
    def address(self) -> str: ...  # noqa: D102 - see above

    def put(self, name: str, content: bytes) -> None:
        """Write an object, also in place of one that has the same content."""

    def create(self, name: str, content: bytes) -> bool:
        """Write an object unless there is one; whether this call did, which only one of several does."""

    def get(self, name: str) -> bytes | None:
        """The content of an object; None if there is none."""

    def names(self, folder: str = "") -> list[str]:
        """The names of all objects in a folder and those below it, in their order."""

    def delete(self, names: Iterable[str]) -> None:
        """Delete objects; those that are not there do not matter."""


def open_storage(address: str) -> Storage:
    """The storage at a URL or in a folder.

    Raises ConfigError for an address with a secret, or one that would lie elsewhere than it says; MissingExtraError.
    """
    if _SEPARATOR not in address:
        _check_folder(address)
        return FolderStorage(Path(address), address)
    if _CHAIN in address:
        raise ConfigError(
            f"the address of the copy has {_CHAIN} in it; name one storage alone, such as s3://bucket/run"
        )
    parts = urlsplit(address)
    user, _, _ = parts.netloc.rpartition("@")
    if (user and (parts.scheme not in _WITH_CONTAINER or ":" in user)) or parts.query or parts.fragment:
        where = f"{parts.scheme}{_SEPARATOR}{parts.netloc.rpartition('@')[2]}{parts.path}"
        raise ConfigError(
            f"the address of the copy has more than a place in it; name {where} alone, and give credentials by the environment, "
            "as the storage's own tools take them"
        )
    if parts.scheme in _LOCAL:
        if parts.netloc or not parts.path:
            raise ConfigError(
                f"{address} names no folder of this machine; write three slashes before it: file:///folder"
            )
        return FolderStorage(Path(parts.path), address)
    return _RemoteStorage(address)


def _check_folder(address: str) -> None:
    """Raise ConfigError for what would be a folder of this machine, of all things, since a URL or a shell was mistaken."""
    if not address:
        raise ConfigError("the address of the copy is empty; name a folder or a URL for it")
    if mistaken := _NO_FOLDER.match(address):
        raise ConfigError(
            f"the copy would be in a folder of this machine that is called {mistaken[0]}; write a URL with {_SEPARATOR}, the "
            "whole path in place of ~, or ./ before such a folder"
        )


class FolderStorage:
    """A folder on a disk that other machines reach; written objects are flushed to it before the next one."""

    def __init__(self, folder: Path, address: str | None = None) -> None:
        self.folder = folder
        self.address = str(folder) if address is None else address

    def put(self, name: str, content: bytes) -> None:
        """Write an object."""
        with _errors(self.address, "written"):
            write_whole(self.folder / name, content)

    def create(self, name: str, content: bytes) -> bool:
        """Write an object unless there is one, by a link, which only one process can make."""
        file = self.folder / name
        draft = file.with_name(f".{file.name}.{uuid.uuid4().hex}.partial")
        with _errors(self.address, "written"):
            write_whole(draft, content)
            try:
                os.link(draft, file)
            except FileExistsError:
                return False
            finally:
                draft.unlink()
            flush_names(file.parent)
        return True

    def get(self, name: str) -> bytes | None:
        """The content of an object; None if there is none."""
        with _errors(self.address, "read"):
            try:
                return (self.folder / name).read_bytes()
            except (FileNotFoundError, NotADirectoryError):
                return None

    def names(self, folder: str = "") -> list[str]:
        """The names of all objects in a folder."""
        with _errors(self.address, "read"):
            found = (
                path.relative_to(self.folder).as_posix()
                for path in (self.folder / folder).rglob("*")
                if not path.name.startswith(".") and path.is_file()
            )
            return sorted(found)

    def delete(self, names: Iterable[str]) -> None:
        """Delete objects, and folders that this empties."""
        with _errors(self.address, "written"):
            for name in names:
                file = self.folder / name
                file.unlink(missing_ok=True)
                for above in file.relative_to(self.folder).parents[:-1]:
                    with contextlib.suppress(OSError):  # not empty
                        _remove_folder(self.folder / above)


def _remove_folder(folder: Path) -> None:
    """Remove a folder that has nothing but what kills left of writing objects into it. Raises OSError for any other."""
    left = list(folder.iterdir())
    if all(path.name.startswith(".") and path.name.endswith(".partial") for path in left):
        for path in left:
            path.unlink()
    folder.rmdir()


class _RemoteStorage:
    """Storage by fsspec. Its credentials come from the environment, as the package for its protocol reads it."""

    def __init__(self, address: str) -> None:
        try:
            import fsspec
        except ImportError as error:
            raise MissingExtraError(f"A copy at {address}", "copies") from error
        self.address = address
        with _errors(address, "opened"):
            # Listings are looked up each time, since another process may write there.
            self._files: Any
            self._files, self._root = fsspec.url_to_fs(address.rstrip("/"), use_listings_cache=False)

    def put(self, name: str, content: bytes) -> None:
        """Write an object."""
        with _errors(self.address, "written"):
            self._files.pipe_file(self._path(name), content)

    def create(self, name: str, content: bytes) -> bool:
        """Write an object unless there is one. Where the storage has no such call, two that do so at once both succeed."""
        with _errors(self.address, "written"):
            try:
                self._files.pipe_file(self._path(name), content, mode="create")
            except FileExistsError:
                return False
            except TypeError:  # a package without that mode
                if self._files.exists(self._path(name)):
                    return False
                self._files.pipe_file(self._path(name), content)
        return True

    def get(self, name: str) -> bytes | None:
        """The content of an object; None if there is none."""
        with _errors(self.address, "read"):
            try:
                return bytes(self._files.cat_file(self._path(name)))
            except FileNotFoundError:
                return None

    def names(self, folder: str = "") -> list[str]:
        """The names of all objects in a folder."""
        with _errors(self.address, "read"):
            self._files.invalidate_cache()
            try:
                found = self._files.find(self._path(folder) if folder else self._root)
            except FileNotFoundError:
                return []
            start = len(str(self._root).strip("/")) + 1
            return sorted(str(path).strip("/")[start:] for path in found)

    def delete(self, names: Iterable[str]) -> None:
        """Delete objects."""
        with _errors(self.address, "written"):
            for name in names:
                with contextlib.suppress(FileNotFoundError):
                    self._files.rm_file(self._path(name))

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"


@contextlib.contextmanager
def _errors(address: str, what: str) -> Iterator[None]:
    """Turn whatever the package of a storage raises into a CopyError."""
    try:
        yield
    except ImportError as error:
        raise CopyError(
            f"the copy at {address} needs the package of its protocol ({_detail(error)}); install that too, such as s3fs for s3://"
        ) from error
    except Exception as error:
        raise CopyError(f"the copy at {address} cannot be {what}: {_detail(error)}") from error


def _detail(error: Exception) -> str:
    """What an error says, on one line that is not long."""
    said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    line = " ".join(said.split()) or type(error).__name__
    return line if len(line) <= _LONGEST_DETAIL else f"{line[:_LONGEST_DETAIL]}…"
