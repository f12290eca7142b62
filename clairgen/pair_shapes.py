"""What shape the pairs of a data set have, found by its columns and first rows.

Where that leaves a choice, nothing is guessed: the error names the choices, and the user names columns by their role.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from clairgen.config.models import RANK, TaskSource
from clairgen.conversations import is_encodable
from clairgen.errors import InputError
from clairgen.recorded_answers import answer_entries, recorded_answers, score_of
from clairgen.row_files import text_of_csv_cell
from clairgen.row_pairs import (
    TOGETHER,
    PairShape,
    RowPair,
    as_cell,
    explicit_pair,
    form_of,
    is_structure,
    kept_value,
    pair_to_prompt,
)

ROLES: Final[Mapping[str, str]] = {
    "prompt": "what was asked, as a text or a list of messages",
    "system": "a system prompt, which becomes the first message",
    "chosen": "the better answer, or the whole conversation that ends with it",
    "rejected": "the other answer, or the whole conversation that ends with it",
    "answers": "several answers of one row",
    "scores": "their scores: a field of each answer, or a column beside them",
    "first": "one of two answers that a preference compares",
    "second": "the other of the two",
    "preference": "a number, below 0 where the first answer is better, above 0 where the second is",
    "response": "one answer a row, where the rows of a prompt follow one another",
    "score": "the score of that answer",
    "id": "the name of the prompt",
}
"""What `--column ROLE=NAME` can name a column as, and what such a column holds."""

NO_COLUMN: Final = "-"
"""In place of a column's name: no column has this role."""
_PROMPTS: Final = ("question", "instruction", "input", "query", "context")
_CONVERSATIONS: Final = ("conversations", "conversation", "messages", "history")
_SYSTEMS: Final = ("system", "system_prompt")
_IDS: Final = ("task_id", "prompt_id", "id")
_ANSWERS: Final = ("completions", "generations", "responses", "answers", "candidates", "all_generated_responses")
_SCORES: Final = ("score", "rating", "rank", "reward", "scores", "ratings", "ranks", "rewards", "all_rm_scores")
_ULTRAFEEDBACK: Final = ("fine-grained_score", "overall_score")
_TWO: Final = (("response_1", "response_2"), ("response1", "response2"))
_PREFERENCES: Final = ("preference_strength", "overall_preference")
_OVERALL: Final = "helpfulness"
_MODELS: Final = (("chosen_model", "rejected_model"), ("chosen-model", "rejected-model"))
_OWN_EXPORT: Final = frozenset({"task_id", "pair_id", "recipe", "levenshtein"})
_MEASURED_AGAIN: Final = frozenset({"jaccard", "tokenizer", "length_ratio", "marks", "reasoning", *_OWN_EXPORT})
_NEGATED: Final = "score_from_rank"
_DECISIVE: Final = ("answers", "first", "response")
"""The role without which each shape but the first is none."""
_OF_BOTH: Final = ("chosen_score", "rejected_score")


def find_shape(first: Sequence[Mapping[str, Any]], columns: Mapping[str, str], what: str) -> PairShape:
    """The shape of the pairs in the first rows of `what`, where `columns` names some by their role.

    Raises InputError, with the choices, where the rows have no pairs that are understood or could be read in several ways.
    """
    held = _Held(first, columns, what)
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


class _Held:
    """The first rows of a data set: its columns, what they hold, and those that the user named."""

    def __init__(self, first: Sequence[Mapping[str, Any]], named: Mapping[str, str], what: str) -> None:
        self.first = first
        self.what = what
        self.named = named
        self.names = list(dict.fromkeys(str(name) for row in first for name in row))
        for role, name in named.items():
            if role not in ROLES:
                raise InputError(f"--column {role}={name}: there is no role {role!r}; roles are {', '.join(ROLES)}")
            if name not in (NO_COLUMN, *self.names) and role != "scores":
                raise InputError(f"--column {role}={name}: {what} has no column {name!r}; it has {self.listed}")

    @property
    def listed(self) -> str:
        """The columns in words."""
        return ", ".join(self.names) or "none"

    def column(self, role: str, *usual: str) -> str | None:
        """The column that was named for a role, or else the first of the usual ones that is there."""
        name = self.named.get(role) or next((name for name in usual if name in self.names), None)
        return None if name == NO_COLUMN else name

    def only(self, role: str, found: Sequence[str]) -> str | None:
        """The column that was named for a role, or else the only one found. Raises InputError where there are several."""
        if role in self.named:
            return self.column(role)
        if len(found) > 1:
            ways = " or ".join(f"--column {role}={name}" for name in found)
            raise InputError(
                f"{self.what} has several columns that may be the {role} ({ROLES[role]}); say which with {ways}"
            )
        return found[0] if found else None

    def value(self, column: str | None) -> Any:  # noqa: ANN401 - a cell of a data set
        """The first value of a column that is not empty; None if there is none."""
        if column is None:
            return None
        return next((row[column] for row in self.first if row.get(column) not in (None, "", [], {})), None)

    def is_number(self, column: str) -> bool:
        """Whether the first value of a column is a number."""
        return score_of(self.value(column)) is not None

    def prompt(self) -> str:
        """The column with the prompt. Raises InputError where there is none, or a choice."""
        name = self.column("prompt", "prompt")
        if name is None and "prompt" not in self.named:
            for usual in (_PROMPTS, _CONVERSATIONS):
                name = name or self.only("prompt", [one for one in usual if one in self.names])
        if name is None:
            raise InputError(
                f"{self.what} has no column with the prompt; it has {self.listed}: name it with --column prompt=NAME"
            )
        return name

    def shape(
        self,
        name: str,
        sentence: str,
        columns: Mapping[str, str],
        pair: Callable[[Mapping[str, Any], Mapping[str, str]], RowPair],
        *,
        adds: Sequence[str] = (),
        left_out: Sequence[str] = (),
        row_by_row: bool = False,
    ) -> PairShape:
        """A shape that keeps the columns that have no role and are not `left_out`; `adds` names what `pair` adds to them."""
        own = _MEASURED_AGAIN if set(self.names) >= _OWN_EXPORT else frozenset()
        models = next((two for two in _MODELS if set(two) <= set(self.names)), None)
        identity = self.column("id", *_IDS)
        taken = {*columns.values(), *(models or ()), *left_out, *own}
        others = [column for column in self.names if column not in taken]
        further = [column for column in others if not is_structure(self.value(column))]
        rest = partial(_with_the_rest, identity=identity, models=models, further=further, reasoning=bool(own))
        behind = tuple(column for column in others if column not in further)
        more = f"; kept besides: {', '.join(further)}" if further else ""
        more += f"; not kept, since they hold objects: {', '.join(behind)}" if behind else ""
        system = f", after the system prompt in `{columns['system']}`" if "system" in columns else ""
        return PairShape(
            name,
            f"{name}: {sentence}{system}{more}",
            columns,
            (*further, *adds),
            behind,
            lambda row: rest(row, pair(row, columns)),
            row_by_row,
        )


