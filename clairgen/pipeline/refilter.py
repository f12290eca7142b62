"""Filters all pairs of a run again, without requests; nothing is deleted."""

import uuid
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from pathlib import Path

from clairgen.errors import RunError
from clairgen.filters.filter_settings import FilterSettings
from clairgen.filters.pipeline import FilterPipeline, RunFilters
from clairgen.filters.registry import FILTERS_VERSION
from clairgen.filters.truncated import CUT_PROMPT
from clairgen.filters.votes import VOTES
from clairgen.inference.pool import CHARACTERS_PER_TOKEN, FEWEST_TOKENS, PROMPTS
from clairgen.metrics.contrast import DEFAULT_TOKENIZER, measured
from clairgen.records import StoredPair
from clairgen.store import FilterResult, Plan, RunDirectory, Statement, Store, metadata_row, writing
from clairgen.store.metadata import TOKENIZER
from clairgen.wording import counted

UNSETTLED = "near_duplicates_unsettled"
"""Metadata key: not empty while the filters that compare pairs have yet to see them all. Named after the first such filter."""

_VOTES_SEEN = "votes_filtered"
"""Metadata key: the number of the latest vote that the filters have seen."""


async def filter_pairs(run: Path | str, settings: FilterSettings) -> int:
    """Filter all pairs of a run by `settings`, in one transaction; returns the id of the new filter set."""
    directory = RunDirectory(Path(run))
    directory.require()
    with directory.locked():
        async with writing(directory) as store:
            return await refilter(store, settings, await store.metadata.get(TOKENIZER) or DEFAULT_TOKENIZER)


async def refilter(store: Store, settings: FilterSettings, tokenizer: str) -> int:
    """Filter all made pairs again; those whose contrast is under another tokenizer are measured again.

    What the set in force has found is not looked for again where the filter's options are the same. Where all others go by what
    is stored of a pair besides its texts, such as bounds on its contrast, no text is read.
    """
    number, before = await _set_in_force(store)
    filters_in_force = FilterPipeline(settings, before)
    plans = await store.metadata.plans()
    cut = await _cut_prompts(store)
    unsettled, latest = await store.metadata.get(UNSETTLED), await store.votes.latest()
    votes = await _votes_in_words(store)

    async def filtered() -> AsyncIterator[FilterResult]:
        for plan in plans.values():
            over_the_run = RunFilters(settings.of(plan.recipe), revises=plan.revises)
            pairs = store.pairs.made(plan.recipe)
            if number is not None and await _need_no_texts(store, number, filters_in_force, plan, tokenizer):
                pairs = store.pairs.without_texts(plan.recipe)
            async for stored, is_new in measured(pairs, tokenizer):
                prompt = stored.task.messages
                findings = filters_in_force.apply(
                    stored.outcome,
                    stored.contrast,
                    revises=plan.revises,
                    prompt=prompt,
                    found=stored.findings if stored.filter_set == number else None,
                    cut_prompts=cut.get(stored.id, ()),
                    source_columns=stored.source_columns,
                    votes=votes.get(stored.id, ()),
                )
                findings = over_the_run.settle(stored.outcome, stored.contrast, findings, prompt=prompt)
                if findings or is_new:
                    yield FilterResult(stored.id, findings, stored.contrast if is_new else None)

    recipes = [plan.recipe for plan in plans.values()]
    new = await store.filter_sets.replace(settings.model_dump_json(), FILTERS_VERSION, recipes, filtered())
    await store.metadata.put(_VOTES_SEEN, str(latest))
    await store.metadata.settle(UNSETTLED, unsettled)
    return new


async def _need_no_texts(
    store: Store, number: int, filters_in_force: FilterPipeline, plan: Plan, tokenizer: str
) -> bool:
    """Whether a recipe's pairs can be filtered by what is stored of them besides their texts."""
    settings = filters_in_force.settings.of(plan.recipe)
    if settings.compares_pairs or filters_in_force.needs_texts(plan.recipe, revises=plan.revises):
        return False
    return not await store.pairs.uncovered(number) and not await store.pairs.unmeasured(plan.recipe, tokenizer)


async def _set_in_force(store: Store) -> tuple[int | None, FilterSettings | None]:
    """The id and the settings of the filter set in force; None for both if this version of the filters did not apply it."""
    in_force = await store.filter_sets.in_force()
    if in_force is None or await store.filter_sets.version(in_force[0]) != FILTERS_VERSION:
        return None, None
    return in_force[0], FilterSettings.from_record(in_force[1])


async def settle_run_filters(store: Store, filter_set: int, settings: FilterSettings) -> None:
    """Apply the filters that compare pairs to all made pairs in the order of their tasks; commit the findings that change.

    Pairs are made in any order; so the result does not depend on how often a run was interrupted.
    """
    if not settings.compares_pairs:
        return
    unsettled = await store.metadata.get(UNSETTLED)
    for plan in (await store.metadata.plans()).values():
        over_the_run = RunFilters(settings.of(plan.recipe), revises=plan.revises)
        async for stored in store.pairs.made(plan.recipe):
            prompt = stored.task.messages
            findings = over_the_run.settle(stored.outcome, stored.contrast, stored.findings, prompt=prompt)
            if findings != stored.findings:
                await store.pairs.save_findings(stored.id, findings, filter_set)
    await store.metadata.settle(UNSETTLED, unsettled)


