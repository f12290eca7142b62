"""Pairs as the service reads them: a page of chosen ones, and one whole with its neighbors."""

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from clairgen.errors import ClairgenError, InputError
from clairgen.filters.votes import VOTES
from clairgen.pipeline.import_state import import_states, merged_kinds
from clairgen.records import Completion, Message, StoredPair
from clairgen.service.pair_indexes import NotReadyError, PairIndexes, index_words
from clairgen.store import (
    CastVote,
    IndexSearch,
    IndexState,
    JudgeReply,
    MetricRange,
    PairChoice,
    PairCount,
    PairSearch,
    Revision,
    RunDirectory,
    ScoreReply,
    SortKey,
    Store,
    Thoughts,
    reading,
    search_words,
)

PAGE: Final = 25
MOST_ON_A_PAGE: Final = 200


def _or_empty(kind: Any) -> BeforeValidator:  # noqa: ANN401 - a type
    """Takes an empty text as nothing, as forms send what was left empty, and says so of values of this type."""
    return BeforeValidator(
        lambda value: None if value == "" else value, json_schema_input_type=kind | Literal[""] | None
    )


PAIR_ID: Final = "^[0-9a-f]{32}$"
"""What ids of pairs look like."""
_SomeText = Annotated[str, Field(max_length=1000)]
_SomeNumber = Annotated[float, Field(allow_inf_nan=False)]
_SomeId = Annotated[str, Field(pattern=PAIR_ID)]
_Text = Annotated[_SomeText | None, _or_empty(_SomeText)]
_Number = Annotated[_SomeNumber | None, _or_empty(_SomeNumber)]
_PairId = Annotated[_SomeId | None, _or_empty(_SomeId)]

RANGED: Final = tuple(key for key in SortKey if key is not SortKey.MADE)
"""The metrics that have ranges."""


class Order(StrEnum):
    """Whether the lowest or the highest come first."""

    ASCENDING = "asc"
    DESCENDING = "desc"


class DiffMode(StrEnum):
    """How the two answers of a pair are compared."""

    INLINE = "inline"
    SIDE_BY_SIDE = "side-by-side"


class ChoiceQuery(BaseModel):
    """Which pairs of a run are meant by recipe, verdicts and columns."""

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
    def _column_with_value(self) -> Self:
        if (self.column is None) != (self.value is None):
            raise ValueError("column and value are given together")
        return self

    @property
    def choice(self) -> PairChoice:
        """The same for the store."""
        column = None if self.column is None or self.value is None else (self.column, self.value)
        return PairChoice(recipe=self.recipe, kept=self.kept, dropped=self.dropped, mark=self.mark, column=column)


class PairQuery(ChoiceQuery):
    """The same by words and metrics too, in an order, as the query of a URL says it."""

    q: _Text = Field(
        None, description='Only pairs with these words in prompt or answers; "phrases" and beginnings* work, too.'
    )
    sort: Annotated[SortKey | None, _or_empty(SortKey)] = Field(
        None,
        description="What pairs are in order of: a metric, or made, when it was made; that of the tasks without it.",
    )
    order: Order = Field(Order.ASCENDING, description="Whether the lowest or the highest come first.")
    min_jaccard: _Number = Field(None, description="Only pairs whose Jaccard, from 0 to 1, is at least this.")
    below_jaccard: _Number = Field(None, description="Only pairs whose Jaccard is below this.")
    min_levenshtein: _Number = Field(None, description="Only pairs with at least so many edits.")
    below_levenshtein: _Number = Field(None, description="Only pairs with fewer edits.")
    min_length_ratio: _Number = Field(None, description="Only pairs whose length ratio is at least this.")
    below_length_ratio: _Number = Field(None, description="Only pairs whose length ratio is below this.")
    min_score_difference: _Number = Field(None, description="Only pairs whose score difference is at least this.")
    below_score_difference: _Number = Field(None, description="Only pairs whose score difference is below this.")
    min_character_difference: _Number = Field(
        None, description="Only pairs whose chosen answer is longer by at least so many characters."
    )
    below_character_difference: _Number = Field(None, description="Only pairs whose chosen answer is longer by fewer.")

    diff: DiffMode = Field(DiffMode.INLINE, description="How a page compares the two answers of a pair.")

    @property
    def search(self) -> PairSearch:
        """All of it, for the index."""
        limits = [
            MetricRange(metric, getattr(self, f"min_{metric}"), getattr(self, f"below_{metric}")) for metric in RANGED
        ]
        return PairSearch(
            self.choice,
            None if self.q is None else search_words(self.q),
            tuple(one for one in limits if one.lowest is not None or one.below is not None),
            self.sort,
            self.order is Order.DESCENDING,
        )

    @property
    def parameters(self) -> dict[str, str]:
        """The parameters of a link to the same pairs."""
        given = self.model_dump(include=set(PairQuery.model_fields), exclude_defaults=True)
        return {name: value if isinstance(value, str) else parameter(value) for name, value in given.items()}


def parameter(value: object) -> str:
    """A value as it stands in an address and in a form."""
    return "true" if value is True else str(value).removesuffix(".0")


class PageQuery(PairQuery):
    """The same, and which page of them."""

    after: _PairId = Field(None, description="The id of the pair after which the page begins.")
    before: _PairId = Field(None, description="The id of the pair before which the page ends.")
    limit: int = Field(PAGE, ge=1, le=MOST_ON_A_PAGE, description="How many pairs at most.")


