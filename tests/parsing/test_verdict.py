import time
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clairgen.parsing.verdict import VERDICT_PARSER_VERSION, Verdict, VerdictStatus, parse_verdict
from clairgen.templates import load_template
from clairgen.thinking import without_thinking

WHY = "Both students know the rule, but the second one forgets the unit."
SOLUTIONS = (
    "Water boils at 100 °C at sea level.\nSee [2] for a table of pressures.",
    "The list starts at `rows[1]`.\nIt holds the boiling points.\nAnswer: [1]",
)


def test_judge_prompt_is_appendix_a_word_for_word() -> None:
    template = load_template("judge", frozenset({"task", "student_solution_1", "student_solution_2"}))
    text = template.fill(task="<x>", student_solution_1="<y_1>", student_solution_2="<y_2>")
    assert text == (
        "You are a teacher and your task is to pick the best student's answer. The best answer is the most clear, most "
        "correct, and most engaging answer. I will give you a {task} and {student_solution_1} and {student_solution_2}. Your "
        "final answer must contain [1] if {student_solution_1} was best, else [2].\n\n{task}: <x>\n\n"
        "{student_solution_1}: <y_1>\n\n{student_solution_2}: <y_2>\n\n-----------------\n\nLet's first think step by step "
        "with a {teacher_reasoning} to decide which solution is better, and then answer [1] or [2].\n\n"
    )


def test_judge_prompt_bytes_have_not_moved() -> None:
    """The hash stands with every completion asked so far: a changed text needs a new name."""
    template = load_template("judge", frozenset({"task", "student_solution_1", "student_solution_2"}))
    assert template.text.isascii()
    assert template.content_hash.startswith("7385c8139ab50065")


ONE_LINE_VERDICTS = {
    "plain_mark": ("[1]", 1),
    "bold_mark": ("**[2]**", 2),
    "mark_with_a_full_stop": ("[2].", 2),
    "doubled_brackets": ("[[2]]", 2),
    "escaped_brackets": ("\\[1\\]", 1),
    "brackets_of_full_width": ("【2】", 2),
    "mark_in_backticks": ("`[2]`", 2),
    "mark_in_a_fence": ("```\n[1]\n```", 1),
    "mark_in_quotes": ("“[1]”", 1),
    "mark_in_a_block_quote": ("> **[2]**", 2),
    "boxed_number": ("\\boxed{1}", 1),
    "boxed_mark_between_dollars": ("$\\boxed{[2]}$", 2),
    "label": ("Answer: [1]", 1),
    "bold_label": ("**Final Answer:** [2]", 2),
    "label_with_an_equals_sign": ("answer = [2]", 2),
    "braced_label": ("{answer}: [1]", 1),
    "heading_above_the_mark": ("### Verdict\n\n[2]", 2),
    "label_and_a_number": ("Final answer: 2", 2),
    "label_and_a_student": ("**Winner:** Student 2", 2),
    "label_and_an_identifier": ("Best: {student_solution_1}", 1),
    "number_alone": ("1", 1),
    "bold_number_alone": ("**2**", 2),
}


@pytest.mark.parametrize(("line", "choice"), ONE_LINE_VERDICTS.values(), ids=ONE_LINE_VERDICTS)
def test_takes_a_verdict_line_after_and_before_the_reasoning(line: str, choice: int) -> None:
    for answer in (line, f"{WHY}\n\n{line}", f"{{teacher_reasoning}}: {WHY}\n\n{line}\n\n", f"{line}\n\n{WHY}"):
        verdict = parse_verdict(answer)
        assert (verdict.choice, verdict.status) == (choice, VerdictStatus.OK), answer
        assert verdict.reasoning is None or verdict.reasoning.strip("`> ").startswith((WHY, "### Verdict")), answer


