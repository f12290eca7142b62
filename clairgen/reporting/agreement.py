"""How far people agree with each other, with the judge, and with a recipe's choice, from the votes on its pairs.

Of each person on a pair the latest vote counts. Shares count votes for the chosen answer among those for either; ties and `drop`
stand apart. A judge is compared with what most people say of a pair. Blind votes are those of people who were shown two answers
in a drawn order and not told which one is chosen; where there are others too, the blind ones are compared alone as well.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from clairgen.reporting.krippendorff import Alpha, krippendorff_alpha
from clairgen.stats import clustered_share, wilson
from clairgen.store import JudgeOpinions, Vote, majority
from clairgen.wording import counted

FIRST, SECOND, TIE = "first answer", "second answer", "tie"
SIDES: Final = (FIRST, SECOND, TIE)
"""What a judge or most people say of the two answers to a task, in the order in which the recipe has them."""


@dataclass(frozen=True, slots=True)
class Preference:
    """Votes on pairs: for the chosen answer, for the rejected one, for neither, and not to use the pair.

    `share` is that of the votes for the chosen answer among those for either, with its 95% interval over pairs; None without.
    """

    chosen: int
    rejected: int
    ties: int
    drops: int
    share: tuple[float, float, float] | None

    @property
    def words(self) -> str:
        """The share of the votes for the chosen answer, and what stands apart."""
        apart = (
            f"; apart {counted(self.ties, 'tie')} and {self.drops:,} to drop the pair"
            if self.ties or self.drops
            else ""
        )
        if self.share is None:
            return f"no vote for either answer{apart}"
        mean, low, high = self.share
        votes = counted(self.chosen + self.rejected, "vote")
        return f"{mean:.1%} of {votes} (95% interval {100 * low:.1f} to {100 * high:.1f}){apart}"

    def to_json(self) -> dict[str, Any]:
        """The object of `report --json`."""
        return {
            "chosen": self.chosen,
            "rejected": self.rejected,
            "ties": self.ties,
            "drops": self.drops,
            "share": None if self.share is None else self.share[0],
            "interval_95": None if self.share is None else list(self.share[1:]),
        }


@dataclass(frozen=True, slots=True)
class JudgeAgreement:
    """A judge beside what most people say, over the pairs of which both are known.

    `table` counts pairs by what the judge says and then by what people say, each of SIDES. `agreed` pairs are those of which
    both say the same; `kappa` is Cohen's, None where chance alone would have them agree.
    """

    role: str
    pairs: int
    agreed: int
    kappa: float | None
    table: Mapping[str, Mapping[str, int]]

    @property
    def interval(self) -> tuple[float, float] | None:
        """Wilson's 95% interval of the share of pairs on which both say the same."""
        return wilson(self.agreed, self.pairs)

    @property
    def words(self) -> str:
        """The share, its interval and kappa."""
        low, high = self.interval or (0.0, 1.0)
        kappa = "not defined" if self.kappa is None else f"{self.kappa:.3f}"
        return (
            f"{self.agreed:,} of {counted(self.pairs, 'pair')}, {self.agreed / self.pairs:.1%} (95% interval {100 * low:.1f} to "
            f"{100 * high:.1f}), Cohen's kappa {kappa}"
        )

    def to_json(self) -> dict[str, Any]:
        """The object of `report --json`."""
        return {
            "role": self.role,
            "pairs": self.pairs,
            "agreed": self.agreed,
            "interval_95": list(self.interval or ()),
            "kappa": self.kappa,
            "table": {side: dict(row) for side, row in self.table.items()},
        }


