"""The classroom's questions: drawn by seed, split by hash, checked from the prompt's text alone."""

import json
from collections import Counter
from random import Random

import pytest
from rapidfuzz.distance import Levenshtein

from clairgen.data.classroom.kinds import KINDS, Kind
from clairgen.data.classroom.questions import (
    Split,
    asked,
    check,
    draw,
    is_right,
    is_sound,
    recognised,
    split_of,
)
from clairgen.data.classroom.styles import STUDENT, STYLES, TEACHER, stated_result
from clairgen.errors import InputError

pytestmark = pytest.mark.slow

SPLITS: tuple[Split, ...] = ("train", "dev", "test")
FEWEST_QUESTIONS = 100_000


def test_a_draw_is_reproducible_and_distinct() -> None:
    questions = draw(400, "test", seed=3)
    assert questions == draw(400, "test", seed=3)
    assert questions != draw(400, "test", seed=4)
    assert len({question.prompt for question in questions}) == 400


def test_a_draw_has_every_kind_in_equal_shares() -> None:
    counts = Counter(question.kind.name for question in draw(10 * len(KINDS), "dev", seed=0))
    assert counts == {kind.name: 10 for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_kind_has_a_hundred_thousand_questions(kind: Kind) -> None:
    """Of n draws from N equally likely questions about n²/2N come again; uneven odds only make that more."""
    random, draws = Random(1), 8000
    again = draws - len({json.dumps(kind.drawn(random), sort_keys=True) for _ in range(draws)})
    expected = draws**2 / 2 / FEWEST_QUESTIONS
    assert again < expected - 4 * expected**0.5


def test_splits_are_disjoint() -> None:
    prompts = [{question.prompt for question in draw(1000, split, seed=1)} for split in SPLITS]
    assert len(set.union(*prompts)) == 3000


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_question_keeps_its_split_in_every_wording(kind: Kind) -> None:
    random = Random(2)
    for split in SPLITS:
        question = asked(kind, split, random)
        fields = kind.fields(question.prompt)
        assert fields is not None
        for wording in kind.prompts:
            again = kind.fields(wording.format_map(fields))
            assert again is not None
            assert split_of(kind, again) == split


@pytest.mark.parametrize("split", SPLITS)
def test_a_prompt_alone_gives_its_question_back(split: Split) -> None:
    for question in draw(1000, split, seed=5):
        assert recognised(question.prompt) == question


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_an_answer_of_any_style_is_right_and_one_of_another_result_is_wrong(kind: Kind) -> None:
    random = Random(7)
    first, second = asked(kind, "train", random), asked(kind, "train", random)
    while first.working.result == second.working.result:
        second = asked(kind, "train", random)
    for style in STYLES.values():
        answer, result = first.answer(style), first.working.result
        assert is_right(first, f" {answer}\n")
        assert is_sound(first, answer)
        assert check(first.prompt, answer)
        assert [other.name for other in STYLES.values() if other.is_of(kind, answer)] == [style.name]
        other_result = answer.removesuffix(f"{result}.") + f"{second.working.result}."
        assert not check(first.prompt, other_result)
        assert not check(first.prompt, answer.removesuffix("."))
        assert not check(first.prompt, "")


def test_the_students_style_and_the_teachers_own_are_different_texts() -> None:
    for question in draw(140, "train", seed=0):
        one, other = question.answer(STUDENT[0]), question.answer(TEACHER)
        assert Levenshtein.distance(one, other) > 40


def test_a_right_result_by_a_wrong_step_is_right_and_not_sound() -> None:
    question = recognised("What is 347 + 285?")
    assert question is not None
    text = "7+5=12, 4+8+1=12, 3+2+1=6. So it is 632."
    assert is_right(question, text)
    assert not is_sound(question, text)


@pytest.mark.parametrize(
    ("prompt", "answer"),
    [
        ("Add 347 and 285.", "7+5=12, 4+8+1=13, 3+2+1=6. So it is 632."),
        ("What is 947 + 285?", "7+5=12, 4+8+1=13, 9+2+1=12. So it is 1232."),
        ("Take 278 from 512.", "12-8=4, 11-1-7=3, 5-1-2=2. So it is 234."),
        ("Find the largest number: 34, 91, 55, 12.", "91>34, 91>55, 91>12. So it is 91."),
        ("What is the median of 34, 91, 55?", "34<55<91. So it is 55."),
        ("Anna is 34, Ben is 28 and Carla is 41. Who is the oldest?", "34>28, 41>34. So it is Carla."),
        ("Count the even numbers: 12, 37, 30, 41.", "12 even, 37 odd, 30 even, 41 odd. So it is 2."),
        ("Count the word cat: cat sun cat dog sun sun moon.", "cat 1 sun cat 2 dog sun sun moon. So it is 2."),
        ("Count all letters of these words: bread, window, tiger.", "bread 5, window 6, tiger 5, 5+6+5=16. So it is 16."),
        ("Find the first word in alphabetical order: table, bread, window, cloud.",
         "table t, bread b, window w, cloud c. So it is bread."),
        ("Correct the misspelt word: apple, botle, river.", "botle is misspelt. So it is bottle."),
        ("Find the opposite of hot among rich, cold, early.", "rich poor, cold hot, early late. So it is cold."),
        ("Find the capital of Peru among Oslo, Lima, Rome.", "Oslo Norway, Lima Peru, Rome Italy. So it is Lima."),
        ("Find the odd one out: tiger, apple, horse, goat.", None),
        ("Find the odd one out: tiger, bread, horse, goat.",
         "tiger animal, bread food, horse animal, goat animal. So it is bread."),
        ("A film starts at 14:25 and lasts 1 h 50 min. When does it end?", "25+50=75, 75-60=15, 14+1+1=16. So it is 16:15."),
        ("A train leaves at 9:05 and travels for 2 h 10 min. When does it arrive?", "05+10=15, 9+2=11. So it is 11:15."),
    ],
)  # fmt: skip
def test_hand_worked_answers_are_sound(prompt: str, answer: str | None) -> None:
    question = recognised(prompt)
    assert (question is None) == (answer is None)
    if question is not None and answer is not None:
        assert question.answer(STUDENT[0]) == answer


@pytest.mark.parametrize(
    ("text", "result"),
    [("So it is 632.", "632"), ("The answer is **16:15**.", "16:15"), ("So it is 632", None), ("", None), (".", "")],
)
def test_an_answer_states_what_its_last_sentence_ends_with(text: str, result: str | None) -> None:
    assert stated_result(text) == result


@pytest.mark.parametrize(
    "prompt",
    ["Why is the sky blue?", "Find the capital of Atlantis among Oslo, Lima, Rome.", "What is 100 - 900?", ""],
)
def test_a_prompt_that_is_no_classroom_question_is_refused(prompt: str) -> None:
    assert recognised(prompt) is None
    with pytest.raises(InputError, match="not a question of the classroom"):
        check(prompt, "So it is even.")


def test_asking_for_more_questions_than_there_are_says_so() -> None:
    few = Kind("few", ("Add {first} and {second}.",), "", "{result}", _one_sum, KINDS[0].worked)
    with pytest.raises(InputError, match="ask for fewer"):
        draw(30, "train", seed=0, kinds=(few,))


def _one_sum(random: Random) -> dict[str, str]:
    return {"first": "100", "second": str(random.randint(100, 120))}
