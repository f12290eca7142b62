"""The filter `format`: tasks from which no pair could be made, since a reply could not be parsed or nothing was decided."""

from clairgen.filters.filter import Fault, Filter
from clairgen.filters.options import Switch
from clairgen.records import Undecided


def without_chosen(undecided: Undecided) -> Fault:
    """The reason is the parser's, the judges' or the scores'."""
    return Fault(undecided.reason.value)


FORMAT = Filter(
    name="format",
    options=Switch,
    summary="Replies in which no chosen answer could be found, or that did not decide between two; the reason says why.",
    prepare=None,
    undecided=without_chosen,
)
