"""Tasks from the rows of a source, one at a time: a prompt or a conversation, an id, and the answers recorded beside it.

A row has `prompt` (a text) or `messages` (a conversation that ends with the user), and may have `id`. A row without a task
makes the source unusable unless such rows are skipped (`BadRow`); a prompt that is empty or cannot be sent fails its task alone
(`prompt_error`).
"""

import math
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from clairgen.config.models import TaskSource
from clairgen.errors import InputError
from clairgen.keys import digest, messages_json
from clairgen.records import Message, RecordedAnswer, Task
from clairgen.sources import BadRow, SourceRow, source_rows
from clairgen.text import is_encodable

_ROLES: Final = ("system", "user", "assistant")
_ID_DIGITS: Final = 20
_TEXTS: Final = ("response", "text", "content", "answer", "output")
_MODELS: Final = ("model", "generator")
_SCORE: Final = "overall_score"


@dataclass(frozen=True, slots=True)
class Row:
    """A task and where it is in its source; `named` says whether the source gave the id."""

    task: Task
    where: str
    named: bool


def read_tasks(source: TaskSource, seed: int) -> Iterator[Row | BadRow]:
    """Rows of the source in order, or the uniform sample of them that `seed` draws.

    Raises InputError for a file that is missing or in another format, or that has no column with the prompt.
    """
    rows = source_rows(source)
    if source.sample is not None:
        count = sum(1 for _ in rows())
        chosen = sorted(random.Random(seed).sample(range(count), min(source.sample, count)))  # noqa: S311 - a data sample
        stream = _at(rows(), chosen)
    else:
        stream = rows()
    for number, (where, content) in enumerate(stream):
        row = content if isinstance(content, BadRow) else _row(content, where, source)
        if number == 0 and isinstance(content, Mapping):
            _check_columns(content, source, no_prompt=isinstance(row, BadRow))
        yield row


def prompt_error(task: Task) -> tuple[str, str] | None:
    """Why a task's prompt cannot be sent as it is meant, as (reason, sentence); None if it can."""
    asked = task.messages[-1].content
    if not asked.strip():
        return "blank-prompt", f"the prompt of task {task.id} is empty; give it a text"
    for message in task.messages:
        if "\0" in message.content:
            return (
                "nul-in-prompt",
                f"the prompt of task {task.id} contains a NUL character, at which engines stop reading; remove it",
            )
        if not is_encodable(message.content):
            return (
                "surrogate-in-prompt",
                f"the prompt of task {task.id} contains half a surrogate pair, which is not text; remove it",
            )
    return None


def task_id_of(messages: tuple[Message, ...]) -> str:
    """The id of a task whose source gives none: 20 hex digits of its messages' hash."""
    return digest(messages_json(messages))[:_ID_DIGITS]


def recorded_answers(row: Mapping[str, Any], source: TaskSource) -> tuple[RecordedAnswer, ...]:
    """The answers of a row, in their order; entries without a text are skipped.

    Higher scores are better. A score that is missing, None, not a number or not finite ("N/A" in UltraFeedback) is None.
    """
    if source.answers is None:
        return ()
    if isinstance(source.answers, list):
        scores = source.scores if isinstance(source.scores, list) else [None] * len(source.answers)
        found = [
            RecordedAnswer(row[name], name, _score(row.get(score) if score else None))
            for name, score in zip(source.answers, scores, strict=True)
            if _is_text(row.get(name))
        ]
        return tuple(found)
    field = source.scores if isinstance(source.scores, str) else _SCORE
    answers = (_answer(entry, field) for entry in _entries(row.get(source.answers)))
    return tuple(answer for answer in answers if answer is not None)


def _at(rows: Iterator[SourceRow], chosen: list[int]) -> Iterator[SourceRow]:
    position = 0
    for index in chosen:
        yield from islice(rows, index - position, index - position + 1)
        position = index + 1


