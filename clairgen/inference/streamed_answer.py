"""An answer put together from the chunks of a stream: the same body that its server sends when it does not stream.

Whatever reads bodies then reads streams too. What is not the whole answer, as its server finished it, never becomes a body that
looks like one: it is an error here.
"""

import json
from io import StringIO
from typing import Any

import orjson

from clairgen.errors import RequestFailedError, RetryableError
from clairgen.finish_reason import FinishKind, finish_kind, finish_word
from clairgen.inference.chunk_texts import (
    OF_A_DELTA,
    content_of,
    require_known,
    text_outside,
    thoughts_of,
    unreadable,
)
from clairgen.inference.json_bodies import raw_text
from clairgen.inference.rejections import error_body

_THOUGHTS, _REFUSAL = "reasoning_content", "refusal"
_NAMES = ("model", "system_fingerprint", "service_tier")
_AT_LAST = ("service_tier",)  # some servers begin with the tier that was requested
_COUNTS = ("prompt_tokens", "completion_tokens", "total_tokens")
_WORSE = (
    FinishKind.COMPLETE,
    FinishKind.UNKNOWN,
    FinishKind.LENGTH,
    FinishKind.NOT_RUN,
    FinishKind.TOOL_CALL,
    FinishKind.ABORTED,
    FinishKind.FILTERED,
)
_NO_WORD = frozenset({"", "null", "none"})
_MOST_FINISH_REASONS = 8
_FEWEST_GROWING, _GROWN_TO = 3, 12  # pieces, and characters of the last one, of which chance makes no growing text


