"""Batches: requests that were given to a provider together, each of their lines, and what came back that fits no line.

A batch is recorded before anything of it leaves this machine, so that after a kill it is looked for at the provider under its id
before anything is sent again. Its lines are the content keys of its requests; one whose `outcome` is null still waits.
"""

import hashlib
import zlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from clairgen.records import Completion
from clairgen.store.completions import Attempt, Sent, attempt_row, completion_row, now
from clairgen.store.reader import Reader
from clairgen.store.spending import Call, reservation, settlement
from clairgen.store.statements import Statement, Write, messages_json_row, messages_of

ANSWERED = "answered"
"""The outcome of a line whose completion is stored; all others are reasons of failure."""
_MOST_KEPT_BYTES = 1_000_000  # of a line that nobody can read


@dataclass(frozen=True, slots=True)
class BatchRecord:
    """A batch as it is recorded; `id` stands in the provider's metadata and in the name of the file.

    `state` is how far it is: `collected` (its file is on this disk), `uploaded`, `created` or `ended`. `create_sent` is whether a
    request to create it was sent whose outcome is not known. `status`, `completed` and `failed` are the provider's words, and
    nothing rests on the numbers. `strays` counts what came back and fits no line. Prices are dollars per million tokens, None
    where none is known; `expires_at` is the provider's time, in seconds.
    """

    id: str
    role: str
    model: str
    revision: str | None
    endpoint: str
    requests: int
    bytes: int
    tokens: int
    input_price: float | None
    output_price: float | None
    created_at: str
    state: str = "collected"
    create_sent: bool = False
    file_id: str | None = None
    batch_id: str | None = None
    duplicate_of: str | None = None
    status: str | None = None
    completed: int | None = None
    failed: int | None = None
    expires_at: float | None = None
    submitted_at: str | None = None
    ended_at: str | None = None
    detail: str | None = None


_COLUMNS = tuple(BatchRecord.__dataclass_fields__)


@dataclass(frozen=True, slots=True)
class BatchLine:
    """One request of a batch, with all that its completion needs beside the answer; `call` is what is reserved for it."""

    key: str
    sample: int
    sent: Sent
    call: Call | None


@dataclass(frozen=True, slots=True)
class WaitingLine:
    """A line that has no outcome: its batch, the hash of its messages, and its reservation."""

    batch: str
    key: str
    sample: int
    parameters: str
    messages: str
    template_hash: str | None
    call: Call | None


@dataclass(frozen=True, slots=True)
class BatchNumbers:
    """How the lines of a batch stand, by their own outcomes, and how many `strays` came back beside them."""

    waiting: int
    answered: int
    failed: Mapping[str, int]
    strays: int


