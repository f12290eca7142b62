"""Messages as they are stored: canonical JSON, once per content hash, compressed."""

import json
import zlib
from collections.abc import Sequence

from clairgen.keys import digest, messages_json
from clairgen.records import Message
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
