"""Agreement: Krippendorff's alpha as published examples have it, what people prefer, and how they stand to a judge."""

from collections import Counter
from collections.abc import Sequence

import pytest

from clairgen.reporting.agreement import agreement
from clairgen.reporting.krippendorff import Alpha, krippendorff_alpha
from clairgen.store import JudgeOpinions, Vote

KEEP, SWAP, TIE, DROP = Vote.KEEP, Vote.SWAP, Vote.TIE, Vote.DROP


def units(*coders: str) -> list[Counter[str]]:
    """The units of several coders' values, in columns; a dot is a value that is missing."""
    return [Counter(value for value in unit if value != ".") for unit in zip(*map(str.split, coders), strict=True)]


@pytest.mark.parametrize(
    ("coders", "alpha", "pairs", "votes"),
    [
        # Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011), examples A, B and C.
        (("0 1 0 0 0 0 0 0 1 0", "1 1 1 0 0 1 0 0 0 0"), 0.095, 10, 20),
        (("a a b b d c c c e d d a", "b a b b b c c c e d d d"), 0.692, 12, 24),
        (
            (
                "1 2 3 3 2 1 4 1 2 . . .",
                "1 2 3 3 2 2 4 1 2 5 . 3",
                ". 3 3 3 2 3 4 2 2 5 1 .",
                "1 2 3 3 2 4 4 1 2 5 1 .",
            ),
            0.743,
            11,
            40,
        ),
        (("a b", "a b"), 1.0, 2, 4),
        (("a b", "b a"), -0.5, 2, 4),  # 1 - 2 * 2 / (4 / 3 * 2): worse than chance
    ],
)
def test_alpha_is_that_of_published_examples(coders: Sequence[str], alpha: float, pairs: int, votes: int) -> None:
    found = krippendorff_alpha(units(*coders))
    assert isinstance(found, Alpha)
    assert found.value == pytest.approx(alpha, abs=0.0005)
    assert (found.pairs, found.votes) == (pairs, votes)
    if found.interval is not None:
        assert found.interval[0] <= found.value <= found.interval[1] <= 1


def test_what_has_no_alpha_says_why() -> None:
    assert krippendorff_alpha([]) == "no pair has votes of two people"
    assert krippendorff_alpha(units("a b c", ". . .")) == "no pair has votes of two people"
    assert krippendorff_alpha(units("a a", "a a")) == "all votes are the same, so agreement cannot be told from chance"


@pytest.mark.parametrize(
    "coders",
    [
        ("a", "b"),
        ("a b a b a " * 3, "a b a b b " * 3),
        ("a b " * 30, "a b " * 30),
        ("a a " * 20, "a a " * 20, "a a " * 20, "b b " * 20),
    ],
)
def test_what_would_look_certain_has_no_interval(coders: Sequence[str]) -> None:
    """Few pairs, full agreement, and pairs that are all alike: bootstrap samples hardly differ there."""
    found = krippendorff_alpha(units(*coders))
    assert isinstance(found, Alpha)
    assert found.interval is None
    assert "too few or too much alike for an interval" in found.words


def test_the_interval_is_narrower_with_more_pairs() -> None:
    few, many = (krippendorff_alpha(units("a b a b a " * n, "a b a b b " * n)) for n in (4, 40))
    assert isinstance(few, Alpha)
    assert isinstance(many, Alpha)
    assert few.interval is not None
    assert many.interval is not None
    assert many.interval[1] - many.interval[0] < 0.5 * (few.interval[1] - few.interval[0])
    assert krippendorff_alpha(units("a b a b a " * 4, "a b a b b " * 4)) == few


def test_votes_are_for_the_chosen_answer_or_apart() -> None:
    votes = {"a": {"ada": KEEP, "ben": KEEP}, "b": {"ada": SWAP}, "c": {"ada": TIE}, "d": {"ben": DROP}}
    found = agreement(votes, {}, revises=True)
    assert found is not None
    assert found.preference.share is not None
    assert found.preference.share[0] == pytest.approx(2 / 3)
    assert found.preference.share[1] < 2 / 3 < found.preference.share[2]
    shown = dict(found.rows)
    assert shown["votes"] == "2 people, 5 votes on 4 pairs"
    assert shown["prefer the revision"].endswith("; apart 1 tie and 1 to drop the pair")
    assert "all votes are the same" in shown["Krippendorff's alpha"]
    nobody = agreement({"c": {"ada": TIE}}, {}, revises=False)
    assert nobody is not None
    assert (
        dict(nobody.rows)["prefer the chosen answer"] == "no vote for either answer; apart 1 tie and 0 to drop the pair"
    )
    assert agreement({}, {}, revises=True) is None


