"""Imported pairs in the store: their tasks and ids, and the batches in which they are committed with the state of the import."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from clairgen.keys import canonical_json, digest, pair_id
from clairgen.records import Message
from clairgen.store.pair_rows import MadePair, finding_rows, imported_rows
from clairgen.store.reader import Reader
from clairgen.store.statements import Statement, Write, messages_row
from clairgen.tasks import TASK_ID_DIGITS


@dataclass(frozen=True, slots=True)
class PairTexts:
    """What identifies a pair on its way in: prompt, both answers, and what its source calls the prompt, if anything."""

    messages: tuple[Message, ...]
    chosen: str
    rejected: str
    name: str | None


@dataclass(frozen=True, slots=True)
class Identity:
    """The ids of a pair and of its task; `messages` is the hash of the prompt, which `stored` stores if it is new.

    `is_new_task` is whether the run lacks the task.
    """

    pair_id: str
    task_id: str
    messages: str
    stored: Statement
    is_new_task: bool


@dataclass(frozen=True, slots=True)
class ImportedPair:
    """A measured and filtered pair with its ids, ready to be committed."""

    identity: Identity
    made: MadePair
    source_columns: Mapping[str, Any] = field(default_factory=dict)


class ImportedPairs:
    """The imported pairs of one run. A task may have several pairs of one name: the first has the id that any pair of it has."""

    def __init__(self, reader: Reader, write: Write) -> None:
        self._reader = reader
        self._write = write

    async def identities(self, pairs: Sequence[PairTexts], recipe: str) -> list[Identity | None]:
        """The ids of pairs that are new, in order; None for a pair that the run, or an earlier one of these, has already.

        Pairs of a prompt that the run has belong to its task. A new task is named as its source names it, or after the hash
        of its messages where the source gives no name, or the name is another prompt's.
        """
        prompts = [messages_row(pair.messages) for pair in pairs]
        hashes = [key for key, _ in prompts]
        tasks = await self._tasks("messages", hashes)
        names = [name for pair, key in zip(pairs, hashes, strict=True) for name in _names(pair.name, key)]
        owners = {name: key for key, name in (await self._tasks("id", names)).items()}
        in_run = set(tasks)
        found = [self._task(pair.name, key, tasks, owners) for pair, key in zip(pairs, hashes, strict=True)]
        wanted = [
            one
            for pair, key, task in zip(pairs, hashes, found, strict=True)
            if key in in_run
            for one in (pair_id(task, recipe), _id_by_text(pair, task, recipe))
        ]
        texts = await self._texts(wanted)
        identities: list[Identity | None] = []
        for pair, (key, stored), task in zip(pairs, prompts, found, strict=True):
            identity = _new_id(pair, task, recipe, texts)
            if identity is None:
                identities.append(None)
                continue
            texts[identity] = (pair.chosen, pair.rejected)
            identities.append(Identity(identity, task, key, stored, key not in in_run))
            in_run.add(key)
        return identities

    async def add(self, pairs: Sequence[ImportedPair], filter_set: int, before: int, state: Statement) -> None:
        """Commit new pairs behind the `before` ones of the same import, in one transaction with the state of the import."""
        last = int(await self._reader.value("SELECT coalesce(max(position), 0) FROM tasks"))
        statements: list[Statement] = []
        new_task = "INSERT INTO tasks (position, id, messages) VALUES (?, ?, ?)"
        for number, pair in enumerate(pairs, start=before + 1):
            identity = pair.identity
            key = identity.messages
            if identity.is_new_task:
                last += 1
                statements += [identity.stored, (new_task, (last, identity.task_id, key))]
            statements += imported_rows(identity.pair_id, number, pair.made, key, filter_set, pair.source_columns)
            statements += finding_rows(identity.pair_id, filter_set, pair.made.findings)
        await self._write(*statements, state)

    @staticmethod
    def _task(name: str | None, messages: str, tasks: dict[str, str], owners: dict[str, str]) -> str:
        """The id of the task with these messages; `tasks` by messages and `owners` of names are brought up to date."""
        if messages not in tasks:
            tasks[messages] = next(
                one for one in _names(name, messages) if owners.setdefault(one, messages) == messages
            )
        return tasks[messages]

    async def _tasks(self, column: str, values: Sequence[str | None]) -> dict[str, str]:
        """Ids of the stored tasks whose `column` is among `values`, by the hash of their messages."""
        sql = f"SELECT id, messages FROM tasks WHERE {column} IN (SELECT value FROM json_each(?))"
        return {row["messages"]: row["id"] for row in await self._reader.rows(sql, (json.dumps(values),))}

    async def _texts(self, ids: Sequence[str]) -> dict[str, tuple[str | None, str]]:
        """The answers of the stored pairs among `ids`."""
        if not ids:
            return {}
        sql = (
            "SELECT p.id, t.chosen, t.rejected FROM pairs p JOIN pair_texts t ON t.pair = p.number "
            "WHERE p.id IN (SELECT value FROM json_each(?))"
        )
        rows = await self._reader.rows(sql, (json.dumps(ids),))
        return {row["id"]: (row["chosen"], row["rejected"]) for row in rows}


def _names(name: str | None, messages: str) -> list[str]:
    """What a task may be called, the first that is free counts: another may have the hash of its messages as its name."""
    return [*([name] if name else []), messages[:TASK_ID_DIGITS], messages]


def _id_by_text(pair: PairTexts, task_id: str, recipe: str) -> str:
    return digest(canonical_json([task_id, recipe, pair.chosen, pair.rejected]))[:32]


def _new_id(pair: PairTexts, task_id: str, recipe: str, texts: Mapping[str, tuple[str | None, str]]) -> str | None:
    """The id of a pair: that of its task's first pair if there is none yet, else one by its texts; None if the run has it."""
    first = pair_id(task_id, recipe)
    if first not in texts:
        return first
    if texts[first] == (pair.chosen, pair.rejected):
        return None
    other = _id_by_text(pair, task_id, recipe)
    return None if other in texts else other
