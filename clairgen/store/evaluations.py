"""Evaluations in the store: which model was evaluated on what, and what came of each item."""

import json
import sqlite3
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from clairgen.keys import canonical_json
from clairgen.store.completions import now
from clairgen.store.reader import Reader
from clairgen.store.statements import Write

_RECORD_COLUMNS = "id, kind, label, data, items, settings, created_at"
_ITEM_COLUMNS = "position, item_id, cluster, part, status, score, reason, detail, requests"
_PAGE = 2000


@dataclass(frozen=True, slots=True)
class EvaluationRecord:
    """An evaluation: `label` names the model for people, `data` its items, of which there are `items`.

    `settings` is all that the id is the digest of. `created_at` is empty for one that is not stored yet.
    """

    id: str
    kind: str
    label: str
    data: str
    items: int
    settings: Mapping[str, Any]
    created_at: str = ""


@dataclass(frozen=True, slots=True)
class ItemRecord:
    """What came of an item: a score between 0 and 1 where `status` is `scored`, else None, with a reason.

    A score may have a reason too, such as an answer without a number. `requests` are role and key of the completions that it
    rests on, in the order in which they were asked for.
    """

    position: int
    item_id: str
    cluster: str
    part: str
    status: str
    score: float | None
    reason: str | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)
    requests: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True, slots=True)
class EvaluationNumbers:
    """How far an evaluation is: how many `items` it has, and how many of them have which status (scored, unreadable, failed)."""

    id: str
    label: str
    kind: str
    data: str
    items: int
    statuses: Mapping[str, int]


class StoredEvaluations:
    """The evaluations of one run directory."""

    def __init__(self, reader: Reader, write: Write) -> None:
        self._reader = reader
        self._write = write

    async def record(self, evaluation: EvaluationRecord) -> None:
        """Commit an evaluation; of one that is there already only label and name of the data change."""
        sql = (
            f"INSERT INTO evaluations ({_RECORD_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?) "
            "ON CONFLICT (id) DO UPDATE SET label = excluded.label, data = excluded.data"
        )
        row = (
            evaluation.id, evaluation.kind, evaluation.label, evaluation.data, evaluation.items,
            canonical_json(dict(evaluation.settings)), now(),
        )  # fmt: skip
        await self._write((sql, row))

    async def all(self) -> list[EvaluationRecord]:
        """Every evaluation, the first one first."""
        rows = await self._reader.rows(f"SELECT {_RECORD_COLUMNS} FROM evaluations ORDER BY created_at, id")
        return [_record(row) for row in rows]

    async def numbers(self) -> list[EvaluationNumbers]:
        """How far each evaluation is, the first one first."""
        sql = "SELECT evaluation_id, status, count(*) AS count FROM evaluation_items GROUP BY 1, 2"
        counts = defaultdict[str, dict[str, int]](dict)
        for row in await self._reader.rows(sql):
            counts[row["evaluation_id"]][row["status"]] = row["count"]
        return [
            EvaluationNumbers(one.id, one.label, one.kind, one.data, one.items, counts[one.id])
            for one in await self.all()
        ]

    async def save(self, evaluation_id: str, item: ItemRecord) -> None:
        """Commit what came of an item, in place of what came of it before."""
        sql = (
            f"INSERT OR REPLACE INTO evaluation_items (evaluation_id, {_ITEM_COLUMNS}) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        )
        row = (
            evaluation_id, item.position, item.item_id, item.cluster, item.part, item.status, item.score, item.reason,
            json.dumps(dict(item.detail), ensure_ascii=True), json.dumps([list(one) for one in item.requests]),
        )  # fmt: skip
        await self._write((sql, row))

    async def done(self, evaluation_id: str, statuses: Collection[str]) -> set[int]:
        """The positions of the items that have one of these statuses."""
        sql = (
            "SELECT position FROM evaluation_items WHERE evaluation_id = ? "
            "AND status IN (SELECT value FROM json_each(?))"
        )
        rows = await self._reader.rows(sql, (evaluation_id, json.dumps(sorted(statuses))))
        return {row["position"] for row in rows}

    async def items(self, evaluation_id: str, limit: int | None = None) -> list[ItemRecord]:
        """What came of the items so far, of the first `limit` of the evaluation, in their order."""
        sql = (
            f"SELECT {_ITEM_COLUMNS} FROM evaluation_items WHERE evaluation_id = ? AND position > ? AND position <= ? "
            "ORDER BY position LIMIT ?"
        )
        found: list[ItemRecord] = []
        after, last = 0, limit if limit is not None else 2**62
        while page := await self._reader.rows(sql, (evaluation_id, after, last, _PAGE)):
            found += map(_item, page)
            after = found[-1].position
        return found


def _record(row: sqlite3.Row) -> EvaluationRecord:
    return EvaluationRecord(
        row["id"], row["kind"], row["label"], row["data"], row["items"], json.loads(row["settings"]), row["created_at"]
    )


def _item(row: sqlite3.Row) -> ItemRecord:
    return ItemRecord(
        row["position"],
        row["item_id"],
        row["cluster"],
        row["part"],
        row["status"],
        row["score"],
        row["reason"],
        json.loads(row["detail"]),
        [(role, key) for role, key in json.loads(row["requests"])],
    )