CHOICES = {
    "both_marks_in_the_reasoning": ("[1] is clear, but [2] is more correct and shows its steps.\n\n[2]", 2),
    "both_marks_in_one_paragraph": ("[1] is clear but [2] is more correct, so the better one is [2].", 2),
    "other_mark_denied": ("Answer: [1], not [2]", 1),
    "comparison_in_the_verdict": ("All in all I choose [2] over [1].", 2),
    "comparison_after_the_verdict": ("[1]\n\nIt avoids the slip that is in [2].", 1),
    "explanation_on_the_verdict_line": ("[2], because the first solution never says where it boils.", 2),
    "explanation_after_a_dash": ("[1] – it is shorter, and nothing that [2] adds is needed.", 1),
    "explanation_with_footnotes": ("[1]\n\nThe pressure matters [2], as every table shows.", 1),
    "footnotes_in_the_reasoning": ("Water boils at 100 °C [1] and freezes at 0 °C [2].\n\nAnswer: [1]", 1),
    "link_after_the_verdict": ("Answer: [1]\n\nSee [2](https://example.org/steam).", 1),
    "footnote_address_after_the_verdict": ("[2]\n\n[1]: https://example.org/steam", 2),
    "list_of_sources_after_the_verdict": ("**[2]**\n\nSources:\n[1] A table of steam.\n[2] A book of steam.", 2),
    "index_in_the_text": ("The loop reads arr[1] first.\n\n[2]\n\nUnlike x[1], it starts at zero.", 2),
    "index_in_inline_code": ("[2]\n\nThe first one should say `rows = [1]` there.", 2),
    "index_in_a_fence": ("Answer: [2]\n\n```python\nrows = [[1], [2]]\n[1]\n```", 2),
    "fence_that_is_never_closed": ("The first one writes\n```python\nrows = []\n\n[2]", 2),
    "fence_around_everything": ("```text\nThe first is longer.\n\n[2]\n```", 2),
    "quotation_after_the_verdict": ('[1]\n\nThe second student writes "the best of all is [2]".', 1),
    "block_quote_after_the_verdict": ("[2]\n\n> The proof is in [1], so [1].", 2),
    "copied_line_after_the_verdict": ("[1]\n\nThe first student says:\n" + SOLUTIONS[0].splitlines()[1], 1),
    "copied_solution_after_the_verdict": ("Answer: [2]\n\n{student_solution_2}:\n" + SOLUTIONS[1], 2),
    "trailing_remark": ("Answer: [2]\n\nLet me know if you need more detail!", 2),
    "trailing_rule": ("The second is better.\n\n[2]\n\n---", 2),
    "change_of_mind": ("[1] is complete. Answer: [1]... no, wait: [2]", 2),
    "change_of_mind_in_words": ("The answer is [1].\n\nActually, the second solution is better.", 2),
    "two_conclusions": ("Answer: [1]\n\nHaving read both again:\n\nAnswer: [2]", 2),
    "headings_and_a_verdict": ("[1]\nComplete.\n\n[2]\nToo short.\n\n[1]", 1),
    "headings_and_a_sentence": ("**[1]**: complete.\n**[2]**: too short.\n\nOverall, the first solution is better.", 1),
    "instruction_repeated": ("I must answer [1] or [2]. The second student is correct.\n\nMy choice is [2].", 2),
    "whole_instruction_repeated": (
        "Your final answer must contain [1] if {student_solution_1} was best, else [2].\n\nThe first student wins.",
        1,
    ),
    "multiple_choice_in_the_reasoning": (
        "The correct answer is [2], which student 1 gives. So student 1 is better.",
        1,
    ),
    "number_of_a_student_is_no_verdict": ("Student 1's answer: [2]\nStudent 2's answer: [1]\n\nVerdict: [1]", 1),
    "boxed_result_of_a_student": ("Student 1 gets \\boxed{2} and is right. Student 1 is the best.", 1),
    "words": ("After weighing both, the first solution is better.", 1),
    "identifier_in_words": ("{student_solution_2} is the best, as it gives the unit.", 2),
    "escaped_identifier_in_words": ("**{student\\_solution\\_2}** is clearly the best answer.", 2),
    "student_who_wins": ("It is close, but Student 1 wins.", 1),
    "choice_in_words": ("I choose solution 2.", 2),
    "label_in_words": ("The better solution is the second one, since it names the pressure.", 2),
    "words_with_a_concession": ("While solution 1 is better written, solution 2 is the stronger answer.", 2),
    "words_before_an_aside": ("Solution 2 is better because it avoids the slip in [1].", 2),
    "greater_than_sign": ("[[1]]>[[2]]", 1),
    "tag_around_a_mark": (f"{WHY}\n<answer>[2]</answer>", 2),
    "tag_around_a_number": (f"{WHY}\n<answer>1</answer>", 1),
    "result_of_code_in_the_reasoning": ("There the result is [1] again.\n\nSolution 2 is better.", 2),
    "what_the_mark_makes": ("The missing unit makes [2] the better answer.", 2),
    "only_mark_in_the_last_sentence": ("Both know the rule.\n\nTaking it all together it has to be [1]", 1),
    "mark_beats_words": ("Solution 1 is better at first sight.\n\n[2]", 2),
    "tie_that_is_broken": ("Both are equally good, but if pressed I pick [1].", 1),
    "json_number": ('{"teacher_reasoning": "[2] is short.", "answer": 1}', 1),
    "json_mark": ('{"verdict": "[2]", "reasoning": "[1] has no unit."}', 2),
    "json_in_a_fence": ('The first is longer.\n\n```json\n{"verdict": "[2]"}\n```', 2),
    "json_in_words": ('{"reasoning": "Close.", "best_solution": "{student_solution_2}"}', 2),
    "json_inside_json": ('{"result": {"winner": "Student 1"}, "scores": {"1": 7, "2": 5}}', 1),
    "json_in_a_sentence": ('My verdict: {"answer": [2]}', 2),
    "json_with_a_comma_too_many": ('{"reasoning": "[1] is short", "answer": "[2]",}', 2),
    "thinking_first": ("<think>\nMaybe [1]?\nAnswer: [1]\n</think>\n\n[2]", 2),
    "thinking_whose_opening_tag_the_server_swallowed": ("Maybe [1].\n</think>\nAnswer: [2]", 2),
    "windows_line_ends": ("The first is longer.\r\n\r\nAnswer: [2]\r\n", 2),
}


