import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clairgen.parsing.revision import PARSER_VERSION, Revision, parse_revision
from clairgen.records import ParseStatus
from clairgen.thinking import without_thinking

STUDENT = "Water boils at 100."
WHY = "The student forgets the unit."
BETTER = "Water boils at 100 °C at sea level."
CODE = "```python\nprint(100)\n```\n\nThis prints the boiling point."

ACCEPTED = {
    "paper_header_on_its_own_line": "{teacher_reasoning}\n\n" + WHY + "\n\n{corrected_student_solution}\n\n" + BETTER,
    "colon_after_header": "{teacher_reasoning}:\n" + WHY + "\n\n{corrected_student_solution}:\n" + BETTER,
    "text_on_the_header_line": "{teacher_reasoning}: " + WHY + "\n\n{corrected_student_solution}: " + BETTER,
    "text_after_header_without_colon": "{teacher_reasoning} " + WHY + "\n\n{corrected_student_solution} " + BETTER,
    "bold_around_braces": "**{teacher_reasoning}**\n" + WHY + "\n\n**{corrected_student_solution}**\n" + BETTER,
    "bold_around_colon": "**{teacher_reasoning}:** " + WHY + "\n\n**{corrected_student_solution}:** " + BETTER,
    "heading": "### {teacher_reasoning}\n" + WHY + "\n\n### {corrected_student_solution}\n" + BETTER,
    "bold_heading": "## **{teacher_reasoning}**:\n" + WHY + "\n\n## **{corrected_student_solution}**:\n" + BETTER,
    "no_braces": "teacher_reasoning:\n" + WHY + "\n\ncorrected_student_solution:\n" + BETTER,
    "one_brace_missing": "{teacher_reasoning:\n" + WHY + "\n\ncorrected_student_solution}:\n" + BETTER,
    "doubled_braces": "{{teacher_reasoning}}\n" + WHY + "\n\n{{corrected_student_solution}}\n" + BETTER,
    "spaces_inside_braces": "{ teacher_reasoning }\n" + WHY + "\n\n{ corrected_student_solution }\n" + BETTER,
    "backticks": "`teacher_reasoning`:\n" + WHY + "\n\n`corrected_student_solution`:\n" + BETTER,
    "bold_backticks_and_braces": "**`{teacher_reasoning}`** " + WHY + "\n**`{corrected_student_solution}`** " + BETTER,
    "square_brackets": "[teacher_reasoning]\n" + WHY + "\n\n[corrected_student_solution]\n" + BETTER,
    "angle_brackets": "<teacher_reasoning>\n" + WHY + "\n\n<corrected_student_solution>\n" + BETTER,
    "tags_with_closing_tags": (
        f"<teacher_reasoning>\n{WHY}\n</teacher_reasoning>\n\n"
        f"<corrected_student_solution>\n{BETTER}\n</corrected_student_solution>\n\nI hope this helps."
    ),
    "tags_all_in_one_line": (
        f"<teacher_reasoning>{WHY}</teacher_reasoning><corrected_student_solution>{BETTER}</corrected_student_solution>"
    ),
    "tags_inside_a_root_tag": (
        f"<answer>\n<teacher_reasoning>{WHY}</teacher_reasoning>\n"
        f"<corrected_student_solution>{BETTER}</corrected_student_solution>\n</answer>"
    ),
    "braced_closing_tags": (
        "{teacher_reasoning}\n" + WHY + "\n{/teacher_reasoning}\n"
        "{corrected_student_solution}\n" + BETTER + "\n{/corrected_student_solution}"
    ),
    "escaped_underscores": "{teacher\\_reasoning}\n" + WHY + "\n\n{corrected\\_student\\_solution}\n" + BETTER,
    "escaped_braces": "\\{teacher_reasoning\\}: " + WHY + "\n\n\\{corrected_student_solution\\}: " + BETTER,
    "title_case_with_colon": "Teacher Reasoning: " + WHY + "\n\nCorrected Student Solution: " + BETTER,
    "bold_title_case": "**Teacher Reasoning**\n\n" + WHY + "\n\n**Corrected Student Solution**\n\n" + BETTER,
    "heading_in_title_case": "# Teacher Reasoning\n" + WHY + "\n\n# Corrected Student Solution\n" + BETTER,
    "upper_case": "TEACHER_REASONING:\n" + WHY + "\n\nCORRECTED_STUDENT_SOLUTION:\n" + BETTER,
    "numbered_headers": "1. **Teacher Reasoning:** " + WHY + "\n\n2. **Corrected Student Solution:** " + BETTER,
    "quoted_headers": "> {teacher_reasoning}\n" + WHY + "\n\n> {corrected_student_solution}\n" + BETTER,
    "windows_line_ends": "{teacher_reasoning}\r\n" + WHY + "\r\n\r\n{corrected_student_solution}\r\n" + BETTER + "\r\n",
    "everything_in_one_line": "{teacher_reasoning}: " + WHY + " {corrected_student_solution}: " + BETTER,
    "dash_after_header": "**Teacher Reasoning** – " + WHY + "\n\n**Corrected Student Solution** – " + BETTER,
    "rule_between_sections": "{teacher_reasoning}\n" + WHY + "\n\n---\n\n{corrected_student_solution}\n" + BETTER,
    "rule_below_the_solution": "{teacher_reasoning}\n"
    + WHY
    + "\n\n{corrected_student_solution}\n"
    + BETTER
    + "\n\n---",
    "header_repeated_as_closing_mark": (
        "{teacher_reasoning}\n"
        + WHY
        + "\n\n{corrected_student_solution}\n"
        + BETTER
        + "\n\n{corrected_student_solution}"
    ),
    "solution_before_the_reasoning": ("{corrected_student_solution}\n" + BETTER + "\n\n{teacher_reasoning}\n" + WHY),
    "json_object": f'{{"teacher_reasoning": "{WHY}", "corrected_student_solution": "{BETTER}"}}',
    "json_in_a_fence": f'```json\n{{\n "teacher_reasoning": "{WHY}",\n "corrected_student_solution": "{BETTER}"\n}}\n```',
    "json_after_an_introduction": (
        f'Here you are:\n\n```json\n{{"teacher_reasoning": "{WHY}", "corrected_student_solution": "{BETTER}"}}\n```\n'
    ),
    "json_with_other_keys_first": (
        f'{{"id": 1, "Teacher Reasoning": "{WHY}", "correctedStudentSolution": "{BETTER}", "score": 0.5}}'
    ),
    "json_inside_json": (f'{{"result": {{"teacher_reasoning": "{WHY}", "corrected_student_solution": "{BETTER}"}}}}'),
    "thinking_first": (
        "<think>\nMaybe {corrected_student_solution}\nno.\n</think>\n\n"
        "{teacher_reasoning}\n" + WHY + "\n{corrected_student_solution}\n" + BETTER
    ),
    "thinking_whose_opening_tag_the_server_swallowed": (
        "Let me see.\n{corrected_student_solution}: a draft\n</think>\n"
        "{teacher_reasoning}\n" + WHY + "\n{corrected_student_solution}\n" + BETTER
    ),
    "fence_around_everything": (
        "```\n{teacher_reasoning}\n" + WHY + "\n\n{corrected_student_solution}\n" + BETTER + "\n```"
    ),
    "fence_around_the_header": (
        "{teacher_reasoning}\n" + WHY + "\n\n```\n{corrected_student_solution}\n```\n" + BETTER
    ),
    "identifier_as_the_name_of_a_fence": (
        "```teacher_reasoning\n" + WHY + "\n```\n\n```corrected_student_solution\n" + BETTER + "\n```"
    ),
    "fence_around_the_solution": "{teacher_reasoning}\n"
    + WHY
    + "\n\n{corrected_student_solution}\n```\n"
    + BETTER
    + "\n```",
    "markdown_fence_around_the_solution": (
        "{teacher_reasoning}\n" + WHY + "\n\n{corrected_student_solution}\n```markdown\n" + BETTER + "\n```\n"
    ),
}


