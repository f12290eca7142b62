"""Conversations that the target had itself: it answers the user's turns one by one, and a recipe compares the last.

The turns are completions like all others, so every recipe can go on from them, and a run that was stopped has them. An answer
to a conversation that others had would be off-policy in its prompt already.
"""

from dataclasses import replace

from clairgen.errors import RequestFailedError
from clairgen.finish_reason import FinishKind, finish_kind
from clairgen.recipes.recipe import Ask
from clairgen.records import Completion, Message, Task
from clairgen.tasks import prompt_error
from clairgen.thinking import separate


async def with_own_turns(task: Task, ask: Ask) -> Task:
    """The task with the target's answers after all of the user's turns but the last: a_t = M(u_1, a_1, ..., u_t).

    Assistant turns that stand there are left out; one before the user's first turn is no answer, and stays. Raises
    RequestFailedError where a turn cannot be answered, or nobody would go on from its answer, which was cut off or has control
    tokens in it.
    """
    last = len(task.messages) - 1
    messages: list[Message] = []
    is_begun = False
    for position, message in enumerate(task.messages):
        if message.role == "assistant" and is_begun:
            continue
        messages.append(message)
        if message.role == "user" and position < last:
            is_begun = True
            answer = await _turn(replace(task, messages=tuple(messages)), ask)
            messages.append(Message("assistant", answer.text))
    return replace(task, messages=tuple(messages))


async def _turn(task: Task, ask: Ask) -> Completion:
    """The target's answer to the conversation so far."""
    if error := prompt_error(task):
        raise RequestFailedError(*error)
    answer = await ask("target", task.messages)
    if (fault := _fault_of_turn(task, answer)) is not None:
        reason, what = fault
        error_of_turn = RequestFailedError(
            reason, f"an earlier answer of {answer.model} in its conversation {what}", status=200, billed=True
        )
        error_of_turn.role = answer.role
        raise error_of_turn
    return answer


def _fault_of_turn(task: Task, answer: Completion) -> tuple[str, str] | None:
    """The reason and the words for an answer from which nobody would go on; None for any other.

    Control tokens that the user or the system did not mention would be read as the end of a turn by the next chat template.
    """
    if finish_kind(answer.finish_reason) is FinishKind.LENGTH:
        return "truncated-turn", f"was cut off ({answer.finish_reason}); raise max_tokens"
    found = list(
        separate(answer.text, "\n".join(one.content for one in task.messages if one.role != "assistant")).embedded
    )
    found += ["a NUL character"] if "\0" in answer.text else []
    return (
        ("unusable-turn", f"contains {', '.join(found)}, so no model would see it as it was meant") if found else None
    )
