"""Revisions: requested, parsed, checked, and requested once more when they fail their check."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Final

from clairgen.config.models import RevisionCheck
from clairgen.long_texts import off_loop
from clairgen.metrics.contrast import character_levenshtein, check_length, length_ratio
from clairgen.parsing.revision import PARSER_VERSION, parse_revision
from clairgen.recipes.recipe import Ask, RecipeContext, answer_of, as_user, unparsed
from clairgen.records import Answer, Pair, SampleRange, Task, Undecided
from clairgen.templates import transcript

REVISER_SLOTS: Final = frozenset({"task", "student_solution"})

CHECKS: Mapping[str, RevisionCheck] = {
    "revise-length-neutral": RevisionCheck(length_ratio=(0.85, 1.15)),
    "revise-lightly": RevisionCheck(edit_share=(0.0, 0.25)),
    "revise-moderately": RevisionCheck(edit_share=(0.05, 0.6)),
    "revise-heavily": RevisionCheck(edit_share=(0.3, 1.0)),
}
"""What a revision must measure under the templates of the shipped variants."""


Read = Callable[[Task, str, Answer, Answer], Awaitable[Pair | Undecided]]
"""Makes a pair of a task, a recipe's name, the answer that was to be revised, and the reviser's whole reply."""


async def criticism(
    role: str,
    task: Task,
    answer: Answer,
    ask: Ask,
    context: RecipeContext,
    *,
    template: str | None = None,
    sample: int = 0,
) -> str:
    """What the model in `role` has to say of an answer, by its own template or the one for `template`; nothing is parsed.

    Raises RequestFailedError, `truncated`, for what is thinking without end.
    """
    criticize = context.templates[template or role]
    prompt = as_user(criticize.fill(task=transcript(task.messages), student_solution=answer.text))
    return unparsed(await ask(role, prompt, sample=sample, template=criticize)).text


async def revised(
    task: Task,
    recipe: str,
    rejected: Answer,
    ask: Ask,
    context: RecipeContext,
    *,
    sample: int = 0,
    role: str = "reviser",
    read: Read | None = None,
    **more: str,
) -> Pair | Undecided:
    """y_w = Reviser(x, y_l), requested once more when the revision fails its check.

    `role` is asked, by its template; `read` reads its reply, by default for the two parts that the paper's prompt names. `more`
    fills further slots of the template. Of two that fail, the first is kept if it could be parsed. There is no second request at
    temperature 0, where the answer would only be the first again.
    """
    revise, read = context.templates[role], read or read_revision
    prompt = as_user(revise.fill(task=transcript(task.messages), student_solution=rejected.text, **more))
    revision = await ask(role, prompt, sample=sample, template=revise)
    first = await read(task, recipe, rejected, answer_of(revision))
    check = context.choice.check or CHECKS.get(revise.name)
    if check is None or (failed := await failed_check(first, check)) is None:
        return first
    if role in context.deterministic:
        return replace(first, failed_check=failed)
    again = await ask(role, prompt, sample=SampleRange.RETRY + sample, template=revise)
    second = await read(task, recipe, rejected, answer_of(again))
    failed_again = await failed_check(second, check)
    if failed_again is None or isinstance(first, Undecided):
        return replace(second, retried=True, failed_check=failed_again)
    return replace(first, retried=True, failed_check=failed)


async def failed_check(outcome: Pair | Undecided, check: RevisionCheck) -> str | None:
    """The name of the first check that a revision fails, or why there is no revision; None if it passes."""
    if isinstance(outcome, Undecided):
        return outcome.reason.value
    chosen, rejected = outcome.chosen.text, outcome.rejected.text
    if check.length_ratio is not None:
        ratio = length_ratio(chosen, rejected)
        if ratio is None or not check.length_ratio[0] <= ratio <= check.length_ratio[1]:
            return "length-ratio"
    if check.edit_share is not None:
        low, high = check.edit_share
        return None if low <= await off_loop(edit_share, chosen, rejected) <= high else "edit-share"
    return None


def edit_share(chosen: str, rejected: str) -> float:
    """Character edits over the characters of the longer answer: 0 for equal answers, 1 for entirely different ones.

    Raises RequestFailedError where `check_length` does.
    """
    check_length(chosen, rejected)
    return character_levenshtein(chosen, rejected) / max(len(chosen), len(rejected), 1)


async def read_revision(task: Task, recipe: str, rejected: Answer, reply: Answer) -> Pair | Undecided:
    """The pair of an answer and the revision that the parser reads in the reviser's whole reply."""
    parsed = await off_loop(parse_revision, reply.text, rejected=rejected.text)
    if parsed.solution is None:
        return Undecided(
            task.id,
            recipe,
            parsed.status,
            (rejected,),
            unparsed=reply,
            reasoning=parsed.reasoning,
            parser_version=PARSER_VERSION,
        )
    chosen = replace(reply, text=parsed.solution)
    return Pair(task.id, recipe, chosen, rejected, parsed.reasoning, PARSER_VERSION)


async def whole_reply(task: Task, recipe: str, rejected: Answer, reply: Answer) -> Pair:
    """The pair of an answer and a revision that is the whole reply."""
    return Pair(task.id, recipe, reply, rejected)
