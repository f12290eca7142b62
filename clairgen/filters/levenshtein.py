"""The filter `levenshtein`: answers that are too few or too many character edits apart."""

from clairgen.filters.bounds import within_bounds
from clairgen.filters.filter import Candidate, Filter
from clairgen.filters.options import Bounds


def edits(candidate: Candidate) -> float | None:
    """Character edits from one answer to the other."""
    return None if candidate.contrast is None else float(candidate.contrast.levenshtein)


LEVENSHTEIN = Filter(
    name="levenshtein",
    options=Bounds,
    summary="Character edits between the two answers; set it for more or less contrast.",
    prepare=within_bounds("levenshtein", edits),
    reads_no_text=True,
)
