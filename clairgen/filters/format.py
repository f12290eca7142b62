"""The filter `format`: tasks from which no pair could be made, since a reply could not be parsed or nothing was decided."""

from clairgen.filters.filter import Fault, Filter
from clairgen.filters.options import Switch
from clairgen.records import Pair, ParseStatus


def without_chosen(undecided: Pair) -> Fault:
    """The reason is the parser's or the judges' status."""
    status = undecided.parse_status
    return Fault("no-chosen-answer" if status is ParseStatus.OK else status.value)


FORMAT = Filter(
    name="format",
    options=Switch,
    summary="Replies in which no chosen answer could be found, or that did not decide between two; the reason says why.",
    prepare=None,
    undecided=without_chosen,
)
