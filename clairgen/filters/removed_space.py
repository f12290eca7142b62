"""The filter `removed_space`: answers that began or ended with white space, which was removed."""

from clairgen.filters.filter import Candidate, Fault, Filter, always
from clairgen.filters.options import Marking
from clairgen.records import SPACE


def removed_space(candidate: Candidate) -> Fault | None:
    """The reason says which answer had it: `chosen-`, `rejected-` or `both-space-removed`."""
    answers = {"chosen": candidate.pair.chosen, "rejected": candidate.pair.rejected}
    sides = [side for side, answer in answers.items() if SPACE in answer.removed]
    return Fault(f"{'both' if len(sides) == 2 else sides[0]}-space-removed") if sides else None


REMOVED_SPACE = Filter(
    name="removed_space",
    options=Marking,
    summary="Answers that began with a space or blank lines, or ended with white space, which are not part of the pair.",
    prepare=always(removed_space),
)
