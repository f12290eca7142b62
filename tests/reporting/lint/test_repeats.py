"""Repeats within and across splits are found by hashes, near duplicates by sketches of bounded memory."""

import random

from clairgen.records import Message
from clairgen.reporting.lint.repeats import PairHashes, PromptSketches, Repeat
from clairgen.row_pairs import RowPair

Row = tuple[str, str, str]


def hashes(*splits: list[Row]) -> PairHashes:
    made = PairHashes()
    for rows in splits:
        made.begin_split()
        for prompt, chosen, rejected in rows:
            made.add(RowPair((Message("user", prompt),), chosen, rejected))
    return made


def sketches(prompts: list[str], most: int = 1000) -> PromptSketches:
    of = hashes([(prompt, "a", "b") for prompt in prompts])
    made = PromptSketches(of, most)
    for row, prompt in enumerate(prompts):
        made.add(row, (Message("user", prompt),))
    return made


def prompts(count: int, words: int = 60, seed: int = 1) -> list[str]:
    draw = random.Random(seed)
    return [" ".join(f"w{draw.randrange(5000)}" for _ in range(words)) for _ in range(count)]


def changed(prompt: str, *, words: int, seed: int = 1) -> str:
    draw, parts = random.Random(seed), prompt.split()
    start = draw.randrange(len(parts) - words)
    parts[start : start + words] = ["other"] * words
    return " ".join(parts)


def test_a_pair_that_is_there_again_and_one_with_its_sides_swapped() -> None:
    rows = [("p", "a", "b"), ("q", "a", "b"), ("P ", "a", " b"), ("q", "b", "a"), ("p", "a", "c")]
    again, swapped = hashes(rows).repeated_pairs()
    assert again == [Repeat(2, 0)]
    assert swapped == [Repeat(3, 1)]


def test_the_same_pair_in_two_splits_repeats_a_prompt_there_and_swapped_sides_are_found_across_splits() -> None:
    made = hashes([("p", "a", "b"), ("q", "a", "b")], [("p", "a", "b"), ("q", "b", "a"), ("r", "a", "b")])
    again, swapped = made.repeated_pairs()
    assert again == []
    assert swapped == [Repeat(3, 1)]
    within, across = made.repeated_prompts()
    assert within == []
    assert across == [Repeat(2, 0), Repeat(3, 1)]


def test_prompts_repeat_within_a_split_where_their_answers_are_others() -> None:
    rows = [("p", "a", "b"), ("p", "a", "b"), ("P\n", "a", "c"), ("p", "b", "a")]
    within, across = hashes(rows).repeated_prompts()
    assert within == [Repeat(2, 0)]
    assert across == []


def test_a_prompt_is_its_whole_conversation() -> None:
    made = PairHashes()
    made.begin_split()
    for before in ("Hello.", "Good day."):
        messages = (Message("user", before), Message("assistant", "Hm."), Message("user", "Why?"))
        made.add(RowPair(messages, "a", "b"))
    assert made.repeated_prompts() == ([], [])


def test_the_share_of_longer_chosen_answers_counts_ties_half_and_its_interval_knows_of_prompts() -> None:
    rows = [(f"p{number}", "long answer", "short") for number in range(60)]
    rows += [(f"p{number}", "short", "long answer") for number in range(60, 100)]
    longer, shorter, share, low, high = hashes(rows).chosen_longer()
    assert (longer, shorter, share) == (60, 40, 0.6)
    assert (round(low, 3), round(high, 3)) == (0.502, 0.691)  # Wilson's
    four_times = [(prompt, chosen, f"{rejected}{again}") for prompt, chosen, rejected in rows for again in "wxyz"]
    _, _, share, again_low, again_high = hashes(four_times).chosen_longer()
    assert share == 0.6
    assert abs(again_low - low) < 0.003
    assert abs(again_high - high) < 0.003
    assert hashes([("p", "aa", "b"), ("q", "a", "b")]).chosen_longer()[:3] == (1, 0, 0.75)


def test_nearly_equal_prompts_are_found_and_others_are_not() -> None:
    base = prompts(300)
    near = [changed(prompt, words=2, seed=at) for at, prompt in enumerate(base)]
    far = [changed(prompt, words=25, seed=at) for at, prompt in enumerate(base)]
    found = sketches([*base, *near]).near_duplicates()
    assert len(found) > 280  # Jaccard index 54 / 62
    assert all(one.row == one.earlier + 300 for one in found)
    assert len(sketches([*base, *far]).near_duplicates()) < 10  # 33 / 83
    assert sketches(base).near_duplicates() == []


def test_equal_prompts_are_no_near_duplicates() -> None:
    [one] = prompts(1)
    assert sketches([one, one.upper(), f" {one}"]).near_duplicates() == []


def test_sketches_are_bounded_and_those_that_stay_still_find_near_duplicates() -> None:
    base = prompts(2000)
    near = [changed(prompt, words=2, seed=at) for at, prompt in enumerate(base)]
    made = sketches([*base, *near], most=1000)
    assert 200 < len(made) <= 1000
    # Half of those that are kept are nearly equal ones; were they kept independently, an eighth of their originals would be.
    assert len(made.near_duplicates()) > 0.35 * len(made)


def test_one_prompt_a_thousand_times_takes_one_sketch() -> None:
    made = sketches(prompts(1) * 1000, most=100)
    assert len(made) <= 101