async def filter_again(store: Store, filter_set: int, settings: FilterSettings) -> None:
    """Filter again the pairs of which more is known now than when they were made.

    That a server cuts prompts is known only when several such prompts were answered, and people vote on what is there.
    """
    filters_in_force, plans = FilterPipeline(settings), await store.metadata.plans()
    latest, votes = await store.votes.latest(), await _votes_in_words(store)
    cut = {stored.id: roles async for stored, roles in _unseen_cut_prompts(store)}
    voted = [identity for identity in votes if identity not in cut] if settings.is_in_force(VOTES.name) else []
    all_cut = await _cut_prompts(store) if voted else {}
    async for stored in store.pairs.made_with_ids([*cut, *voted]):
        prompt, plan = stored.task.messages, plans.get(stored.outcome.recipe)
        if plan is not None:
            findings = filters_in_force.apply(
                stored.outcome,
                stored.contrast,
                revises=plan.revises,
                prompt=prompt,
                cut_prompts=cut.get(stored.id) or all_cut.get(stored.id, ()),
                source_columns=stored.source_columns,
                votes=votes.get(stored.id, ()),
            )
            if findings != stored.findings:
                await store.pairs.save_findings(stored.id, findings, filter_set)
    if settings.is_in_force(VOTES.name):
        await store.metadata.put(_VOTES_SEEN, str(latest))


async def _unseen_cut_prompts(store: Store, prompts: int = PROMPTS) -> AsyncIterator[tuple[StoredPair, Sequence[str]]]:
    """The pairs of cut prompts that the filter `cut_prompt` has not found, with the roles whose server cut them."""
    cut = await _cut_prompts(store, prompts)
    async for stored in store.pairs.made_with_ids(cut):
        if all(finding.filter != CUT_PROMPT.name for finding in stored.findings):
            yield stored, cut[stored.id]


def _looks_for_cut_prompts(settings: FilterSettings, stored: StoredPair) -> bool:
    return settings.of(stored.outcome.recipe).action(CUT_PROMPT.name, revises=True) is not None


async def _votes_in_words(store: Store) -> dict[str, tuple[str, ...]]:
    """The votes that count, by pair."""
    return {pair: tuple(votes.values()) for pair, votes in (await store.votes.by_pair()).items()}


def _cut_prompts(store: Store, prompts: int = PROMPTS) -> Awaitable[Mapping[str, Sequence[str]]]:
    return store.completions.cut_prompts(
        fewest_tokens=FEWEST_TOKENS, prompts=prompts, characters_per_token=CHARACTERS_PER_TOKEN
    )


async def unsettle_run_filters(store: Store, settings: FilterSettings) -> None:
    """Record, before pairs are made (again), that the filters that compare pairs have yet to see them, in case of a kill."""
    for _, (key, value) in unsettled_rows(settings):
        await store.metadata.put(key, value)


async def unsettle_votes(store: Store, settings: FilterSettings) -> None:
    """The same of the filter by votes, which does not see a pair that is made again until `filter_again`."""
    if settings.is_in_force(VOTES.name):
        await store.metadata.put(_VOTES_SEEN, "-1")


def unsettled_rows(settings: FilterSettings) -> list[Statement]:
    """The statements that record it together with a pair. Whoever settles what was there before does not settle this."""
    return [metadata_row(UNSETTLED, str(uuid.uuid4()))] if settings.compares_pairs else []


async def require_coverage(store: Store, run: RunDirectory, *, of_shard: bool = False) -> None:
    """Raise RunError unless the filters in force have seen all pairs of a run.

    Pairs `of_shard` are compared with those of other shards where all are read. That a server cuts prompts may show only in all
    shards together, so that one answer which looks like it is enough to refuse.
    """
    in_force = await store.filter_sets.in_force()
    uncovered = await store.pairs.uncovered(in_force[0]) if in_force else 0
    if await store.metadata.get(UNSETTLED) and not of_shard:
        raise RunError(
            f"{run.path} is being written or its last command was killed, and its pairs have not been compared with each other, "
            f"as a filter such as near_duplicate needs; wait for that command to end, or run: clairgen filter {run.path}"
        )
    if in_force:
        settings = FilterSettings.from_record(in_force[1])
        cut = [one async for one, _ in _unseen_cut_prompts(store) if _looks_for_cut_prompts(settings, one)]
        uncovered += len(cut)
        if of_shard and not cut:
            async for one, roles in _unseen_cut_prompts(store, prompts=1):
                if _looks_for_cut_prompts(settings, one):
                    raise RunError(
                        f"the server of the {roles[0]} may have cut the prompt of the pair {one.id} of {run.path}, which shows "
                        "only in all shards together; merge them with clairgen merge, or apply filters without cut_prompt to each"
                    )
        if settings.is_in_force(VOTES.name) and await store.votes.latest() > int(
            await store.metadata.get(_VOTES_SEEN) or 0
        ):
            raise RunError(
                f"people have voted since the filters of {run.path}, which go by votes, were applied, or pairs were made again; "
                f"run: clairgen filter {run.path}"
            )
    if uncovered:
        raise RunError(
            f"the filters in force have not seen {counted(uncovered, 'pair')} of {run.path}; run: clairgen filter {run.path}"
        )
