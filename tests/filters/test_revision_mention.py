import pytest

from clairgen.filters.filter import Candidate, Fault
from clairgen.filters.revision_mention import mentions_revision
from clairgen.records import Message
from tests.filters.pairs import answer, pair


def mention(chosen: str, rejected: str = "Rain falls from clouds.", task: str = "Why does it rain?") -> str | None:
    found = mentions_revision(Candidate(pair(answer(chosen), answer(rejected)), prompt=[Message("user", task)]))
    assert found is None or found.reason == "mentions-revision"
    return str(found.value) if found else None


@pytest.mark.parametrize(
    ("chosen", "phrase"),
    [
        ("Here's a corrected answer: rain falls.", "here's a corrected answer"),
        ("Here\u2019s the revised, more engaging explanation.", "here's the revised, more engaging explanation"),
        ("Rain falls. Here is a clearer and improved version:", "here is a clearer and improved version"),
        ("In this revised version, clouds come first.", "in this revised version,"),
        ("It rains. This enhanced code also handles errors.", "this enhanced code"),
        ("The revised answer is that clouds cool.", "the revised answer"),
        ("Let us begin with the corrected calculation: 3 mm.", "the corrected calculation"),
        ("Below is an improved version of your answer.", "an improved version of your answer"),
        ("The text below was refined for clarity and correctness.", "refined for clarity"),
        ("I've corrected the date of the storm.", "i've corrected the"),
        ("I have slightly improved your explanation.", "i have slightly improved your explanation"),
        ("Clouds cool. I\u2019ve made a few changes.", "i've made a few changes"),
        ("Your original answer missed the cooling.", "your original answer"),
        ("The student's answer forgets the wind.", "the student's answer"),
        ("Unlike the previous response, this one is short.", "the previous response"),
        ("{corrected_student_solution} is given below.", "corrected_student_solution"),
        ("These revisions make the matter clearer.", "these revisions"),
        ("The explanation has been rewritten.", "the explanation has been rewritten"),
        ("**Corrections made:**\n- the date", "corrections made"),
        ("### Improved Answer\nRain falls.", "improved answer"),
        ("Hier ist die korrigierte Fassung: Es regnet.", "korrigierte fassung"),
        ("Voici une version améliorée : il pleut.", "version améliorée"),
    ],
)
def test_an_open_mention_is_found(chosen: str, phrase: str) -> None:
    assert mention(chosen) == phrase


@pytest.mark.parametrize(
    "chosen",
    [
        "The revised treaty was signed in 1922, in an improved climate.",
        "A corrected proof was published by Wiles in 1995.",
        "The revised version of the constitution came into force.",
        "Modern engines are an improved version of the one by Watt.",
        "Our company offers a polished and powerful solution.",
        "Doctors watch the initial response of the immune system.",
        "Clouds have improved harvests, and I have improved my German.",
        "These refined steps can make your task clearer.",
        "It rains.\n```python\n# here is the corrected code\nprint(1)\n```",
        "Call `your_original_answer`, that is `the revised answer`.",
        "The correct answer is 42, and the right solution is to wait.",
    ],
)
def test_what_is_said_of_the_subject_is_no_mention(chosen: str) -> None:
    assert mention(chosen) is None


@pytest.mark.parametrize(
    "task",
    [
        "Correct the grammar: he go home.",
        "Can you rewrite this paragraph?",
        "Please improve my essay.",
        "Find the bugs in this function.",
        "Give me a revised version.",
        "Make it sound more professional.",
        "Check the text for scientific errors.",
    ],
)
def test_where_a_revision_was_asked_for_there_is_no_mention(task: str) -> None:
    assert mention("Here is the corrected version: he goes home.", task=task) is None


def test_who_asked_for_a_change_may_be_told_of_it_but_not_of_a_correction() -> None:
    task = "Can you modify the program so that it prints the correct sum?"
    assert mention("Here is the updated program.", task=task) is None
    assert mention("Here is a corrected program.", task=task) == "here is a corrected program"


def test_a_phrase_of_the_student_s_own_is_no_mention() -> None:
    assert mention("Here's the revised prompt text: Rain.", "Here is a revised  prompt text: Rains.") is None
    assert mention("Here's the revised answer.", "Here is my answer.") == "here's the revised answer"


def test_a_later_mention_is_found_after_one_of_the_student_s() -> None:
    assert mention("The revised answer. I've corrected the date.", "The revised answer.") == "i've corrected the"


def test_the_system_s_message_may_ask_for_revisions_too() -> None:
    editor = [Message("system", "You correct the texts of your users."), Message("user", "he go home")]
    said = pair(answer("Here is the corrected text."), answer("he goes"))
    assert mentions_revision(Candidate(said, prompt=editor)) is None
    assert mentions_revision(Candidate(said, prompt=editor[1:])) == Fault(
        "mentions-revision", "here is the corrected text"
    )
