"""The filter by votes: what most people say of a pair, and how many have said something."""

import pytest
from pydantic import ValidationError

from clairgen.filters.filter import Candidate, Fault
from clairgen.filters.filter_settings import FilterSettings
from clairgen.filters.votes import ByVotes, by_votes
from tests.filters.pairs import pair


@pytest.mark.parametrize(
    ("votes", "options", "reason"),
    [
        ("", {}, None),
        ("keep", {}, None),
        ("drop", {}, "voted-drop"),
        ("swap swap keep", {}, "voted-swap"),
        ("swap keep", {}, None),
        ("swap keep", {"found": ["disputed"]}, "voted-disputed"),
        ("tie", {}, None),
        ("tie", {"found": ["tie"]}, "voted-tie"),
        ("", {"fewest": 1}, "too-few-votes"),
        ("drop", {"fewest": 2}, "too-few-votes"),
        ("keep keep", {"fewest": 2, "found": []}, None),
    ],
)
def test_what_most_people_say_decides(votes: str, options: dict[str, object], reason: str | None) -> None:
    found = by_votes(ByVotes.model_validate(options))(Candidate(pair(), votes=votes.split()))
    assert (found and found.reason) == reason


def test_the_value_is_how_many_say_it() -> None:
    check = by_votes(ByVotes(fewest=3))
    assert check(Candidate(pair(), votes=["drop", "drop", "keep"])) == Fault("voted-drop", 2.0)
    assert check(Candidate(pair(), votes=["drop"])) == Fault("too-few-votes", 1.0)


def test_it_is_off_until_it_is_asked_for_and_says_what_it_finds() -> None:
    assert FilterSettings().action("votes", revises=True) is None
    named = FilterSettings.model_validate({"votes": {"found": ["swap", "tie"], "fewest": 2, "action": "drop"}})
    assert "votes (swap, tie, fewer than 2): drop" in named.phrases
    refused: list[dict[str, object]] = [{"found": []}, {"found": ["keep"]}, {"fewest": -1}, {"votes": 3}]
    for wrong in refused:
        with pytest.raises(ValidationError):
            FilterSettings.model_validate({"votes": wrong})
