"""A row of any data set as a pair: its cells as messages, what of it is kept, and the reason where it holds none."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any, Final

from clairgen.conversations import (
    dialogue_messages,
    encodable,
    is_encodable,
    messages_in,
    messages_of_sharegpt,
    unsupported_column,
)
from clairgen.errors import InputError
from clairgen.finish_reason import RECORDED
from clairgen.pair_cells import Messages, conversation, read_pair
from clairgen.records import Message
from clairgen.sources import BadRow, SourceRow

TOGETHER: Final = "\0rows"
"""The key of a row that stands for several: those rows."""
FINISH_REASONS: Final = {"chosen": "chosen_finish_reason", "rejected": "rejected_finish_reason"}
"""The further columns of a pair that may have the finish reason of each side."""
_ROLES: Final = ("system", "user", "assistant")
_MOST_REASONS: Final = 100
_OTHERS: Final = "other reasons"
_ADVICE: Final = "; fix or remove that row"


@dataclass(frozen=True, slots=True)
class RowPair:
    """A pair that a row holds: prompt, two answers with the models that gave them, and the row's further columns.

    `name` is what the source calls the prompt. `doubt` says which score or answer of the row was not used. How an answer ended is
    known where the further columns have FINISH_REASONS.
    """

    messages: tuple[Message, ...]
    chosen: str
    rejected: str
    chosen_model: str = ""
    rejected_model: str = ""
    reasoning: str | None = None
    name: str | None = None
    further: Mapping[str, Any] = field(default_factory=dict)
    doubt: str | None = None

    def finish_reason(self, side: str) -> str:
        """Why the answer of a side, chosen or rejected, ended; RECORDED where the row does not say."""
        found = self.further.get(FINISH_REASONS[side])
        return found if isinstance(found, str) and found.strip() else RECORDED


@dataclass(frozen=True, slots=True)
class PairShape:
    """How pairs are read from rows: `sentence` says what was understood, `columns` which column has which role.

    `further` are the columns that are kept with each pair, `left_behind` those that are not, since they hold objects. `pair`
    reads a row and raises ValueError, with the reason, for one that holds no pair. Where `row_by_row`, the rows of a prompt
    follow one another, and `pair` reads them as one row, which has them under TOGETHER.
    """

    name: str
    sentence: str
    columns: Mapping[str, str]
    further: tuple[str, ...]
    left_behind: tuple[str, ...]
    pair: Callable[[Mapping[str, Any]], RowPair]
    row_by_row: bool = False


@dataclass(frozen=True, slots=True)
class ReadRow:
    """What `rows` rows, the first of them at `where`, hold: a pair, or the reason why none."""

    where: str
    found: RowPair | str
    rows: int = 1


@dataclass(frozen=True, slots=True)
class RowsLeftOut:
    """How many rows hold no pair for one reason: where the first of them is, and the reason with its details."""

    count: int
    first: str
    why: str


def count_left_out(left_out: dict[str, RowsLeftOut], reason: str, row: ReadRow) -> None:
    """Count a row that holds no pair under its reason, without what that says in brackets, which differs from row to row."""
    kind = reason.partition(" (")[0].partition("; ")[0]
    if kind not in left_out and len(left_out) >= _MOST_REASONS:
        kind = _OTHERS
    before = left_out.get(kind, RowsLeftOut(0, row.where, reason))
    left_out[kind] = replace(before, count=before.count + row.rows)


def read_pairs(rows: Iterable[SourceRow], shape: PairShape) -> Iterator[ReadRow]:
    """What each row holds, in order; of a shape that is read row by row, what the rows of each prompt hold."""
    if not shape.row_by_row:
        for where, content in rows:
            yield ReadRow(where, content.why if isinstance(content, BadRow) else _pair_or_reason(content, shape))
        return
    asked_in = [shape.columns[role] for role in ("prompt", "system") if role in shape.columns]

    def asked(row: SourceRow) -> object:
        return row[0] if isinstance(row[1], BadRow) else [repr(row[1].get(column)) for column in asked_in]

    for _, together in groupby(rows, asked):
        group = list(together)
        where, content = group[0]
        if isinstance(content, BadRow):
            yield ReadRow(where, content.why)
        else:
            joined = {**content, TOGETHER: [one for _, one in group]}
            yield ReadRow(where, _pair_or_reason(joined, shape), len(group))


def as_cell(value: Any) -> Any:  # noqa: ANN401 - a cell of a data set
    """A cell as text or as a list of messages with `role` and `content`, from JSON text, ShareGPT, HH or a single message.

    Raises ValueError for a text that is meant as messages and is none.
    """
    if isinstance(value, str):
        value = dialogue_messages(value) or messages_in(value) or value
    if isinstance(value, Mapping):
        value = [value]
    return messages_of_sharegpt(list(value)) if isinstance(value, list | tuple) else value


def form_of(value: Any) -> str:  # noqa: ANN401 - a cell of a data set
    """In which form a cell has its text, as a phrase in brackets; empty for plain text and for plain messages."""
    if isinstance(value, str):
        if dialogue_messages(value):
            return " (dialogues in one text, Human and Assistant)"
        return " (messages as JSON text)" if _is_json_messages(value) else ""
    if isinstance(value, list | tuple) and messages_of_sharegpt(list(value)) != list(value):
        return " (ShareGPT, with from and value)"
    return " (ShareGPT, with from and value)" if isinstance(value, Mapping) and "from" in value else ""


def explicit_pair(row: Mapping[str, Any], columns: Mapping[str, str]) -> RowPair:
    """The pair of a row with columns for `chosen` and `rejected`, and perhaps for `prompt` and `system`."""
    _require_nothing_lost(row, columns)
    prompt, chosen, rejected = (as_cell(_cell(row, columns, role)) for role in ("prompt", "chosen", "rejected"))
    messages_alone = isinstance(chosen, list) and isinstance(rejected, list) and len(chosen) == len(rejected) == 1
    if isinstance(prompt, str) and messages_alone:
        prompt = [{"role": "user", "content": prompt}]
    if isinstance(prompt, list) and isinstance(chosen, str) and isinstance(rejected, str):
        chosen, rejected = ([{"role": "assistant", "content": answer}] for answer in (chosen, rejected))
    found = read_pair({"prompt": prompt, "chosen": chosen, "rejected": rejected}, "the row")
    if found.shape == "whole conversations" and prompt:
        _require_same_prompt(prompt, found.prompt)
    return RowPair(_with_system(found.prompt, _cell(row, columns, "system")), found.chosen, found.rejected)


def pair_to_prompt(row: Mapping[str, Any], columns: Mapping[str, str], chosen: object, rejected: object) -> RowPair:
    """Two texts as the pair of a row that has its `prompt`, and perhaps a `system`, in columns."""
    if chosen is None or rejected is None:
        raise ValueError("one of its two answers is missing")
    return explicit_pair(
        {**row, "chosen": chosen, "rejected": rejected}, {**columns, "chosen": "chosen", "rejected": "rejected"}
    )


def kept_value(value: Any) -> Any:  # noqa: ANN401 - a cell of a data set
    """A further column's value as it is kept: what JSON can hold, times and exact decimals as text; None for NaN and infinity."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else None
    if isinstance(value, list | tuple):
        return [kept_value(one) for one in value]
    if isinstance(value, Mapping):
        return {encodable(str(name)): kept_value(one) for name, one in value.items()}
    return encodable(value.isoformat() if hasattr(value, "isoformat") else str(value))


