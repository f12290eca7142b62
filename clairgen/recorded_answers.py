"""Answers that a data set has beside its prompts, with their scores, of which the higher one is the better."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from clairgen.config.models import RANK, TaskSource
from clairgen.conversations import is_encodable, messages_in
from clairgen.errors import InputError
from clairgen.records import RecordedAnswer
from clairgen.row_files import strict_json
from clairgen.wording import counted

_TEXTS: Final = ("response", "text", "content", "answer", "output")
_MODELS: Final = ("model", "generator")
_LOST: Final = ("tool_calls", "function_call", "reasoning_content")
"""Parts of an answer that nothing here can hold; other fields describe it."""
OVERALL: Final = "overall_score"
"""UltraFeedback's field of which the first version has false tens."""
_FINE_GRAINED: Final = "fine-grained_score"
_BEST_OVERALL: Final = 10.0
_LOWEST_FINE_GRAINED_OF_A_TEN: Final = 4.0
"""Of 5: the mean rating that an answer with an overall score of 10 has at least; a false ten, a 1 misread, is far below it."""


@dataclass(frozen=True, slots=True)
class RecordedAnswers:
    """The answers of a row, in their order; `doubt` says which of their scores are not used, and why."""

    answers: tuple[RecordedAnswer, ...] = ()
    doubt: str | None = None


def recorded_answers(row: Mapping[str, Any], source: TaskSource) -> RecordedAnswers:
    """The answers of a row as the source names them; entries without a text are skipped.

    A score that is missing, None, not a number or not finite ("N/A" in UltraFeedback) is None. Where no field is named, it is
    `fine-grained_score`, or `overall_score` in a row without that. An `overall_score` of 10 beside low ratings of the same
    answer is a known fault of UltraFeedback, where a critique's 1 was read as 10: such a score is None, and the row has a doubt.

    Raises ValueError for answers or scores in a form that is not read.
    """
    if source.answers is None:
        return RecordedAnswers()
    if isinstance(source.answers, list):
        return RecordedAnswers(_from_columns(row, source.answers, source.scores))
    entries = answer_entries(row.get(source.answers), source.answers)
    if isinstance(source.scores, str) and entries and all(isinstance(entry, str) for entry in entries):
        return RecordedAnswers(_parallel(entries, row.get(source.scores), source))
    field = source.scores if isinstance(source.scores, str) else _default_field(entries)
    answers: list[RecordedAnswer] = []
    doubts: list[str] = []
    for entry in entries:
        answer, doubt = _answer(entry, field)
        if answer is not None:
            answers.append(answer)
            doubts += [doubt] if doubt else []
    return RecordedAnswers(tuple(answers), doubts[0] if doubts else None)


def answer_entries(cell: Any, column: str) -> list[Any]:  # noqa: ANN401 - a cell of a data set
    """The entries of a cell: a list, a mapping of lists, as `datasets` returns a sequence of structures, or the JSON of one."""
    if isinstance(cell, str):
        try:
            cell = strict_json(cell or "null")
        except (json.JSONDecodeError, RecursionError) as error:
            raise ValueError(f"its `{column}` is a text, not a list or the JSON of one") from error
    if cell is None:
        return []
    if isinstance(cell, Mapping) and cell and all(isinstance(values, list) for values in cell.values()):
        if len(lengths := {name: len(values) for name, values in cell.items()}) and len(set(lengths.values())) > 1:
            held = ", ".join(f"{length} `{name}`" for name, length in lengths.items())
            raise ValueError(f"its `{column}` has lists of different lengths ({held})")
        return [dict(zip(cell, values, strict=True)) for values in zip(*cell.values(), strict=True)]
    if not isinstance(cell, list | tuple):
        raise ValueError(f"its `{column}` is not a list")
    return list(cell)


