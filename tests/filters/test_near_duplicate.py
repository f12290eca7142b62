import random
from dataclasses import replace

import pytest

from clairgen.filters.filter import Candidate, Fault
from clairgen.filters.near_duplicate import NearDuplicate, NearDuplicates, repeats_prompt
from clairgen.records import Message
from tests.filters.pairs import pair

STORM = (
    "Write a short story about a lighthouse keeper who finds a message in a bottle after a storm. It should have three parts, "
    "name the island where the lighthouse stands, and end with the keeper rowing out to sea at dawn."
)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (STORM, STORM),
        (STORM, STORM.upper()),
        (STORM, STORM.replace(" ", "\n").replace(",", " -") + " !!"),
        (STORM, STORM + " Thank you!"),
        (
            "今天的天气很好，我们一起去公园散步，然后在湖边吃午饭，好不好？",
            "今天的天气很好，我们一起去公园散步，然后在湖边吃午饭，好不好呀",
        ),
        ("Name it.", "name it"),
    ],
)
def test_nearly_the_same_prompts_are_near_duplicates(one: str, other: str) -> None:
    seen = NearDuplicates(0.8)
    assert seen.earlier("a", one) is None
    assert seen.earlier("b", other) == "a"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("What is the capital of Norway?", "What is the capital of Sweden?"),
        ("Sort these numbers: 59, 38, 39, 60, 80.", "Sort these numbers: 12, 38, 44, 60, 81."),
        (
            "A train goes 60 km in 2 hours; how far does it go in 5 hours?",
            "A train goes 80 km in 2 hours; how far does it go in 7 hours?",
        ),
        (STORM, STORM[: len(STORM) // 2]),
        ("", ""),
        ("?!", "..."),
    ],
)
def test_prompts_that_ask_something_else_are_not(one: str, other: str) -> None:
    seen = NearDuplicates(0.8)
    assert seen.earlier("a", one) is None
    assert seen.earlier("b", other) is None


def test_the_first_of_several_is_named_and_a_near_duplicate_stands_for_none() -> None:
    seen = NearDuplicates(0.5)
    tasks = [f"task-{number}" for number in range(20)]
    assert [seen.earlier(task, STORM) for task in tasks] == [None, *["task-0"] * 19]


def test_the_threshold_is_the_index_of_three_word_runs() -> None:
    changed = STORM.replace("storm", "gale").replace("island", "rock").replace("dawn", "dusk")
    assert near(0.9, changed) is None
    assert near(0.5, changed) == "a"


def near(threshold: float, text: str) -> str | None:
    seen = NearDuplicates(threshold)
    seen.earlier("a", STORM)
    return seen.earlier("b", text)


def test_the_same_prompts_in_the_same_order_give_the_same() -> None:
    drawn = random.Random(7)
    words = [f"word{number}" for number in range(300)]
    texts = [" ".join(drawn.choices(words, k=40)) for _ in range(300)]
    texts += [text + f" and {number}" for number, text in enumerate(texts[:100])]

    def found() -> list[str | None]:
        seen = NearDuplicates(0.8)
        return [seen.earlier(str(number), text) for number, text in enumerate(texts)]

    once = found()
    assert once == found()
    assert once[:300] == [None] * 300
    assert sum(earlier == str(number) for number, earlier in enumerate(once[300:])) >= 95


def test_a_system_message_that_all_tasks_share_makes_no_near_duplicates() -> None:
    check = repeats_prompt(NearDuplicate())
    system = Message("system", STORM)
    one, other = (system, Message("user", "Name a lake.")), (system, Message("user", "Who was Ada Lovelace?"))
    assert check(Candidate(replace(pair(), task_id="a"), prompt=one)) is None
    assert check(Candidate(replace(pair(), task_id="b"), prompt=other)) is None
    assert check(Candidate(replace(pair(), task_id="c"), prompt=one[1:])) == Fault("near-duplicate-prompt", "a")
