"""Completions and attempts: what was answered, under its content key, and what was tried in vain."""

import datetime
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from clairgen.records import Completion, Usage
from clairgen.store.messages import messages_json_row
from clairgen.store.reader import Lookups, Reader
from clairgen.store.schema import Statement

Write = Callable[..., Awaitable[None]]

_COLUMNS = (
    "key, role, model, revision, sample, text, finish_reason, prompt_tokens, completion_tokens, latency_seconds, endpoint, "
    "response_id, cost_usd, created_at"
)


_INSERTION = (
    f"INSERT OR IGNORE INTO completions ({_COLUMNS}, parameters, messages, template, reused_from) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


@dataclass(frozen=True, slots=True)
class Sent:
    """What a completion answers: messages and sampling as canonical JSON, and the hash of the template, if there was one."""

    messages: str
    parameters: str
    template_hash: str | None


@dataclass(frozen=True, slots=True)
class Attempt:
    """A try that gave no completion."""

    key: str
    role: str
    model: str
    endpoint: str
    reason: str
    detail: str
    status: int | None
    billed: bool
    latency_seconds: float


@dataclass(frozen=True, slots=True)
class RoleNumbers:
    """What a role has done so far; tokens and dollars of answers reused from other runs are not counted again."""

    role: str
    completions: int
    reused: int
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float | None


@dataclass(frozen=True, slots=True)
class UsageSample:
    """Means over the answers of a role's model that this run asked for itself: tokens, their squares and their product."""

    answers: int
    prompt: float
    answer: float
    prompt_squared: float
    answer_squared: float
    product: float


class Completions:
    """The completions of one run."""

    def __init__(self, reader: Reader, write: Write) -> None:
        self._reader = reader
        self._write = write
        self._lookups = Lookups(
            reader, f"SELECT {_COLUMNS} FROM completions WHERE key IN (SELECT value FROM json_each(?))"
        )

    async def find(self, key: str) -> Completion | None:
        """The good completion of this key, if there is one."""
        row = await self._lookups.find(key)
        return None if row is None else _completion(row)

    async def save(self, completion: Completion, sent: Sent, reused_from: str | None = None) -> None:
        """Commit a completion with what was asked; the first one of a key stays."""
        messages_hash, statement = messages_json_row(sent.messages)
        await self._write(statement, _insertion(completion, messages_hash, sent, reused_from))

    async def save_attempt(self, attempt: Attempt) -> None:
        """Commit a try that gave no completion."""
        sql = (
            "INSERT INTO attempts (key, role, model, endpoint, reason, detail, status, billed, latency_seconds, created_at) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        )
        row = (
            attempt.key, attempt.role, attempt.model, attempt.endpoint, attempt.reason, attempt.detail, attempt.status,
            attempt.billed, attempt.latency_seconds, now(),
        )  # fmt: skip
        await self._write((sql, row))

    async def numbers(self) -> list[RoleNumbers]:
        """Counts, tokens and dollars by role."""
        sql = (
            "SELECT role, count(*), count(reused_from), total(iif(reused_from IS NULL, prompt_tokens, 0)), "
            "total(iif(reused_from IS NULL, completion_tokens, 0)), sum(iif(reused_from IS NULL, cost_usd, NULL)) "
            "FROM completions GROUP BY role ORDER BY role"
        )
        return [
            RoleNumbers(row[0], row[1], row[2], int(row[3]), int(row[4]), row[5])
            for row in await self._reader.rows(sql)
        ]

    async def usage_samples(self) -> dict[tuple[str, str], UsageSample]:
        """What answers have used so far, by role and model."""
        sql = (
            "SELECT role, model, count(*), avg(prompt_tokens), avg(completion_tokens), avg(1.0 * prompt_tokens * prompt_tokens), "
            "avg(1.0 * completion_tokens * completion_tokens), avg(1.0 * prompt_tokens * completion_tokens) FROM completions "
            "WHERE reused_from IS NULL AND prompt_tokens IS NOT NULL AND completion_tokens IS NOT NULL GROUP BY role, model"
        )
        return {(row[0], row[1]): UsageSample(*row[2:]) for row in await self._reader.rows(sql)}


def now() -> str:
    """This moment in UTC, ISO 8601."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")


def _completion(row: Any) -> Completion:  # noqa: ANN401 - a row of SQLite
    key, role, model, revision, sample, text, finish, prompt, answer, latency, endpoint, response_id, cost, created = (
        row
    )
    usage = Usage(prompt, answer)
    return Completion(
        key, role, model, revision, sample, text, finish, usage, latency, endpoint, response_id, cost, created
    )  # fmt: skip


def _insertion(completion: Completion, messages_hash: str, sent: Sent, reused_from: str | None) -> Statement:
    row = (
        completion.key, completion.role, completion.model, completion.revision, completion.sample, completion.text,
        completion.finish_reason, completion.usage.prompt_tokens, completion.usage.completion_tokens,
        completion.latency_seconds, completion.endpoint, completion.response_id, completion.cost_usd, completion.created_at,
        sent.parameters, messages_hash, sent.template_hash, reused_from,
    )  # fmt: skip
    return _INSERTION, row