@pytest.mark.parametrize("answer", ACCEPTED.values(), ids=ACCEPTED)
def test_takes_the_form(answer: str) -> None:
    assert parse_revision(answer, STUDENT) == Revision(ParseStatus.OK, BETTER, WHY)


NAMED_IN_REASONING = "{teacher_reasoning}: In the {corrected_student_solution} I add the unit.\n\n"

CHOICES = {
    "mention_in_a_sentence_is_no_header": NAMED_IN_REASONING + "{corrected_student_solution}\n" + BETTER,
    "mention_that_starts_a_line_is_no_header": (
        "{teacher_reasoning}\n{corrected_student_solution} should have a unit.\n\n{corrected_student_solution}\n"
        + BETTER
    ),
    "last_header_after_the_reasoning_wins": (
        "{teacher_reasoning}\n"
        + WHY
        + "\n{corrected_student_solution}\nWater boils.\n\n{corrected_student_solution}\n"
        + BETTER
    ),
    "header_after_the_reasoning_beats_a_draft_before_it": (
        "{corrected_student_solution}\nA draft.\n{teacher_reasoning}\n"
        + WHY
        + "\n{corrected_student_solution}:\n"
        + BETTER
    ),
    "identifier_beats_title_case": "Corrected Student Solution:\nno\n{corrected_student_solution}\n" + BETTER,
    "colon_beats_no_colon": "{corrected_student_solution}: "
    + BETTER
    + "\n{teacher_reasoning}\n{corrected_student_solution} Hm",
    "fence_around_each_section": (
        "```\n{teacher_reasoning}\n" + WHY + "\n```\n\n```\n{corrected_student_solution}\n" + BETTER + "\n```"
    ),
    "no_reasoning_at_all": "{corrected_student_solution}\n" + BETTER,
    "json_without_reasoning": f'{{"corrected_student_solution": "{BETTER}"}}',
    "json_with_real_line_breaks_in_a_string": f'{{"corrected_student_solution": "\n{BETTER}\n"}}',
    "empty_thinking": "<think></think>{corrected_student_solution}\n" + BETTER,
    "two_blocks_of_thinking": "<think>a</think>\n<thinking>b</thinking>\n{corrected_student_solution}\n" + BETTER,
    "hostile_reasoning_with_unclosed_fence": "{teacher_reasoning}\n```\nx\n\n{corrected_student_solution}\n" + BETTER,
}


