"""The filter `cut_prompt`: pairs for which a server saw only a part of a prompt, which it had cut to its context."""

from clairgen.filters.filter import Candidate, Fault, Filter, always
from clairgen.filters.options import Switch


def cut_prompt(candidate: Candidate) -> Fault | None:
    """The value lists the roles whose prompts were cut."""
    return Fault("prompt-cut", ", ".join(candidate.cut_prompts)) if candidate.cut_prompts else None


CUT_PROMPT = Filter(
    name="cut_prompt",
    options=Switch,
    summary="Answers to a part of a prompt, which a server cut to its context without an error; seen at the end of a session.",
    prepare=always(cut_prompt),
)
