import pytest

from clairgen.filters.filter import Candidate, Fault
from clairgen.filters.lost_answer import final_result, loses_answer
from tests.filters.pairs import answer, pair

FENCED = "Use a loop:\n```python\nfor n in range(3):\n    print(n)\n```"
BARE = '#include <stdio.h>\nint main() {\n    printf("hello");\n    return 0;\n}'


def lost(rejected: str, chosen: str) -> str | None:
    found = loses_answer(Candidate(pair(answer(chosen), answer(rejected))))
    assert found is None or found == Fault("lost-answer", found.value)
    return str(found.value) if found else None


@pytest.mark.parametrize(
    ("rejected", "chosen", "value"),
    [
        ("6 times 7: the answer is 42.", "Multiply both and look at the product.", "42"),
        ("So the total is $1,250.50.", "Add up all the items to find the total.", "$1,250.50"),
        ("Thus \\boxed{x + 1}", "Factor the polynomial and read it off.", "x + 1"),
        ("Halve it.\n#### 21", "Halving gives what is asked for.", "21"),
        ("3.5", "1. Take the sum.\n2. Divide by the count.", "3.5"),
        ("It is 40 km.", "The towns lie far apart.", "40"),
        ("Adding up: 12 + 30 = 42", "Add up what they have.", "42"),
        (FENCED, "Use a loop that counts up and shows each number.", "code"),
        (BARE, "Write a program that greets the world.", "code"),
    ],
)
def test_a_result_or_code_that_is_gone(rejected: str, chosen: str, value: str) -> None:
    assert lost(rejected, chosen) == value


@pytest.mark.parametrize(
    ("rejected", "chosen"),
    [
        ("The answer is 42.", "The answer is 43."),
        ("The answer is 42.", "It comes to forty-three."),
        ("The answer is 42.", "The result is \\boxed{x}."),
        ("So \\boxed{x + 1}", "The factor is x + 1."),
        ("It was founded in 1881 by Hall, and grew for many decades after that first year.", "It was founded by Hall."),
        ("Rain falls.", "Rain falls from clouds."),
        (FENCED, "Count up:\n```python\nprint(*range(3))\n```"),
        (FENCED, "Count up:\n\nfor n in range(3):\n    print(n)"),
        ("```\nRoses are red,\nviolets are blue.\n```", "Roses are red,\nviolets are bluer."),
        ("```text\nDear Ann,\nthank you.\n```", "Dear Ann, many thanks to you and yours."),
        ("Steps:\n1. Introduction (5 minutes):\n2. Talk (10 minutes):\n3. Play (5 minutes):", "Talk, then play."),
        ("Oh sea;\noh night;\noh wind;\nsing on;", "Oh sea, oh night, sing on."),
        ("The answer is 42.", ""),
    ],
)
def test_what_is_kept_or_replaced_is_not_lost(rejected: str, chosen: str) -> None:
    assert lost(rejected, chosen) is None


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("The sum is 12. Hence the answer is **15**.", "15"),
        ("The answer: 3/4", "3/4"),
        ("In 1990 there were many; in 1995 fewer, and nobody knows how many there are today.", None),
        ("`x = 3`", None),
    ],
)
def test_the_last_stated_result_counts(text: str, result: str | None) -> None:
    assert final_result(text) == result


def test_very_long_lines_take_no_time() -> None:
    assert lost("(=" * 100_000, "x " * 50_000) is None