def test_a_judge_is_compared_with_most_people() -> None:
    """By hand: judge and people agree on 3 of 5 pairs, by chance on (3 * 2 + 2 * 2) / 25, so kappa is (0.6 - 0.4) / 0.6."""
    votes = {
        "a": {"ada": KEEP},
        "b": {"ada": KEEP},
        "c": {"ada": SWAP},
        "d": {"ada": KEEP, "ben": KEEP, "cy": SWAP},
        "e": {"ada": TIE},
        "f": {"ada": KEEP, "ben": SWAP},
        "g": {"ada": DROP},
        "h": {"ada": KEEP},
    }
    chosen = {"a": 1, "b": 2, "c": 1, "d": 1, "e": 2, "f": 1, "g": 1}
    opinions = {pair: JudgeOpinions(side, {"judge": side, "judge-2": None}) for pair, side in chosen.items()}
    found = agreement(votes, opinions, revises=False)
    assert found is not None
    judge, other = found.judges
    assert (judge.role, judge.pairs, judge.agreed) == ("judge", 5, 3)
    assert judge.kappa == pytest.approx((0.6 - 0.4) / 0.6)
    assert judge.table["first answer"] == {"first answer": 2, "second answer": 1, "tie": 0}
    assert judge.table["second answer"] == {"first answer": 0, "second answer": 1, "tie": 1}
    assert (other.pairs, other.agreed, other.table["tie"]["tie"]) == (5, 1, 1)
    revised = agreement(votes, opinions, revises=True)
    assert revised is not None
    assert revised.judges == ()


def test_blind_votes_are_compared_alone_where_there_are_others_too() -> None:
    """By hand: of 4 blind votes for either answer 3 are for the one shown first, and the judge agrees on 3 of 5 blind pairs."""
    votes = {
        "a": {"ada": KEEP, "ben": KEEP},
        "b": {"ada": KEEP},
        "c": {"ada": SWAP},
        "d": {"ada": KEEP},
        "e": {"ada": TIE},
        "f": {"ben": KEEP},
    }
    first = {("a", "ada"): "chosen", ("b", "ada"): "chosen", ("c", "ada"): "rejected", ("d", "ada"): "rejected"}
    opinions = {pair: JudgeOpinions(1, {"judge": 1}) for pair in votes}
    found = agreement(votes, opinions, revises=False, shown_first=first | {("e", "ada"): "chosen"})
    assert found is not None
    blind = found.blind
    assert (blind.votes, blind.of, blind.first, blind.second) == (5, 7, 3, 1)
    assert blind.first_share is not None
    assert blind.first_share[0] == pytest.approx(0.75)
    assert blind.first_share[1] < 0.75 < blind.first_share[2]
    assert blind.preference is not None
    assert (blind.preference.chosen, blind.preference.rejected, blind.preference.ties) == (3, 1, 1)
    assert [(one.pairs, one.agreed) for one in (*found.judges, *blind.judges)] == [(6, 4), (5, 3)]
    shown = dict(found.rows)
    assert shown["blind votes"].startswith("5 of 7; 75.0% of 4 votes prefer the answer shown first (95% interval ")
    assert {"agree with the judge", "agree with the judge, blind votes alone"} < set(shown)
    assert "prefer the chosen answer, blind votes alone" in shown


def test_votes_of_one_kind_are_not_compared_twice() -> None:
    votes = {"a": {"ada": KEEP}, "b": {"ada": DROP}}
    seen = agreement(votes, {}, revises=False)
    unseen = agreement(votes, {}, revises=False, shown_first={("a", "ada"): "chosen", ("b", "ada"): "chosen"})
    assert seen is not None
    assert unseen is not None
    assert (seen.blind.preference, unseen.blind.preference) == (None, None)
    assert dict(seen.rows)["blind votes"].startswith("none of 2: who voted saw which answer is chosen")
    assert dict(unseen.rows)["blind votes"].startswith("2 of 2; 100.0% of 1 vote ")
