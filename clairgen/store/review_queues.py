"""Queues of pairs that are handed out to people: each pair to as many as its queue's overlap, and to nobody twice.

Whoever is handed a pair holds it for a while (a lease); afterwards it goes to the next one. A vote counts wherever it was given.
"""

import dataclasses
import heapq
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from clairgen.store.chosen_pairs import PairChoice
from clairgen.store.completions import now
from clairgen.store.reader import Reader
from clairgen.store.statements import Write

_PAGE = 10_000
_VOTED = "SELECT v.voter FROM votes v WHERE v.pair_id = q.pair_id AND v.outdated_at IS NULL"
_CAN_BE_VOTED_ON = "JOIN pairs p ON p.id = q.pair_id AND p.status = 'made' AND p.parse_status = 'ok'"
_OPEN = (
    f"SELECT q.pair_id FROM queued_pairs q {_CAN_BE_VOTED_ON} WHERE q.queue = :queue "
    f"AND :voter NOT IN ({_VOTED}) AND NOT EXISTS (SELECT 1 FROM leases l WHERE l.queue = q.queue "
    "AND l.pair_id = q.pair_id AND l.voter = :voter AND l.skipped) "
    f"AND (SELECT count(*) FROM ({_VOTED} UNION SELECT l.voter FROM leases l WHERE l.queue = q.queue "
    "AND l.pair_id = q.pair_id AND l.until > :at AND NOT l.skipped AND l.voter <> :voter)) < :overlap"
)
"""The pairs of a queue that a person may be handed at a moment."""


@dataclass(frozen=True, slots=True)
class ReviewQueue:
    """A queue by its name: among which pairs it was drawn, by which seed, and to how many people each pair is handed.

    `lease_seconds` is how long a person has for a pair before somebody else gets it. In a `blind` queue people are not told which
    answer is the chosen one.
    """

    name: str
    choice: Mapping[str, Any]
    seed: int
    overlap: int
    lease_seconds: float
    created_at: str
    blind: bool = False

    def shown_first(self, pair_id: str, voter: str) -> str:
        """The answer of a pair, `chosen` or `rejected`, that a person is shown first in a blind queue: by the toss of a coin."""
        drawn = sha256(f"{self.seed}:{pair_id}:{voter}".encode()).digest()
        return "chosen" if drawn[0] % 2 else "rejected"


@dataclass(frozen=True, slots=True)
class QueueProgress:
    """How far a queue is: its `pairs`, how many of them have all their votes, some, or none, and what each voter did.

    `held` is how many are with somebody now. `gone` counts pairs that nobody can vote on any more, as they were made again.
    """

    queue: ReviewQueue
    pairs: int
    done: int
    begun: int
    waiting: int
    held: int
    gone: int
    by_voter: Mapping[str, int]

    @property
    def is_open(self) -> bool:
        """Whether pairs that can be voted on lack votes."""
        return self.done + self.gone < self.pairs


