"""Questions of two parts: recognised from the prompt's text, and checked part by part."""

import pytest

from clairgen.data.classroom.questions import draw, recognised
from clairgen.data.classroom.styles import STUDENT
from clairgen.data.classroom.two_parts import (
    answers_of_parts,
    draw_two_parts,
    recognised_parts,
    right_parts,
)
from clairgen.errors import InputError

PROMPT = "Add 347 and 285. Which word does not belong with the others: tiger, bread, horse, goat?"
BOTH_RIGHT = (
    "7+5=12, 4+8+1=13, 3+2+1=6. So it is 632. tiger animal, bread food, horse animal, goat animal. So it is bread."
)


def test_a_draw_is_reproducible_distinct_and_of_two_kinds() -> None:
    questions = draw_two_parts(200, "dev", seed=3)
    assert questions == draw_two_parts(200, "dev", seed=3)
    assert len({question.prompt for question in questions}) == 200
    assert all(question.first.kind is not question.second.kind for question in questions)


def test_a_prompt_alone_gives_its_question_back_and_is_no_question_of_one_part() -> None:
    for question in draw_two_parts(300, "test", seed=5):
        assert recognised(question.prompt) is None
        assert recognised_parts(question.prompt) == question


def test_a_question_of_one_part_is_none_of_two() -> None:
    assert all(recognised_parts(question.prompt) is None for question in draw(140, "test", seed=5))


def test_the_right_answer_has_two_right_parts() -> None:
    for question in draw_two_parts(300, "train", seed=6):
        for one in STUDENT:
            assert right_parts(question.prompt, question.answer(one)) == (True, True)


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        (BOTH_RIGHT, (True, True)),
        (BOTH_RIGHT.replace("So it is", "Answer:"), (True, True)),
        (BOTH_RIGHT.replace("632", "522"), (False, True)),
        (BOTH_RIGHT.replace("is bread", "is tiger"), (True, False)),
        (BOTH_RIGHT.partition(" tiger")[0], (False, False)),
        ("", (False, False)),
    ],
)
def test_each_part_is_checked_by_itself(answer: str, right: tuple[bool, bool]) -> None:
    assert right_parts(PROMPT, answer) == right


def test_an_answer_is_divided_where_the_first_one_closes() -> None:
    parts = answers_of_parts(BOTH_RIGHT)
    assert parts is not None
    assert " ".join(parts) == BOTH_RIGHT
    assert parts[0].endswith("So it is 632.")
    assert answers_of_parts("So it goes.") is None


def test_a_prompt_without_two_parts_is_refused() -> None:
    with pytest.raises(InputError, match="not a question of two parts"):
        right_parts("Add 347 and 285.", BOTH_RIGHT)
