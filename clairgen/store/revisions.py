"""Answers that people edited, in the store: each edit is kept, and makes a pair of the text that it left and the edited one."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from clairgen.keys import canonical_json, digest
from clairgen.store.completions import now
from clairgen.store.metadata import Plan
from clairgen.store.pair_rows import MadePair, finding_rows, imported_rows, no_findings_row, request_rows
from clairgen.store.reader import Reader
from clairgen.store.statements import Statement, Write, messages_row

HUMAN_REVISION: Final = "human-revision"
"""The recipe of the pairs that people's edits make."""
REVISION_KINDS: Final[Mapping[str, str]] = {
    "revised_pair": "text",
    "revised_version": "text",
    "revised_answer": "text",
    "revised_by": "text",
    "revised_at": "text",
}
"""The further columns of such pairs, with what they hold."""


@dataclass(frozen=True, slots=True)
class Revision:
    """An edit: of which answer (`chosen` or `rejected`) of which pair in which version, by whom and when, to which text.

    `pair_id` is the pair that it makes. `replaced_at` is when the same person edited the same answer otherwise; None if that
    did not happen.
    """

    pair_id: str
    from_pair: str
    from_version: str
    answer: str
    editor: str
    text: str
    note: str | None
    created_at: str
    replaced_at: str | None = None

    @property
    def columns(self) -> dict[str, Any]:
        """The further columns of its pair."""
        values = (self.from_pair, self.from_version, self.answer, self.editor, self.created_at)
        return dict(zip(REVISION_KINDS, values, strict=True))


_FIELDS: Final = ("pair_id", "from_pair", "from_version", "answer", "editor", "text", "note", "created_at")
_SELECT: Final = f"SELECT {', '.join(_FIELDS)}, replaced_at FROM revisions"


class Revisions:
    """The edits in one run."""

    def __init__(self, reader: Reader, write: Write) -> None:
        self._reader = reader
        self._write = write

    async def all(self) -> list[Revision]:
        """All edits, also those that were replaced, in the order in which they were made."""
        return [Revision(**dict(row)) for row in await self._reader.rows(f"{_SELECT} ORDER BY id")]

    async def of_origin(self, pair_id: str) -> list[Revision]:
        """The edits of a pair's answers that were not replaced."""
        sql = f"{_SELECT} WHERE from_pair = ? AND replaced_at IS NULL ORDER BY id"
        return [Revision(**dict(row)) for row in await self._reader.rows(sql, (pair_id,))]

    async def add(
        self, revision: Revision, made: MadePair, filter_set: int, *, compared_later: Sequence[Statement]
    ) -> bool:
        """Commit an edit with its pair; false, and nothing is written, if the same person has made the same edit before.

        Another edit of the same answer by the same person is replaced: its pair leaves the run, unless somebody else has made the
        same edit, and its text stays here. `compared_later` are statements that go with it. Inside a `short_write`.
        """
        of_origin = await self.of_origin(revision.from_pair)
        own = [
            one
            for one in of_origin
            if (one.editor, one.answer, one.from_version) == (revision.editor, revision.answer, revision.from_version)
        ]
        if any(one.pair_id == revision.pair_id and one.note == revision.note for one in own):
            return False
        statements = list[Statement]()
        for former in own:
            statements.append(_replaced(former))
            if former.pair_id != revision.pair_id:
                others = _of_others(former, of_origin)
                statements += _credited(others) if others else _removed(former.pair_id)
        if await self._reader.value("SELECT 1 FROM pairs WHERE id = ?", (revision.pair_id,)) is None:
            statements += await self._pair(revision, made, filter_set)
        else:
            statements += _credited([*_of_others(revision, of_origin), revision])
        sql = f"INSERT INTO revisions ({', '.join(_FIELDS)}) VALUES ({', '.join('?' * len(_FIELDS))})"
        statements.append((sql, tuple(getattr(revision, name) for name in _FIELDS)))
        await self._write(*statements, *compared_later)
        return True

    async def _pair(self, revision: Revision, made: MadePair, filter_set: int) -> list[Statement]:
        """The statements that add the pair of an edit behind those of the others, and its recipe if it is the first."""
        last = await self._reader.value("SELECT max(position) FROM pairs WHERE recipe = ?", (HUMAN_REVISION,))
        key, messages = messages_row(made.prompt)
        plan = Plan(HUMAN_REVISION, {}, revises=True)
        recorded = "INSERT OR IGNORE INTO plans (recipe, plan, revises, created_at) VALUES (?, ?, ?, ?)"
        return [
            (recorded, (plan.recipe, canonical_json({}), plan.revises, now())),
            messages,
            *imported_rows(revision.pair_id, (last or 0) + 1, made, key, filter_set, revision.columns),
            *request_rows(revision.pair_id, made),
            no_findings_row(revision.pair_id, filter_set),
            *finding_rows(revision.pair_id, filter_set, made.findings),
        ]


def revision_pair_id(from_pair: str, answer: str, before: str, after: str) -> str:
    """The id of the pair of an edit: the same for the same edit of the same text, whoever makes it."""
    return digest(canonical_json([from_pair, HUMAN_REVISION, answer, before, after]))[:32]


def _of_others(revision: Revision, of_origin: Sequence[Revision]) -> list[Revision]:
    """The same edit by other people."""
    return [one for one in of_origin if one.pair_id == revision.pair_id and one.editor != revision.editor]


def _credited(edits: Sequence[Revision]) -> list[Statement]:
    """The statements after which a pair has the columns of the earliest of its edits, and the latest note."""
    earliest, notes = edits[0], [one.note for one in edits if one.note is not None]
    note = "UPDATE pair_texts SET reasoning = ? WHERE pair = (SELECT number FROM pairs WHERE id = ?)"
    columns = "UPDATE pairs SET source_columns = ? WHERE id = ?"
    return [
        (note, (notes[-1] if notes else None, earliest.pair_id)),
        (columns, (json.dumps(earliest.columns), earliest.pair_id)),
    ]


def _replaced(former: Revision) -> Statement:
    sql = "UPDATE revisions SET replaced_at = ? WHERE pair_id = ? AND editor = ? AND replaced_at IS NULL"
    return sql, (now(), former.pair_id, former.editor)


def _removed(pair_id: str) -> list[Statement]:
    """The statements after which the run no longer has a pair; votes on it stay, and count again if it comes back."""
    of_pair = ("filter_results", "pair_requests", "advice")
    return [
        *((f"DELETE FROM {table} WHERE pair_id = ?", (pair_id,)) for table in of_pair),
        ("DELETE FROM pairs WHERE id = ?", (pair_id,)),
    ]