class ReviewQueues:
    """The queues of one run."""

    def __init__(self, reader: Reader, write: Write) -> None:
        self._reader = reader
        self._write = write

    async def drawn(self, choice: PairChoice, seed: int, most: int) -> list[str]:
        """At most `most` of the chosen pairs that people can vote on, in the random order of the seed.

        The order of two pairs does not depend on which others there are.
        """
        condition, parameters = choice.condition
        sql = f"SELECT p.id FROM pairs p WHERE {condition} AND p.parse_status = 'ok' AND p.id > ? ORDER BY p.id LIMIT {_PAGE}"
        after, found = "", list[tuple[bytes, str]]()
        while rows := await self._reader.rows(sql, [*parameters, after]):
            after = rows[-1]["id"]
            drawn = ((sha256(f"{seed}:{row['id']}".encode()).digest(), row["id"]) for row in rows)
            found = heapq.nsmallest(most, (*found, *drawn))
        return [identity for _, identity in found]

    async def create(
        self,
        name: str,
        choice: PairChoice,
        ids: Sequence[str],
        *,
        seed: int,
        overlap: int,
        lease_seconds: float,
        blind: bool,
    ) -> None:
        """Commit a queue of these pairs. That it is blind stands beside what its pairs were chosen by."""
        said = {key: value for key, value in dataclasses.asdict(choice).items() if value} | (
            {"blind": True} if blind else {}
        )
        queue = (name, json.dumps(said), seed, overlap, lease_seconds, now())
        pair = "INSERT INTO queued_pairs (queue, position, pair_id) VALUES (?, ?, ?)"
        await self._write(
            (
                "INSERT INTO review_queues (name, choice, seed, overlap, lease_seconds, created_at) VALUES (?, ?, ?, ?, ?, ?)",
                queue,
            ),
            *((pair, (name, position, identity)) for position, identity in enumerate(ids, start=1)),
        )

    async def all(self) -> list[ReviewQueue]:
        """All queues, in the order in which they were made."""
        rows = await self._reader.rows("SELECT * FROM review_queues ORDER BY created_at, name")
        found = []
        for row in rows:
            choice = json.loads(row["choice"])
            blind = choice.pop("blind", False)
            found.append(ReviewQueue(**dict(row) | {"choice": choice, "blind": blind}))
        return found

    async def find(self, name: str) -> ReviewQueue | None:
        """The queue of this name."""
        return next((queue for queue in await self.all() if queue.name == name), None)

    async def held_by(self, queue: ReviewQueue, voter: str, at: float) -> str | None:
        """The pair that a person holds and has not voted on; None without one."""
        sql = (
            f"SELECT q.pair_id FROM leases q {_CAN_BE_VOTED_ON} WHERE q.queue = :queue AND q.voter = :voter "
            f"AND q.until > :at AND NOT q.skipped AND :voter NOT IN ({_VOTED}) ORDER BY q.until DESC LIMIT 1"
        )
        found = await self._reader.value(sql, {"queue": queue.name, "voter": voter, "at": at})
        return None if found is None else str(found)

    async def open_to(
        self, queue: ReviewQueue, voter: str, at: float, most: int, among: Sequence[str] | None = None
    ) -> list[str]:
        """The first pairs that a person may be handed, in the order of the queue; only `among` these if they are given."""
        sql, values = _OPEN, {"queue": queue.name, "voter": voter, "at": at, "overlap": queue.overlap, "most": most}
        if among is not None:
            sql += " AND q.pair_id IN (SELECT value FROM json_each(:among))"
            values["among"] = json.dumps(list(among))
        rows = await self._reader.rows(f"{sql} ORDER BY q.position LIMIT :most", values)
        return [row["pair_id"] for row in rows]

    async def has(self, queue: ReviewQueue, pair_id: str) -> bool:
        """Whether the pair is in the queue."""
        sql = "SELECT 1 FROM queued_pairs WHERE queue = ? AND pair_id = ?"
        return await self._reader.value(sql, (queue.name, pair_id)) is not None

    async def holds(self, queue: ReviewQueue, pair_id: str, voter: str, at: float) -> bool:
        """Whether a person was handed the pair and still has time for it."""
        sql = "SELECT 1 FROM leases WHERE queue = ? AND pair_id = ? AND voter = ? AND until > ? AND NOT skipped"
        return await self._reader.value(sql, (queue.name, pair_id, voter, at)) is not None

    async def was_skipped(self, queue: ReviewQueue, pair_id: str, voter: str) -> bool:
        """Whether a person has skipped the pair."""
        sql = "SELECT 1 FROM leases WHERE queue = ? AND pair_id = ? AND voter = ? AND skipped"
        return await self._reader.value(sql, (queue.name, pair_id, voter)) is not None

    async def hand_out(self, queue: ReviewQueue, pair_id: str, voter: str, until: float) -> None:
        """Commit that a person holds a pair."""
        sql = "INSERT OR REPLACE INTO leases (queue, pair_id, voter, until) VALUES (?, ?, ?, ?)"
        await self._write((sql, (queue.name, pair_id, voter, until)))

    async def give_back(self, queue: ReviewQueue, pair_id: str, voter: str, *, skipped: bool) -> None:
        """Commit that a person no longer holds a pair, and, if `skipped`, does not get it again."""
        statement = ("DELETE FROM leases WHERE queue = ? AND pair_id = ? AND voter = ?", (queue.name, pair_id, voter))
        if skipped:
            sql = "INSERT OR REPLACE INTO leases (queue, pair_id, voter, until, skipped) VALUES (?, ?, ?, 0, 1)"
            statement = (sql, (queue.name, pair_id, voter))
        await self._write(statement)

    async def progress(self, queue: ReviewQueue, at: float) -> QueueProgress:
        """How far a queue is."""
        sql = (
            f"SELECT (SELECT count(*) FROM (SELECT DISTINCT voter FROM ({_VOTED}))) AS votes, p.id IS NOT NULL AS is_there, "
            "EXISTS (SELECT 1 FROM leases l WHERE l.queue = q.queue AND l.pair_id = q.pair_id AND l.until > :at "
            f"AND NOT l.skipped) AS held FROM queued_pairs q LEFT {_CAN_BE_VOTED_ON} WHERE q.queue = :queue"
        )
        rows = await self._reader.rows(sql, {"queue": queue.name, "at": at})
        there = [row for row in rows if row["is_there"]]
        done = sum(row["votes"] >= queue.overlap for row in there)
        begun = sum(0 < row["votes"] < queue.overlap for row in there)
        votes = (
            "SELECT v.voter, count(DISTINCT v.pair_id) AS count FROM queued_pairs q JOIN votes v ON v.pair_id = q.pair_id "
            "WHERE q.queue = ? AND v.outdated_at IS NULL GROUP BY v.voter ORDER BY count DESC, v.voter"
        )
        return QueueProgress(
            queue,
            len(rows),
            done,
            begun,
            len(there) - done - begun,
            sum(row["held"] for row in there),
            len(rows) - len(there),
            {row["voter"]: row["count"] for row in await self._reader.rows(votes, (queue.name,))},
        )
