"""The filters `embedded_markup`, `removed_markup`, `removed_space`: what is left inside an answer, or was taken off it."""

from clairgen.filters.filter import Candidate, Fault, Filter, always
from clairgen.filters.options import Marking, Switch
from clairgen.records import SPACE
from clairgen.thinking import separate


def embedded_markup(candidate: Candidate) -> Fault | None:
    """The value lists what was found. What the prompt itself mentions is part of the subject and does not count.

    An answer of the data set may hold thinking before it, which is taken off the answers of models.
    """
    prompt = "\n".join(message.content for message in candidate.prompt)
    for side, answer in (("chosen", candidate.pair.chosen), ("rejected", candidate.pair.rejected)):
        separated = separate(answer.text, prompt)
        found = [*(["thinking"] if separated.thinking or separated.unclosed else []), *separated.embedded]
        if found:
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
        if markup := [name for name in answer.removed if name != SPACE]:
            return Fault(f"{side}-markup-removed", ", ".join(markup))
    return None


REMOVED_MARKUP = Filter(
    name="removed_markup",
    options=Marking,
    summary="Answers whose model wrote thinking before them, or control tokens after them, which are not part of the pair.",
    prepare=always(removed_markup),
)


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
