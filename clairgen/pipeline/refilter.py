"""Filters over the pairs of a run: no model is asked, nothing is deleted."""

from collections.abc import AsyncIterator
from pathlib import Path

from clairgen.errors import RunError
from clairgen.filters.pipeline import RunSieve, Sieve
from clairgen.filters.settings import FilterSettings
from clairgen.metrics.contrast import DEFAULT_TOKENISER, measured
from clairgen.store import RunDirectory, Sifted, Store, writing

UNSETTLED = "near_duplicates_unsettled"
"""The fact that near duplicates have yet to be looked for among the pairs; empty when they were."""

TOKENISER = "tokeniser"
"""The fact that names the tokeniser of a run's contrasts."""


async def filter_pairs(run: Path | str, settings: FilterSettings) -> int:
    """Put `settings` in force over all pairs of a run, in one transaction; the id of the new filter set."""
    directory = RunDirectory(Path(run))
    directory.require()
    with directory.locked():
        async with writing(directory) as store:
            return await sift_all(store, settings, await store.facts.get(TOKENISER) or DEFAULT_TOKENISER)


async def sift_all(store: Store, settings: FilterSettings, tokeniser: str) -> int:
    """Sift all made pairs anew; those whose contrast is under another tokeniser are measured again."""
    sieve = Sieve(settings)

    async def sifted() -> AsyncIterator[Sifted]:
        for plan in (await store.facts.plans()).values():
            over_the_run = RunSieve(settings)
            async for stored, is_new in measured(store.pairs.made(plan.recipe), tokeniser):
                prompt = stored.task.messages
                findings = sieve.sift(stored.pair, stored.contrast, revises=plan.revises, prompt=prompt)
                findings = over_the_run.settle(stored.task.id, prompt, findings)
                yield Sifted(stored.id, findings, stored.contrast if is_new else None)

    number = await store.filter_sets.replace(settings.model_dump_json(), sifted())
    await store.facts.put(UNSETTLED, "")
    return number


async def settle_near_duplicates(store: Store, filter_set: int, settings: FilterSettings) -> None:
    """Look for near duplicates among all made pairs, after some were kept in any order; findings that change are committed.

    It is the order of the tasks that decides, so a run ends the same however often it was interrupted.
    """
    if settings.action("near_duplicate", revises=True) is None:
        return
    for plan in (await store.facts.plans()).values():
        over_the_run = RunSieve(settings)
        async for stored in store.pairs.made(plan.recipe):
            prompt = stored.task.messages
            findings = over_the_run.settle(stored.task.id, prompt, stored.findings)
            if findings != stored.findings:
                await store.pairs.save_findings(stored.id, findings, filter_set)
    await store.facts.put(UNSETTLED, "")


async def unsettle_near_duplicates(store: Store, settings: FilterSettings) -> None:
    """Note, before pairs are made, that near duplicates have yet to be looked for among them; a kill must not hide that."""
    if settings.action("near_duplicate", revises=True) is not None:
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
