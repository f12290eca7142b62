"""The filter `length_ratio`: chosen answers that are much shorter or longer than the rejected one (Appendix A.2)."""

from pydantic import Field, field_validator

from clairgen.filters.bounds import within_bounds
from clairgen.filters.filter import Candidate, Filter
from clairgen.filters.options import Bounds, Range
from clairgen.records import FilterAction

DEFAULT: Range = (0.5, 2.0)


class LengthRatio(Bounds):
    """Bounds that are in force unless the filter is off; without an action, revisions are dropped and other pairs marked."""

    bounds: Range | None = Field(
        default=DEFAULT, description="Lowest and highest value that is kept; null leaves an end open."
    )

    def decide(self, *, revises: bool) -> FilterAction | None:
        """The configured action; without one, drop a revision and mark any other pair."""
        if self.action is None:
            return FilterAction.DROP if revises else FilterAction.MARK
        return super().decide(revises=revises)

    @field_validator("bounds", mode="before")
    @classmethod
    def _default_bounds(cls, bounds: object) -> object:
        return DEFAULT if bounds is None else bounds


def length_ratio(candidate: Candidate) -> float | None:
    """Characters of chosen over characters of rejected; None for an empty rejected answer."""
    return None if candidate.contrast is None else candidate.contrast.length_ratio


LENGTH_RATIO = Filter(
    name="length_ratio",
    options=LengthRatio,
    summary="Characters of chosen over characters of rejected; without an action it drops what recipes that revise made and "
    "marks what others made.",
    prepare=within_bounds("length_ratio", length_ratio),
    reads_no_text=True,
)
