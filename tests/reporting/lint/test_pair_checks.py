"""What is found in a single pair, and what is not."""

import pytest

from clairgen.records import Message
from clairgen.reporting.lint.pair_checks import Hit, pair_hits, seems_cut_off
from clairgen.row_pairs import RowPair

PROSE = "The river rises in the hills. It turns north at the old mill. There it meets the second stream. " * 3


def hits(chosen: str, rejected: str, prompt: str = "Where does it rise?", **further: str) -> dict[str, Hit]:
    pair = RowPair((Message("user", prompt),), chosen, rejected, further=further)
    return {hit.rule: hit for hit in pair_hits(pair)}


@pytest.mark.parametrize(
    ("chosen", "rejected", "rule"),
    [
        ("In the hills.", " In the hills.\n", "identical"),
        ("Test", "**TEST**", "nearly-identical"),
        ("It rises there , in the hills", "It rises there, in the hills.", "nearly-identical"),
        ("x = -5", "x = 5", None),
        ("It costs 3.5 dollars", "It costs 35 dollars", None),
        ("a > b", "a < b", None),
        ("!!!", "???", None),
        ("In the hills, above the mill.", "In the hills.", None),
        (PROSE + "48", PROSE + "47", "small-difference"),
        (PROSE, PROSE + PROSE[:40], None),
    ],
)
def test_answers_are_compared_without_typography_but_with_signs_and_decimals(
    chosen: str, rejected: str, rule: str | None
) -> None:
    alike = {"identical", "nearly-identical", "small-difference"} & hits(chosen, rejected).keys()
    assert alike == ({rule} if rule else set())
    assert alike == {"identical", "nearly-identical", "small-difference"} & hits(rejected, chosen).keys()


@pytest.mark.parametrize(
    ("chosen", "rejected", "sides"),
    [("", "No.", ("chosen",)), ("Yes.", " \n", ("rejected",)), ("", "", ("chosen", "rejected"))],
)
def test_a_blank_answer_is_found_on_its_side(chosen: str, rejected: str, sides: tuple[str, ...]) -> None:
    assert hits(chosen, rejected)["empty"].sides == sides


@pytest.mark.parametrize(
    "answer",
    [
        "<think>Rivers rise.</think>In the hills.",
        "<think>\n\n</think>\n\nIn the hills.",
        "Rivers rise.</think>In the hills.",
        "<think>Rivers rise and never",
        "<|channel|>analysis<|message|>Rivers.<|end|><|start|>assistant<|channel|>final<|message|>In the hills.",
    ],
)
def test_thinking_is_found_in_its_forms_unless_the_prompt_speaks_of_them(answer: str) -> None:
    assert hits("In the north.", answer)["thinking"].sides == ("rejected",)
    prompt = "What do <think>, </think> and <|channel|> mean?"
    assert "thinking" not in hits("In the north.", answer, prompt)


def test_control_tokens_are_named_on_the_side_that_has_them() -> None:
    found = hits("In the hills.<|im_end|>", "Up north [/INST] or so.")
    assert found["control-tokens"].sides == ("chosen", "rejected")
    assert found["control-tokens"].shown.startswith("<|im_end|>: ")
    assert "thinking" not in found
    assert "control-tokens-in-prompt" in hits("Hills.", "Sea.", "<|im_start|>user\nWhere?<|im_end|>")


def test_a_known_finish_reason_decides_and_the_end_of_the_text_only_without_one() -> None:
    cut, whole = f"{PROSE}It then goes on towards the", PROSE
    known = hits(cut, whole, chosen_finish_reason="length", rejected_finish_reason="stop")
    assert known["cut-off"].sides == ("chosen",)
    assert "seems-cut-off" not in known
    assert not {"cut-off", "seems-cut-off"} & hits(cut, whole, chosen_finish_reason="stop").keys()
    guessed = hits(cut, whole, chosen_finish_reason="recorded")
    assert guessed["seems-cut-off"].sides == ("chosen",)
    assert guessed["seems-cut-off"].shown.endswith("towards the")
    assert "cut-off" not in guessed


@pytest.mark.parametrize(
    ("end", "seems"),
    [
        ("It then goes on towards the", True),
        ("It then goes on towards the great lake,", True),
        ("Run this:\n```python\nprint(1)", True),
        ("Run this:\n```python\nprint(1)\n```", False),
        ("The end of all of it is here.", False),
        ("- a list item that has no stop at all", False),
        ("## A heading that has no stop at all", False),
        ("Kind regards", False),
        ("There are in the end exactly 42", False),
        ("See more about it at https://example.org/river", False),
    ],
)
def test_the_rule_for_cut_answers_is_cautious(end: str, seems: bool) -> None:
    assert seems_cut_off(f"{PROSE}\n{end}") is seems
    assert not seems_cut_off("It then goes on towards the")
    assert not seems_cut_off("word " * 100 + "goes on towards the")


def test_refusals_are_found_on_their_side() -> None:
    found = hits("I'm sorry, but I can't assist with that.", "In the hills.")
    assert found["refusal"].sides == ("chosen",)


def test_space_on_both_sides_is_no_cue() -> None:
    assert hits(" In the hills.", "Up north.")["space-on-one-side"].sides == ("chosen",)
    assert hits("In the hills.", "Up north.\n")["space-on-one-side"].sides == ("rejected",)
    assert "space-on-one-side" not in hits(" In the hills.", " Up north.")
    assert "space-on-one-side" not in hits("In the hills.", " ")


def test_a_sound_pair_has_no_hit() -> None:
    assert hits("It rises in the hills.", "It rises at the sea, I think.") == {}
