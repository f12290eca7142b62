"""Takes the figures of a recipe's report from a run, or from its shards as if they were one run.

Texts are read only where they are needed: of a sample for the audit and for lengths, of all pairs for pages, for metrics of
plugins, for groups and for a contrast that is not stored.
"""

from collections.abc import AsyncIterator, Callable, Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, Self, TypeVar

from clairgen.metrics.contrast import METRICS, measured
from clairgen.records import StoredPair
from clairgen.reporting.agreement import Agreement, agreement
from clairgen.reporting.groups import Groups
from clairgen.reporting.length_figures import Lengths
from clairgen.reporting.pair_metrics import SCALES, PluginMetrics
from clairgen.reporting.position_bias import JudgeReport, judge_report
from clairgen.reporting.report import RecipeNumbers, RecipeReport, reason_for_dropping
from clairgen.reporting.shortcut_audit import MOST_PAIRS, FeatureDifferences
from clairgen.store import (
    ScoreNumbers,
    SegmentFigures,
    SegmentFolder,
    Store,
    VoteNumbers,
    figures_connection,
    vote_numbers,
)


@dataclass(frozen=True, slots=True)
class ReportedPart:
    """A run, or one shard of it: its store and, where it has them, the figures of its pairs in columns."""

    store: Store
    columns: SegmentFolder | None = None

    def files(self, recipe: str) -> list[str]:
        """The files with the figures of a recipe's pairs; none without columns."""
        return [] if self.columns is None else self.columns.files(recipe)


async def recipe_report(
    parts: Sequence[ReportedPart],
    run: str,
    recipe: str,
    tokenizer: str,
    counts: Mapping[str, int],
    also: Callable[[StoredPair], None] | None,
    *,
    imported_from: str | None = None,
    revises: bool = False,
    by: str | None = None,
    only: Collection[str] | None = None,
    length_tokenizer: str | None = None,
    sampled_tasks: int | None = None,
) -> RecipeReport:
    """The report on one recipe; `counts` are its pairs by status, `also` is called with each pair that was made.

    Where `also` only looks for the pairs of `sampled_tasks` tasks, those with the smallest sample numbers, parts that all have
    columns give it no others, or few.

    `imported_from` is the source of imported pairs, `revises` whether chosen answers are revisions, `by` the column of that
    source by whose values they are grouped. `only` has the ids of the tasks whose pairs count, and then verdicts of judges and
    the cost, which are of all tasks, are left out. `length_tokenizer` is what answers' lengths are counted in, characters if
    None.
    """
    numbers = RecipeNumbers(run, recipe, tokenizer)
    pairs = counts.get("made", 0) if only is None else len(only)
    differences = FeatureDifferences(MOST_PAIRS / max(pairs, MOST_PAIRS))
    lengths = Lengths(length_tokenizer, differences.takes)
    metrics = PluginMetrics(METRICS.from_plugins)
    groups = None if by is None else Groups(by, tokenizer)
    samples = sampled_tasks is not None and all(part.columns is not None for part in parts)
    needs_texts = (
        (also is not None and not samples) or groups is not None or only is not None or bool(METRICS.from_plugins)
    )
    if not needs_texts and not await _unmeasured(parts, recipe, tokenizer):
        async for stored in _sampled(parts, recipe, numbers, differences):
            differences.add(stored)
            lengths.add(stored)
        if also is not None:
            async for stored in _of_first_tasks(parts, recipe, sampled_tasks or 0):
                also(stored)
    else:
        async for stored, _ in measured(_made(parts, recipe), tokenizer):
            if only is not None and stored.task.id not in only:
                continue
            numbers.add(stored)
            differences.add(stored)
            lengths.add(stored)
            metrics.add(stored, kept=reason_for_dropping(stored) is None)
            if also is not None:
                also(stored)
            if groups is not None:
                groups.add(stored, kept=reason_for_dropping(stored) is None)
    votes, agreed = await _votes(parts, recipe, revises=revises) if only is None else (None, None)
    return numbers.report(
        failed=counts.get("failed", 0) if only is None else 0,
        pending=counts.get("pending", 0) if only is None else 0,
        cost_usd=(await _cost_usd(parts, recipe) if imported_from is None else 0.0) if only is None else None,
        judges=await _judges(parts, recipe) if only is None else (),
        audit=differences.audit(),
        metrics=metrics.estimates(),
        votes=votes,
        agreement=agreed,
        imported_from=imported_from,
        groups=() if groups is None else groups.figures(),
        lengths=lengths.figures(),
        matched_tasks=None if only is None else len(only),
        scores=await _scores(parts, recipe) if only is None else (),
    )


async def _made(parts: Sequence[ReportedPart], recipe: str) -> AsyncIterator[StoredPair]:
    for part in parts:
        async for stored in part.store.pairs.made(recipe):
            yield stored


