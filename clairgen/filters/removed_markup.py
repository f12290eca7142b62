"""The filter `removed_markup`: answers from which thinking or control tokens were removed before anything else read them."""

from clairgen.filters.filter import Candidate, Fault, Filter, always
from clairgen.filters.options import Marking
from clairgen.records import SPACE


def removed_markup(candidate: Candidate) -> Fault | None:
    """The value lists what was removed."""
    for side, answer in (("chosen", candidate.pair.chosen), ("rejected", candidate.pair.rejected)):
        if markup := [name for name in answer.removed if name != SPACE]:
            return Fault(f"{side}-markup-removed", ", ".join(markup))
    return None


REMOVED_MARKUP = Filter(
    name="removed_markup",
    options=Marking,
    summary="Answers whose model wrote thinking before them, or control tokens after them, which are not part of the pair.",
    prepare=always(removed_markup),
)
