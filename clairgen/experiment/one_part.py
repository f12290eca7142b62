"""The recipe `clair-one-part`: a reviser that looks at one part of a question of two, so that its revisions keep faults.

Real revisers leave mistakes behind. Here the other part stays as the student wrote it, right or wrong, in both answers of the
pair. Which part the reviser sees follows from the task's id, so that nothing can be learned from the position.
"""

from dataclasses import replace
from typing import Final

from clairgen.data.classroom.two_parts import answers_of_parts, joined, recognised_parts
from clairgen.errors import InputError, RequestFailedError
from clairgen.experiment.experiment_config import TWO_PART_SET
from clairgen.keys import digest
from clairgen.parsing.revision import PARSER_VERSION
from clairgen.recipes.recipe import Ask, Recipe, RecipeContext, always, answer_of
from clairgen.recipes.registry import RECIPES
from clairgen.recipes.reviser import REVISER_SLOTS, revised
from clairgen.records import Message, Pair, Task, Undecided


async def clair_one_part(task: Task, ask: Ask, context: RecipeContext) -> Pair | Undecided:
    """y_l = M(x) = (a_1, a_2); y_w = y_l with one a_i replaced by Reviser(x_i, a_i).

    Raises RequestFailedError where the answer has no two parts.
    """
    question = recognised_parts(task.messages[-1].content)
    if question is None:
        raise InputError(f"the task {task.id} is not a question of two parts; draw tasks with draw_two_parts")
    whole = answer_of(await ask("target", task.messages))
    answers = answers_of_parts(whole.text)
    if answers is None:
        raise RequestFailedError("not-two-answers", f"the answer has no two parts: {whole.text[:200]!r}")
    seen = int(digest(task.id)[:8], 16) % 2
    part = Task(task.id, (Message("user", question.parts[seen].prompt),))
    outcome = await revised(part, CLAIR_ONE_PART.name, replace(whole, text=answers[seen]), ask, context)
    if isinstance(outcome, Undecided):
        return replace(outcome, answers=(whole,))
    first, second = (outcome.chosen.text if number == seen else answers[number] for number in range(2))
    return replace(outcome, chosen=replace(outcome.chosen, text=joined(first, second)), rejected=whole)


CLAIR_ONE_PART: Final = Recipe(
    name=TWO_PART_SET,
    make=clair_one_part,
    roles=always("target", "reviser"),
    summary="the target answers a question of two parts, the reviser improves the answer to one of them",
    revises=True,
    templates={"reviser": "revise"},
    slots={"reviser": REVISER_SLOTS},
    parser_version=PARSER_VERSION,
)


def register() -> None:
    """Make the recipe known to this process; it is for the classroom's questions alone, so no configuration offers it."""
    if CLAIR_ONE_PART.name not in RECIPES:
        RECIPES.add(CLAIR_ONE_PART)
