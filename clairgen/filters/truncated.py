"""The filters `truncated` and `cut_prompt`: answers cut off at their limit of tokens, and answers to a prompt that was cut."""

from clairgen.filters.filter import Candidate, Fault, Filter, always
from clairgen.filters.options import Switch
from clairgen.finish_reason import FinishKind, finish_kind
from clairgen.records import Answer, Undecided


def truncated(candidate: Candidate) -> Fault | None:
    """The reason says which answer was cut off: `chosen-`, `rejected-` or `both-truncated`."""
    return _cut_off(candidate.pair.chosen, candidate.pair.rejected)


def truncated_reply(undecided: Undecided) -> Fault | None:
    """The same where no answer could be chosen: the last reply counts as the chosen answer, the first as the rejected one."""
    first, *rest = undecided.replies
    return _cut_off(rest[-1] if rest else None, first)


def _cut_off(chosen: Answer | None, rejected: Answer) -> Fault | None:
    sides = {"chosen": chosen is not None and _is_cut_off(chosen), "rejected": _is_cut_off(rejected)}
    cut = [side for side, is_cut in sides.items() if is_cut]
    return Fault(f"{'both' if len(cut) == 2 else cut[0]}-truncated") if cut else None


def _is_cut_off(answer: Answer) -> bool:
    return finish_kind(answer.finish_reason) is FinishKind.LENGTH


TRUNCATED = Filter(
    name="truncated",
    options=Switch,
    summary="Answers cut off at max_tokens; mark them if the model's limit is your own choice.",
    prepare=always(truncated),
    undecided=truncated_reply,
)


def cut_prompt(candidate: Candidate) -> Fault | None:
    """The value lists the roles whose prompts were cut."""
    return Fault("prompt-cut", ", ".join(candidate.cut_prompts)) if candidate.cut_prompts else None


CUT_PROMPT = Filter(
    name="cut_prompt",
    options=Switch,
    summary="Answers to a part of a prompt, which a server cut to its context without an error; seen at the end of a session.",
    prepare=always(cut_prompt),
    depends_on_others=True,
    reads_no_text=True,
)
