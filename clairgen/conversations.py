"""Conversations as data sets write them: messages as JSON text, and what of a row, a message or a text cannot be used."""

import json
from collections.abc import Mapping
from typing import Any, Final

from clairgen.patterns import lazy_pattern
from clairgen.row_files import strict_json

_QUOTED_ROLE: Final = lazy_pattern(r"""["'](?:role|from)\\?["']\s*:""")
_QUOTED_CONTENT: Final = lazy_pattern(r"""["'](?:content|value)\\?["']\s*:""")
_SPEAKER: Final = lazy_pattern(r"\n\n(Human|Assistant):[ ]?")
_SPEAKERS: Final = {"Human": "user", "Assistant": "assistant"}
_SHAREGPT: Final = {
    "human": "user",
    "gpt": "assistant",
    "model": "assistant",
    "chatgpt": "assistant",
    "bing": "assistant",
    "bard": "assistant",
}
_HOLDERS: Final = ("messages", "conversations", "conversation")
_UNSUPPORTED_FIELDS: Final = {
    "tool_calls": "tool calls",
    "function_call": "tool calls",
    "tool_call_id": "tool calls",
    "name": "names of speakers",
    "reasoning_content": "thoughts beside the text",
    "reasoning": "thoughts beside the text",
    "thinking": "thoughts beside the text",
    "images": "images",
    "audio": "recordings",
}
_UNSUPPORTED_COLUMNS: Final = {
    "tools": "tools that the model may call",
    "functions": "tools that the model may call",
    "images": "images",
    "image": "images",
    "system": "a system prompt in a column of its own; put it into the conversation as its first message",
    "system_prompt": "a system prompt in a column of its own; put it into the conversation as its first message",
}


def messages_in(text: str) -> list[Any] | None:
    """The messages that a text is the JSON of; None for any other text, also one that only quotes messages.

    Raises ValueError, with the reason, for a text that is meant as messages and cannot be read as a list of them.
    """
    if text.lstrip()[:1] not in ("[", "{", '"'):
        return None
    try:
        content = strict_json(text)
    except (ValueError, RecursionError) as error:
        if _is_meant_as_messages(text):
            why = "not valid JSON" if isinstance(error, json.JSONDecodeError | RecursionError) else str(error)
            raise ValueError(f"is a list of messages as text, but {why}; write it as JSON") from None
        return None
    if isinstance(content, list):
        if any(isinstance(entry, str) and _is_messages_text(entry) for entry in content):
            raise ValueError("is a list of messages that are JSON text themselves; write each as a JSON object")
        return content if any(map(_is_message, content)) else None
    if isinstance(content, str) and _is_messages_text(content):
        raise ValueError("is JSON text within JSON text; write the messages as JSON once")
    if _is_message(content):
        raise ValueError("is a single message as text; write a list of messages")
    if isinstance(content, dict) and any(_holds_messages(content.get(name)) for name in _HOLDERS):
        raise ValueError("is an object that holds messages, as text; write the list of messages alone")
    return None


def unsupported_message(message: Mapping[str, Any]) -> str | None:
    """What of a message would be lost, as a phrase; None for one that is its role and its text alone."""
    if message.get("role") in ("tool", "function"):
        return f"has a message of the role `{message['role']}`; conversations with tools are not supported yet"
    if isinstance(message.get("content"), list):
        kinds = {str(part.get("type")) for part in message["content"] if isinstance(part, Mapping)} - {"text"}
        held = f" ({', '.join(sorted(kinds))})" if kinds else ""
        return f"has a message whose content is a list of parts{held}, which is not supported yet; give it as one text"
    for name, what in _UNSUPPORTED_FIELDS.items():
        if message.get(name):
            return f"has a message with `{name}`; {what} are not supported yet and would be lost"
    if "from" in message and "value" in message and "role" not in message:
        return "has messages with `from` and `value` (ShareGPT); write them with `role` and `content`"
    return None


def unsupported_column(row: Mapping[str, Any]) -> str | None:
    """What of a row beside its messages would be lost, as a phrase; None for a row without such a column."""
    for name, what in _UNSUPPORTED_COLUMNS.items():
        value = row.get(name)
        if value is not None and (value if not isinstance(value, str) else value.strip() not in ("", "[]")):
            return f"has the column `{name}`, which would be lost: {what}" + (
                "" if ";" in what else ", not supported yet"
            )
    return None


def is_encodable(text: str) -> bool:
    """Whether a text can be sent and stored; one with half a surrogate pair cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def encodable(text: str) -> str:
    """The text with U+FFFD for each half of a surrogate pair, which JSON can spell and UTF-8 cannot encode."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _is_message(entry: object) -> bool:
    if not isinstance(entry, Mapping):
        return False
    texts = ("content", "text", "value", "parts", "tool_calls")
    return ("role" in entry or "from" in entry) and any(name in entry for name in texts)


def _holds_messages(cell: object) -> bool:
    return isinstance(cell, list) and any(map(_is_message, cell))


def _is_meant_as_messages(text: str) -> bool:
    """Whether text that is not JSON is a list or an object, such as Python prints it, with the fields of messages."""
    whole = text.strip()
    return (
        (whole[0], whole[-1]) in (("[", "]"), ("{", "}"))
        and _QUOTED_ROLE.search(text) is not None
        and _QUOTED_CONTENT.search(text) is not None
    )


def _is_messages_text(text: str) -> bool:
    try:
        return messages_in(text) is not None
    except ValueError:
        return True


def dialogue_messages(text: str) -> list[dict[str, str]] | None:
    r"""The messages of a dialogue in one text, as in HH (`\n\nHuman: ... \n\nAssistant: ...`); None for any other text.

    An empty turn of the assistant at the end, where its answer is to follow, is left out.
    """
    if not text.startswith("\n\nHuman:"):
        return None
    _, *parts = _SPEAKER.split(text)
    turns = list(zip(parts[::2], parts[1::2], strict=True))
    if turns[-1][0] == "Assistant" and not turns[-1][1].strip():
        del turns[-1]
    return [{"role": _SPEAKERS[speaker], "content": said} for speaker, said in turns]


def messages_of_sharegpt(messages: list[Any]) -> list[Any]:
    """Messages with `from` and `value` (ShareGPT) as ones with `role` and `content`; others as they are.

    A speaker that is not known keeps its name as the role.
    """
    return [
        {"role": _SHAREGPT.get(str(message["from"]), str(message["from"])), "content": message["value"]}
        if isinstance(message, Mapping) and {"from", "value"} <= message.keys() and message.get("role") is None
        else message
        for message in messages
    ]
