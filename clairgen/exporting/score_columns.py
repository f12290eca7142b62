"""The scores of a pair's answers as columns of an export, for the recipes that go by scores."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from statistics import fmean
from typing import Any, Final

from clairgen.records import OVERALL, Answer, Pair, Score, StoredPair, overall_score
from clairgen.store import Store

SCORE_COLUMNS: Final[Mapping[str, str]] = {
    "chosen_score": "the overall score of the chosen answer: the mean over its scorers, or the one that the source has",
    "rejected_score": "that of the rejected answer",
    "chosen_criteria": "the chosen answer's score for each criterion of the rubric, as a JSON object",
    "rejected_criteria": "those of the rejected answer",
}


def score_kinds(criteria: Collection[str]) -> dict[str, str]:
    """The columns that pairs with scores for these criteria have, with what they hold."""
    overall = {"chosen_score": "number", "rejected_score": "number"} if criteria else {}
    return overall | ({"chosen_criteria": "json", "rejected_criteria": "json"} if set(criteria) - {OVERALL} else {})


def with_score_columns(stored: StoredPair) -> StoredPair:
    """The pair with the scores of its two answers as further columns; as it is without scores."""
    pair = stored.outcome
    if not isinstance(pair, Pair) or not pair.scores:
        return stored
    columns: dict[str, Any] = {
        "chosen_score": overall_score(pair.chosen, pair.scores),
        "rejected_score": overall_score(pair.rejected, pair.scores),
        "chosen_criteria": _criteria(pair.chosen, pair.scores),
        "rejected_criteria": _criteria(pair.rejected, pair.scores),
    }
    return replace(stored, source_columns={**stored.source_columns, **columns})


async def with_recorded_scores(store: Store, stored: StoredPair) -> StoredPair:
    """A pair of answers that the tasks' source has, with their recorded scores as further columns, None where they have none."""
    if not isinstance(stored.outcome, Pair):
        return stored
    recorded = (await store.tasks.find(stored.task.id)).answers

    def score(answer: Answer) -> float | None:
        found = [one.score for one in recorded if (one.text, one.model) == (answer.text, answer.model)]
        return found[0] if len(set(found)) == 1 else None

    sides = {"chosen_score": stored.outcome.chosen, "rejected_score": stored.outcome.rejected}
    return replace(
        stored, source_columns={**stored.source_columns, **{name: score(one) for name, one in sides.items()}}
    )


def _criteria(answer: Answer, scores: tuple[Score, ...]) -> dict[str, float] | None:
    """By criterion the mean over those who scored an answer; None where there are no criteria."""
    given: dict[str, list[float]] = {}
    for score in scores:
        if score.answer == answer.identity and score.criterion != OVERALL and score.value is not None:
            given.setdefault(score.criterion, []).append(score.value)
    return {criterion: fmean(values) for criterion, values in given.items()} or None
