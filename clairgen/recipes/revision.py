"""Revisions: asked for, parsed, measured against what was asked for, and asked for once more when they miss it."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from clairgen.config.models import RevisionCheck
from clairgen.metrics.contrast import character_levenshtein, length_ratio
from clairgen.parsing.revision import PARSER_VERSION, parse_revision
from clairgen.recipes.recipe import Ask, RecipeContext, answer_of, as_user
from clairgen.records import Answer, Pair, SampleRange, Task
from clairgen.templates import transcript

REVISER_SLOTS: Final = frozenset({"task", "student_solution"})

CHECKS: Mapping[str, RevisionCheck] = {
    "revise-length-neutral": RevisionCheck(length_ratio=(0.85, 1.15)),
    "revise-lightly": RevisionCheck(edit_share=(0.0, 0.25)),
    "revise-moderately": RevisionCheck(edit_share=(0.05, 0.6)),
    "revise-heavily": RevisionCheck(edit_share=(0.3, 1.0)),
}
"""What the shipped variants ask for, as it is measured."""


async def revised(
    task: Task, recipe: str, rejected: Answer, ask: Ask, context: RecipeContext, *, sample: int = 0, **more: str
) -> Pair:
    """y_w = Reviser(x, y_l), with one more try when the revision misses what its check asks for.

    `more` fills further slots of the template. Of two that miss, the first stays if it could be parsed. There is no second
    try at temperature 0, where it would only repeat the first.
    """
    revise = context.templates["reviser"]
    prompt = as_user(revise.fill(task=transcript(task.messages), student_solution=rejected.text, **more))
    revision = await ask("reviser", prompt, sample=sample, template=revise)
    pair = pair_of_revision(task, recipe, rejected, answer_of(revision))
    check = context.choice.check or CHECKS.get(revise.name)
    if check is None or (missed := miss(pair, check)) is None:
        return pair
    if "reviser" in context.certain:
        return replace(pair, missed=missed)
    again = await ask("reviser", prompt, sample=SampleRange.REASK + sample, template=revise)
    second = pair_of_revision(task, recipe, rejected, answer_of(again))
    kept = second if (still := miss(second, check)) is None or pair.chosen is None else pair
    return replace(kept, reasked=True, missed=still if kept is second else missed)


def miss(pair: Pair, check: RevisionCheck) -> str | None:
    """What a pair misses of what was asked for, by name, or None."""
    if pair.chosen is None:
        return pair.parse_status.value
    chosen, rejected = pair.chosen.text, pair.rejected.text
    if check.length_ratio is not None:
        ratio = length_ratio(chosen, rejected)
        if ratio is None or not check.length_ratio[0] <= ratio <= check.length_ratio[1]:
            return "length-ratio"
    if check.edit_share is not None and not check.edit_share[0] <= edit_share(chosen, rejected) <= check.edit_share[1]:
        return "edit-share"
    return None


def edit_share(chosen: str, rejected: str) -> float:
    """Character edits over the characters of the longer answer: 0 for equal answers, 1 for entirely different ones."""
    return character_levenshtein(chosen, rejected) / max(len(chosen), len(rejected), 1)


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