@dataclass(frozen=True, slots=True)
class BlindVotes:
    """The blind votes among all: how many prefer the answer that was shown first, or second, and with whom they agree.

    `first_share` is the share of the first answer among those for either, with its 95% interval over pairs; None without.
    `preference` and `judges` are of blind votes alone; None and empty where all votes are blind, or none is.
    """

    votes: int
    of: int
    first: int
    second: int
    first_share: tuple[float, float, float] | None
    preference: Preference | None
    judges: tuple[JudgeAgreement, ...]

    @property
    def words(self) -> str:
        """How many there are, and to which position they lean."""
        if not self.votes:
            return f"none of {self.of:,}: who voted saw which answer is chosen, and may lean to it"
        many = f"{self.votes:,} of {self.of:,}"
        if self.first_share is None:
            return many
        mean, low, high = self.first_share
        either = counted(self.first + self.second, "vote")
        return f"{many}; {mean:.1%} of {either} prefer the answer shown first (95% interval {100 * low:.1f} to {100 * high:.1f})"

    def to_json(self) -> dict[str, Any]:
        """The object of `report --json`."""
        return {
            "votes": self.votes,
            "first": self.first,
            "second": self.second,
            "first_share": None if self.first_share is None else self.first_share[0],
            "first_interval_95": None if self.first_share is None else list(self.first_share[1:]),
            "preference": None if self.preference is None else self.preference.to_json(),
            "judges": [one.to_json() for one in self.judges],
        }


@dataclass(frozen=True, slots=True)
class Agreement:
    """Agreement on the pairs of a recipe. `alpha` is None where it cannot be computed, and `no_alpha` then says why.

    `chosen` is what the recipe calls the better answer, such as the revision.
    """

    pairs: int
    voters: int
    votes: int
    alpha: Alpha | None
    no_alpha: str
    chosen: str
    preference: Preference
    judges: tuple[JudgeAgreement, ...]
    blind: BlindVotes

    @property
    def rows(self) -> list[tuple[str, str]]:
        """What is known, as titles and words."""
        people = f"{counted(self.voters, 'person', 'people')}, {counted(self.votes, 'vote')} on {counted(self.pairs, 'pair')}"
        alpha = self.alpha.words if self.alpha is not None else f"not computed: {self.no_alpha}"
        return [
            ("votes", people),
            ("blind votes", self.blind.words),
            ("Krippendorff's alpha", alpha),
            *self._compared(self.preference, self.judges, ""),
            *self._compared(self.blind.preference, self.blind.judges, ", blind votes alone"),
        ]

    def to_json(self) -> dict[str, Any]:
        """The object of `report --json`."""
        alpha = self.alpha
        return {
            "pairs": self.pairs,
            "voters": self.voters,
            "votes": self.votes,
            "alpha": None
            if alpha is None
            else {
                "value": alpha.value,
                "interval_95": None if alpha.interval is None else list(alpha.interval),
                "pairs": alpha.pairs,
                "votes": alpha.votes,
            },
            "no_alpha": self.no_alpha or None,
            "preference": self.preference.to_json(),
            "judges": [one.to_json() for one in self.judges],
            "blind": self.blind.to_json(),
        }

    def _compared(
        self, preference: Preference | None, judges: Sequence[JudgeAgreement], which: str
    ) -> list[tuple[str, str]]:
        return [
            *([] if preference is None else [(f"prefer {self.chosen}{which}", preference.words)]),
            *((f"agree with the {one.role}{which}", one.words) for one in judges),
        ]


def agreement(
    votes: Mapping[str, Mapping[str, Vote]],
    opinions: Mapping[str, JudgeOpinions],
    *,
    revises: bool,
    shown_first: Mapping[tuple[str, str], str] | None = None,
) -> Agreement | None:
    """Agreement on pairs from their `votes`, by pair and voter, and the judges' opinions by pair; None without a vote.

    `revises` is whether the recipe's chosen answers are revisions. `shown_first` has the blind votes by pair and voter, with the
    answer, `chosen` or `rejected`, that was shown first.
    """
    if not votes:
        return None
    opinions = {} if revises else opinions
    counts = [Counter(of_pair.values()) for of_pair in votes.values()]
    found = krippendorff_alpha(counts)
    return Agreement(
        pairs=len(votes),
        voters=len({voter for of_pair in votes.values() for voter in of_pair}),
        votes=sum(one.total() for one in counts),
        alpha=found if isinstance(found, Alpha) else None,
        no_alpha=found if isinstance(found, str) else "",
        chosen="the revision" if revises else "the chosen answer",
        preference=_preference(counts),
        judges=_judges(votes, opinions),
        blind=_blind(votes, opinions, shown_first or {}),
    )