async def _unmeasured(parts: Sequence[ReportedPart], recipe: str, tokenizer: str) -> int:
    return sum([await part.store.pairs.unmeasured(recipe, tokenizer) for part in parts])


async def _sampled(
    parts: Sequence[ReportedPart], recipe: str, numbers: RecipeNumbers, differences: FeatureDifferences
) -> AsyncIterator[StoredPair]:
    """Count all pairs without their texts, and give those whose task is in the sample of `differences`."""
    if files := [file for part in parts for file in part.files(recipe)]:
        with figures_connection() as connection:
            figures = SegmentFigures(connection, files)
            numbers.add_columns(
                figures.outcomes({scale.metric: scale.bins for scale in SCALES}), figures.failed_checks()
            )
            numbers.count_marks(figures.marks())
    samples = _ids_by_part(parts, recipe, lambda figures: figures.sample(differences.most_sample_number))
    for part, sample in zip(parts, samples, strict=True):
        if part.columns is None:
            async for page in part.store.pairs.figures(recipe):
                for one in page:
                    numbers.count(one.lost_by, one.contrast, retried=one.retried, failed_check=one.failed_check)
                async for stored in part.store.pairs.made_with_ids(
                    [one.id for one in page if differences.takes(one.task_id)]
                ):
                    yield stored
            numbers.count_marks((await part.store.pairs.marked()).get(recipe, {}))
        else:
            async for stored in part.store.pairs.made_with_ids(sample):
                yield stored


async def _of_first_tasks(parts: Sequence[ReportedPart], recipe: str, tasks: int) -> AsyncIterator[StoredPair]:
    """The pairs of so many tasks of each part, or a few more, that have the smallest sample numbers."""
    first = _ids_by_part(parts, recipe, lambda figures: figures.first_tasks(tasks))
    for part, ids in zip(parts, first, strict=True):
        async for stored in part.store.pairs.made_with_ids(ids):
            yield stored


def _ids_by_part(
    parts: Sequence[ReportedPart], recipe: str, take: Callable[[SegmentFigures], list[str]]
) -> list[list[str]]:
    """Of each part the ids that `take` finds in its columns; none of a part without."""
    files = [part.files(recipe) for part in parts]
    if not any(files):
        return [[] for _ in parts]
    with figures_connection() as connection:  # one for all: to open it takes longer than to look into a small shard
        return [take(SegmentFigures(connection, own)) if own else [] for own in files]


async def _cost_usd(parts: Sequence[ReportedPart], recipe: str) -> float | None:
    """What the pairs cost, None if no part knows; equal requests are in one shard, so none counts twice."""
    costs = [
        await part.store.pairs.cost_usd(recipe) if part.columns is None else part.columns.costs.get(recipe)
        for part in parts
    ]
    known = [cost for cost in costs if cost is not None]
    return sum(known) if known else None


async def _judges(parts: Sequence[ReportedPart], recipe: str) -> list[JudgeReport]:
    counted = [one for part in parts for one in await part.store.judgements.numbers(recipe)]
    return [
        judge_report(
            judge.role,
            first=judge.first,
            second=judge.second,
            ties=judge.ties,
            unreadable=judge.unreadable,
            flipped=judge.flipped,
            in_both_orders=judge.in_both_orders,
        )
        for judge in _together(counted, lambda judge: judge.role)
    ]


async def _scores(parts: Sequence[ReportedPart], recipe: str) -> list[ScoreNumbers]:
    counted = [one for part in parts for one in await part.store.scores.numbers(recipe)]
    return _together(counted, lambda one: (one.scorer, one.criterion))


async def _votes(
    parts: Sequence[ReportedPart], recipe: str, *, revises: bool
) -> tuple[VoteNumbers | None, Agreement | None]:
    """What people said of the pairs, and how far they agree; None for both without a vote."""
    votes = {pair: said for part in parts for pair, said in (await part.store.votes.by_pair(recipe)).items()}
    if not votes:
        return None, None
    opinions = {pair: one for part in parts for pair, one in (await part.store.judgements.opinions(recipe)).items()}
    shown_first = {vote: one for part in parts for vote, one in (await part.store.votes.shown_first(recipe)).items()}
    return vote_numbers(votes), agreement(votes, opinions, revises=revises, shown_first=shown_first)


class _Summable(Protocol):
    def __add__(self, other: Self, /) -> Self: ...


SummableT = TypeVar("SummableT", bound=_Summable)


def _together(entries: Iterable[SummableT], key: Callable[[SummableT], Hashable]) -> list[SummableT]:
    """The sum of all entries of a key, in the order in which keys come first."""
    sums: dict[Hashable, SummableT] = {}
    for one in entries:
        sums[key(one)] = sums[key(one)] + one if key(one) in sums else one
    return list(sums.values())