@pytest.mark.parametrize("answer", CHOICES.values(), ids=CHOICES)
def test_finds_the_one_solution(answer: str) -> None:
    assert parse_revision(answer, STUDENT).solution == BETTER


KEPT = {
    "code_fence_first": CODE,
    "code_fence_alone": "```python\nprint(100)\n```",
    "two_code_fences": "```\na\n```\nand\n```\nb\n```",
    "quotation_first": '"Water boils at 100 °C," she said.',
    "quotation_throughout": '"Water boils at 100 °C."',
    "speaker_first": "Customer: It does not boil.\n\nAgent: Turn it on.",
    "block_quotation": "> Water boils.\n>\n> At 100 °C.",
    "bold_first": "**Water** boils at **100 °C**.",
    "list_first": "- Water\n- Ice",
    "braces": "Use {name} and {{name}}, {task}: and {}.",
    "json": '{"boils": {"celsius": 100}}',
    "heading_first": "# Boiling\n\nAt 100 °C.",
    "rule_inside": "One\n\n---\n\nTwo",
    "front_matter": "---\ntitle: Water\n---",
    "rule_that_closes_a_table": "----\n100\n----",
    "rule_in_open_fence": "```\ntext\n---",
    "underscores_to_fill_in": "Signed:\n\n________",
    "title_case_header_of_its_own": "Grade sheet\n\nCorrected Student Solution:\n\nTeacher Reasoning:\n\n100 °C",
    "mention_of_thinking_tags": "It writes <think>, thinks, and writes </think>.",
    "colon_first": ": so it boils",
    "unpaired_fence_at_the_end": "Open a fence with\n```",
    "nul_and_lone_surrogate": "a\x00b\ud800c",
    "windows_line_ends_inside": "One\r\n\r\nTwo",
    "tag": "<b>100</b>",
}


@pytest.mark.parametrize("solution", KEPT.values(), ids=KEPT)
@pytest.mark.parametrize("header", ["{corrected_student_solution}\n\n", "{corrected_student_solution}:\n"])
def test_keeps_every_byte_of(solution: str, header: str) -> None:
    answer = "{teacher_reasoning}\n" + WHY + "\n\n" + header + solution
    assert parse_revision(answer, STUDENT) == Revision(ParseStatus.OK, solution, WHY)


@pytest.mark.parametrize("solution", [CODE, '"Quoted" text', "Customer: Hello", "**Bold** text", "- Item", "`x` is 1"])
@pytest.mark.parametrize("header", ["{corrected_student_solution}: ", "**{corrected_student_solution}:** "])
def test_keeps_what_follows_the_header_in_its_line(solution: str, header: str) -> None:
    assert parse_revision("{teacher_reasoning}: " + WHY + "\n" + header + solution, STUDENT).solution == solution


