"""The filter `length_difference`: a band for how much longer the chosen answer may be, in characters or tokens."""

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from clairgen.filters.bounds import within_bounds
from clairgen.filters.filter import Candidate, Check, Filter
from clairgen.filters.options import Bounds
from clairgen.metrics.answer_lengths import absolute, length_in, unit


class LengthDifference(Bounds):
    """Bounds on a length difference, which may be negative, and what lengths are counted in."""

    may_be_negative = True

    tokenizer: str | None = Field(
        default=None,
        min_length=1,
        description="Count in tokens of this tokenizer: a folder with a tokenizer.json, that file, or owner/name on the hub "
        "(needs the extra `tokens`); left out, in characters.",
    )

    @property
    def limits(self) -> str:
        """The bounds and their unit."""
        return f"{super().limits} {unit(self.tokenizer)}" if self.bounds is not None else ""

    def counted_from(self, folder: Path) -> Self:
        """The same options with a local tokenizer as an absolute path."""
        if self.tokenizer is None:
            return self
        return self.model_copy(update={"tokenizer": absolute(self.tokenizer, folder)})

    @model_validator(mode="after")
    def _tokenizer_with_bounds(self) -> Self:
        if self.tokenizer is not None and self.bounds is None:
            raise ValueError("a tokenizer needs bounds: {bounds: [lowest, highest], tokenizer: ...}")
        return self


def _prepared(options: LengthDifference) -> Check:
    length = length_in(options.tokenizer)

    def difference(candidate: Candidate) -> float:
        return length(candidate.pair.chosen.text) - length(candidate.pair.rejected.text)

    return within_bounds("length_difference", difference)(options)


LENGTH_DIFFERENCE = Filter(
    name="length_difference",
    options=LengthDifference,
    summary="Length of chosen minus length of rejected, in characters or in tokens of a tokenizer; set bounds to filter by it.",
    prepare=_prepared,
)
