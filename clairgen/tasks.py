"""Tasks from the rows of a source, one at a time: a prompt or a conversation, an id, and the answers recorded beside it.

A row has `prompt` (a text) or `messages` (a conversation that ends with the user), and may have `id`. A row without a task
makes the source unusable unless such rows are skipped (`BadRow`); a prompt that is empty or cannot be sent fails its task alone
(`prompt_error`).
"""

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from clairgen.config.models import TaskSource
from clairgen.conversations import is_encodable, messages_in, unsupported_column, unsupported_message
from clairgen.errors import InputError
from clairgen.keys import digest, messages_json
from clairgen.recorded_answers import check_answer_columns, no_scores_error, recorded_answers
from clairgen.records import Message, Task
from clairgen.sources import BadRow, SourceRow, source_rows

_ROLES: Final = ("system", "user", "assistant")
TASK_ID_DIGITS: Final = 20
"""How long the id is of a task whose source gives none: so many hex digits of its messages' hash."""
_SEARCHED_FOR_SCORES: Final = 100
"""Rows without scores, after which no further row is expected to have them."""


@dataclass(frozen=True, slots=True)
class Row:
    """A task and where it is in its source; `named` says whether the source gave the id.

    `doubt` says which of its recorded scores are not used, and why; None if all are.
    """

    task: Task
    where: str
    named: bool
    doubt: str | None = None


def read_tasks(source: TaskSource, seed: int, *, needs_scores: bool = False) -> Iterator[Row | BadRow]:
    """Rows of the source in order, or the uniform sample of them that `seed` draws.

    `needs_scores` is whether a recipe compares recorded answers by their scores. Raises InputError for a file that is missing or
    in another format, that has no column with the prompt, or whose first rows have no scores although they are needed.
    """
    rows = source_rows(source)
    if source.sample is not None:
        count = sum(1 for _ in rows())
        chosen = sorted(random.Random(seed).sample(range(count), min(source.sample, count)))  # noqa: S311 - a data sample
        stream = _at(rows(), chosen)
    else:
        stream = rows()
    unscored: list[tuple[str, Mapping[str, Any]]] = []
    for number, (where, content) in enumerate(stream):
        row = content if isinstance(content, BadRow) else task_row(content, where, source)
        if number == 0 and isinstance(content, Mapping):
            check_columns(content, source, no_prompt=isinstance(row, BadRow))
        if needs_scores and isinstance(row, Row) and not row.doubt and len(row.task.answers) > 1:
            needs_scores = sum(answer.score is not None for answer in row.task.answers) < 2
            unscored += [(where, content)] if needs_scores and isinstance(content, Mapping) else []
            if len(unscored) == _SEARCHED_FOR_SCORES:
                break
        yield row
    if needs_scores and unscored:
        raise no_scores_error(len(unscored), *unscored[0], source)


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
    return digest(messages_json(messages))[:TASK_ID_DIGITS]


def _at(rows: Iterator[SourceRow], chosen: list[int]) -> Iterator[SourceRow]:
    position = 0
    for index in chosen:
        yield from islice(rows, index - position, index - position + 1)
        position = index + 1


def task_row(content: Mapping[str, Any], where: str, source: TaskSource) -> Row | BadRow:
    """The task of a row, or why it holds none."""
    try:
        messages = _messages(_given(content, source))
        _require_whole(content, source)
        recorded = recorded_answers(content, source)
    except ValueError as error:
        return BadRow(where, str(error))
    given = content.get("id")
    named = given is not None and str(given) != ""
    if named and not is_encodable(str(given)):
        return BadRow(where, "its id contains half a surrogate pair, which is not text")
    identity = str(given) if named else task_id_of(messages)
    return Row(Task(identity, messages, recorded.answers), where, named, recorded.doubt)


def _given(content: Mapping[str, Any], source: TaskSource) -> Any:  # noqa: ANN401 - a cell of a data set
    """The cell of the configured column, or `prompt` or `messages`, where a row has only one of them.

    Raises InputError for a row with both, since they differ in most data sets: `messages` there goes on to the answer.
    """
    if source.column:
        return content.get(source.column)
    prompt, messages = content.get("prompt"), content.get("messages")
    if not messages:
        return messages if prompt is None else prompt
    if not prompt or _messages_or_none(prompt) == _messages_or_none(messages):
        return messages
    raise InputError(
        f"{source.path or source.hub} has both `prompt` and `messages`, and they differ; say which to use with "
        "`column: prompt` or `column: messages` under `tasks`"
    )


def _messages_or_none(cell: Any) -> tuple[Message, ...] | None:  # noqa: ANN401 - a cell of a data set
    try:
        return _messages(cell)
    except ValueError:
        return None


def _require_whole(content: Mapping[str, Any], source: TaskSource) -> None:
    """Raise ValueError for a row whose prompt has a part in another column, which would be lost."""
    lost = unsupported_column(content)
    if lost:
        raise ValueError(f"it {lost}")
    more = content.get("input")
    if source.column == "instruction" and isinstance(more, str) and more.strip():
        raise ValueError(
            "it has an `input` beside `instruction`, which would be lost; join both in one column and name that"
        )


def _messages(value: Any) -> tuple[Message, ...]:  # noqa: ANN401 - a cell of a data set
    if value is None:
        raise ValueError("it has no `prompt` or `messages`")
    if isinstance(value, str):
        try:
            parsed = messages_in(value)
        except ValueError as error:
            raise ValueError(f"its prompt {error}") from error
        if parsed is None:
            return (Message("user", value),)
        value = parsed
    if not isinstance(value, list) or not value:
        raise ValueError("its prompt is neither a text nor a list of messages")
    messages = tuple(_message(entry) for entry in value)
    if messages[-1].role != "user":
        raise ValueError(
            f"its conversation ends with {messages[-1].role!r}; the last message must be the user's (`column` under `tasks` "
            "names another column)"
        )
    return messages


def _message(entry: Any) -> Message:  # noqa: ANN401 - a cell of a data set
    if not isinstance(entry, Mapping):
        raise ValueError("a message must be an object with `role` and `content`")
    lost = unsupported_message(entry)
    if lost:
        raise ValueError(f"its prompt {lost}")
    role, content = entry.get("role"), entry.get("content")
    if role not in _ROLES:
        raise ValueError(f"a message's role must be one of {', '.join(_ROLES)}, not {str(role)[:40]!r}")
    if not isinstance(content, str):
        raise ValueError("a message's content must be a text")
    return Message(role, content)


def check_columns(first: Mapping[str, Any], source: TaskSource, *, no_prompt: bool) -> None:
    """Raise InputError for a column that the configuration names and the source does not have."""
    wanted = [source.column] if source.column else ["prompt", "messages"]
    columns = ", ".join(map(str, first)) or "none"
    check_answer_columns(first, source)
    if no_prompt and not any(name in first for name in wanted):
        raise InputError(
            f"{source.path or source.hub} has no column {' or '.join(map(repr, wanted))}; it has {columns}: "
            "rename one, or name it with `column` under `tasks`"
        )
