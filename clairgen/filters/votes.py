"""The filter `votes`: pairs of which most people do not say `keep`, on which they disagree, or that too few have seen."""

from collections import Counter
from typing import Literal, TypeAlias

from pydantic import Field, model_validator

from clairgen.filters.filter import Candidate, Check, Fault, Filter
from clairgen.filters.options import Action, Switch

Found: TypeAlias = Literal["drop", "swap", "tie", "disputed"]
DISPUTED = "disputed"


class ByVotes(Switch):
    """What people have to say of a pair for it to be found, and how many of them have to say something."""

    action: Action = Field("off", description="What to do with such a pair: drop it, mark it, or off: do not look.")
    found: tuple[Found, ...] = Field(
        ("drop", "swap"),
        description="What most people say of such a pair: drop, swap, tie; disputed: no more than half of them say the same.",
    )
    fewest: int = Field(
        0,
        ge=0,
        le=1000,
        description="Find pairs with fewer votes than this too; 0 keeps pairs that nobody has voted on.",
    )

    @property
    def limits(self) -> str:
        """What is found in words."""
        found = [*dict.fromkeys(self.found), *([f"fewer than {self.fewest}"] if self.fewest else [])]
        return f"({', '.join(found)})"

    @model_validator(mode="after")
    def _finds_something(self) -> "ByVotes":
        if not self.found and not self.fewest:
            raise ValueError(
                "votes finds nothing: name what is found (drop, swap, tie, disputed) or how many votes are the fewest"
            )
        return self


def by_votes(options: ByVotes) -> Check:
    """The check of what people say; its value is how many of them say it, or how many votes there are."""

    def check(candidate: Candidate) -> Fault | None:
        counts = Counter(candidate.votes)
        if counts.total() < options.fewest:
            return Fault("too-few-votes", float(counts.total()))
        if not counts:
            return None
        (most, count), *_ = counts.most_common()
        said = most if 2 * count > counts.total() else DISPUTED
        return Fault(f"voted-{said}", float(count)) if said in options.found else None

    return check


VOTES = Filter(
    name="votes",
    options=ByVotes,
    summary="What people say with `clairgen vote` or in `clairgen serve`: by default drop and swap of more than half of them.",
    prepare=by_votes,
    depends_on_others=True,
    reads_no_text=True,
)
