"""Recorded answers and their scores: which score counts, which is not believed, which form is not read."""

from pathlib import Path
from typing import Any

import pytest

from clairgen.config.models import TaskSource
from clairgen.errors import InputError
from clairgen.recorded_answers import check_answer_columns, recorded_answers


def source(**given: Any) -> TaskSource:  # noqa: ANN401 - any key
    return TaskSource(path=Path("t.jsonl"), **given)


def answer(text: str, overall: object, fine: object = None, **more: object) -> dict[str, object]:
    scores = {"overall_score": overall} | ({} if fine is None else {"fine-grained_score": fine})
    return {"model": "m", "response": text, **scores, **more}


def scores(entries: list[Any], **given: Any) -> list[float | None]:  # noqa: ANN401
    found = recorded_answers({"completions": entries}, source(answers="completions", **given))
    return [each.score for each in found.answers]


def test_fine_grained_scores_count_where_a_row_has_them() -> None:
    assert scores([answer("a", 10.0, 1.25), answer("b", 8.5, 4.75)]) == [1.25, 4.75]
    assert scores([answer("a", 7.0), answer("b", 8.5)]) == [7.0, 8.5]


def test_scores_of_two_scales_are_never_compared() -> None:
    assert scores([answer("a", 9.0), answer("b", 8.5, 4.75)]) == [None, 4.75]


def test_a_false_ten_is_no_score_and_the_row_says_so() -> None:
    """In UltraFeedback a critique's 1 was read as 10; the ratings of the same answer give it away."""
    entries = [answer("bad", 10.0, 1.25), answer("good", 10, 4.75), answer("fair", 7.0, 4.0)]
    found = recorded_answers({"c": entries}, source(answers="c", scores="overall_score"))
    assert [each.score for each in found.answers] == [None, 10.0, 7.0]
    assert found.doubt == "overall_score 10 beside ratings of 1.25 of 5 on average"
    rated = {"annotations": {"honesty": {"Rating": "1"}, "truth": {"Rating": "2"}, "help": {"Rating": "N/A"}}}
    assert scores([answer("bad", 10.0, **rated), answer("good", 10.0)]) == [None, 10.0]


def test_texts_and_scores_in_two_lists_belong_together_by_position() -> None:
    row: dict[str, object] = {"generations": ["a", "b", " "], "ratings": [4.0, None, 1.0]}
    given = source(answers="generations", scores="ratings")
    check_answer_columns(row, given)
    assert [(each.text, each.score) for each in recorded_answers(row, given).answers] == [("a", 4.0), ("b", None)]
    with pytest.raises(ValueError, match="it has 3 answers in `generations` and 1 in `ratings`"):
        recorded_answers(row | {"ratings": [1.0]}, given)


def test_answers_as_json_text_are_read() -> None:
    given = source(answers="c", scores="s")
    found = recorded_answers({"c": '[{"response": "a", "s": 2}, {"response": "b", "s": 1}]'}, given)
    assert [each.score for each in found.answers] == [2.0, 1.0]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"c": "one answer"}, "its `c` is a text, not a list"),
        ({"c": 3}, "its `c` is not a list"),
        ({"c": [{"content": [{"role": "assistant", "content": "x"}]}]}, "one of its answers is a list or an object"),
        ({"c": [{"content": "x", "tool_calls": [{"id": "1"}]}]}, "one of its answers has `tool_calls` beside its text"),
        (
            {"c": [{"content": "x", "reasoning_content": "hm"}]},
            "one of its answers has `reasoning_content` beside its text",
        ),
        ({"c": ['[{"role": "user", "content": "x"}]']}, "a list of messages as text"),
    ],
)
def test_answers_in_another_form_make_a_bad_row(row: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        recorded_answers(row, source(answers="c"))


@pytest.mark.parametrize(
    ("row", "given", "said"),
    [
        (
            {"chosen": [{"role": "user"}], "rejected": []},
            {"answers": ["chosen", "rejected"]},
            "'chosen' of t.jsonl holds a",
        ),
        (
            {"c": [{"response": "x", "rank": 1}]},
            {"answers": "c", "scores": "score"},
            "no 'score', .* they have rank, res",
        ),
        ({"c": ["x", "y"]}, {"answers": "c", "scores": "ratings"}, "no column 'ratings'"),
    ],
)
def test_columns_that_do_not_have_what_is_configured_are_an_error(
    row: dict[str, object], given: dict[str, object], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        check_answer_columns(row, source(**given))


@pytest.mark.parametrize("name", ["rank", "ranks", "Rank", "answer_rank", "rank_1", "ranking", "gpt-rankings"])
def test_ranks_are_not_taken_for_scores(name: str) -> None:
    with pytest.raises(ValueError, match="look like ranks, of which 1 is the best"):
        source(answers="c", scores=name)
    with pytest.raises(ValueError, match="look like ranks"):
        source(answers=["a", "b"], scores=["score", name])


@pytest.mark.parametrize("name", ["score", "frankness", "ranking_score", "ratings"])
def test_other_names_are_scores(name: str) -> None:
    assert source(answers="c", scores=name).scores == name