def test_keeps_a_fence_around_the_solution_when_the_student_had_one() -> None:
    answer = "{corrected_student_solution}\n```\nx = 2\n```"
    assert parse_revision(answer, "```\nx = 1\n```\n").solution == "```\nx = 2\n```"
    assert parse_revision(answer, "x = 1").solution == "x = 2"


def test_unwraps_a_fence_that_holds_other_fences() -> None:
    inner = "Run this:\n```python\nprint(100)\n```\nDone."
    assert parse_revision("{corrected_student_solution}\n```\n" + inner + "\n```", STUDENT).solution == inner
    assert parse_revision("```\n{corrected_student_solution}\n" + inner + "\n```", STUDENT).solution == inner


def test_keeps_a_rule_below_the_solution_when_the_student_ended_with_one() -> None:
    assert parse_revision("{corrected_student_solution}\nBoils.\n\n---", "Boil\n\n---\n").solution == "Boils.\n\n---"


def test_keeps_prompt_text_that_the_student_wrote_too() -> None:
    solution = "The prompt says: identifiers to structure your answer."
    assert parse_revision("{corrected_student_solution}\n" + solution, solution[:-1]).solution == solution


def test_json_escapes_become_characters_that_can_be_stored() -> None:
    solution = parse_revision(r'{"corrected_student_solution": "\ud83d\ude00 \ud83d {x}\n\"y\""}', STUDENT).solution
    assert solution == '\N{GRINNING FACE} \N{REPLACEMENT CHARACTER} {x}\n"y"'


def test_json_number_is_a_solution_as_it_is_written() -> None:
    assert parse_revision('{"corrected_student_solution": 100.00}', STUDENT).solution == "100.00"


def test_preamble_is_the_reasoning_where_it_has_no_header() -> None:
    assert parse_revision(WHY + "\n\n{corrected_student_solution}\n" + BETTER, STUDENT).reasoning == WHY


REJECTED = {
    "nothing": ("", ParseStatus.NO_SOLUTION_HEADER),
    "refusal": ("I cannot help with that.", ParseStatus.NO_SOLUTION_HEADER),
    "bare_solution": (BETTER, ParseStatus.NO_SOLUTION_HEADER),
    "reasoning_alone": ("{teacher_reasoning}\n" + WHY, ParseStatus.NO_SOLUTION_HEADER),
    "prose_with_the_words": ("The corrected student solution is fine.", ParseStatus.NO_SOLUTION_HEADER),
    "json_without_the_key": (f'{{"teacher_reasoning": "{WHY}"}}', ParseStatus.NO_SOLUTION_HEADER),
    "mention_in_a_sentence": (NAMED_IN_REASONING + WHY, ParseStatus.HEADER_ONLY_IN_REASONING),
    "mention_that_starts_a_line": (
        "{teacher_reasoning}\n{corrected_student_solution} should have a unit.",
        ParseStatus.HEADER_ONLY_IN_REASONING,
    ),
    "mention_with_a_possessive": (
        "{teacher_reasoning}\n`corrected_student_solution`'s unit is missing.",
        ParseStatus.HEADER_ONLY_IN_REASONING,
    ),
    "header_and_nothing": (
        "{teacher_reasoning}\n" + WHY + "\n{corrected_student_solution}:\n\n",
        ParseStatus.EMPTY_SOLUTION,
    ),
    "draft_before_the_reasoning_and_nothing_after": (
        "{corrected_student_solution}\nA draft.\n{teacher_reasoning}\n" + WHY + "\n{corrected_student_solution}\n",
        ParseStatus.EMPTY_SOLUTION,
    ),
    "empty_tags": ("<corrected_student_solution>\n</corrected_student_solution>", ParseStatus.EMPTY_SOLUTION),
    "empty_fence": ("{corrected_student_solution}\n```\n\n```", ParseStatus.EMPTY_SOLUTION),
    "rule_alone": ("{corrected_student_solution}\n---", ParseStatus.EMPTY_SOLUTION),
    "empty_string_in_json": ('{"corrected_student_solution": " "}', ParseStatus.EMPTY_SOLUTION),
    "null_in_json": ('{"corrected_student_solution": null}', ParseStatus.EMPTY_SOLUTION),
    "list_in_json": ('{"corrected_student_solution": ["a"]}', ParseStatus.SOLUTION_NOT_TEXT),
    "torn_json": (f'{{"teacher_reasoning": "{WHY}", "corrected_student_solution": "Wat', ParseStatus.BROKEN_JSON),
    "torn_json_in_a_fence": (f'```json\n{{\n"teacher_reasoning": "{WHY}', ParseStatus.BROKEN_JSON),
    "json_too_deep": ('{"corrected_student_solution": ' + "[" * 100_000, ParseStatus.BROKEN_JSON),
    "unclosed_thinking": (
        "<think>\n{teacher_reasoning}\nx\n{corrected_student_solution}\n" + BETTER,
        ParseStatus.UNCLOSED_THINKING,
    ),
    "draft_in_thinking_alone": ("<think>{corrected_student_solution}\nx</think>\n", ParseStatus.NO_SOLUTION_HEADER),
    "echoed_prompt": (
        "Mention the {teacher_reasoning} and {corrected_student_solution} identifiers to structure your answer.",
        ParseStatus.ECHOED_PROMPT,
    ),
    "prompt_for_a_next_student": (
        "{corrected_student_solution}\n" + BETTER + "\n\n{task}: When does ice melt?\n\n{student_solution}: At 0.",
        ParseStatus.ECHOED_PROMPT,
    ),
}