@dataclass(frozen=True, slots=True)
class PairPage:
    """A page of pairs in order; `after` and `before` are the ids to ask for the next and the previous page with, if there is one.

    `count` is how many pairs there are on all pages, None where that is not known. `recipes` and `columns` are those of the run,
    `dropped` and `marked` the reasons with their counts, to choose by; they are empty without an index. `index` is its state.
    `fault` is why nothing was looked for: a search without a word, or an index that is not ready.
    """

    pairs: list[StoredPair]
    after: str | None
    before: str | None
    count: PairCount | None
    recipes: list[str]
    columns: list[str]
    dropped: Mapping[str, int]
    marked: Mapping[str, int]
    index: IndexState
    fault: ClairgenError | None = None


@dataclass(frozen=True, slots=True)
class PairRequest:
    """A request that a pair was made of: for `chosen`, `rejected`, or another of its steps; the messages sent and what came."""

    purpose: str
    messages: tuple[Message, ...]
    completion: Completion


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
    requests: list[PairRequest]
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


async def pair_page(run: RunDirectory, query: PageQuery, indexes: PairIndexes) -> PairPage:
    """A page of a run's pairs. Raises InputError for what the run does not have."""
    search = query.search
    state = await indexes.state(run)
    backward = query.before is not None
    start = query.before if backward else query.after
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(reading(run, snapshot=True))
        recipes = list(await store.metadata.plans())
        if query.recipe is not None and query.recipe not in recipes:
            raise InputError(f"the run has no recipe {query.recipe!r}; it has {', '.join(recipes) or 'none yet'}")
        columns = merged_kinds([one.kinds for one in (await import_states(store)).values()])
        if start is not None and await store.chosen.place(start) is None:
            raise InputError(f"the run has no pair {start}, so no page can begin there")
        index = await stack.enter_async_context(indexes.searching(run)) if state.is_complete else None
        fault = _fault(search, state)
        ids = []
        if fault is None:
            ids = await _ids(store, index, search, recipes, start, query.limit + 1, backward=backward)
        has_more, ids = len(ids) > query.limit, ids[: query.limit]
        if backward:
            ids.reverse()
        goes_on, came_from = (start is not None, has_more) if backward else (has_more, start is not None)
        count = None if index is None or fault is not None else PairCount(len(ids))
        if index is not None and ids and (goes_on or came_from) and (count := await index.count(search)) is not None:
            count = replace(count, pairs=max(count.pairs, len(ids) + 1))
        verdicts = {} if index is None else await index.verdicts()
        return PairPage(
            await store.chosen.with_ids(ids),
            ids[-1] if ids and goes_on else None,
            ids[0] if ids and came_from else None,
            count,
            recipes,
            list(columns),
            verdicts.get("dropped", {}),
            verdicts.get("mark", {}),
            state,
            fault,
        )


def _fault(search: PairSearch, state: IndexState) -> ClairgenError | None:
    """Why nothing can be looked for."""
    if search.words is not None and search.words.fault is not None:
        return InputError(f"q: {search.words.fault}")
    if search.needs_index and not state.is_complete:
        return NotReadyError(index_words(state) or "")
    return None


async def _ids(
    store: Store,
    index: IndexSearch | None,
    search: PairSearch,
    recipes: Sequence[str],
    start: str | None,
    most: int,
    *,
    backward: bool,
) -> list[str]:
    """The ids of at most `most` pairs after the pair `start`, or before it: from the index, or, without one, from the run."""
    if index is not None:
        return await index.ids(search, start, most, backward=backward)
    place = None if start is None else await store.chosen.place(start)
    return await store.chosen.ids(search.choice, recipes, place, most, backward=backward)


async def whole_pair(run: RunDirectory, identity: str, query: PairQuery, indexes: PairIndexes) -> WholePair | None:
    """A pair with what judges and scorers wrote about it and what people say of it; None if the run has no such pair.

    It has no neighbors while these have to be looked for in an index that is not ready, or does not have the pair yet.
    """
    state = await indexes.state(run)
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(reading(run, snapshot=True))
        stored = await store.chosen.pair(identity)
        if stored is None:
            return None
        plans = await store.metadata.plans()
        recipes = list(plans)
        plan = plans.get(stored.outcome.recipe)
        index = await stack.enter_async_context(indexes.searching(run)) if state.is_complete else None
        can_look = _fault(query.search, state) is None and (index is None or await index.has(identity))
        beside = [
            await _ids(store, index, query.search, recipes, identity, 1, backward=backward) if can_look else []
            for backward in (True, False)
        ]
        thoughts = [await store.completions.thoughts(key) for key in await store.pairs.request_keys(identity)]
        requests = [
            PairRequest(purpose, await store.completions.messages(key), completion)
            for key, purpose in (await store.pairs.purposes(identity)).items()
            if (completion := await store.completions.find(key)) is not None
        ]
        return WholePair(
            stored,
            stored.outcome.recipe if plan is None else plan.made_by,
            await store.judgements.replies(stored.task.id, stored.outcome.recipe),
            await store.scores.replies(identity),
            [one for one in thoughts if one is not None and one.text],
            sorted(requests, key=lambda one: one.completion.created_at),
            await store.votes.of_pair(identity),
            await store.revisions.of_origin(identity),
            next(iter(beside[0]), None),
            next(iter(beside[1]), None),
        )
