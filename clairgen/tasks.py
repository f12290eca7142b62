"""Tasks: rows of a file or a hub data set, read one at a time, each with the place where it stands.

A row has `prompt` (a text) or `messages` (a conversation that ends with the user), and may have `id`. A row that cannot be
read at all is a fault of the file (BadRow); a prompt that is empty or cannot be sent is that task's fault alone, told by
`fault_of` when its turn comes.
"""

import csv
import json
import math
import random
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from clairgen.config.models import TaskSource
from clairgen.errors import InputError, MissingExtraError
from clairgen.keys import digest, messages_json
from clairgen.records import Message, RecordedAnswer, Task
from clairgen.text import is_encodable

_ROLES = ("system", "user", "assistant")
_ID_DIGITS = 20


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that holds no task: where it stands and why."""

    where: str
    why: str


@dataclass(frozen=True, slots=True)
class Row:
    """A task and where it stands in its source; `named` tells whether the source gave the id."""

    task: Task
    where: str
    named: bool


def read_tasks(source: TaskSource, seed: int) -> Iterator[Row | BadRow]:
    """Rows of the source in order, or the uniform sample of them that `seed` draws.

    Raises InputError for a file that is missing or of unknown form, or that has no column to take the prompt from.
    """
    rows = _open(source)
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


def check_source(source: TaskSource) -> None:
    """Raise InputError for a file that is missing, unreadable or of unknown form, before anything is set up."""
    if source.path is None:
        return
    if source.path.suffix not in _READERS:
        raise InputError(f"tasks are read from {', '.join(_READERS)} files; {source.path} is none of them")
    try:
        with source.path.open("rb"):
            pass
    except FileNotFoundError as error:
        raise InputError(f"there is no file of tasks {source.path}; check `path` under `tasks`") from error
    except OSError as error:
        raise InputError(f"the file of tasks {source.path} cannot be read: {error.strerror}") from error


def fault_of(task: Task) -> tuple[str, str] | None:
    """Why a task's prompt cannot be sent, as (reason, sentence), or None: what a model would never see as it was meant."""
    asked = task.messages[-1].content
    if not asked.strip():
        return "blank-prompt", f"the prompt of task {task.id} is empty; give it a text"
    for message in task.messages:
        if "\0" in message.content:
            return (
                "nul-in-prompt",
                f"the prompt of task {task.id} holds a NUL character, at which engines stop reading; take it out",
            )
        if not is_encodable(message.content):
            return (
                "surrogate-in-prompt",
                f"the prompt of task {task.id} holds half a surrogate pair, which is no text; mend it",
            )
    return None


def task_id_of(messages: tuple[Message, ...]) -> str:
    """Id of a task that its source did not name: 20 hex digits of its messages' hash."""
    return digest(messages_json(messages))[:_ID_DIGITS]


def _row(content: Mapping[str, Any], where: str, source: TaskSource) -> Row | BadRow:
    value = content.get(source.column) if source.column else _first_given(content)
    try:
        messages = _messages(value)
    except ValueError as error:
        return BadRow(where, str(error))
    given = content.get("id")
    named = given is not None and str(given) != ""
    if named and not is_encodable(str(given)):
        return BadRow(where, "its id holds half a surrogate pair, which is no text")
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
    """Raise InputError for a column that the configuration takes and the data set does not have."""
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


_Cells = tuple[str, Mapping[str, Any] | BadRow]


def _open(source: TaskSource) -> Callable[[], Iterator[_Cells]]:
    """A way to read the source's rows from the start, as often as wanted."""
    if source.hub is not None:
        return _hub_rows(source.hub, source.subset, source.split)
    check_source(source)
    path = source.path or Path()
    return lambda: _READERS[path.suffix](path)


def _jsonl_rows(path: Path) -> Iterator[_Cells]:
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            where = f"{path.name} line {number}"
            if not line.strip():
                continue
            try:
                content = json.loads(line)
            except (ValueError, RecursionError) as error:
                yield where, BadRow(where, f"it is not valid JSON ({error})")
                continue
            yield where, content if isinstance(content, dict) else BadRow(where, "it is not a JSON object")


def _csv_rows(path: Path) -> Iterator[_Cells]:
    csv.field_size_limit(sys.maxsize)
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            reader = csv.DictReader(lines)
            for content in reader:
                yield f"{path.name} line {reader.line_num}", {str(key): cell for key, cell in content.items()}
    except (csv.Error, UnicodeDecodeError) as error:
        raise InputError(f"the file of tasks {path} is not UTF-8 CSV: {error}") from error


def _parquet_rows(path: Path) -> Iterator[_Cells]:
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtraError("Reading parquet", "data") from error
    try:
        number = 0
        for batch in pyarrow.parquet.ParquetFile(path).iter_batches(batch_size=1000):
            for content in batch.to_pylist():
                number += 1
                yield f"{path.name} row {number}", content
    except (pyarrow.ArrowException, OSError) as error:
        raise InputError(f"the file of tasks {path} is not valid parquet: {str(error).splitlines()[0]}") from error


_READERS: Mapping[str, Callable[[Path], Iterator[_Cells]]] = {
    ".jsonl": _jsonl_rows,
    ".csv": _csv_rows,
    ".parquet": _parquet_rows,
}


def _hub_rows(name: str, subset: str | None, split: str) -> Callable[[], Iterator[_Cells]]:
    try:
        import datasets
    except ImportError as error:
        raise MissingExtraError("Reading a data set from the hub", "data") from error
    try:
        data = datasets.load_dataset(name, subset, split=split)
    except Exception as error:  # the library raises anything, from OSError to its own tree
        raise InputError(
            f"the hub data set {name!r} (split {split!r}) cannot be loaded: {str(error).splitlines()[0]}"
        ) from error
    return lambda: ((f"{name} row {number}", content) for number, content in enumerate(data, start=1))


def _at(rows: Iterator[_Cells], chosen: list[int]) -> Iterator[_Cells]:
    position = 0
    for index in chosen:
        yield from islice(rows, index - position, index - position + 1)
        position = index + 1


_TEXTS = ("response", "text", "content", "answer", "output")
_MODELS = ("model", "generator")
_SCORE = "overall_score"


def recorded_answers(row: Mapping[str, Any], source: TaskSource) -> tuple[RecordedAnswer, ...]:
    """The answers of a row, in their order; entries without a text are passed over.

    Higher scores are better. A score that is missing, None, no number or not finite ("N/A" in UltraFeedback) is None.
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


def _entries(cell: Any) -> list[Any]:  # noqa: ANN401 - a cell of a data set
    """The answers in a cell: a list, or a table of lists, as `datasets` gives a sequence of structures."""
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
