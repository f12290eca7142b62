"""The filter `jaccard`: answers that share too few or too many tokens."""

from pydantic import field_validator

from clairgen.filters.bounds import within_bounds
from clairgen.filters.filter import Candidate, Filter
from clairgen.filters.options import Bounds, Range


class Jaccard(Bounds):
    """Bounds on the token Jaccard index times 100, from 0 to 100."""

    @field_validator("bounds", mode="after")
    @classmethod
    def _percentages(cls, bounds: Range | None) -> Range | None:
        low, high = bounds or (None, None)
        if max(low or 0, high or 0) > 100:
            raise ValueError("jaccard bounds go from 0 to 100")
        if high is not None and 0 < high <= 1:
            raise ValueError(f"jaccard bounds go from 0 to 100, not to 1: write {high * 100:g} for {high:g}")
        return bounds


def jaccard_percentage(candidate: Candidate) -> float | None:
    """The index times 100, as in the paper's Table 1."""
    return None if candidate.contrast is None else percentage(candidate.contrast.jaccard)


def percentage(share: float) -> float:
    """A share times 100, rounded, because 0.29 * 100 is a hair below 29."""
    return round(share * 100, 9)


JACCARD = Filter(
    name="jaccard",
    options=Jaccard,
    summary="Token Jaccard index times 100, from 0 to 100 as in the paper's Table 1; set it for more or less contrast.",
    prepare=within_bounds("jaccard", jaccard_percentage),
    reads_no_text=True,
)