class StreamedAnswer:
    """Takes a stream's chunks in their order. `most_characters` is how many of text are kept; more is `answer-too-large`."""

    def __init__(self, most_characters: int) -> None:
        self._left = most_characters
        self._texts: dict[str, StringIO] = {}
        self._whole: str | None = None
        self._id: str | None = None
        self._names: dict[str, str] = {}
        self._finish: list[str] = []
        self._usage: dict[str, int] = {}
        self._error: Any = None
        self._choice_error: Any = None
        self._has_choices = False
        self._calls_tool = False
        self._elsewhere: str | None = None
        self._grows: str | None = ""
        self._pieces = 0

    @property
    def failed(self) -> bool:
        """Whether the server sent an error; what follows it does not matter."""
        return self._error is not None

    def take(self, chunk: Any, *, is_error: bool = False) -> None:  # noqa: ANN401 - parsed JSON
        """Add a chunk; `is_error` is whether its event is called one.

        Raises RetryableError for a chunk whose text cannot be read, RequestFailedError for an answer without end.
        """
        if isinstance(chunk, list) or is_error or chunk.get("error") or "choices" not in chunk:
            found = error_body(chunk)
            if is_error or found is not None:
                content = chunk if isinstance(chunk, dict) else {"error": chunk}
                self._error = content.get("error") or content.get("errors") or content
                return
        if isinstance(chunk, list):
            raise unreadable(f"it has a list where an object should be: {json.dumps(chunk)[:200]}")
        self._id = self._id or (chunk["id"] if isinstance(chunk.get("id"), str) else None)
        names = {name: chunk[name] for name in _NAMES if isinstance(chunk.get(name), str)}
        self._names = names | self._names | {name: names[name] for name in _AT_LAST if names.get(name)}
        self._count(chunk.get("usage"))
        choices = chunk.get("choices") or []
        if not choices:
            self._elsewhere = self._elsewhere or text_outside(chunk)
        if not isinstance(choices, list):
            raise unreadable(f"its `choices` are {json.dumps(choices)[:100]}, not a list")
        for choice in choices:
            if not isinstance(choice, dict) or not _is_index(choice.get("index")):
                raise unreadable(f"one of its choices is {json.dumps(choice)[:100]}")
            # One answer is requested; others that a server sends beside it are not part of it.
            if choice.get("index") in (0, "0", None):
                self._take_choice(choice)

    def body(self) -> bytes:
        """The body of the whole answer, or of the error that was sent.

        Raises RetryableError for an answer that its server did not finish.
        """
        content: dict[str, Any] = {"id": self._id, **self._names, "choices": [], "usage": self._usage or None}
        if self._has_choices:
            choice = {
                "index": 0,
                "message": self._message(),
                "finish_reason": self._word(),
                "error": self._choice_error,
            }
            content["choices"] = [choice]
        if self._error is not None:
            return _bytes(content | {"error": self._error})
        if error_body({"error": self._choice_error, "choices": [{}]}) is None:
            self._require_whole()
        return _bytes(content)

    def _require_whole(self) -> None:
        if self._has_choices and self._elsewhere is not None:
            raise unreadable(f"an event has `{self._elsewhere}` instead of `choices`")
        if self._grows is not None and self._pieces >= _FEWEST_GROWING and len(self._grows) >= _GROWN_TO:
            raise unreadable(
                "each piece of its text begins with the text before it; have the server send only what is new"
            )
        if self._word() is None:
            raise self._unfinished()

    def _unfinished(self) -> RetryableError:
        if not self._has_choices:
            detail = "no event of the stream has an answer in `choices`; does the base URL end in /v1?"
            return RetryableError("no-choices", detail, status=200, billed=True)
        detail = "the stream ended without a finish reason, so the answer may be cut off"
        error = RetryableError("broken-off", detail, status=200, billed=True)
        if {"prompt_tokens", "completion_tokens"} <= self._usage.keys():
            error.used = (self._usage["prompt_tokens"], self._usage["completion_tokens"])
        return error

    def _take_choice(self, choice: dict[str, Any]) -> None:
        self._has_choices = True
        self._count(choice.get("usage"))
        self._choice_error = choice.get("error") or self._choice_error
        word = finish_word(choice.get("finish_reason"))
        if word.lower() not in _NO_WORD and word not in self._finish and len(self._finish) < _MOST_FINISH_REASONS:
            self._finish.append(word)
        delta, message = choice.get("delta"), choice.get("message")
        for part in (delta, message):
            if part is not None and not isinstance(part, dict):
                raise unreadable(f"a piece of it is {json.dumps(part)[:100]}, not an object")
        if isinstance(delta, dict):
            self._choice_error = delta.get("error") or self._choice_error
            text = content_of(delta)
            if not text and not delta.keys() & OF_A_DELTA:
                require_known(delta)
            if not text and (choice.get("text") or delta.get("text") or delta.get("message")):
                raise unreadable("a piece of it has its text in a field that is not known")
            self._take_text(text)
            self._add(_THOUGHTS, thoughts_of(delta))
            self._add(_REFUSAL, raw_text(delta.get(_REFUSAL)))
            self._calls_tool = self._calls_tool or bool(delta.get("tool_calls") or delta.get("function_call"))
        elif message is None:
            require_known(choice)
        if isinstance(message, dict):
            self._take_message(message)

    def _take_message(self, message: dict[str, Any]) -> None:
        """All that was said so far, as some servers send it at the end, or each time."""
        if text := content_of(message):
            if self._whole is not None and not text.startswith(self._whole):
                raise unreadable("its messages do not continue each other")
            self._whole = text
            self._spend(len(text) // 64)  # of a text that comes again and again
        for name, said in ((_THOUGHTS, thoughts_of(message)), (_REFUSAL, raw_text(message.get(_REFUSAL)))):
            if name not in self._texts:
                self._add(name, said)
        self._calls_tool = self._calls_tool or bool(message.get("tool_calls") or message.get("function_call"))

    def _take_text(self, text: str) -> None:
        """A piece of the answer; some servers send all that was said so far with each of them."""
        if text and self._grows is not None:
            self._grows = text if text.startswith(self._grows) and len(text) > len(self._grows) else None
        self._pieces += bool(text)
        self._add("content", text)

    def _message(self) -> dict[str, Any]:
        message: dict[str, Any] = {name: text.getvalue() for name, text in self._texts.items()}
        text = message.get("content")
        if self._whole is not None and text not in (None, self._whole):
            raise unreadable("its deltas are not the text of the message at its end")
        message |= {"role": "assistant", "content": self._whole if text is None else text}
        return message | ({"tool_calls": [{}]} if self._calls_tool else {})

    def _word(self) -> str | None:
        """The finish reason: of several, the one that says the worst of the answer."""
        return max(self._finish, key=lambda word: _WORSE.index(finish_kind(word)), default=None)

    def _count(self, usage: Any) -> None:  # noqa: ANN401 - parsed JSON
        """Counts of tokens, which grow from chunk to chunk where there are several."""
        for name in _COUNTS if isinstance(usage, dict) else ():
            count = usage.get(name)
            if isinstance(count, int) and not isinstance(count, bool):
                self._usage[name] = max(count, self._usage.get(name, count))

    def _add(self, name: str, text: str) -> None:
        if text:
            self._spend(len(text))
            self._texts.setdefault(name, StringIO(newline="")).write(text)

    def _spend(self, characters: int) -> None:
        self._left -= characters
        if self._left < 0:
            raise without_end("text")


def without_end(what: str) -> RequestFailedError:
    """A stream that is longer than any answer."""
    detail = f"the stream has more {what} than any model writes; it was not read any further"
    return RequestFailedError("answer-too-large", detail, status=200, billed=True)


def _is_index(index: Any) -> bool:  # noqa: ANN401 - parsed JSON
    return index in (None, "0") or (isinstance(index, int | float) and index >= 0)


def _bytes(content: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(content)
    except orjson.JSONEncodeError:  # halves of surrogate pairs, which two chunks may share
        pass
    try:
        return json.dumps(content).encode()
    except RecursionError:
        raise unreadable("its error is nested too deeply") from None
