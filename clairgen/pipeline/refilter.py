"""Filters over the pairs of a run: no model is asked, nothing is deleted."""

from collections.abc import AsyncIterator
from pathlib import Path

from clairgen.errors import RunError
from clairgen.filters.pipeline import FilterPipeline, RunFilters
from clairgen.filters.settings import FilterSettings
from clairgen.metrics.contrast import DEFAULT_TOKENIZER
from clairgen.metrics.stream import measured
from clairgen.store import FilterResult, RunDirectory, Store, writing

UNSETTLED = "near_duplicates_unsettled"
"""The fact that near duplicates have yet to be looked for among the pairs; empty when they were."""

TOKENIZER = "tokenizer"
"""The fact that names the tokenizer of a run's contrasts."""


async def filter_pairs(run: Path | str, settings: FilterSettings) -> int:
    """Put `settings` in force over all pairs of a run, in one transaction; the id of the new filter set."""
    directory = RunDirectory(Path(run))
    directory.require()
    with directory.locked():
        async with writing(directory) as store:
            return await refilter(store, settings, await store.facts.get(TOKENIZER) or DEFAULT_TOKENIZER)


async def refilter(store: Store, settings: FilterSettings, tokenizer: str) -> int:
    """Sift all made pairs anew; those whose contrast is under another tokenizer are measured again."""
    filters_in_force = FilterPipeline(settings)

    async def filtered() -> AsyncIterator[FilterResult]:
        for plan in (await store.facts.plans()).values():
            over_the_run = RunFilters(settings, revises=plan.revises)
            async for stored, is_new in measured(store.pairs.made(plan.recipe), tokenizer):
                prompt = stored.task.messages
                findings = filters_in_force.apply(stored.pair, stored.contrast, revises=plan.revises, prompt=prompt)
                findings = over_the_run.settle(stored.pair, stored.contrast, findings, prompt=prompt)
                yield FilterResult(stored.id, findings, stored.contrast if is_new else None)

    number = await store.filter_sets.replace(settings.model_dump_json(), filtered())
    await store.facts.put(UNSETTLED, "")
    return number


async def settle_near_duplicates(store: Store, filter_set: int, settings: FilterSettings) -> None:
    """Look for near duplicates among all made pairs, after some were kept in any order; findings that change are committed.

    It is the order of the tasks that decides, so a run ends the same however often it was interrupted.
    """
    if not settings.compares_pairs:
        return
    for plan in (await store.facts.plans()).values():
        over_the_run = RunFilters(settings, revises=plan.revises)
        async for stored in store.pairs.made(plan.recipe):
            prompt = stored.task.messages
            findings = over_the_run.settle(stored.pair, stored.contrast, stored.findings, prompt=prompt)
            if findings != stored.findings:
                await store.pairs.save_findings(stored.id, findings, filter_set)
    await store.facts.put(UNSETTLED, "")


async def unsettle_near_duplicates(store: Store, settings: FilterSettings) -> None:
    """Note, before pairs are made, that near duplicates have yet to be looked for among them; a kill must not hide that."""
    if settings.compares_pairs:
        await store.facts.put(UNSETTLED, "yes")


async def require_coverage(store: Store, run: RunDirectory) -> None:
    """Raise RunError unless the filters in force have seen all pairs of a run."""
    in_force = await store.filter_sets.in_force()
    uncovered = await store.pairs.uncovered(in_force[0]) if in_force else 0
    if await store.facts.get(UNSETTLED):
        raise RunError(
            f"{run.path} is being made, or was killed, and near duplicates were not looked for among its pairs yet; wait for "
            f"generate to end, or run: clairgen filter {run.path}"
        )
    if uncovered:
        raise RunError(
            f"{uncovered} pairs of {run.path} were not seen by the filters in force; run: clairgen filter {run.path}"
        )
