"""Messages as they are stored: canonical JSON, once per content hash, compressed; recorded answers likewise, by task."""

import json
import zlib
from collections.abc import Sequence

from clairgen.keys import digest, messages_json
from clairgen.records import Message, RecordedAnswer
from clairgen.store.writer import Statement

_FAST = 1  # zlib's level: most of the gain at a third of the time


def messages_row(messages: Sequence[Message]) -> tuple[str, Statement]:
    """The content hash of messages, and the statement that stores them if they are new."""
    body = messages_json(messages)
    key = digest(body)
    row = (key, zlib.compress(body.encode("ascii"), _FAST))
    return key, ("INSERT OR IGNORE INTO messages (hash, body) VALUES (?, ?)", row)


def messages_of(body: bytes) -> tuple[Message, ...]:
    """Messages from their stored body."""
    return tuple(Message(entry["role"], entry["content"]) for entry in json.loads(zlib.decompress(body)))


def answers_body(answers: Sequence[RecordedAnswer]) -> bytes | None:
    """Recorded answers as they are stored; None for none."""
    if not answers:
        return None
    content = [[answer.text, answer.model, answer.score] for answer in answers]
    return zlib.compress(json.dumps(content, ensure_ascii=True).encode("ascii"), _FAST)


def answers_of(body: bytes | None) -> tuple[RecordedAnswer, ...]:
    """Recorded answers from their stored body."""
    return () if body is None else tuple(RecordedAnswer(*entry) for entry in json.loads(zlib.decompress(body)))
