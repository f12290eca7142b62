"""The mistaken habits of the classroom's students: worded as right answers are, and wrong often enough to be seen."""

from random import Random

import pytest

from clairgen.data.classroom.habits import HABITS, habit
from clairgen.data.classroom.kinds import KINDS, Kind
from clairgen.data.classroom.questions import asked, is_right, is_sound, recognised
from clairgen.data.classroom.styles import STUDENT


def test_every_kind_has_a_habit() -> None:
    assert set(HABITS) == {kind.name for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_habit_gives_wrong_results_for_more_than_half_of_the_questions(kind: Kind) -> None:
    random = Random(3)
    questions = [asked(kind, "train", random) for _ in range(200)]
    wrong = [habit(question, random).result != question.working.result for question in questions]
    assert sum(wrong) > 100


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_an_answer_by_a_habit_is_in_the_students_style_and_sound_only_where_the_habit_does_no_harm(kind: Kind) -> None:
    random = Random(4)
    for _ in range(50):
        question = asked(kind, "train", random)
        working = habit(question, random)
        for style in STUDENT:
            text = style.text(kind, working)
            assert style.is_of(kind, text)
            assert is_right(question, text) == (working.result == question.working.result)
            assert is_sound(question, text) == (working == question.working)


@pytest.mark.parametrize(
    ("prompt", "answers"),
    [
        ("Add 347 and 285.", {"7+5=12, 4+8=12, 3+2=5. So it is 522."}),
        ("Take 278 from 512.", {"8-2=6, 7-1=6, 5-2=3. So it is 366.", "12-8=4, 11-7=4, 5-2=3. So it is 344."}),
        ("Find the largest number: 91, 34, 55, 12.", {"91>34, 55>34, 55>12. So it is 55."}),
        ("What is the median of 34, 91, 55?", {"34<91<55. So it is 91."}),
        ("Anna is 34, Ben is 28 and Carla is 41. Who is the oldest?", {"28<34, 28<41. So it is Ben."}),
        ("Count the even numbers: 12, 37, 31, 41.", {"12 even, 37 odd, 31 odd, 41 odd. So it is 3."}),
        ("Count the word cat: cat sun cat dog.", {"cat 0 sun cat 1 dog. So it is 1."}),
        (
            "Count all letters of these words: apple, window, tiger.",
            {"apple 4, window 6, tiger 5, 4+6+5=15. So it is 15.", "apple 5, window 6, tiger 5, 5+6=11. So it is 11."},
        ),
        ("Find the first word in alphabetical order: bread, table.", {"bread d, table e. So it is bread."}),
        ("Correct the misspelt word: apple, botle, river.", {"botle is misspelt. So it is botle."}),
        ("Find the opposite of hot among cold, rich.", {"cold hot, rich poor. So it is rich."}),
        ("Find the capital of Peru among Oslo, Lima.", {"Oslo Norway, Lima Peru. So it is Oslo."}),
        (
            "Find the odd one out: tiger, bread, horse, goat.",
            {"tiger animal, bread food, horse animal, goat animal. So it is tiger."},
        ),
        (
            "A film starts at 14:25 and lasts 1 h 50 min. When does it end?",
            {"25+50=75, 75-60=15, 14+1=15. So it is 15:15.", "25+50=75, 14+1=15. So it is 15:75."},
        ),
        (
            "A train leaves at 9:05 and travels for 2 h 10 min. When does it arrive?",
            {"05+10=15, 9+2=11. So it is 11:15."},
        ),
    ],
)
def test_hand_worked_habits(prompt: str, answers: set[str]) -> None:
    question, random = recognised(prompt), Random(5)
    assert question is not None
    assert {STUDENT[0].text(question.kind, habit(question, random)) for _ in range(40)} == answers
