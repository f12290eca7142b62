"""Patterns that are tried only where they can match find what they find everywhere."""

import re
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clairgen.filters import lost_answer, revision_mention
from clairgen.filters.text import phrase_pattern, straight
from clairgen.parsing.sections import Identifier
from clairgen.patterns import matches_at_signs, matches_on_lines_with

_STATED_PIECES = (
    *(
        "The answer is",
        "RESULT:",
        "the re\u017fult equals",
        "sum = ",
        "\u017fUM",
        "product",
        "va\u0131ue",
        "\\boxed{7}",
        "\\Boxed{",
    ),
    *("#### 12", "#### ", "= 3", "\u2248 4.5", "42", "}", "is 7", "\n", ". ", " ", "answer answer", "\u0130"),
)
_HEADER_PIECES = (
    *(
        "{corrected_student_solution}:",
        "**Corrected Student\u2019s Solution**",
        "</corrected_student_solution>",
        "a corrected",
    ),
    *(
        "Corrected-\u017ftudent-solution",
        "> 1. [corrected student solution]",
        "# ",
        "corrected corrected",
        "\n",
        "\r\n",
        " ",
        "x",
    ),
)
_MENTION_PIECES = (
    *(
        "Here's a corrected and",
        "the revised",
        "improved",
        "answer",
        "response",
        "your original",
        "my first",
        "the student's",
    ),
    *(
        "I've made some",
        "changes",
        "I have improved it.",
        "this revision",
        "after reviewing your",
        "version corrigée",
        "solution",
    ),
    *(
        "these edits",
        "student_solution",
        "has been",
        "for clarity",
        " ",
        ". ",
        "\n",
        "überarbeitete Antwort",
        "respuesta revisada",
    ),
)


def texts(pieces: Iterable[str]) -> st.SearchStrategy[str]:
    return st.lists(st.sampled_from(list(pieces)) | st.text(max_size=5), max_size=12).map(
        lambda found: "".join(f"{piece} " if piece[-1:].isalnum() else piece for piece in found)
    )


def spans(matches: Iterable[re.Match[str]]) -> list[tuple[tuple[int, int], dict[str, str | None]]]:
    return [(match.span(), match.groupdict()) for match in matches]


@given(texts(_STATED_PIECES))
def test_results_are_found_at_their_signs(text: str) -> None:
    pattern = lost_answer._STATED
    assert spans(matches_at_signs(pattern, text, lost_answer._STATED_SIGNS)) == spans(pattern.finditer(text))


@given(texts(_HEADER_PIECES))
def test_headers_are_found_on_lines_with_their_first_word(text: str) -> None:
    pattern = Identifier("corrected_student_solution")._at_line_start
    assert spans(matches_on_lines_with(pattern, text, "corrected")) == spans(pattern.finditer(text))


@given(texts(_MENTION_PIECES).map(straight))
def test_mentions_of_a_revision_are_found_by_their_words(said: str) -> None:
    assert spans(revision_mention._mentions(said)) == spans(revision_mention._MENTION.finditer(said))


@given(
    st.from_regex(
        "|".join(phrase_pattern((one,), revision_mention._LISTS).pattern for one in revision_mention._PHRASES)
    )
)
def test_every_phrase_of_a_mention_is_found_by_its_words(text: str) -> None:
    said = straight(text)
    assert spans(revision_mention._mentions(said)) == spans(revision_mention._MENTION.finditer(said))


@pytest.mark.parametrize("letter", ["\u0130", "\u0131", "\u017f", "\u212a"])
def test_letters_that_count_as_ascii_ones_without_case_are_no_reason_to_miss_a_sign(letter: str) -> None:
    pattern = re.compile("[a-z]", re.IGNORECASE)
    assert [match[0] for match in matches_at_signs(pattern, letter, ("i", "s", "k"))] == [letter]
