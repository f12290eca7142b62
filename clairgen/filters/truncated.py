"""The filter `truncated`: answers that end because they reached their limit of tokens."""

from clairgen.filters.filter import Candidate, Fault, Filter, always
from clairgen.filters.options import Switch
from clairgen.records import Answer, Pair


def truncated(candidate: Candidate) -> Fault | None:
    """The reason says which answer was cut off."""
    return _cut_off(candidate.pair.chosen, candidate.pair.rejected)


def truncated_reply(undecided: Pair) -> Fault | None:
    """The same where no answer could be chosen: a reply that was cut off has no format for that reason."""
    return _cut_off(undecided.unparsed, undecided.rejected)


def _cut_off(chosen: Answer | None, rejected: Answer) -> Fault | None:
    if chosen is not None and chosen.finish_reason == "length":
        return Fault("chosen-truncated")
    return Fault("rejected-truncated") if rejected.finish_reason == "length" else None


TRUNCATED = Filter(
    name="truncated",
    options=Switch,
    summary="Answers cut off at max_tokens; mark them if the model's limit is your own choice.",
    prepare=always(truncated),
    undecided=truncated_reply,
)
