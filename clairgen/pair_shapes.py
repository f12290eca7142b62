"""What shape the pairs of a data set have, found by its columns and first rows.

Where that leaves a choice, nothing is guessed: the error names the choices, and the user names columns by their role.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice, pairwise
from pathlib import Path
from typing import Any, Final

from clairgen.config.models import RANK, TaskSource
from clairgen.errors import InputError
from clairgen.first_rows import NO_COLUMN, FirstRows
from clairgen.import_source import ImportSource
from clairgen.recorded_answers import answer_entries, recorded_answers, score_of
from clairgen.row_pairs import (
    TOGETHER,
    PairShape,
    RowPair,
    as_cell,
    explicit_pair,
    form_of,
    pair_to_prompt,
)
from clairgen.sources import BadRow
from clairgen.wording import counted

_FIRST_ROWS: Final = 200
_SYSTEMS: Final = ("system", "system_prompt")
_ANSWERS: Final = ("completions", "generations", "responses", "answers", "candidates", "all_generated_responses")
_SCORES: Final = ("score", "rating", "rank", "reward", "scores", "ratings", "ranks", "rewards", "all_rm_scores")
_ULTRAFEEDBACK: Final = ("fine-grained_score", "overall_score")
_TWO: Final = (("response_1", "response_2"), ("response1", "response2"))
_PREFERENCES: Final = ("preference_strength", "overall_preference")
_OVERALL: Final = "helpfulness"
_NEGATED: Final = "score_from_rank"
_DECISIVE: Final = ("answers", "first", "response")
"""The role without which each shape but the first is none."""
_OF_BOTH: Final = ("chosen_score", "rejected_score")


def shape_of(source: ImportSource, columns: Mapping[str, str]) -> PairShape:
    """How the first rows of a source are understood, where `columns` names some columns by their role.

    Raises InputError where none of them can be read, or they are not understood.
    """
    beginning = [content for _, content in islice(source.rows(), _FIRST_ROWS)]
    first = [content for content in beginning if not isinstance(content, BadRow)]
    if not first:
        why = next((f" ({row.where}: {row.why})" for row in beginning if isinstance(row, BadRow)), "")
        raise InputError(
            f"{source.name} has no rows that can be read, so there is nothing to look at{why}; give it at least one with a pair"
        )
    return find_shape(first, columns, source.name)


def find_shape(first: Sequence[Mapping[str, Any]], columns: Mapping[str, str], what: str) -> PairShape:
    """The shape of the pairs in the first rows of `what`, where `columns` names some by their role.

    Raises InputError, with the choices, where the rows have no pairs that are understood or could be read in several ways.
    """
    held = FirstRows(first, columns, what)
    if held.column("chosen", "chosen") and held.column("rejected", "rejected"):
        return _explicit(held)
    shapes = [shape for way in (_two_answers, _scored_answers, _row_by_row) if (shape := way(held)) is not None]
    if len(shapes) == 1:
        return shapes[0]
    if shapes:
        choices = " or ".join(f"{shape.name} ({', '.join(shape.columns.values())})" for shape in shapes)
        ways = " or ".join(
            f"--column {role}={NO_COLUMN}" for shape in shapes for role in _DECISIVE if role in shape.columns
        )
        raise InputError(f"{what} can be read as {choices}; leave out what it is not, with {ways}")
    raise InputError(
        f"no pairs are found in {what}, which has the columns {held.listed}; name those that hold them: --column chosen=NAME "
        "--column rejected=NAME with --column prompt=NAME, or answers and scores, or first, second and preference, or response "
        "and score"
    )


def _roles(**columns: str | None) -> dict[str, str]:
    return {role: column for role, column in columns.items() if column is not None}


def _explicit(held: FirstRows) -> PairShape:
    """Columns with the better and the other answer."""
    chosen, rejected = str(held.column("chosen", "chosen")), str(held.column("rejected", "rejected"))
    first = _first_cell(held.value(chosen))
    is_whole = isinstance(first, list) and len(first) > 1
    prompt = held.column("prompt", "prompt") if is_whole else held.prompt()
    form = form_of(held.value(chosen))
    if is_whole:
        name, asked = "whole conversations", "the prompt is what both begin with"
    else:
        name, asked = "a chosen and a rejected answer", f"the prompt is `{prompt}`{form_of(held.value(prompt))}"
    sentence = f"`{chosen}` is better than `{rejected}`{form}; {asked}"
    columns = _roles(prompt=prompt, chosen=chosen, rejected=rejected, system=held.column("system", *_SYSTEMS))
    return held.shape(name, sentence, columns, explicit_pair)


def _two_answers(held: FirstRows) -> PairShape | None:
    """Two answers and a number that says which is better, as in HelpSteer2 and HelpSteer3."""
    usual = next((two for two in _TWO if set(two) <= set(held.names)), (None, None))
    first, second = held.named.get("first") or usual[0], held.named.get("second") or usual[1]
    preference = held.only("preference", [name for name in _PREFERENCES if name in held.names and held.is_number(name)])
    if first in (None, NO_COLUMN) or second in (None, NO_COLUMN) or preference is None:
        return None
    columns = _roles(prompt=held.prompt(), first=first, second=second, preference=preference)
    columns |= _roles(system=held.column("system", *_SYSTEMS))
    sentence = (
        f"`{first}` is better where `{preference}` is below 0, `{second}` where it is above 0, and 0 is a tie; the prompt is "
        f"`{columns['prompt']}`{form_of(held.value(columns['prompt']))}"
    )
    return held.shape("two answers with a preference", sentence, columns, _preferred, adds=[preference])


def _preferred(row: Mapping[str, Any], columns: Mapping[str, str]) -> RowPair:
    preference = score_of(row.get(columns["preference"]))
    if preference is None:
        raise ValueError(f"its `{columns['preference']}` is not a number")
    if preference == 0:
        raise ValueError(f"its `{columns['preference']}` is 0, a tie")
    better, worse = ("first", "second") if preference < 0 else ("second", "first")
    found = pair_to_prompt(row, columns, row.get(columns[better]), row.get(columns[worse]))
    return replace(found, further={columns["preference"]: preference})


def _scored_answers(held: FirstRows) -> PairShape | None:
    """Several answers a row with scores, as in UltraFeedback and Nectar: the best is chosen, the worst rejected."""
    answers = held.only(
        "answers", [name for name in _ANSWERS if name in held.names and _entries(held.value(name), name)]
    )
    entries = _entries(held.value(answers), answers) if answers else []
    if answers is None or not entries:
        return None
    score = _score_of_answers(held, answers, entries)
    columns = _roles(prompt=held.prompt(), answers=answers, scores=score, system=held.column("system", *_SYSTEMS))
    is_rank = score is not None and RANK.match(score) is not None
    by = f"`{score}`" if score else " or ".join(f"`{name}`" for name in _ULTRAFEEDBACK)
    best, worst = _best_is(is_rank=is_rank)
    sentence = (
        f"of the answers in `{answers}` the one with the {best} {by} is chosen and the one with the {worst} rejected; the prompt "
        f"is `{columns['prompt']}`{form_of(held.value(columns['prompt']))}"
    )
    source = TaskSource(path=Path(held.what), answers=answers, scores=_NEGATED if is_rank else score)
    read = partial(_best_and_worst, source=source, is_rank=is_rank)
    return held.shape("several scored answers a row", sentence, columns, read, adds=_OF_BOTH)


def _best_and_worst(
    row: Mapping[str, Any], columns: Mapping[str, str], *, source: TaskSource, is_rank: bool
) -> RowPair:
    recorded = recorded_answers(_with_ranks_as_scores(row, columns) if is_rank else row, source)
    scored = [(answer.score, answer) for answer in recorded.answers if answer.score is not None]
    given = len(answer_entries(row.get(columns["answers"]), columns["answers"]))
    best, worst = _extremes(scored, "it has")
    found = pair_to_prompt(row, columns, best[1].text, worst[1].text)
    sign = -1 if is_rank else 1
    return replace(
        found,
        chosen_model=best[1].model,
        rejected_model=worst[1].model,
        further=dict(zip(_OF_BOTH, (sign * best[0], sign * worst[0]), strict=True)),
        doubt=recorded.doubt or _unused(given - len(scored), given),
    )


def _row_by_row(held: FirstRows) -> PairShape | None:
    """One scored answer a row, where the rows of a prompt follow one another, as in HelpSteer."""
    response = held.column("response", "response")
    if response is None:
        return None
    scores = [name for name in (_OVERALL, *_SCORES[:4]) if name in held.names and held.is_number(name)]
    score = held.only("score", [_OVERALL] if _OVERALL in scores else scores)
    if score is None:
        return None
    prompt = held.prompt()
    prompts = [repr(row.get(prompt)) for row in held.first]
    if not any(one == other for one, other in pairwise(prompts)):
        return None
    columns = _roles(prompt=prompt, response=response, score=score, system=held.column("system", *_SYSTEMS))
    is_rank = RANK.match(score) is not None
    best, worst = _best_is(is_rank=is_rank)
    sentence = (
        f"of the rows with the same `{prompt}`, which follow one another, the `{response}` with the {best} `{score}` is chosen "
        f"and the one with the {worst} rejected"
    )
    of_one = [name for name in held.names if name not in columns.values() and held.is_number(name)]
    return held.shape(
        "one scored answer a row",
        sentence,
        columns,
        partial(_best_row_and_worst, is_rank=is_rank),
        adds=_OF_BOTH,
        left_out=of_one,
        row_by_row=True,
    )


def _best_row_and_worst(row: Mapping[str, Any], columns: Mapping[str, str], *, is_rank: bool) -> RowPair:
    sign = -1 if is_rank else 1
    scored = [
        (sign * number, one) for one in row[TOGETHER] if (number := score_of(one.get(columns["score"]))) is not None
    ]
    best, worst = _extremes(scored, "its prompt has")
    response = columns["response"]
    found = pair_to_prompt(row, columns, best[1].get(response), worst[1].get(response))
    return replace(
        found,
        further=dict(zip(_OF_BOTH, (sign * best[0], sign * worst[0]), strict=True)),
        doubt=_unused(len(row[TOGETHER]) - len(scored), len(row[TOGETHER])),
    )


def _best_is(*, is_rank: bool) -> tuple[str, str]:
    """Which score or rank the best answer has, and which the worst."""
    return ("lowest", "highest") if is_rank else ("highest", "lowest")


def _unused(count: int, of: int) -> str | None:
    """That so many of a prompt's answers cannot be compared; None if all can."""
    return f"{count:,} of its {counted(of, 'answer')} without a text or a score" if count else None


