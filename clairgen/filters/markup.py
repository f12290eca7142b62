"""The filters `embedded_markup` and `removed_markup`: thinking or control tokens left inside an answer, or taken off it."""

from clairgen.filters.filter import Candidate, Fault, Filter, always
from clairgen.filters.options import Marking, Switch
from clairgen.thinking import separate


def embedded_markup(candidate: Candidate) -> Fault | None:
    """The value lists what was found. What the prompt itself mentions is part of the subject and does not count."""
    prompt = "\n".join(message.content for message in candidate.prompt)
    for side, answer in (("chosen", candidate.pair.chosen), ("rejected", candidate.pair.rejected)):
        if found := separate(answer.text, prompt).embedded:
            return Fault(f"{side}-embedded-markup", ", ".join(found))
    return None


EMBEDDED_MARKUP = Filter(
    name="embedded_markup",
    options=Switch,
    summary="Answers with thinking tags or control tokens inside that the prompt does not mention, such as <|im_end|>.",
    prepare=always(embedded_markup),
)


def removed_markup(candidate: Candidate) -> Fault | None:
    """The value lists what was removed."""
    for side, answer in (("chosen", candidate.pair.chosen), ("rejected", candidate.pair.rejected)):
        if answer.removed:
            return Fault(f"{side}-markup-removed", ", ".join(answer.removed))
    return None


REMOVED_MARKUP = Filter(
    name="removed_markup",
    options=Marking,
    summary="Answers whose model wrote thinking before them, or control tokens after them, which are not part of the pair.",
    prepare=always(removed_markup),
)
