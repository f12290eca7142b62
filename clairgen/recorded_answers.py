"""Answers that a row of the data set brings along: a list of objects, as UltraFeedback has it, or text columns."""

import math
from collections.abc import Mapping
from typing import Any

from clairgen.config.models import TaskSource
from clairgen.records import RecordedAnswer
from clairgen.text import is_encodable

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