@pytest.mark.parametrize(("answer", "choice"), CHOICES.values(), ids=CHOICES)
def test_takes_the_conclusion(answer: str, choice: int) -> None:
    verdict = parse_verdict(answer, SOLUTIONS)
    assert (verdict.choice, verdict.status) == (choice, VerdictStatus.OK)


REFUSED = {
    "empty": ("", VerdictStatus.NO_VERDICT),
    "reasoning_only": (WHY, VerdictStatus.NO_VERDICT),
    "broken_off_while_comparing": ("[1] is clear and correct. [2] has", VerdictStatus.NO_VERDICT),
    "headings_without_a_verdict": ("[1]\nComplete.\n\n[2]\nToo short.", VerdictStatus.NO_VERDICT),
    "scores_without_a_verdict": ("[1]: 7/10\n[2]: 8/10", VerdictStatus.NO_VERDICT),
    "index_only": ("The second student forgets that arr[1] is the second element.", VerdictStatus.NO_VERDICT),
    "code_only": ("The first one writes:\n```\nx = [2]\n```", VerdictStatus.NO_VERDICT),
    "instruction_only": ("I am to answer [1] or [2].", VerdictStatus.NO_VERDICT),
    "fault_of_the_only_mark": ("In the end [1] fails to give the unit.", VerdictStatus.NO_VERDICT),
    "third_number": ("Answer: [3]", VerdictStatus.NO_VERDICT),
    "longer_number": ("Answer: 12", VerdictStatus.NO_VERDICT),
    "question": ("Is the first solution better? Hard to say.", VerdictStatus.NO_VERDICT),
    "split_praise": ("Solution 1 is more engaging. Solution 2 is more correct.", VerdictStatus.NO_VERDICT),
    "denial": ("Solution 1 is not better.", VerdictStatus.NO_VERDICT),
    "second_best_of_a_list": ("Boiling is only the second best way to clean water.", VerdictStatus.NO_VERDICT),
    "scores_in_json": ('{"student_solution_1": 8, "student_solution_2": 9}', VerdictStatus.NO_VERDICT),
    "either_mark": ("Final answer: [1] or [2]", VerdictStatus.CONTRADICTORY),
    "second_thought_of_the_other_mark": ("Final answer: [1] or maybe [2]", VerdictStatus.CONTRADICTORY),
    "both_marks": ("Both students are right.\n\n[1] [2]", VerdictStatus.CONTRADICTORY),
    "both_marks_with_a_comma": ("**Answer:** [1], [2]", VerdictStatus.CONTRADICTORY),
    "equally_good": ("Both solutions are equally good.", VerdictStatus.TIE),
    "equally_good_marks": ("In the end [1] and [2] are equally good.", VerdictStatus.TIE),
    "equal_marks_under_a_label": ("Final answer: [1] and [2] are equally correct.", VerdictStatus.TIE),
    "tie_under_a_label": ("Verdict: tie", VerdictStatus.TIE),
    "tie_in_a_sentence": ("Neither adds anything, so it is a tie.", VerdictStatus.TIE),
    "neither_is_better": ("Neither of them is better.", VerdictStatus.TIE),
    "ranked_equally": ("[1] adds a summary, but I have ranked both equally.", VerdictStatus.TIE),
    "tie_in_json": ('{"reasoning": "Same text.", "verdict": "tie"}', VerdictStatus.TIE),
    "thinking_that_never_ends_in_other_signs": ("◁THINK▷\nSo it is the first.\n\n[1]", VerdictStatus.UNCLOSED_THINKING),
    "thinking_that_never_ends": ("<think>\nSo [1] it is.\n\n[1]", VerdictStatus.UNCLOSED_THINKING),
    "broken_off_json": ('{"teacher_reasoning": "[1] is clear', VerdictStatus.BROKEN_JSON),
}


