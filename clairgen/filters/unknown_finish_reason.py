"""The filter `unknown_finish_reason`: answers that end for a reason whose meaning is not known, so they may be cut off."""

from clairgen.filters.filter import Candidate, Fault, Filter, always
from clairgen.filters.options import Marking
from clairgen.finish_reason import FinishKind, finish_kind


def unknown_finish_reason(candidate: Candidate) -> Fault | None:
    """The value is the server's word, `missing` where it sent none."""
    for side, answer in (("chosen", candidate.pair.chosen), ("rejected", candidate.pair.rejected)):
        if finish_kind(answer.finish_reason) is FinishKind.UNKNOWN:
            return Fault(f"{side}-finish-reason-unknown", answer.finish_reason)
    return None


UNKNOWN_FINISH_REASON = Filter(
    name="unknown_finish_reason",
    options=Marking,
    summary="Answers that end with a finish reason that clairgen does not know, or with none; the value is the server's word.",
    prepare=always(unknown_finish_reason),
)
