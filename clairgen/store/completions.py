"""Completions, each under its content key, and attempts that failed."""

import datetime
import json
import sqlite3
from collections import Counter, defaultdict
from dataclasses import dataclass

from clairgen.finish_reason import FinishKind, finish_kind
from clairgen.records import Completion, Message, Usage
from clairgen.store.reader import Lookups, Reader
from clairgen.store.statements import Statement, Write, messages_json_row, messages_of
from clairgen.thinking import separate

_COLUMNS = (
    "key, role, model, revision, sample, text, finish_reason, prompt_tokens, completion_tokens, latency_seconds, endpoint, "
    "response_id, cost_usd, created_at, served_model, system_fingerprint, thinking, service_tier"
)
_INSERT = (
    f"INSERT OR IGNORE INTO completions ({_COLUMNS}, parameters, messages, template, reused_from) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_MOST_TOKENS = """
SELECT c.role, c.model, c.endpoint, t.tokens FROM completions c
    JOIN (SELECT role, model, endpoint, max(prompt_tokens) AS tokens FROM completions GROUP BY role, model, endpoint) t
    ON c.role = t.role AND c.model = t.model AND c.endpoint = t.endpoint AND c.prompt_tokens = t.tokens
WHERE t.tokens >= ? GROUP BY c.role, c.model, c.endpoint HAVING count(DISTINCT c.messages) >= ?
"""
_PROMPTS_OF = """
SELECT c.key, c.role, c.messages, m.body FROM completions c JOIN messages m ON m.hash = c.messages
WHERE c.role = ? AND c.model = ? AND c.endpoint = ? AND c.prompt_tokens = ?
"""


@dataclass(frozen=True, slots=True)
class Sent:
    """The request of a completion: messages and sampling as canonical JSON, and the template's hash, if there was one."""

    messages: str
    parameters: str
    template_hash: str | None


@dataclass(frozen=True, slots=True)
class Attempt:
    """A request that was sent and gave no completion; `billed` is whether it may have cost money."""

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
    """What a role has answered so far; tokens and dollars of completions reused from other runs are not counted.

    `cut_off` answers ended because they reached their limit of tokens; of `thought` ones there are thoughts beside or before
    the answer.
    """

    role: str
    completions: int
    reused: int
    cut_off: int
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float | None
    thought: int = 0

    def __add__(self, other: "RoleNumbers") -> "RoleNumbers":
        costs = [cost for cost in (self.cost_usd, other.cost_usd) if cost is not None]
        return RoleNumbers(
            self.role,
            self.completions + other.completions,
            self.reused + other.reused,
            self.cut_off + other.cut_off,
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            sum(costs) if costs else None,
            self.thought + other.thought,
        )


@dataclass(frozen=True, slots=True)
class UsageSample:
    """Means over the completions of a role's model that were requested in this run: tokens, their squares, their product."""

    answers: int
    prompt: float
    answer: float
    prompt_squared: float
    answer_squared: float
    product: float


@dataclass(frozen=True, slots=True)
class Thoughts:
    """What a model in a role thought before, or after, a completion's answer; `text` is empty where it did not."""

    role: str
    model: str
    text: str


class Completions:
    """The completions of one run."""

    def __init__(self, reader: Reader, write: Write) -> None:
        self._reader = reader
        self._write = write
        self._lookups = Lookups(
            reader, f"SELECT {_COLUMNS} FROM completions WHERE key IN (SELECT value FROM json_each(?))"
        )

    async def find(self, key: str) -> Completion | None:
        """The completion of this key, if there is one."""
        row = await self._lookups.find(key)
        return None if row is None else _completion(row)

    async def messages(self, key: str) -> tuple[Message, ...]:
        """The messages that were sent for the completion of this key; empty if there is none."""
        sql = "SELECT m.body FROM completions c JOIN messages m ON m.hash = c.messages WHERE c.key = ?"
        row = await self._reader.row(sql, (key,))
        return () if row is None else messages_of(row["body"])

    async def thoughts(self, key: str) -> Thoughts | None:
        """The thoughts of the completion of this key, apart from its text or in it; None without a completion."""
        completion = await self.find(key)
        if completion is None:
            return None
        prompt = "\n".join(message.content for message in await self.messages(key))
        inside = separate(completion.text, prompt).thinking
        return Thoughts(completion.role, completion.model, "\n\n".join(filter(None, (completion.thinking, inside))))

    async def save(self, completion: Completion, sent: Sent, reused_from: str | None = None) -> None:
        """Commit a completion with its request; the first one of a key is kept."""
        messages_hash, statement = messages_json_row(sent.messages)
        row = completion_row(completion, messages_hash, sent.parameters, sent.template_hash, reused_from)
        await self._write(statement, row)

    async def save_attempt(self, attempt: Attempt) -> None:
        """Commit an attempt that gave no completion."""
        await self._write(attempt_row(attempt))

    async def numbers(self) -> list[RoleNumbers]:
        """Counts, tokens and dollars by role."""
        cut_off: Counter[str] = Counter()
        by_word = "SELECT role, finish_reason, count(*) AS answers FROM completions GROUP BY role, finish_reason"
        for row in await self._reader.rows(by_word):
            if finish_kind(row["finish_reason"]) is FinishKind.LENGTH:
                cut_off[row["role"]] += row["answers"]
        sql = (
            "SELECT role, count(*) AS completions, count(reused_from) AS reused, count(thinking) AS thought, "
            "total(iif(reused_from IS NULL, prompt_tokens, 0)) AS prompt_tokens, "
            "total(iif(reused_from IS NULL, completion_tokens, 0)) AS completion_tokens, "
            "sum(iif(reused_from IS NULL, cost_usd, NULL)) AS cost_usd "
            "FROM completions GROUP BY role ORDER BY role"
        )
        return [
            RoleNumbers(
                row["role"],
                row["completions"],
                row["reused"],
                cut_off[row["role"]],
                int(row["prompt_tokens"]),
                int(row["completion_tokens"]),
                row["cost_usd"],
                row["thought"],
            )
            for row in await self._reader.rows(sql)
        ]

    async def cut_prompts(
        self, *, fewest_tokens: int, prompts: int, characters_per_token: float
    ) -> dict[str, list[str]]:
        """The roles whose prompts a server probably cut to its context, by the id of the pair that was made of their answers.

        They are the ones that were counted as the most tokens that the server ever counted for the role, and have more
        characters than so many tokens can have; and they are at least `prompts` different ones.
        """
        found: dict[str, str] = {}
        for top in await self._reader.rows(_MOST_TOKENS, (fewest_tokens, prompts)):
            where = (top["role"], top["model"], top["endpoint"], top["tokens"])
            rows = [
                row
                for row in await self._reader.rows(_PROMPTS_OF, where)
                if sum(len(message.content) for message in messages_of(row["body"]))
                > characters_per_token * top["tokens"]
            ]
            if len({row["messages"] for row in rows}) >= prompts:
                found |= {row["key"]: row["role"] for row in rows}
        pairs = defaultdict[str, list[str]](list)
        if found:
            sql = "SELECT pair_id, key FROM pair_requests WHERE key IN (SELECT value FROM json_each(?)) ORDER BY pair_id, purpose"
            for row in await self._reader.rows(sql, (json.dumps(list(found)),)):
                pairs[row["pair_id"]].append(found[row["key"]])
        return {identity: list(dict.fromkeys(roles)) for identity, roles in pairs.items()}

    async def usage_samples(self) -> dict[tuple[str, str], UsageSample]:
        """Tokens of the completions so far, by role and model."""
        sql = (
            "SELECT role, model, count(*) AS answers, avg(prompt_tokens) AS prompt, avg(completion_tokens) AS answer, "
            "avg(1.0 * prompt_tokens * prompt_tokens) AS prompt_squared, "
            "avg(1.0 * completion_tokens * completion_tokens) AS answer_squared, "
            "avg(1.0 * prompt_tokens * completion_tokens) AS product FROM completions "
            "WHERE reused_from IS NULL AND prompt_tokens IS NOT NULL AND completion_tokens IS NOT NULL GROUP BY role, model"
        )
        return {
            (row["role"], row["model"]): UsageSample(
                row["answers"],
                row["prompt"],
                row["answer"],
                row["prompt_squared"],
                row["answer_squared"],
                row["product"],
            )
            for row in await self._reader.rows(sql)
        }


def now() -> str:
    """This moment in UTC, ISO 8601."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")


def _completion(row: sqlite3.Row) -> Completion:
    return Completion(
        key=row["key"],
        role=row["role"],
        model=row["model"],
        revision=row["revision"],
        sample=row["sample"],
        text=row["text"],
        finish_reason=row["finish_reason"],
        usage=Usage(row["prompt_tokens"], row["completion_tokens"]),
        latency_seconds=row["latency_seconds"],
        endpoint=row["endpoint"],
        response_id=row["response_id"],
        cost_usd=row["cost_usd"],
        created_at=row["created_at"],
        served_model=row["served_model"],
        system_fingerprint=row["system_fingerprint"],
        thinking=row["thinking"],
        service_tier=row["service_tier"],
    )


def completion_row(
    completion: Completion,
    messages_hash: str,
    parameters: str,
    template_hash: str | None,
    reused_from: str | None = None,
) -> Statement:
    """The statement that stores a completion, unless its key has one; its messages are stored by another."""
    row = (
        completion.key, completion.role, completion.model, completion.revision, completion.sample, completion.text,
        completion.finish_reason, completion.usage.prompt_tokens, completion.usage.completion_tokens,
        completion.latency_seconds, completion.endpoint, completion.response_id, completion.cost_usd, completion.created_at,
        completion.served_model, completion.system_fingerprint, completion.thinking, completion.service_tier,
        parameters, messages_hash, template_hash, reused_from,
    )  # fmt: skip
    return _INSERT, row


def attempt_row(attempt: Attempt) -> Statement:
    """The statement that stores an attempt."""
    sql = (
        "INSERT INTO attempts (key, role, model, endpoint, reason, detail, status, billed, latency_seconds, created_at) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
    )
    row = (
        attempt.key, attempt.role, attempt.model, attempt.endpoint, attempt.reason, attempt.detail, attempt.status,
        attempt.billed, attempt.latency_seconds, now(),
    )  # fmt: skip
    return sql, row