@pytest.mark.parametrize(("answer", "status"), REJECTED.values(), ids=REJECTED)
def test_rejects_by_name(answer: str, status: ParseStatus) -> None:
    revision = parse_revision(answer, STUDENT)
    assert revision.status is status
    assert revision.solution is None


def test_empty_solution_still_has_its_reasoning() -> None:
    answer = "{teacher_reasoning}\n" + WHY + "\n{corrected_student_solution}\n"
    assert parse_revision(answer, STUDENT) == Revision(ParseStatus.EMPTY_SOLUTION, None, WHY)


HOSTILE = [
    "{",
    "<",
    "</",
    "`",
    "```\n",
    "~~~\n",
    " ",
    "*",
    "\\",
    ". ",
    "---\n",
    "corrected_student_",
    '{"a":',
    "<think>",
]
HOSTILE += [
    "{corrected_student_solution}",
    "{corrected_student_solution}\n",
    "{teacher_reasoning}\n",
    '{"teacher_reasoning":',
]


@pytest.mark.slow
@pytest.mark.parametrize("unit", HOSTILE)
def test_time_grows_with_the_length_only(unit: str) -> None:
    text = unit * (300_000 // len(unit))
    start = time.process_time()
    parse_revision(text, text)
    parse_revision("{teacher_reasoning}\n\n{corrected_student_solution}\n" + text, STUDENT)
    assert time.process_time() - start < 1.5


MARKS = [*'{}<>:*`-"\\/ \nxX\ud800\x00', "```", "---", "</", "**", "<think>", "</think>"]
NAMES = [
    "corrected_student_solution",
    "teacher_reasoning",
    "Corrected Student Solution",
    '{"corrected_student_solution": "',
]
PIECES = st.sampled_from([*MARKS, *NAMES])


@given(st.lists(PIECES, max_size=30).map("".join), st.lists(PIECES, max_size=5).map("".join))
def test_never_raises_and_has_a_solution_only_when_ok(answer: str, rejected: str) -> None:
    revision = parse_revision(answer, rejected)
    assert (revision.solution is not None) == (revision.status is ParseStatus.OK)
    assert revision.solution is None or revision.solution == revision.solution.strip() != ""


ANY_TEXT = st.text(st.characters(exclude_categories=()))
_HEADER_WORDS = re.compile(r"teacher\W*_?\W*reasoning|corrected\W*_?\W*student\W*_?\W*solution", re.IGNORECASE)
WITHOUT_WRAPPING = ANY_TEXT.filter(
    lambda text: (
        not text.rstrip().endswith(("---", "```", "~~~"))
        and text.strip() != ""
        and not _HEADER_WORDS.search(text)
        and without_thinking(f"{WHY}\n{text}") == f"{WHY}\n{text}"
    )
)


@given(WITHOUT_WRAPPING, st.sampled_from(["\n", "\n\n", ":\n", ":\n\n", ": "]), ANY_TEXT)
def test_solution_without_a_header_comes_back_stripped(solution: str, after_header: str, rejected: str) -> None:
    answer = "{teacher_reasoning}\n\n" + WHY + "\n\n{corrected_student_solution}" + after_header + solution
    assert parse_revision(answer, rejected) == Revision(ParseStatus.OK, solution.strip(), WHY)


def test_version_is_a_whole_number() -> None:
    assert PARSER_VERSION >= 1