def _with_the_rest(
    row: Mapping[str, Any],
    pair: RowPair,
    *,
    identity: str | None,
    models: tuple[str, str] | None,
    further: Sequence[str],
    reasoning: bool,
) -> RowPair:
    """The pair of a row with what other columns say of it; `reasoning` is whether the row is one that clairgen exported."""
    if reasoning and isinstance(row.get("chosen"), str):  # as CSV
        row = {column: text_of_csv_cell(value) if isinstance(value, str) else value for column, value in row.items()}
    chosen_model, rejected_model = (str(row.get(name) or "") for name in models) if models else ("", "")
    name = "" if identity is None or row.get(identity) is None else str(row[identity])
    kept = {column: value for column in further if (value := kept_value(row.get(column))) is not None}
    return replace(
        pair,
        chosen_model=pair.chosen_model or chosen_model,
        rejected_model=pair.rejected_model or rejected_model,
        reasoning=str(row["reasoning"]) if reasoning and row.get("reasoning") else None,
        name=name if name and is_encodable(name) else None,
        further=kept | dict(pair.further),
    )


def _roles(**columns: str | None) -> dict[str, str]:
    return {role: column for role, column in columns.items() if column is not None}


def _explicit(held: _Held) -> PairShape:
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


def _two_answers(held: _Held) -> PairShape | None:
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


def _scored_answers(held: _Held) -> PairShape | None:
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
    best, worst = ("lowest", "highest") if is_rank else ("highest", "lowest")
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
    best, worst = _extremes(scored, "it has")
    found = pair_to_prompt(row, columns, best[1].text, worst[1].text)
    sign = -1 if is_rank else 1
    return replace(
        found,
        chosen_model=best[1].model,
        rejected_model=worst[1].model,
        further=dict(zip(_OF_BOTH, (sign * best[0], sign * worst[0]), strict=True)),
        doubt=recorded.doubt,
    )


def _row_by_row(held: _Held) -> PairShape | None:
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
    sentence = (
        f"of the rows with the same `{prompt}`, which follow one another, the `{response}` with the highest `{score}` is chosen "
        "and the one with the lowest rejected"
    )
    of_one = [name for name in held.names if name not in columns.values() and held.is_number(name)]
    return held.shape(
        "one scored answer a row",
        sentence,
        columns,
        _best_row_and_worst,
        adds=_OF_BOTH,
        left_out=of_one,
        row_by_row=True,
    )


def _best_row_and_worst(row: Mapping[str, Any], columns: Mapping[str, str]) -> RowPair:
    scored = [(number, one) for one in row[TOGETHER] if (number := score_of(one.get(columns["score"]))) is not None]
    best, worst = _extremes(scored, "its prompt has")
    response = columns["response"]
    found = pair_to_prompt(row, columns, best[1].get(response), worst[1].get(response))
    return replace(found, further=dict(zip(_OF_BOTH, (best[0], worst[0]), strict=True)))


def _extremes(scored: Sequence[tuple[float, Any]], who: str) -> tuple[tuple[float, Any], tuple[float, Any]]:
    """The first with the highest score and the first with the lowest. Raises ValueError where they do not differ."""
    if len(scored) < 2:
        raise ValueError(f"{who} fewer than two answers with a score")
    best, worst = max(scored, key=lambda one: one[0]), min(scored, key=lambda one: one[0])
    if best[0] == worst[0]:
        raise ValueError("the scores of its answers are all equal")
    return best, worst


def _score_of_answers(held: _Held, answers: str, entries: Sequence[Any]) -> str | None:
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
    candidates = [name for name in numeric or beside if name in _SCORES] or numeric or beside
    score = held.only("scores", candidates)
    if score is None:
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
