import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clairgen.reporting.diff import Change, Stretch, word_diff

answers = st.text(st.sampled_from("ab .\n\té")) | st.text()


def joined(stretches: list[Stretch], *changes: Change) -> str:
    return "".join(stretch.text for stretch in stretches if stretch.change in changes)


def marked(rejected: str, chosen: str) -> str:
    brackets = {Change.KEPT: "{}", Change.REMOVED: "[-{}-]", Change.ADDED: "{{+{}+}}"}
    return "".join(brackets[stretch.change].format(stretch.text) for stretch in word_diff(rejected, chosen))


@given(answers, answers)
def test_both_answers_can_be_read_out_of_the_diff(rejected: str, chosen: str) -> None:
    stretches = word_diff(rejected, chosen)
    assert joined(stretches, Change.KEPT, Change.REMOVED) == rejected
    assert joined(stretches, Change.KEPT, Change.ADDED) == chosen
    assert all(stretch.text for stretch in stretches)
    assert all(one.change is not following.change for one, following in pairwise(stretches))


@pytest.mark.parametrize("most", [0, 4])
@given(rejected=answers, chosen=answers)
def test_answers_compared_by_lines_or_as_a_whole_can_be_read_as_well(rejected: str, chosen: str, most: int) -> None:
    stretches = word_diff(rejected, chosen, most_token_pairs=most)
    assert joined(stretches, Change.KEPT, Change.REMOVED) == rejected
    assert joined(stretches, Change.KEPT, Change.ADDED) == chosen


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
    assert joined(word_diff(rejected, chosen), Change.KEPT, Change.ADDED) == chosen
    assert time.perf_counter() - start < 10
