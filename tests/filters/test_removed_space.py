import pytest

from clairgen.filters.filter import Candidate
from clairgen.filters.markup import removed_markup, removed_space
from clairgen.pipeline.make_pair import trimmed
from clairgen.records import SPACE, Answer, Pair


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (" Paris.", "Paris."),
        ("\n\nParis.\n", "Paris."),
        (" \r\n \t\n Paris. \t", "Paris."),
        ("\u3000\nParis.\u00a0", "Paris."),
        ("Paris. ", "Paris."),
        ("Paris.\n\n In France.", "Paris.\n\n In France."),
        ("    return x\n", "    return x"),
        ("\n\n\treturn x", "\treturn x"),
        ("  - one\n  - two", "  - one\n  - two"),
        (" \n ", ""),
        ("", ""),
    ],
)
def test_space_around_a_text_is_removed_and_an_indentation_stays(text: str, left: str) -> None:
    assert trimmed(text) == left
    assert trimmed(left) == left


@pytest.mark.parametrize(
    ("chosen", "rejected", "reason"),
    [((), (), None), ((SPACE,), (), "chosen"), ((), ("thinking", SPACE), "rejected"), ((SPACE,), (SPACE,), "both")],
)
def test_the_reason_says_which_answer_had_space_around_it(
    chosen: tuple[str, ...], rejected: tuple[str, ...], reason: str | None
) -> None:
    pair = Pair("t", "clair", Answer("a", "stop", "k", removed=chosen), Answer("b", "stop", "l", removed=rejected))
    found, markup = removed_space(Candidate(pair)), removed_markup(Candidate(pair))
    assert (None if found is None else found.reason) == (None if reason is None else f"{reason}-space-removed")
    assert (markup is not None) == ("thinking" in rejected)
