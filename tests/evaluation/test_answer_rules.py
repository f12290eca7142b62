"""What the rules read in answers, and what they take for right."""

from typing import Any

import pytest

from clairgen.data.classroom.questions import draw
from clairgen.data.classroom.styles import STYLES
from clairgen.evaluation.answer_rules import RULES, stated_letter
from clairgen.evaluation.stated_numbers import last_number, number_words


def checked(rule: str, answer: str, reference: Any, tolerance: float | None = None) -> bool:  # noqa: ANN401
    return RULES[rule].check("a prompt", answer, reference, tolerance).right


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("The answer is 1,234.", 1234),
        ("It costs $1,234.50.", 1234.5),
        ("$5", 5),
        ("-$5", -5),
        ("x = -3", -3),
        ("−7", -7),
        ("from 3-5", 5),
        ("1/2", 0.5),
        ("-1/2", -0.5),
        ("that is 1 1/2 cups", 1.5),
        (r"so \frac{3}{4}.", 0.75),
        (r"$\boxed{-12}$", -12),
        ("10/5 = 2", 2),
        ("on 3/4/2025", 2025),
        ("50%", 50),
        ("1.5e3", 1500),
        (".5", 0.5),
        ("12,345,678", 12345678),
        ("first 7, then #### 42", 42),
        ("7.", 7),
        ("1, 2, 3", 3),
        ("nothing", None),
        ("1/0", None),
        ("9" * 500, None),
        ("1e999", None),
        ("", None),
        ("it is 1½ cups", 1.5),
        ("¾", 0.75),
        (r"so \frac12", 0.5),
        (r"it is 1{,}000", 1000),
        (r"it is 12\,345", 12345),
        ("it is 1'000", 1000),
        ("1.5 × 10^3", 1500),
        (r"1.5 \times 10^{-3}", 0.0015),
        ("6.02 × 10²³", 6.02e23),
        ("10^4", 10_000),
        ("it is 2^3", 8),
        ("an area of 5 m^2", 5),
        (r"a volume of 5 \text{cm}^{3}", 5),
        ("9^99", 9.0**99),
        ("at 12:30", None),
        ("5 to 1, not 3:1", 1),
        ("Answer:5", 5),
        ("about 1 million", 1e6),
        ("$1.5 million dollars", 1.5e6),
        ("1,234 thousand", 1_234_000),
        ("half of it, 1/2 million", 5e5),
        ("3 hundred thousand", 3e5),
        ("two dozens are 2 dozen", 24),
        ("5k", 5000),
        ("it is -2.5k.", -2500),
        ("5 kg", 5),
        ("5km", 5),
        ("5 m", 5),
        ("1.234.567", 1_234_567),
        ("it is 12.345.678.", 12_345_678),
        ("1.234", 1.234),
        ("in 2 millionaires", 2),
        ("1 million, then 7", 7),
        ("300 K", 300),
        ("300K", None),
        ("5M", None),
        ("7B", None),
        ("1.2.3", None),
        ("version 1.2.3 has 4", 4),
        ("it is 1,234, which", 1234),
        ("3,14", None),
        ("it is -3,5.", None),
        ("1,23,456", None),
        ("1234,567", None),
        ("1,5e3", None),
        ("2,3,5", None),
        ("between 5,10 it is 7", 7),
        ("1.234,56", None),
        ("1.234.567,89", None),
        ("3 hundredths", None),
        ("2 thousand 5 hundred", None),
        ("2 million and 5 thousand", None),
        ("2 million people and 5 thousand", 5000),
    ],
)
def test_the_last_number_of_a_text(text: str, number: float | None) -> None:
    assert last_number(text) == number


def test_numbers_are_written_without_what_rounding_adds() -> None:
    assert [number_words(value) for value in (12.0, 0.1 + 0.2, 1 / 3)] == ["12", "0.3", "0.333333333333333"]


@pytest.mark.parametrize(
    ("answer", "reference", "tolerance", "right"),
    [
        ("It is 12.", 12, None, True),
        ("It is 12.", "12", None, True),
        ("It is 12.", "3 * 4 = 12\n#### 12", None, True),
        ("0.3333333", "1/3", None, True),
        ("0.33", "1/3", None, False),
        ("0.33", "1/3", 0.01, True),
        ("1,000,001", 1_000_000, None, True),
        ("1,000,002", 1_000_000, None, False),
        ("13", 12, 1, True),
        ("14", 12, 1, False),
        ("14", [12, 14], None, True),
        ("none", 12, None, False),
        ("at 11:30", 30, None, False),
    ],
)
def test_numbers_are_right_within_a_tolerance(
    answer: str,
    reference: Any,  # noqa: ANN401
    tolerance: float | None,
    right: bool,
) -> None:
    assert checked("numeric", answer, reference, tolerance) is right


