"""What the store's modules hand to the writer: statements, and the values in them as they are stored.

Messages are canonical JSON, stored once per content hash, compressed; recorded answers likewise, by task.
"""

import json
import zlib
from collections.abc import Awaitable, Sequence
from typing import Any, Protocol, TypeAlias

from clairgen.keys import digest, messages_json
from clairgen.records import Message, RecordedAnswer

COMPRESSED = "compressed"
_FAST = 1  # zlib's level: most of the compression in a third of the time
Statement: TypeAlias = tuple[str, Sequence[Any]]
"""SQL with its parameters."""


class Write(Protocol):
    """Commits statements together and returns when they are durable; see `clairgen.store.writer.Writer.write`."""

    def __call__(self, *statements: Statement) -> Awaitable[None]:
        """Raises StoreError."""


def messages_row(messages: Sequence[Message]) -> tuple[str, Statement]:
    """The content hash of messages, and the statement that stores them if they are new."""
    return messages_json_row(messages_json(messages))


def messages_json_row(body: str) -> tuple[str, Statement]:
    """The same for messages as canonical JSON; they are compressed only once they turn out to be new."""
    key = digest(body)
    sql = (
        f"INSERT INTO messages (hash, body) SELECT ?, {COMPRESSED}(?) "
        "WHERE NOT EXISTS (SELECT 1 FROM messages WHERE hash = ?)"
    )
    return key, (sql, (key, body, key))


def compressed(body: str) -> bytes:
    """Canonical JSON as it is stored; the SQL function COMPRESSED of connections that write."""
    return zlib.compress(body.encode("ascii"), _FAST)


def messages_of(body: bytes) -> tuple[Message, ...]:
    """Messages from their stored body."""
    return tuple(Message(entry["role"], entry["content"]) for entry in json.loads(zlib.decompress(body).decode()))


def answers_body(answers: Sequence[RecordedAnswer]) -> bytes | None:
    """Recorded answers as they are stored; None for none."""
    if not answers:
        return None
    content = [[answer.text, answer.model, answer.score] for answer in answers]
    return zlib.compress(json.dumps(content, ensure_ascii=True).encode("ascii"), _FAST)


def answers_of(body: bytes | None) -> tuple[RecordedAnswer, ...]:
    """Recorded answers from their stored body."""
    return () if body is None else tuple(RecordedAnswer(*entry) for entry in json.loads(zlib.decompress(body)))
