"""The criteria of a rubric: what a judge scores in an answer, how much each counts, and on which scale."""

from collections.abc import Sequence

from pydantic import Field, field_validator

from clairgen.config.field_checks import Strict
from clairgen.parsing.rubric_reply import criterion_key
from clairgen.records import OVERALL

_OWN_NAMES = frozenset({OVERALL, "scores", "ratings", "criteria"})


class Criterion(Strict):
    """One thing that a judge scores in every answer by itself; more is better."""

    name: str = Field(
        min_length=1,
        max_length=60,
        description="A short name, which the judge repeats beside its score: letters, digits, spaces, _ and -.",
    )
    description: str = Field(min_length=1, description="What the judge looks at, in a sentence or two.")
    weight: float = Field(1, gt=0, le=10**6, description="How much it counts in the total, beside the other weights.")
    scale: tuple[float, float] = Field(
        (1, 5), description="The lowest and the highest score that the judge may give; the highest is the best."
    )

    @field_validator("name")
    @classmethod
    def _name_can_be_read_again(cls, name: str) -> str:
        if not criterion_key(name) or any(not (one.isalnum() or one in " _-") for one in name) or name != name.strip():
            raise ValueError(
                f"{name!r} is not a name that a reply could be read by; use letters, digits, spaces, _ and -"
            )
        if criterion_key(name) in _OWN_NAMES:
            raise ValueError(f"{name!r} has a meaning of its own in a reply or in the scores; choose another name")
        return name

    @field_validator("scale")
    @classmethod
    def _lowest_first(cls, scale: tuple[float, float]) -> tuple[float, float]:
        if not scale[0] < scale[1]:
            raise ValueError(f"give the lowest score first, then the highest, not {list(scale)}")
        return scale

    def share_of_scale(self, score: float) -> float:
        """Where a score stands on the scale: 0 for the lowest, 1 for the highest."""
        low, high = self.scale
        return (score - low) / (high - low)


def each_name_once(rubric: Sequence[Criterion]) -> None:
    """Raise ValueError for two criteria that a reply could not tell apart."""
    keys = [criterion_key(criterion.name) for criterion in rubric]
    for key, criterion in zip(keys, rubric, strict=True):
        if keys.count(key) > 1:
            raise ValueError(
                f"the criterion {criterion.name!r} is listed twice, by its letters and digits; give each a name of its own"
            )
