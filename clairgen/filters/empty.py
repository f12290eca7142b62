"""The filter `empty`: pairs with an answer that is blank."""

from clairgen.filters.filter import Candidate, Fault, Filter, always
from clairgen.filters.options import Switch


def empty(candidate: Candidate) -> Fault | None:
    """The reason says which answer is blank."""
    pair = candidate.pair
    if not pair.chosen.text.strip():
        return Fault("chosen-empty")
    return None if pair.rejected.text.strip() else Fault("rejected-empty")


EMPTY = Filter(name="empty", options=Switch, summary="Pairs with an answer that is blank.", prepare=always(empty))