def score_of(value: Any) -> float | None:  # noqa: ANN401 - a cell of a data set
    """A cell as a score; None for what is not a finite number."""
    if isinstance(value, bool) or value is None:
        return None
    try:
        score = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return score if math.isfinite(score) else None


def false_ten(entry: Mapping[str, Any]) -> str | None:
    """What contradicts an answer's `overall_score` of 10, which a critique's 1 was read as; None without a contradiction."""
    ratings = _mean_rating(entry)
    if not has_ten(entry) or ratings is None or ratings >= _LOWEST_FINE_GRAINED_OF_A_TEN:
        return None
    return f"{OVERALL} 10 beside ratings of {ratings:g} of 5 on average"


def has_ten(entry: Mapping[str, Any]) -> bool:
    """Whether an answer has the `overall_score` that may be a false ten."""
    return score_of(entry.get(OVERALL)) == _BEST_OVERALL


def check_answer_columns(first: Mapping[str, Any], source: TaskSource) -> None:
    """Raise InputError for answers or scores that the configuration names and the first row does not have in that form."""
    where, names = source.path or source.hub, ", ".join(map(str, first)) or "none"
    columns = [source.answers] if isinstance(source.answers, str) else [*(source.answers or ()), *(source.scores or ())]
    for name in columns:
        if name not in first:
            raise InputError(
                f"{where} has no column {name!r}, which `answers` or `scores` under `tasks` names; it has {names}"
            )
        if isinstance(source.answers, list) and isinstance(first[name], list | Mapping):
            raise InputError(
                f"the column {name!r} of {where} holds a list or an object; `answers` and `scores` as lists name columns with "
                "one text or number each, and a column with all answers is named alone, as in `answers: completions`"
            )
    if isinstance(source.answers, str) and isinstance(source.scores, str):
        _require_field(first, source.answers, source.scores, str(where))


def no_scores_error(rows: int, where: str, first: Mapping[str, Any], source: TaskSource) -> InputError:
    """The error that a source is whose answers are to be compared by scores, and have none; it says what is there instead."""
    try:
        entries = answer_entries(first.get(source.answers), source.answers) if isinstance(source.answers, str) else []
    except ValueError:
        entries = []
    objects = [entry for entry in entries if isinstance(entry, Mapping)]
    fields = sorted({str(name) for entry in objects for name in entry})
    numbers = [name for name in fields if any(score_of(entry.get(name)) is not None for entry in objects)]
    lists = [
        name
        for name, cell in first.items()
        if isinstance(cell, list)
        and len(cell) == len(entries) > 0
        and all(score_of(value) is not None for value in cell)
    ]
    columns = (
        [name for name, cell in first.items() if score_of(cell) is not None] if isinstance(source.answers, list) else []
    )
    likely = [name for name in numbers or lists or columns if not RANK.match(name)]
    if fields:
        seen = f"they have the fields {', '.join(fields)}"
    elif entries:
        seen = f"they are texts, beside the columns {', '.join(first)}"
    else:
        seen = f"the row has the columns {', '.join(first)}"
    looked_for = source.scores or f"{_FINE_GRAINED} or {OVERALL}"
    way = "name what holds the score, the higher the better, with `scores` under `tasks`"
    if likely:
        given = f"[{', '.join(likely)}]" if isinstance(source.answers, list) else likely[0]
        way += f", such as `scores: {given}`"
    return InputError(
        f"`by: scores` compares answers by their scores, and none of the first {rows:,} rows of {source.path or source.hub} has "
        f"two ({where}: looked for {looked_for}; {seen}); {way}; ranks, of which 1 is the best, have to be negated first"
    )


def _require_field(first: Mapping[str, Any], column: str, field: str, where: str) -> None:
    try:
        entries = answer_entries(first[column], column)
    except ValueError:
        return  # that row is reported by its number
    fields = {str(name) for entry in entries if isinstance(entry, Mapping) for name in entry}
    if fields and field not in fields:
        raise InputError(
            f"the answers in the column {column!r} of {where} have no {field!r}, which `scores` under `tasks` names; they have "
            f"{', '.join(sorted(fields))}"
        )
    if entries and not fields and field not in first:
        raise InputError(
            f"{where} has no column {field!r}, which `scores` under `tasks` names for the texts in {column!r}"
        )


