"""CLAIR (Section 3.1): a stronger model minimally revises the target's own answer."""

from collections.abc import Mapping
from dataclasses import replace

from clairgen.parsing import PARSER_VERSION, parse_revision
from clairgen.recipes.recipe import Ask, Recipe, answer_of, as_user
from clairgen.records import Answer, Pair, Task
from clairgen.templates import Template, transcript


async def clair(task: Task, ask: Ask, templates: Mapping[str, Template]) -> Pair:
    """y_l = M(x); y_w = Reviser(x, y_l)   (eq. 1)."""
    rejected = await ask("target", task.messages)
    revise = templates["reviser"]
    prompt = revise.fill(task=transcript(task.messages), student_solution=rejected.text)
    revision = await ask("reviser", as_user(prompt), template=revise)
    return read_revision(Pair(task.id, CLAIR.name, None, answer_of(rejected)), answer_of(revision))


def read_revision(pair: Pair, revision: Answer) -> Pair:
    """`pair` with its chosen answer and the teacher's reasoning as the parser reads them in a reviser's whole answer."""
    parsed = parse_revision(revision.text, rejected=pair.rejected.text)
    chosen = None if parsed.solution is None else replace(revision, text=parsed.solution)
    return replace(
        pair,
        chosen=chosen,
        reasoning=parsed.reasoning,
        parse_status=parsed.status,
        parser_version=PARSER_VERSION,
        unparsed=revision if chosen is None else None,
    )


CLAIR = Recipe(
    name="clair",
    make=clair,
    asks={"target": None, "reviser": frozenset({"task", "student_solution"})},
    summary="the target answers, the reviser minimally improves that answer",
    revises=True,
    reread=read_revision,
    templates={"reviser": "revise"},
)
