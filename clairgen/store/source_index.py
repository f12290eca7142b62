"""All tasks of a source by id and prompt, for a run that stores only a part of them.

A shard of a run keeps its own tasks, at the positions and under the ids that they have in the whole run. For that it needs to
know which rows of the source repeat the prompt of another shard's task, or its id.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from clairgen.store.connection import store_errors
from clairgen.store.statements import Statement, messages_row
from clairgen.tasks import Row

_SCHEMA = """
CREATE TABLE prompts (messages BLOB PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE ids (id TEXT PRIMARY KEY, messages BLOB NOT NULL) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class NewTask:
    """A row whose prompt no row before it has, at its position in the whole run; `stored` stores its messages."""

    position: int
    row: Row
    messages_hash: str
    stored: Statement


@dataclass(frozen=True, slots=True)
class RowsOfSource:
    """What rows are: new tasks, `duplicates` of the prompts of others, or conflicts, whose id belongs to another prompt."""

    tasks: list[NewTask]
    duplicates: int
    conflicts: list[Row]


class SourceIndex:
    """Sorts the rows of a source, which have to come in their order and all of them. Use it as a context manager.

    It is a temporary database of SQLite, which moves from memory to a temporary file as it grows.
    """

    def __init__(self) -> None:
        self._database = sqlite3.connect("", isolation_level=None)
        self._database.executescript(_SCHEMA)
        self._last = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database.close()

    def sorted(self, rows: Sequence[Row]) -> RowsOfSource:
        """What the next rows of the source are, by all before them. Raises StoreError where there is no space to keep them."""
        found = RowsOfSource([], 0, [])
        duplicates = 0
        with store_errors(Path("temporary database of tasks")):
            self._database.execute("BEGIN")
            for row in rows:
                messages_hash, stored = messages_row(row.task.messages)
                prompt = bytes.fromhex(messages_hash)
                if self._owner(row.task.id, prompt) != prompt:
                    found.conflicts.append(row)
                elif self._is_new(prompt):
                    self._last += 1
                    found.tasks.append(NewTask(self._last, row, messages_hash, stored))
                else:
                    duplicates += 1
            self._database.execute("COMMIT")
        return RowsOfSource(found.tasks, duplicates, found.conflicts)

    def _owner(self, task_id: str, prompt: bytes) -> bytes:
        """The prompt that an id belongs to; that is this one if no row had it before."""
        if self._database.execute("INSERT OR IGNORE INTO ids VALUES (?, ?)", (task_id, prompt)).rowcount:
            return prompt
        [(owner,)] = self._database.execute("SELECT messages FROM ids WHERE id = ?", (task_id,))
        return bytes(owner)

    def _is_new(self, prompt: bytes) -> bool:
        return self._database.execute("INSERT OR IGNORE INTO prompts VALUES (?)", (prompt,)).rowcount == 1
