import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clairgen.reporting.diff import DiffOp, DiffSegment, word_diff

answers = st.text(st.sampled_from("ab .\n\té")) | st.text()


def joined(segments: list[DiffSegment], *changes: DiffOp) -> str:
    return "".join(segment.text for segment in segments if segment.change in changes)


def marked(rejected: str, chosen: str) -> str:
    brackets = {DiffOp.KEPT: "{}", DiffOp.REMOVED: "[-{}-]", DiffOp.ADDED: "{{+{}+}}"}
    return "".join(brackets[segment.change].format(segment.text) for segment in word_diff(rejected, chosen))


@given(answers, answers)
def test_both_answers_can_be_read_out_of_the_diff(rejected: str, chosen: str) -> None:
    segments = word_diff(rejected, chosen)
    assert joined(segments, DiffOp.KEPT, DiffOp.REMOVED) == rejected
    assert joined(segments, DiffOp.KEPT, DiffOp.ADDED) == chosen
    assert all(segment.text for segment in segments)
    assert all(one.change is not following.change for one, following in pairwise(segments))


@pytest.mark.parametrize("most", [0, 4])
@given(rejected=answers, chosen=answers)
def test_answers_compared_by_lines_or_as_a_whole_can_be_read_as_well(rejected: str, chosen: str, most: int) -> None:
    segments = word_diff(rejected, chosen, most_token_pairs=most)
    assert joined(segments, DiffOp.KEPT, DiffOp.REMOVED) == rejected
    assert joined(segments, DiffOp.KEPT, DiffOp.ADDED) == chosen


@pytest.mark.parametrize(
    ("rejected", "chosen", "shown"),
    [
        ("", "", ""),
        ("same", "same", "same"),
        ("", "new", "{+new+}"),
        ("old", "", "[-old-]"),
        ("The cat sat.", "The cat slept.", "The cat [-sat-]{+slept+}."),
        ("one two three", "eins zwei drei", "[-one two three-]{+eins zwei drei+}"),
        ("foo bar baz qux", "foo qux", "foo [-bar baz -]qux"),
        ("foo qux", "foo bar baz qux", "foo {+bar baz +}qux"),
        ("a  b", "a b", "a [- -]b"),
        ("a\nb", "c\nd", "[-a-]{+c+}\n[-b-]{+d+}"),
    ],
)
def test_a_change_reads_as_one_phrase(rejected: str, chosen: str, shown: str) -> None:
    assert marked(rejected, chosen) == shown


def test_long_answers_take_no_time_worth_waiting_for() -> None:
    rejected = " ".join(str(number % 97) for number in range(20_000))
    chosen = " ".join(str(number % 89) for number in range(20_000))
    start = time.perf_counter()
    assert joined(word_diff(rejected, chosen), DiffOp.KEPT, DiffOp.ADDED) == chosen
    assert time.perf_counter() - start < 10
