"""Why a pair is not exported, whatever the filters say."""

from clairgen.filters.identical import is_identical
from clairgen.records import StoredPair, Undecided


def reason_to_skip(stored: StoredPair) -> str | None:
    """A filter dropped the pair, or it has no two different answers to learn from; None for a pair that is exported."""
    if stored.dropped_by is not None:
        return stored.dropped_by.reason
    if isinstance(stored.outcome, Undecided):
        return stored.outcome.reason.value
    # An identical pair gives APO-zero a constant loss and makes APO-down push the answer down: never export it.
    return "identical" if is_identical(stored.outcome) else None
