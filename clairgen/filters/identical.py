"""The filter `identical`: pairs whose two answers are the same."""

from clairgen.filters.filter import Candidate, Fault, Filter, always
from clairgen.filters.options import Switch
from clairgen.records import Pair


def identical(candidate: Candidate) -> Fault | None:
    """The answers are equal except for leading and trailing whitespace."""
    return Fault("identical") if is_identical(candidate.pair) else None


def is_identical(pair: Pair) -> bool:
    """Whether both answers are equal except for leading and trailing whitespace: such a pair teaches nothing."""
    return pair.chosen.text.strip() == pair.rejected.text.strip()


IDENTICAL = Filter(
    name="identical",
    options=Switch,
    summary="Pairs whose answers are equal except for leading and trailing whitespace; whatever this says, they are exported "
    "only by `--keep-identical`.",
    prepare=always(identical),
)