@pytest.mark.parametrize(("answer", "status"), REFUSED.values(), ids=REFUSED)
def test_refuses_by_name(answer: str, status: VerdictStatus) -> None:
    verdict = parse_verdict(answer, SOLUTIONS)
    assert (verdict.choice, verdict.status) == (None, status)


def test_student_who_wrote_the_same_verdict_does_not_hide_the_judges() -> None:
    assert parse_verdict(f"{WHY}\n\nAnswer: [1]", SOLUTIONS).choice == 1
    assert parse_verdict("[2]", ("[1]", "[2]")).choice == 2


def test_reasoning_is_what_stands_above_the_verdict() -> None:
    assert parse_verdict("{teacher_reasoning}\n" + WHY + "\n\nAnswer: **[1]**").reasoning == WHY
    assert parse_verdict(f"**{{teacher_reasoning}}:** {WHY}\n\n[1]\n\nGood luck!").reasoning == WHY
    assert parse_verdict(f"<think>Hm.</think>[2]\n\n{WHY}").reasoning == WHY
    assert parse_verdict(f'{{"reasoning": "{WHY}", "answer": 2}}').reasoning == WHY
    assert parse_verdict("The second solution is better.").reasoning == "The second solution is better."
    assert parse_verdict("[2]").reasoning is None


def test_long_answer_is_read_at_both_ends() -> None:
    filler = f"{WHY}\n\n" * 2_000
    assert parse_verdict(f"[2]\n\n{filler}") == Verdict(2, VerdictStatus.OK, filler.strip())
    assert parse_verdict(f"{filler}\n\n[2]") == Verdict(2, VerdictStatus.OK, filler.strip())


HOSTILE = [
    "[",
    "[1]",
    "[1] ",
    "[1] [2] ",
    "[1] or ",
    "`",
    "```\n",
    '"',
    ' "a',
    " ",
    "\n",
    "*",
    "\\",
    ". ",
    "> ",
    "{",
    '{"a":',
]
HOSTILE += [
    '{"a',
    '{"answer": 1,',
    "<think>",
    "</think>",
    "<think></think>",
    "answer ",
    "Answer: 1\n",
    "solution 1 is ",
    "sources:\n",
]
HOSTILE += [
    "the first ",
    "\\boxed{1}",
    "equally good ",
    "teacher_reasoning",
    "is very ",
    "Answer: [1]\n",
    "no, ",
    "best best ",
    "[1] x\n",
]


@pytest.mark.slow
@pytest.mark.parametrize("unit", HOSTILE)
def test_time_grows_with_the_length_only(unit: str) -> None:
    text = unit * (300_000 // len(unit))
    start = time.process_time()
    parse_verdict(text, (text, "[1]\n" * 30_000))
    assert time.process_time() - start < 0.9


MARKS = [
    *'{}<>:*`-"\\/ \n[]12.,\ud800\x00',
    "```",
    "<think>",
    "</think>",
    "[1]",
    "[2]",
    "Answer:",
    "solution 1",
    " is better",
]
JSON = ['{"answer": ', '{"verdict": "', '"}', "\\ud800", " or ", "\\boxed{", "tie", "equally good", "Sources:\n"]


@pytest.mark.slow
@given(st.lists(st.sampled_from([*MARKS, *JSON]), max_size=30).map("".join), st.tuples(st.text(), st.text()))
def test_never_raises_and_has_a_choice_only_when_ok(answer: str, solutions: tuple[str, str]) -> None:
    verdict = parse_verdict(answer, solutions)
    assert (verdict.choice is not None) == (verdict.status is VerdictStatus.OK)
    assert verdict.reasoning is None or verdict.reasoning == verdict.reasoning.strip() != ""


CHOICES_OF_TWO: tuple[Literal[1], Literal[2]] = (1, 2)
ANY_TEXT = st.text(st.characters(exclude_categories=["Nd", "No", "Nl"], exclude_characters="[]{}<>【】［］")).filter(
    lambda text: without_thinking(text) == text
)


@given(ANY_TEXT, st.sampled_from(CHOICES_OF_TWO))
def test_mark_below_any_reasoning_is_the_verdict(reasoning: str, choice: Literal[1, 2]) -> None:
    verdict = parse_verdict(f"{reasoning}\n\n[{choice}]", SOLUTIONS)
    assert verdict == Verdict(choice, VerdictStatus.OK, reasoning.strip() or None)


def test_version_is_a_whole_number() -> None:
    assert VERDICT_PARSER_VERSION >= 1
