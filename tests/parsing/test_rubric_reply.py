"""The scores in a judge's reply: the forms that models write, and what is refused by name."""

import pytest

from clairgen.parsing.rubric_reply import RubricReply, Scale, parse_rubric_reply
from clairgen.records import ParseStatus

RUBRIC = (Scale("correct", 1, 5), Scale("easy to read", 0, 10))
READ = {"correct": 4.0, "easy to read": 7.5}
REASONING = "The facts are right.\nThe last part is hard to follow: 3 sentences are too long."


def parsed(reply: str) -> RubricReply:
    return parse_rubric_reply(reply, RUBRIC)


@pytest.mark.parametrize(
    "scores",
    [
        "{scores}:\ncorrect: 4\neasy to read: 7.5",
        "{scores}\n\ncorrect: 4\n\neasy to read: 7.5\n",
        "**{scores}**:\n- **correct**: 4\n- **easy to read**: 7.5",
        "### Scores\n1. Correct: 4\n2. Easy to Read: 7.5",
        "`{scores}`:\n* correct = 4\n* easy_to_read = 7.5",
        "{scores}:\ncorrect: 4/5\neasy to read: 7.5 / 10",
        "{scores}:\ncorrect: 4 out of 5.\neasy to read: 7.5 (the second part could be shorter, 2 sentences)",
        "{scores}:\ncorrect (1 to 5): 4 - all of it is right\neasy to read (0 to 10, weight 2): 7.5, good",
        "{scores}:\ncorrect — 4\neasy to read - 7.5",
        "{scores}:\n| criterion | score |\n|---|---|\n| correct | 4 |\n| easy to read | 7.5 | clear |",
        '{scores}:\n{"correct": 4, "easy to read": 7.5}',
        '{scores}:\n```json\n{\n  "correct": 4,\n  "easy_to_read": "7.5"\n}\n```',
        '{"scores": {"correct": 4, "easy to read": 7.5}}',
        '```json\n{"correct": {"score": 4, "reason": "3 of 3"}, "easy to read": {"score": 7.5, "reason": ""}}\n```',
        "correct: 4\neasy to read: 7.5",
        "**Correct:** 4\n**Easy to read:** 7.5\n\n---\n",
        "{scores}:\ncorrect: 4\neasy to read: 7.5\n\nIn short: it is a good answer.",
        "{scores}:\ncorrect: 4\neasy to read: 7.5\ncorrect: 4",
    ],
)
def test_scores_are_read_in_the_forms_that_models_write(scores: str) -> None:
    for before in ("", f"{REASONING}\n\n"):
        reply = parsed(before + scores)
        assert (reply.status, reply.scores) == (ParseStatus.OK, READ)
        assert reply.reasoning == (REASONING if before else None)