@pytest.mark.parametrize(
    ("answer", "letter"),
    [
        ("B", "B"),
        ("b.", "B"),
        ("**C**", "C"),
        ("(D) because it is", "D"),
        ("A) the first", "A"),
        ("The answer is B.", "B"),
        ("The answer is C because option B is wrong.", "C"),
        ("Answer: (a)", "A"),
        ("answer is a cat", None),
        ("The answer is A cat, I think", None),
        ("I think the correct option is d", "D"),
        (r"So $\boxed{\text{B}}$", "B"),
        ("Option A is wrong. The answer is B. No, the answer is C.", "C"),
        ("It must be (C), since it is.", "C"),
        ("Between (A) and (C) nothing decides", None),
        ("A cat has four legs", None),
        ("I do not know", None),
        ("", None),
        ("**Answer:** B", "B"),
        ("**Answer**: B", "B"),
        ("**Final answer:** (b)", "B"),
        ("<answer>B</answer>", "B"),
        ("<answer>B</answer>\nC is wrong.", "B"),
        ("Answer: B or C", None),
        ("The answer is (B) and (C).", None),
        ("The answer is **B**, **C**", None),
        ("A, B", None),
        ("B. A dog and a cat", "B"),
        ("The answer is B, A being wrong", "B"),
        ("The answer is B and I am sure", "B"),
        ("(A) is wrong, (B) is right", "B"),
        ("A is wrong.", None),
        ("A) is clearly incorrect, so it must be (C).", "C"),
        ("Option B is right, option A is wrong.", "B"),
        ("Option A isn't it. Option D", "D"),
        ("(A) cannot be; (B) was ruled out; (D) remains", "D"),
        ("(A): false. (B): false.", None),
        ("The answer is B, not A", "B"),
        ("The answer is B not A", "B"),
        ("(A) because (B) is wrong", "A"),
    ],
)
def test_the_letter_that_an_answer_chooses(answer: str, letter: str | None) -> None:
    assert stated_letter(answer) == letter


@pytest.mark.parametrize(
    ("rule", "answer", "reference", "right"),
    [
        ("exact", " paris. ", "Paris", True),
        ("exact", "**Paris**", "Paris", True),
        ("exact", "It is Paris", "Paris", False),
        ("exact", "two  words", ["One", "Two words"], True),
        ("exact", "7", 7, True),
        ("exact", "", "x", False),
        ("regex", "the year 1969 it was", r"\b19\d\d\b", True),
        ("regex", "the year 69", r"\b19\d\d\b", False),
        ("choice", "The answer is B.", "b", True),
        ("choice", "The answer is B.", "(A)", False),
        ("choice", "nothing", "A", False),
    ],
)
def test_other_rules(rule: str, answer: str, reference: Any, right: bool) -> None:  # noqa: ANN401
    assert checked(rule, answer, reference) is right


def test_an_answer_in_which_nothing_is_found_says_why() -> None:
    reasons = {
        rule: RULES[rule].check("a prompt", answer, "1", None).reason
        for rule, answer in (("exact", " "), ("numeric", "x"), ("regex", "x"), ("choice", "?"))
    }
    assert reasons == {"exact": "empty", "numeric": "no-number", "regex": "no-match", "choice": "no-letter"}


def test_a_number_that_may_be_several_is_counted_by_a_name_of_its_own() -> None:
    for answer in ("5M", "1.2.3", "2 thousand 5 hundred", "1/0"):
        assert RULES["numeric"].check("a prompt", answer, 5, None).reason == "unclear-number"
    assert RULES["numeric"].check("a prompt", "at 12:30", 5, None).reason == "no-number"
    assert RULES["numeric"].reference_error("How many?", "5M") == "its reference '5M' holds no number that is clear"


def test_a_time_is_no_reference_for_a_number() -> None:
    assert (
        RULES["numeric"].reference_error("When does it leave?", "12:30")
        == "its reference '12:30' holds no number that is clear"
    )


@pytest.mark.parametrize("style", STYLES)
def test_the_classrooms_rule_is_that_of_its_questions(style: str) -> None:
    for question in draw(14, "dev", seed=3):
        answer = question.answer(STYLES[style])
        assert RULES["classroom"].check(question.prompt, answer, None, None).right
        wrong = RULES["classroom"].check(
            question.prompt, answer.replace(question.working.result, "nothing"), None, None
        )
        assert (wrong.right, wrong.found) == (False, "nothing")
    assert RULES["classroom"].check(question.prompt, "I do not know", None, None).reason == "no-result"


def test_nothing_of_an_answer_is_run() -> None:
    for rule in RULES:
        if rule != "classroom":
            assert not checked(rule, "__import__('os').abort()", "1")