class Batches:
    """The batches of one run."""

    def __init__(self, reader: Reader, write: Write) -> None:
        self._reader = reader
        self._write = write

    async def intend(self, batch: BatchRecord, lines: Sequence[BatchLine]) -> None:
        """Commit that a batch is about to be submitted, with all of its lines and the most that each can cost."""
        statements: list[Statement] = [_insert(batch)]
        for line in lines:
            messages, statement = messages_json_row(line.sent.messages)
            statements.append(statement)
            if line.call is not None:
                statements.append(reservation(line.call))
            row = (batch.id, line.key, line.call and line.call.id, line.sample, line.sent.parameters, messages)
            statements.append((_INSERT_LINE, (*row, line.sent.template_hash)))
        await self._write(*statements)

    async def add_duplicate(self, batch: BatchRecord) -> None:
        """Commit that the provider has a second batch of the same requests."""
        await self._write(_insert(batch))

    async def update(self, identity: str, **facts: Any) -> None:  # noqa: ANN401 - columns of a batch
        """Commit facts about a batch, by the names that `BatchRecord` gives them."""
        names = ", ".join(f"{name} = ?" for name in facts)
        await self._write((f"UPDATE batches SET {names} WHERE id = ?", (*facts.values(), identity)))

    async def answer(self, line: WaitingLine, completion: Completion, cost: int | None) -> None:
        """Commit a line's answer, its outcome and its cost together; `cost` is None where it is not known."""
        await self._write(
            completion_row(completion, line.messages, line.parameters, line.template_hash),
            _outcome(line, ANSWERED),
            *_settled(line, cost),
        )

    async def fail(self, line: WaitingLine, attempt: Attempt, cost: int | None) -> None:
        """Commit why a line has no answer; `cost` is None where it is not known, and then counts as the most that it can be."""
        await self._write(attempt_row(attempt), _outcome(line, attempt.reason), *_settled(line, cost))

    async def has_stray(self, batch: str, body: bytes) -> bool:
        """Whether this was kept before."""
        sql = "SELECT 1 FROM batch_strays WHERE batch = ? AND content = ?"
        return await self._reader.value(sql, (batch, _content(body))) is not None

    async def keep_stray(self, batch: str, reason: str, custom_id: str | None, body: bytes, call: Call | None) -> None:
        """Commit something that came back and fits no line, and with its `call` what it cost."""
        insert = (
            "INSERT OR IGNORE INTO batch_strays (batch, content, custom_id, reason, body, created_at) "
            "VALUES (?, ?, ?, ?, ?, ?)"
        )
        row = (batch, _content(body), custom_id, reason, zlib.compress(body[:_MOST_KEPT_BYTES]), now())
        await self._write((insert, row), *([settlement(call, call.max_cost or 0)] if call is not None else []))

    async def outcome(self, batch: str, key: str) -> str | None:
        """The outcome of a line; None for one that waits, or that the batch does not have."""
        sql = "SELECT outcome FROM batch_lines WHERE batch = ? AND key = ?"
        found: str | None = await self._reader.value(sql, (batch, key))
        return found

    async def prompt(self, messages_hash: str) -> str:
        """The text of all messages with this hash."""
        row = await self._reader.row("SELECT body FROM messages WHERE hash = ?", (messages_hash,))
        return "" if row is None else "\n".join(message.content for message in messages_of(row["body"]))

    async def all(self, *, open_only: bool = False) -> list[BatchRecord]:
        """The batches in the order in which they were collected."""
        where = " WHERE state != 'ended'" if open_only else ""
        rows = await self._reader.rows(f"SELECT {', '.join(_COLUMNS)} FROM batches{where} ORDER BY created_at, rowid")
        return [BatchRecord(**{**dict(row), "create_sent": bool(row["create_sent"])}) for row in rows]

    async def waiting(self, batch: str) -> dict[str, WaitingLine]:
        """The lines of a batch that have no outcome yet, by key."""
        sql = (
            "SELECT l.*, s.max_cost, b.role FROM batch_lines l JOIN batches b ON b.id = l.batch "
            "LEFT JOIN spending s ON s.id = l.call WHERE l.batch = ? AND l.outcome IS NULL"
        )
        return {
            row["key"]: WaitingLine(
                batch,
                row["key"],
                row["sample"],
                row["parameters"],
                row["messages"],
                row["template"],
                None if row["call"] is None else Call(row["call"], row["role"], row["max_cost"]),
            )
            for row in await self._reader.rows(sql, (batch,))
        }

    async def waiting_keys(self) -> set[str]:
        """The keys of all requests that wait in open batches."""
        sql = "SELECT l.key FROM batch_lines l JOIN batches b ON b.id = l.batch WHERE l.outcome IS NULL AND b.state != 'ended'"
        return {row[0] for row in await self._reader.rows(sql)}

    async def failures(self) -> dict[str, Counter[str]]:
        """How often each request has failed in batches, by key and reason."""
        found = defaultdict[str, Counter[str]](Counter)
        sql = "SELECT key, outcome, count(*) FROM batch_lines WHERE outcome IS NOT NULL AND outcome != ? GROUP BY key, outcome"
        for key, outcome, count in await self._reader.rows(sql, (ANSWERED,)):
            found[key][outcome] = count
        return dict(found)

    async def last_attempt(self, key: str) -> Attempt | None:
        """The last attempt at a request that gave no completion, if there was one."""
        names = [one.name for one in fields(Attempt)]
        sql = f"SELECT {', '.join(names)} FROM attempts WHERE key = ? ORDER BY id DESC LIMIT 1"
        row = await self._reader.row(sql, (key,))
        return None if row is None else Attempt(**{**dict(row), "billed": bool(row["billed"])})

    async def numbers(self) -> dict[str, BatchNumbers]:
        """How the lines of each batch stand, by its id."""
        strays_sql = "SELECT batch, count(*) FROM batch_strays GROUP BY batch"
        strays: dict[str, int] = {row[0]: row[1] for row in await self._reader.rows(strays_sql)}
        counts = defaultdict[str, Counter[str | None]](Counter)
        for batch, outcome, count in await self._reader.rows(
            "SELECT batch, outcome, count(*) FROM batch_lines GROUP BY batch, outcome"
        ):
            counts[batch][outcome] = count
        return {
            batch: BatchNumbers(
                outcomes.pop(None, 0),
                outcomes.pop(ANSWERED, 0),
                {str(reason): count for reason, count in outcomes.items()},
                strays.get(batch, 0),
            )
            for batch, outcomes in counts.items()
        } | {batch: BatchNumbers(0, 0, {}, count) for batch, count in strays.items() if batch not in counts}


_INSERT_LINE = (
    "INSERT INTO batch_lines (batch, key, call, sample, parameters, messages, template) VALUES (?, ?, ?, ?, ?, ?, ?)"
)


def _insert(batch: BatchRecord) -> Statement:
    marks = ", ".join("?" * len(_COLUMNS))
    return (
        f"INSERT INTO batches ({', '.join(_COLUMNS)}) VALUES ({marks})",
        tuple(getattr(batch, name) for name in _COLUMNS),
    )


def _content(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def _outcome(line: WaitingLine, outcome: str) -> Statement:
    sql = "UPDATE batch_lines SET outcome = ? WHERE batch = ? AND key = ? AND outcome IS NULL"
    return sql, (outcome, line.batch, line.key)


def _settled(line: WaitingLine, cost: int | None) -> Sequence[Statement]:
    return () if line.call is None or cost is None else (settlement(line.call, cost),)