def is_structure(value: object) -> bool:
    """Whether a cell holds objects, such as messages, or bytes."""
    if isinstance(value, list | tuple):
        return any(map(is_structure, value))
    return isinstance(value, Mapping | bytes)


def _pair_or_reason(row: Mapping[str, Any], shape: PairShape) -> RowPair | str:
    try:
        pair = shape.pair(row)
        _require_usable(pair)
    except InputError as error:
        return str(error).removeprefix("the row ").removesuffix(_ADVICE).replace(" in the row", "")
    except ValueError as error:
        return str(error)
    return pair


def _require_usable(pair: RowPair) -> None:
    """Raise ValueError for what cannot be stored, or has no user to answer."""
    for message in pair.messages:
        if message.role not in _ROLES:
            raise ValueError(f"its prompt has a message of the role `{message.role[:40]}`")
    if pair.messages[-1].role != "user":
        raise ValueError(f"its prompt ends with a message of the role `{pair.messages[-1].role}`, not the user's")
    if not all(map(is_encodable, (pair.chosen, pair.rejected, *(message.content for message in pair.messages)))):
        raise ValueError("it contains half a surrogate pair, which is not text")


def _require_nothing_lost(row: Mapping[str, Any], columns: Mapping[str, str]) -> None:
    """Raise ValueError for a row that has a part of its conversation in a column that is not read."""
    used = set(columns.values())
    lost = unsupported_column({name: value for name, value in row.items() if name not in used})
    if lost:
        raise ValueError(lost)
    if "history" not in used and row.get("history"):
        raise ValueError(
            "it has a `history` of earlier turns, which would be lost; write the whole conversation as messages"
        )
    more = row.get("input")
    if columns.get("prompt") == "instruction" and isinstance(more, str) and more.strip():
        raise ValueError("it has an `input` beside `instruction`, which would be lost; join both in one column")


def _require_same_prompt(given: Any, found: Messages) -> None:  # noqa: ANN401 - a cell of a data set
    """Raise ValueError for a prompt that is not that of the whole conversations beside it."""
    if isinstance(given, str):
        same = given.strip() in (found[-1]["content"].strip(), found[0]["content"].strip())
    else:
        same = conversation(given, "its prompt") in (found, [one for one in found if one["role"] != "system"])
    if not same:
        raise ValueError(
            "its `prompt` is not that of the conversations in chosen and rejected; to take theirs, give --column prompt=-"
        )


def _with_system(prompt: Messages, system: object) -> tuple[Message, ...]:
    messages = tuple(Message(message["role"], message["content"]) for message in prompt)
    if not isinstance(system, str) or not system.strip():
        return messages
    if messages[0].role != "system":
        return (Message("system", system), *messages)
    if messages[0].content != system:
        raise ValueError("its system prompt differs from the one that its conversation begins with")
    return messages


def _cell(row: Mapping[str, Any], columns: Mapping[str, str], role: str) -> Any:  # noqa: ANN401 - a cell of a data set
    return row.get(columns[role]) if role in columns else None


def _is_json_messages(text: str) -> bool:
    try:
        return messages_in(text) is not None
    except ValueError:
        return True