def _preference(counts: Sequence[Counter[Vote]]) -> Preference:
    totals = Counter[Vote]()
    for one in counts:
        totals.update(one)
    share = _share([(one[Vote.KEEP], one[Vote.SWAP]) for one in counts])
    return Preference(totals[Vote.KEEP], totals[Vote.SWAP], totals[Vote.TIE], totals[Vote.DROP], share)


def _share(counts: Sequence[tuple[int, int]]) -> tuple[float, float, float] | None:
    """The share of the first of two counts in both, with its interval over pairs."""
    clusters = Counter((float(one + other), float(one)) for one, other in counts if one + other)
    if not clusters:
        return None
    mean, _, low, high = clustered_share(clusters)
    return mean, low, high


def _blind(
    votes: Mapping[str, Mapping[str, Vote]],
    opinions: Mapping[str, JudgeOpinions],
    shown_first: Mapping[tuple[str, str], str],
) -> BlindVotes:
    blind = {
        pair: found
        for pair, of_pair in votes.items()
        if (found := {voter: vote for voter, vote in of_pair.items() if (pair, voter) in shown_first})
    }
    sides = []
    for pair, of_pair in blind.items():
        either = [(voter, vote) for voter, vote in of_pair.items() if vote in (Vote.KEEP, Vote.SWAP)]
        first = sum((vote is Vote.KEEP) == (shown_first[pair, voter] == "chosen") for voter, vote in either)
        sides.append((first, len(either) - first))
    number, of = sum(map(len, blind.values())), sum(map(len, votes.values()))
    has_both = 0 < number < of
    return BlindVotes(
        number,
        of,
        sum(first for first, _ in sides),
        sum(second for _, second in sides),
        _share(sides),
        _preference([Counter(of_pair.values()) for of_pair in blind.values()]) if has_both else None,
        _judges(blind, opinions) if has_both else (),
    )


def _judges(
    votes: Mapping[str, Mapping[str, Vote]], opinions: Mapping[str, JudgeOpinions]
) -> tuple[JudgeAgreement, ...]:
    tables: dict[str, dict[str, Counter[str]]] = {}
    for pair, of_pair in votes.items():
        of_judges = opinions.get(pair)
        said = majority(of_pair.values())
        if of_judges is None or said not in (Vote.KEEP, Vote.SWAP, Vote.TIE):
            continue
        winner = of_judges.chosen if said is Vote.KEEP else 3 - of_judges.chosen
        people = TIE if said is Vote.TIE else SIDES[winner - 1]
        for role, opinion in of_judges.of_roles.items():
            table = tables.setdefault(role, {side: Counter() for side in SIDES})
            table[TIE if opinion is None else SIDES[opinion - 1]][people] += 1
    return tuple(_judge(role, table) for role, table in sorted(tables.items()))


def _judge(role: str, table: Mapping[str, Counter[str]]) -> JudgeAgreement:
    n = sum(row.total() for row in table.values())
    agreed = sum(row[side] for side, row in table.items())
    of_people = Counter[str]()
    for row in table.values():
        of_people.update(row)
    by_chance = sum(row.total() * of_people[side] for side, row in table.items()) / n**2
    kappa = None if by_chance == 1 else (agreed / n - by_chance) / (1 - by_chance)
    return JudgeAgreement(
        role, n, agreed, kappa, {side: {other: row[other] for other in SIDES} for side, row in table.items()}
    )
