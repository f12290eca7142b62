"""What a run's own coordinator keeps of its groups, beside the copies of the shards, for whichever machine goes on with them.

epochs/00000003                     the command that coordinates now: a new one for each, the newest counts
groups/00000003-0000000017          all rows that it has kept, as JSON, in place of the former ones
"""

import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from clairgen.copies.epochs import KeptEpoch, begin_epoch, newest_epoch, next_epoch
from clairgen.copies.objects import sealed, unsealed
from clairgen.copies.storage import Storage
from clairgen.errors import ConfigError, CopyError, CopyStoppedError, ReplacedError, StoreError
from clairgen.store import now
from clairgen.store.group_records import TABLES, Kind, Row, key_of

_FOLDER: Final = "groups"
_KINDS: Final = {table: kind for kind, table in TABLES.items()}
_KEPT: Final = TypeAdapter(dict[str, list[dict[str, Any]]])


class CopiedGroups:
    """Takes over what lies in a storage, for the run of that name; see `Records`.

    What an earlier command would give away once this one has begun it gives to nobody: it looks who counts after each write.
    Raises CopyError, and ConfigError for a storage of a run with another name.
    """

    def __init__(self, storage: Storage, run: str) -> None:
        self._storage = storage
        newest = newest_epoch(storage)
        if newest is not None and newest.run != run:
            raise ConfigError(
                f"what is at {storage.address} is of a run that is called {newest.run}, and this one is called {run}; name that "
                "one with --run, or another place with --copy-to"
            )
        self._kept = KeptEpoch(storage, next_epoch(newest, run, now()))
        begin_epoch(storage, self._kept.epoch)
        self._rows = {key_of(row): row for row in _read(storage)}
        self._count = 0
        self._writing = threading.Lock()

    def rows(self, kind: type[Kind]) -> list[Kind]:
        """All rows of a kind."""
        return [row for row in self._rows.values() if isinstance(row, kind)]

    def save(self, rows: Sequence[Row]) -> None:
        """Put rows into the storage. Raises StoreError where it cannot be written, ReplacedError where another command has it."""
        self._change(lambda kept: kept | {key_of(row): row for row in rows})

    def delete_group(self, name: str) -> None:
        """Forget a group."""
        self._change(lambda kept: {key: row for key, row in kept.items() if key[1] != name})

    def close(self) -> None:
        """Nothing is held."""

    def _change(self, change: Callable[[dict[tuple[str, ...], Row]], dict[tuple[str, ...], Row]]) -> None:
        with self._writing:
            changed = change(self._rows)
            self._count += 1
            name = f"{_FOLDER}/{self._kept.epoch.number:08}-{self._count:010}"
            try:
                self._storage.put(name, _written(list(changed.values())))
                self._kept.check()
                self._storage.delete([one for one in self._storage.names(_FOLDER) if one < name])
            except ReplacedError as error:
                raise ReplacedError(
                    f"another command coordinates the shards whose copies are at {self._storage.address} by now"
                ) from error
            except (CopyError, CopyStoppedError) as error:
                raise StoreError(str(error)) from error
            self._rows = changed


def _written(rows: Sequence[Row]) -> bytes:
    by_table = {table: [asdict(row) for row in rows if isinstance(row, kind)] for table, kind in _KINDS.items()}
    return sealed(json.dumps(by_table).encode())


def _read(storage: Storage) -> list[Row]:
    """The rows of the last object that is whole: one that was cut off has told nobody anything."""
    names = storage.names(_FOLDER)
    for name in reversed(names):
        if (content := unsealed(storage.get(name))) is not None:
            try:
                kept = _KEPT.validate_json(content)
                return [_KINDS[table](**row) for table, rows in kept.items() for row in rows]
            except (ValidationError, KeyError, TypeError) as error:
                raise CopyError(f"{name} at {storage.address} is of a newer clairgen; install that one") from error
    if names:
        raise CopyError(
            f"no object in {_FOLDER} at {storage.address} is whole, so what the shards have spent is not known; put it back, or "
            "go on with a coordinator of your own: --coordinator URL"
        )
    return []
