"""CLAIR (Section 3.1): a stronger model minimally revises the target's own answer."""

from dataclasses import replace

from clairgen.parsing import PARSER_VERSION, parse_revision
from clairgen.recipes.recipe import Ask, Kit, Recipe, always, answer_of, as_user
from clairgen.records import Answer, Pair, Task
from clairgen.templates import transcript


async def clair(task: Task, ask: Ask, kit: Kit) -> Pair:
    """y_l = M(x); y_w = Reviser(x, y_l)   (eq. 1)."""
    rejected = await ask("target", task.messages)
    revise = kit.templates["reviser"]
    prompt = revise.fill(task=transcript(task.messages), student_solution=rejected.text)
    revision = await ask("reviser", as_user(prompt), template=revise)
    return pair_of_revision(task, CLAIR.name, answer_of(rejected), answer_of(revision))


def pair_of_revision(task: Task, recipe: str, rejected: Answer, revision: Answer) -> Pair:
    """The pair of an answer and what the parser reads in a reviser's whole answer to it."""
    parsed = parse_revision(revision.text, rejected=rejected.text)
    chosen = None if parsed.solution is None else replace(revision, text=parsed.solution)
    return Pair(
        task.id,
        recipe,
        chosen,
        rejected,
        reasoning=parsed.reasoning,
        parse_status=parsed.status,
        parser_version=PARSER_VERSION,
        unparsed=revision if chosen is None else None,
    )


CLAIR = Recipe(
    name="clair",
    make=clair,
    asks=always("target", "reviser"),
    summary="the target answers, the reviser minimally improves that answer",
    revises=True,
    templates={"reviser": "revise"},
    slots={"reviser": frozenset({"task", "student_solution"})},
    options=frozenset({"template"}),
    parser_version=PARSER_VERSION,
)
