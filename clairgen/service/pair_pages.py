"""Pairs as the service reads them: a page of chosen ones, and one whole with its neighbors."""

from dataclasses import dataclass, replace
from typing import Annotated, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from clairgen.errors import InputError
from clairgen.filters.votes import VOTES
from clairgen.pipeline.import_state import import_states, merged_kinds
from clairgen.records import StoredPair
from clairgen.store import CastVote, JudgeReply, PairChoice, Revision, RunDirectory, ScoreReply, Thoughts, reading

PAGE: Final = 25
MOST_ON_A_PAGE: Final = 200

_EMPTY_IS_NONE = BeforeValidator(lambda value: value or None)  # as forms send what was left empty
_Text = Annotated[Annotated[str, Field(max_length=1000)] | None, _EMPTY_IS_NONE]
_PairId = Annotated[Annotated[str, Field(pattern="^[0-9a-f]{32}$")] | None, _EMPTY_IS_NONE]


class PairQuery(BaseModel):
    """Which pairs of a run are meant, as the query of a URL says it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    recipe: _Text = Field(None, description="Only pairs of this recipe.")
    kept: bool = Field(False, description="Only pairs that no filter drops.")
    dropped: _Text = Field(
        None, description="Only pairs that are dropped for this reason, by a filter or as undecided."
    )
    mark: _Text = Field(None, description="Only pairs that a filter marks for this reason.")
    column: _Text = Field(None, description="A column of imported pairs, such as source; `value` says of which value.")
    value: _Text = Field(None, description="The value of `column`, as text.")

    @model_validator(mode="after")
    def _column_with_value(self) -> "PairQuery":
        if (self.column is None) != (self.value is None):
            raise ValueError("column and value are given together")
        return self

    @property
    def choice(self) -> PairChoice:
        """The same for the store."""
        column = None if self.column is None or self.value is None else (self.column, self.value)
        return PairChoice(recipe=self.recipe, kept=self.kept, dropped=self.dropped, mark=self.mark, column=column)

    @property
    def parameters(self) -> dict[str, str]:
        """The parameters of a link to the same pairs."""
        given = self.model_dump(include=set(PairQuery.model_fields), exclude_defaults=True)
        return {name: "true" if value is True else str(value) for name, value in given.items()}


class PageQuery(PairQuery):
    """The same, and which page of them."""

    after: _PairId = Field(None, description="The id of the pair after which the page begins.")
    before: _PairId = Field(None, description="The id of the pair before which the page ends.")
    limit: int = Field(PAGE, ge=1, le=MOST_ON_A_PAGE, description="How many pairs at most.")


@dataclass(frozen=True, slots=True)
class PairPage:
    """A page of pairs in order; `after` and `before` are the ids to ask for the next and the previous page with, if there is one.

    `recipes` and `columns` are those of the run, to choose by.
    """

    pairs: list[StoredPair]
    after: str | None
    before: str | None
    recipes: list[str]
    columns: list[str]


@dataclass(frozen=True, slots=True)
class WholePair:
    """A pair with all that is known of it; `previous` and `next` are ids of chosen pairs beside it.

    `made_by` is the recipe, which is not that of the pair where the configuration gives its pairs a name. `revisions` are the
    edits of its answers.
    """

    stored: StoredPair
    made_by: str
    judge_replies: list[JudgeReply]
    score_replies: list[ScoreReply]
    thoughts: list[Thoughts]
    votes: list[CastVote]
    revisions: list[Revision]
    previous: str | None
    next: str | None

    def before_vote_of(self, voter: str) -> "WholePair":
        """The same without what the filter by votes found, and without others' edits, until this person has voted."""
        if any(one.voter == voter for one in self.votes):
            return self
        findings = tuple(found for found in self.stored.findings if found.filter != VOTES.name)
        own = [one for one in self.revisions if one.editor == voter]
        return replace(self, stored=replace(self.stored, findings=findings), revisions=own)


async def pair_page(run: RunDirectory, query: PageQuery) -> PairPage:
    """A page of a run's pairs. Raises InputError for a recipe or a pair that the run does not have."""
    async with reading(run, snapshot=True) as store:
        recipes = list(await store.metadata.plans())
        if query.recipe is not None and query.recipe not in recipes:
            raise InputError(f"the run has no recipe {query.recipe!r}; it has {', '.join(recipes) or 'none yet'}")
        backward = query.before is not None
        named = query.before if backward else query.after
        start = None if named is None else await store.chosen.place(named)
        if named is not None and start is None:
            raise InputError(f"the run has no pair {named}, so no page can begin there")
        ids = await store.chosen.ids(query.choice, recipes, start, query.limit + 1, backward=backward)
        has_more, ids = len(ids) > query.limit, ids[: query.limit]
        if backward:
            ids.reverse()
        pairs = await store.chosen.with_ids(ids)
        columns = merged_kinds([state.kinds for state in (await import_states(store)).values()])
    further = has_more, start is not None
    goes_on, came_from = reversed(further) if backward else further
    return PairPage(
        pairs,
        ids[-1] if ids and goes_on else None,
        ids[0] if ids and came_from else None,
        recipes,
        list(columns),
    )


async def whole_pair(run: RunDirectory, identity: str, choice: PairChoice) -> WholePair | None:
    """A pair with what judges and scorers wrote about it and what people say of it; None if the run has no such pair."""
    async with reading(run, snapshot=True) as store:
        stored = await store.chosen.pair(identity)
        if stored is None:
            return None
        plans = await store.metadata.plans()
        recipes = list(plans)
        plan = plans.get(stored.outcome.recipe)
        place = await store.chosen.place(identity)
        beside = [await store.chosen.ids(choice, recipes, place, 1, backward=backward) for backward in (True, False)]
        thoughts = [await store.completions.thoughts(key) for key in await store.pairs.request_keys(identity)]
        return WholePair(
            stored,
            stored.outcome.recipe if plan is None else plan.made_by,
            await store.judgements.replies(stored.task.id, stored.outcome.recipe),
            await store.scores.replies(identity),
            [one for one in thoughts if one is not None and one.text],
            await store.votes.of_pair(identity),
            await store.revisions.of_origin(identity),
            next(iter(beside[0]), None),
            next(iter(beside[1]), None),
        )