@pytest.mark.parametrize(
    ("reply", "status"),
    [
        ("", ParseStatus.NO_SCORES),
        ("A good answer.", ParseStatus.NO_SCORES),
        ("It was written by two people.\nYear: 1999", ParseStatus.NO_SCORES),
        ("{scores}:\n", ParseStatus.NO_SCORES),
        ("{scores}:\nboth are fine", ParseStatus.NO_SCORES),
        ("{scores}:\ncorrect: 4", ParseStatus.MISSING_CRITERION),
        ('{"correct": 4}', ParseStatus.MISSING_CRITERION),
        ("correct: 4", ParseStatus.MISSING_CRITERION),
        ("{scores}:\ncorrect: 4\neasy to read: 7.5\ntotal: 11.5", ParseStatus.UNKNOWN_CRITERION),
        ('{"correct": 4, "easy to read": 7.5, "tone": 3}', ParseStatus.UNKNOWN_CRITERION),
        ("{scores}:\ncorrect: 4\ncorrect: 3\neasy to read: 7.5", ParseStatus.REPEATED_CRITERION),
        ('{"correct": 4, "easy to read": 7.5, "correct": 2}', ParseStatus.REPEATED_CRITERION),
        ("{scores}:\ncorrect: four\neasy to read: 7.5", ParseStatus.SCORE_NOT_A_NUMBER),
        ("{scores}:\ncorrect: 4 or 5\neasy to read: 7.5", ParseStatus.SCORE_NOT_A_NUMBER),
        ("{scores}:\ncorrect: 4-5\neasy to read: 7.5", ParseStatus.SCORE_NOT_A_NUMBER),
        ("{scores}:\ncorrect: 4,5\neasy to read: 7.5", ParseStatus.SCORE_NOT_A_NUMBER),
        ("{scores}:\ncorrect: 80%\neasy to read: 7.5", ParseStatus.SCORE_NOT_A_NUMBER),
        ("{scores}:\ncorrect: \neasy to read: 7.5", ParseStatus.SCORE_NOT_A_NUMBER),
        ('{"correct": null, "easy to read": 7.5}', ParseStatus.SCORE_NOT_A_NUMBER),
        ('{"correct": true, "easy to read": 7.5}', ParseStatus.SCORE_NOT_A_NUMBER),
        ('{"correct": NaN, "easy to read": 7.5}', ParseStatus.SCORE_NOT_A_NUMBER),
        ('{"correct": [4], "easy to read": 7.5}', ParseStatus.SCORE_NOT_A_NUMBER),
        ("{scores}:\ncorrect: 0\neasy to read: 7.5", ParseStatus.SCORE_OUT_OF_RANGE),
        ("{scores}:\ncorrect: 6\neasy to read: 7.5", ParseStatus.SCORE_OUT_OF_RANGE),
        ("{scores}:\ncorrect: -4\neasy to read: 7.5", ParseStatus.SCORE_OUT_OF_RANGE),
        ("{scores}:\ncorrect: 4/10\neasy to read: 7.5", ParseStatus.SCORE_OUT_OF_RANGE),
        ("correct: 4\neasy to read: 7.5\ntotal: 11.5", ParseStatus.UNKNOWN_CRITERION),
        ('{"correct": 4, "easy to read": 7.5', ParseStatus.BROKEN_JSON),
        ('{scores}:\n{"correct": 4, "easy to read": 7.5', ParseStatus.BROKEN_JSON),
        ("<think>correct: 4\neasy to read: 7.5", ParseStatus.UNCLOSED_THINKING),
    ],
)
def test_what_is_not_one_number_for_each_criterion_is_refused_by_name(reply: str, status: ParseStatus) -> None:
    assert (parsed(reply).status, parsed(reply).scores) == (status, None)


def test_the_last_scores_count_and_thinking_does_not() -> None:
    first = "{scores}:\ncorrect: 1\neasy to read: 1"
    assert parsed(f"{first}\n\nOn second thought:\n{{scores}}:\ncorrect: 4\neasy to read: 7.5").scores == READ
    assert parsed(f'{first}\n\nOn second thought:\n{{"correct": 4, "easy to read": 7.5}}').scores == READ
    reply = parsed(f"<think>{first}</think>\nGood.\n{{scores}}:\ncorrect: 4\neasy to read: 7.5")
    assert (reply.scores, reply.reasoning) == (READ, "Good.")


def test_reasoning_is_read_without_its_header_or_from_the_object() -> None:
    reply = parsed("{teacher_reasoning}: It is right.\n\n{scores}:\ncorrect: 4\neasy to read: 7.5")
    assert reply.reasoning == "It is right."
    reply = parsed('{"reasoning": "It is right.", "scores": {"correct": 4, "easy to read": 7.5}}')
    assert (reply.scores, reply.reasoning) == (READ, "It is right.")
    reasoned = parse_rubric_reply('{"its reasoning": 4}', [Scale("its reasoning", 1, 5)])
    assert (reasoned.scores, reasoned.reasoning) == ({"its reasoning": 4.0}, None)


def test_numbers_of_other_scripts_and_beyond_any_scale_are_no_scores() -> None:
    for number in ("٤", "4" * 5000, "1e999", "𝟒"):
        reply = parsed(f"{{scores}}:\ncorrect: {number}\neasy to read: 7.5")
        assert reply.status is ParseStatus.SCORE_NOT_A_NUMBER
        assert parsed(f'{{"correct": "{number}", "easy to read": 7.5}}').scores is None
    assert parsed('{"correct": 1e999, "easy to read": 7.5}').status is ParseStatus.SCORE_NOT_A_NUMBER


def test_names_in_any_script_are_told_apart_by_letters_and_digits() -> None:
    rubric = (Scale("Größe", 1, 5), Scale("部分 1", 1, 5))
    reply = parse_rubric_reply("{scores}:\n**GRÖSSE**: 2\n部分1：3", rubric)
    assert reply.scores == {"Größe": 2.0, "部分 1": 3.0}