def _extremes(scored: Sequence[tuple[float, Any]], who: str) -> tuple[tuple[float, Any], tuple[float, Any]]:
    """The first with the highest score and the first with the lowest. Raises ValueError where they do not differ."""
    if len(scored) < 2:
        raise ValueError(f"{who} fewer than two answers with a score")
    best, worst = max(scored, key=lambda one: one[0]), min(scored, key=lambda one: one[0])
    if best[0] == worst[0]:
        raise ValueError("the scores of its answers are all equal")
    return best, worst


def _score_of_answers(held: FirstRows, answers: str, entries: Sequence[Any]) -> str | None:
    """What has the scores of answers: a field of theirs, or a column beside them; None for UltraFeedback's own fields."""
    if "scores" in held.named:
        return held.column("scores")
    fields = [name for entry in entries if isinstance(entry, Mapping) for name in entry]
    if any(name in _ULTRAFEEDBACK for name in fields):
        return None
    numeric = [
        name
        for name in dict.fromkeys(map(str, fields))
        if any(isinstance(entry, Mapping) and score_of(entry.get(name)) is not None for entry in entries)
    ]
    beside = [name for name in held.names if name != answers and _is_list_of_numbers(held.value(name), len(entries))]
    usual = [name for name in numeric or beside if name in _SCORES or RANK.match(name)]
    score = held.only("scores", usual)
    if score is None:
        if others := numeric or beside:
            ways = " or ".join(f"--column scores={name}" for name in others)
            raise InputError(
                f"the answers in the column {answers!r} of {held.what} have no score under a usual name; say what it is, "
                f"the higher the better, with {ways}"
            )
        seen = f"fields {', '.join(dict.fromkeys(map(str, fields)))}" if fields else f"columns {held.listed}"
        raise InputError(
            f"the answers in the column {answers!r} of {held.what} have no score among the {seen}; name it "
            "with --column scores=NAME"
        )
    return score


def _with_ranks_as_scores(row: Mapping[str, Any], columns: Mapping[str, str]) -> dict[str, Any]:
    """The row with minus each rank as a score, in the answers or beside them."""
    answers, ranks = columns["answers"], columns["scores"]
    if ranks in row:
        values = row[ranks] if isinstance(row[ranks], list) else []
        return {**row, _NEGATED: [None if (rank := score_of(one)) is None else -rank for one in values]}
    entries = [
        {**entry, _NEGATED: None if (rank := score_of(entry.get(ranks))) is None else -rank}
        if isinstance(entry, Mapping)
        else entry
        for entry in answer_entries(row.get(answers), answers)
    ]
    return {**row, answers: entries}


def _entries(cell: Any, column: str) -> list[Any]:  # noqa: ANN401 - a cell of a data set
    """The answers in a cell; none where it is no list of at least one."""
    try:
        return answer_entries(cell, column)
    except ValueError:
        return []


def _is_list_of_numbers(cell: object, length: int) -> bool:
    return isinstance(cell, list) and len(cell) == length and all(score_of(one) is not None for one in cell)


def _first_cell(value: Any) -> Any:  # noqa: ANN401 - a cell of a data set
    try:
        return as_cell(value)
    except ValueError:
        return value