def _row(content: Mapping[str, Any], where: str, source: TaskSource) -> Row | BadRow:
    value = content.get(source.column) if source.column else _first_given(content)
    try:
        messages = _messages(value)
    except ValueError as error:
        return BadRow(where, str(error))
    given = content.get("id")
    named = given is not None and str(given) != ""
    if named and not is_encodable(str(given)):
        return BadRow(where, "its id contains half a surrogate pair, which is not text")
    identity = str(given) if named else task_id_of(messages)
    return Row(Task(identity, messages, recorded_answers(content, source)), where, named)


def _first_given(content: Mapping[str, Any]) -> Any:  # noqa: ANN401 - a cell of a data set
    """`messages`, or `prompt` where a row's `messages` is empty, as in a table that has both columns."""
    messages = content.get("messages")
    return messages if messages or content.get("prompt") is None else content["prompt"]


def _messages(value: Any) -> tuple[Message, ...]:  # noqa: ANN401 - a cell of a data set
    if value is None:
        raise ValueError("it has no `prompt` or `messages`")
    if isinstance(value, str):
        return (Message("user", value),)
    if not isinstance(value, list) or not value:
        raise ValueError("its prompt is neither a text nor a list of messages")
    messages = tuple(_message(entry) for entry in value)
    if messages[-1].role != "user":
        raise ValueError(f"its conversation ends with {messages[-1].role!r}; the last message must be the user's")
    return messages


def _message(entry: Any) -> Message:  # noqa: ANN401 - a cell of a data set
    role, content = (entry.get("role"), entry.get("content")) if isinstance(entry, Mapping) else (None, None)
    if role not in _ROLES:
        raise ValueError(f"a message's role must be one of {', '.join(_ROLES)}, not {str(role)[:40]!r}")
    if not isinstance(content, str):
        raise ValueError("a message's content must be a text")
    return Message(role, content)


def _check_columns(first: Mapping[str, Any], source: TaskSource, *, no_prompt: bool) -> None:
    """Raise InputError for a column that the configuration names and the source does not have."""
    wanted = [source.column] if source.column else ["prompt", "messages"]
    columns = ", ".join(map(str, first)) or "none"
    given = [source.answers] if isinstance(source.answers, str) else [*(source.answers or ()), *(source.scores or ())]
    for name in given:
        if name not in first:
            raise InputError(
                f"{source.path or source.hub} has no column {name!r}, which `answers` or `scores` under `tasks` names; "
                f"it has {columns}"
            )
    if no_prompt and not any(name in first for name in wanted):
        raise InputError(
            f"{source.path or source.hub} has no column {' or '.join(map(repr, wanted))}; it has {columns}: "
            "rename one, or name it with `column` under `tasks`"
        )


def _entries(cell: Any) -> list[Any]:  # noqa: ANN401 - a cell of a data set
    """The answers in a cell: a list, or a mapping of lists, as `datasets` returns a sequence of structures."""
    if isinstance(cell, Mapping) and cell and all(isinstance(column, list) for column in cell.values()):
        return [dict(zip(cell, values, strict=True)) for values in zip(*cell.values(), strict=False)]
    return list(cell) if isinstance(cell, list | tuple) else []


def _answer(entry: Any, field: str) -> RecordedAnswer | None:  # noqa: ANN401 - a cell of a data set
    if isinstance(entry, str):
        return RecordedAnswer(entry, "recorded", None) if _is_text(entry) else None
    if not isinstance(entry, Mapping):
        return None
    text = next((entry[name] for name in _TEXTS if _is_text(entry.get(name))), None)
    model = next((str(entry[name]) for name in _MODELS if entry.get(name)), "recorded")
    return None if text is None else RecordedAnswer(text, model, _score(entry.get(field)))


def _score(value: Any) -> float | None:  # noqa: ANN401 - a cell of a data set
    if isinstance(value, bool) or value is None:
        return None
    try:
        score = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return score if math.isfinite(score) else None


def _is_text(value: Any) -> bool:  # noqa: ANN401 - a cell of a data set
    return isinstance(value, str) and bool(value.strip()) and is_encodable(value)
