"""The filter `embedded_markup`: thinking tags or control tokens of a chat template in the middle of an answer."""

from clairgen.filters.filter import Candidate, Fault, Filter, always
from clairgen.filters.options import Switch
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
