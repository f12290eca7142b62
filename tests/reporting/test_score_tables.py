"""Scores of a pair and of a recipe, as `show`, `report` and the page have them."""

import io
from dataclasses import replace

import pytest
from rich.console import Console

from clairgen.records import OVERALL, Answer, Pair, ParseStatus, Score, StoredPair, Undecided
from clairgen.reporting.html.pairs_page import PairSample, page
from clairgen.reporting.pair_view import PairView
from clairgen.reporting.report import RecipeReport
from clairgen.reporting.terminal import print_reports
from clairgen.store import ScoreNumbers, ScoreReply
from tests.reporting.html.test_pairs_page import text_of
from tests.reporting.made import report_of, stored_pair

MISSING = ParseStatus.MISSING_CRITERION
NUMBERS = (
    ScoreNumbers("judge", "correct", 1500, 3.25, 4.5, 2.0, {MISSING.value: 3}),
    ScoreNumbers("judge", OVERALL, 1500, 0.5625, 0.875, 0.25, {MISSING.value: 3, "broken-json": 1}),
)


def scores(answer: str, correct: float | None, overall: float | None, scorer: str = "judge") -> tuple[Score, ...]:
    status = MISSING if correct is None else ParseStatus.OK
    return (
        Score(answer, "correct", correct, scorer, "k", status, 1),
        Score(answer, OVERALL, overall, scorer, "k", status, 1),
    )


def scored_pair() -> StoredPair:
    made = stored_pair(recipe="rubric")
    assert isinstance(made.outcome, Pair)
    of_all = (*scores("key-rejected", 2, 0.25), *scores("key-third", None, None), *scores("key-chosen", 4.5, 0.875))
    return replace(made, outcome=replace(made.outcome, scores=of_all))


def undecided_pair() -> StoredPair:
    first, second = (Answer(f"text {name}", "stop", f"key-{name}", "student") for name in ("a", "b"))
    given = (*scores("key-a", 3, 0.5), *scores("key-b", 3, 0.5), *scores("key-c", None, None))
    outcome = Undecided("task-1", "rubric", ParseStatus.EQUAL_SCORES, (first, second), scores=given)
    return replace(stored_pair(recipe="rubric"), outcome=outcome, contrast=None)


def printed(shown: PairView | RecipeReport, width: int = 100) -> list[list[str]]:
    file = io.StringIO()
    console = Console(file=file, width=width)
    if isinstance(shown, RecipeReport):
        print_reports(console, [shown])
    else:
        console.print(shown)
    return [line.split() for line in file.getvalue().splitlines()]


def test_a_pair_is_shown_with_every_score_that_its_task_s_answers_were_given() -> None:
    lines = printed(PairView(scored_pair()))
    start = lines.index(["answer", "scored", "by", "correct", "overall"])
    assert lines[start + 2 : start + 5] == [
        ["chosen", "judge", "4.5", "0.88"],
        ["rejected", "judge", "2", "0.25"],
        ["another", "judge", "missing-criterion", "missing-criterion"],
    ]


def test_several_scorers_have_a_row_each() -> None:
    stored = scored_pair()
    more = (*stored.outcome.scores, *scores("key-chosen", 1, 0.0, "judge-2"))
    lines = printed(PairView(replace(stored, outcome=replace(stored.outcome, scores=more))))
    assert ["chosen", "judge", "4.5", "0.88"] in lines
    assert ["chosen", "judge-2", "1", "0"] in lines


def test_where_nothing_was_decided_the_replies_stand_beside_the_scores() -> None:
    replies = [ScoreReply("judge", key, "ok", f"I score {key}.") for key in ("key-b", "key-c")]
    lines = printed(PairView(undecided_pair(), score_replies=replies))
    text = " ".join(" ".join(line) for line in lines)
    assert "reply of the judge about answer 2: ok" in text
    assert "reply of the judge about another answer: ok" in text
    assert "I score key-b." in text
    assert ["answer", "1", "judge", "3", "0.5"] in lines
    assert ["chosen", "none:", "equal-scores"] in lines


@pytest.mark.parametrize("width", [80, 120])
def test_the_report_has_the_means_and_what_could_not_be_read(width: int) -> None:
    lines = printed(replace(report_of("rubric"), scores=NUMBERS), width)
    assert ["correct", "judge", "1,500", "3.25", "4.5", "2", "3"] in lines
    assert ["overall", "judge", "1,500", "0.56", "0.88", "0.25", "4"] in lines
    words = " ".join(" ".join(line) for line in lines)
    assert (
        "Scores of rubric: overall decides, a mean over its scorers; answers without a score: 3 missing-criterion, 1 broken-json."
        in words
    )
    assert "Scores of" not in " ".join(" ".join(line) for line in printed(report_of("clair")))


def test_scripts_have_them_as_json() -> None:
    first, _ = replace(report_of("rubric"), scores=NUMBERS).to_json()["scores"]
    assert first == {
        "scorer": "judge",
        "criterion": "correct",
        "n": 1500,
        "mean": 3.25,
        "chosen": 4.5,
        "rejected": 2.0,
        "unreadable": {"missing-criterion": 3},
    }


def test_the_page_has_the_table_and_each_pair_its_scores() -> None:
    sample = PairSample("runs/a", "rubric", 5)
    sample.add(scored_pair())
    [row] = sample.rows()
    assert row["findings"] == ["scores: chosen 0.88, rejected 0.25"]
    text = text_of(page([replace(report_of("rubric"), scores=NUMBERS)], [sample]))
    assert "rubric overall judge 1,500 0.56 0.88 0.25 3 missing-criterion, 1 broken-json" in text
    assert "Table of scores" not in text_of(page([report_of("clair")], []))
