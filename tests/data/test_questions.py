"""The classroom's questions: drawn by seed, split by hash, checked from the prompt's text alone."""

from collections import Counter
from random import Random

import pytest

from clairgen.data.classroom.kinds import KINDS, Kind
from clairgen.data.classroom.questions import Split, asked, check, draw, is_right, recognised, split_of
from clairgen.errors import InputError

SPLITS: tuple[Split, ...] = ("train", "dev", "test")


def test_a_draw_is_reproducible_and_distinct() -> None:
    questions = draw(400, "test", seed=3)
    assert questions == draw(400, "test", seed=3)
    assert questions != draw(400, "test", seed=4)
    assert len({question.prompt for question in questions}) == 400


def test_a_draw_has_every_kind_in_equal_shares() -> None:
    counts = Counter(question.kind for question in draw(10 * len(KINDS), "dev", seed=0))
    assert counts == {kind.name: 10 for kind in KINDS}


def test_a_kind_that_runs_out_is_made_up_for_by_the_others() -> None:
    counts = Counter(question.kind for question in draw(3000, "test", seed=0))
    assert counts.total() == 3000
    assert counts["capital"] < counts["sort"]


def test_splits_are_disjoint() -> None:
    prompts = [{question.prompt for question in draw(1000, split, seed=1)} for split in SPLITS]
    assert len(set.union(*prompts)) == 3000


def test_a_prompt_keeps_its_split() -> None:
    assert split_of("What is the capital of France?") == "test"
    assert all(split_of(question.prompt) == "test" for question in draw(100, "test", seed=2))


@pytest.mark.parametrize("split", SPLITS)
def test_a_prompt_alone_gives_its_question_back(split: Split) -> None:
    for question in draw(1000, split, seed=5):
        assert recognised(question.prompt) == question


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_accepted_answer_is_right_and_those_of_another_core_are_wrong(kind: Kind) -> None:
    random = Random(7)
    first, second = asked(kind, "train", random), asked(kind, "train", random)
    while first.core == second.core:
        second = asked(kind, "train", random)
    for answer in first.answers:
        assert is_right(first, f" {answer}\n")
        assert check(first.prompt, answer)
        assert not check(first.prompt, answer.replace(first.core, second.core))
        assert not check(first.prompt, answer + " " + answer)
        assert not check(first.prompt, "")


@pytest.mark.parametrize(
    ("prompt", "answer"),
    [
        ("Put these numbers in descending order: 7, 50, 12.", "The order is 50, 12, 7."),
        ("What comes next: 38, 40, 42, 44?", "Next comes 46."),
        ("Is 310 even or odd?", "It is even."),
        ("Count the word fish: fish moon fish.", "I count two."),
        ("How do you spell bread backwards?", "Backwards: d a e r b."),
        ("Fix the spelling: the appple is my chiar.", "It should be the apple is my chair."),
        ("Find the first word in alphabetical order: ticket, orange.", "First comes orange."),
        ("What do you call more than one goose?", "More than one is geese."),
        ("Name the opposite of far.", "The opposite word is near."),
        ("What is the capital of Ethiopia?", "The capital of Ethiopia is Addis Ababa."),
        ("What day is 2 days before Monday?", "It is Saturday."),
        ("Which month comes 3 months after November?", "The month is February."),
    ],
)
def test_hand_worked_answers_are_right(prompt: str, answer: str) -> None:
    assert check(prompt, answer)


@pytest.mark.parametrize("prompt", ["Why is the sky blue?", "What is the capital of Atlantis?", ""])
def test_a_prompt_that_is_no_classroom_question_is_refused(prompt: str) -> None:
    assert recognised(prompt) is None
    with pytest.raises(InputError, match="not a question of the classroom"):
        check(prompt, "It is even.")


def test_asking_for_more_questions_than_there_are_says_so() -> None:
    capital = tuple(kind for kind in KINDS if kind.name == "capital")
    with pytest.raises(InputError, match="ask for fewer"):
        draw(300, "dev", seed=0, kinds=capital)
