"""The reference answer of a pair, whose likelihood TPO raises beside the contrast, and where such answers are from."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from clairgen.errors import InputError
from clairgen.exporting.thoughts import thoughts_of_pair
from clairgen.filters.pipeline import reason_to_skip
from clairgen.keys import pair_id
from clairgen.records import Pair, StoredPair
from clairgen.store import Plan, Store

RECORDED: Final = "recorded"
"""In place of a recipe: the answer that the tasks' source has, the one with the highest score if it has several."""
NO_REFERENCE: Final = "no-reference"
"""The reason for which a pair is left out that has no reference answer."""


@dataclass(frozen=True, slots=True)
class ReferenceAnswer:
    """A reference answer, and what was thought before it; empty without thoughts."""

    text: str
    thoughts: str = ""


@dataclass(frozen=True, slots=True)
class References:
    """Where reference answers are from: a `recipe` with the same tasks, a further `column`, else the tasks' source."""

    recipe: str | None = None
    column: str | None = None

    @property
    def phrase(self) -> str:
        """Where they are from, in words."""
        if self.recipe is not None:
            return f"the chosen answers of the recipe {self.recipe}"
        return "the recorded answers of the tasks' source" if self.column is None else f"the column {self.column}"

    async def of_pair(self, store: Store, stored: StoredPair) -> ReferenceAnswer | None:
        """The reference answer to a pair's task; None if there is none that passes the filters, or no best one."""
        if self.column is not None:
            text = stored.source_columns.get(self.column)
            return ReferenceAnswer(text) if isinstance(text, str) and text.strip() else None
        if self.recipe is None:
            return await _recorded(store, stored.task.id)
        async for other in store.pairs.made_with_ids([pair_id(stored.task.id, self.recipe)]):
            if isinstance(other.outcome, Pair) and reason_to_skip(other) is None:
                return ReferenceAnswer(other.outcome.chosen.text, (await thoughts_of_pair(store, other.outcome)).chosen)
        return None


def find_references(name: str | None, plans: Mapping[str, Plan], columns: Mapping[str, str]) -> References:
    """The references that a user named. Raises InputError, with the choices, for none and for a name that is not clear.

    `columns` are the further columns of the run's pairs, with what they hold. Imported pairs are no recipe's: a prompt may have
    several of them.
    """
    recipes = [recipe for recipe, plan in plans.items() if plan.imported_from is None]
    texts = [column for column, kind in columns.items() if kind == "text"]
    choices = f"a recipe of the run ({', '.join(recipes) or 'none yet'}), `{RECORDED}`"
    choices += f" or a column of the imported pairs ({', '.join(texts)})" if texts else ""
    if name is None:
        raise InputError(
            f"the format tpo needs reference answers; name with --reference (in Python, reference) {choices}"
        )
    if (name in recipes) + (name in texts) + (name == RECORDED) > 1:
        raise InputError(f"the reference {name!r} names several of: {choices}; rename one of them")
    if name in recipes:
        return References(recipe=name)
    if name in texts:
        return References(column=name)
    if name == RECORDED:
        return References()
    raise InputError(f"there is no reference {name!r}; name {choices}")


async def _recorded(store: Store, task_id: str) -> ReferenceAnswer | None:
    answers = (await store.tasks.find(task_id)).answers
    scored = [(answer.score, answer) for answer in answers if answer.score is not None]
    if len(answers) == 1:
        return ReferenceAnswer(answers[0].text)
    return ReferenceAnswer(max(scored, key=lambda one: one[0])[1].text) if len(scored) > 1 else None