def _from_columns(row: Mapping[str, Any], names: list[str], scores: Any) -> tuple[RecordedAnswer, ...]:  # noqa: ANN401
    fields = scores if isinstance(scores, list) else [None] * len(names)
    return tuple(
        RecordedAnswer(text, name, score_of(row.get(field) if field else None))
        for name, field in zip(names, fields, strict=True)
        if (text := _text(row.get(name))) is not None
    )


def _parallel(texts: list[str], scores: Any, source: TaskSource) -> tuple[RecordedAnswer, ...]:  # noqa: ANN401 - a cell
    """Texts in one column and their scores, in the same order, in another."""
    values = answer_entries(scores, str(source.scores))
    if len(values) != len(texts):
        raise ValueError(
            f"it has {counted(len(texts), 'answer')} in `{source.answers}` and {len(values)} in `{source.scores}`"
        )
    if any(isinstance(value, Mapping) for value in values):
        raise ValueError(f"its `{source.scores}` are objects, not numbers")
    return tuple(
        RecordedAnswer(text, "recorded", score_of(value))
        for entry, value in zip(texts, values, strict=True)
        if (text := _text(entry)) is not None
    )


def _default_field(entries: list[Any]) -> str:
    """One field for all answers of a row: scores of different scales do not compare."""
    fine = any(isinstance(entry, Mapping) and score_of(entry.get(_FINE_GRAINED)) is not None for entry in entries)
    return _FINE_GRAINED if fine else OVERALL


def _answer(entry: Any, field: str) -> tuple[RecordedAnswer | None, str | None]:  # noqa: ANN401 - a cell of a data set
    if isinstance(entry, str):
        text = _text(entry)
        return None if text is None else RecordedAnswer(text, "recorded", None), None
    if not isinstance(entry, Mapping):
        return None, None
    if (lost := next((name for name in _LOST if entry.get(name)), None)) is not None:
        raise ValueError(
            f"one of its answers has `{lost}` beside its text, which is not supported yet and would be lost"
        )
    text = next((found for name in _TEXTS if (found := _text(entry.get(name))) is not None), None)
    if text is None:
        return None, None
    model = next((str(entry[name]) for name in _MODELS if entry.get(name)), "recorded")
    score = score_of(entry.get(field))
    if field == OVERALL and (doubt := false_ten(entry)) is not None:
        return RecordedAnswer(text, model, None), doubt
    return RecordedAnswer(text, model, score), None


def _mean_rating(entry: Mapping[str, Any]) -> float | None:
    """The mean of an answer's ratings by aspect, from 1 to 5, as UltraFeedback has it."""
    fine = score_of(entry.get(_FINE_GRAINED))
    if fine is not None:
        return fine
    aspects = entry.get("annotations")
    found = aspects.values() if isinstance(aspects, Mapping) else ()
    ratings = [score_of(aspect.get("Rating")) for aspect in found if isinstance(aspect, Mapping)]
    known = [rating for rating in ratings if rating is not None]
    return sum(known) / len(known) if known else None


def _text(value: Any) -> str | None:  # noqa: ANN401 - a cell of a data set
    """The text of an answer, None without one. Raises ValueError for messages in its place."""
    if isinstance(value, list | Mapping):
        raise ValueError("one of its answers is a list or an object, not a text; give the answer's text alone")
    if not isinstance(value, str) or not value.strip() or not is_encodable(value):
        return None
    try:
        is_conversation = messages_in(value) is not None
    except ValueError:
        is_conversation = True
    if is_conversation:
        raise ValueError("one of its answers is a list of messages as text; give the answer's text alone")
    return value
