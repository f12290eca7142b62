"""Filters all pairs of a run again, without requests; nothing is deleted."""

from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from pathlib import Path

from clairgen.errors import RunError
from clairgen.filters.filter_settings import FilterSettings
from clairgen.filters.pipeline import FilterPipeline, RunFilters
from clairgen.filters.registry import FILTERS_VERSION
from clairgen.filters.truncated import CUT_PROMPT
from clairgen.inference.pool import CHARACTERS_PER_TOKEN, FEWEST_TOKENS, PROMPTS
from clairgen.metrics.contrast import DEFAULT_TOKENIZER, measured
from clairgen.records import StoredPair
from clairgen.store import FilterResult, RunDirectory, Store, writing
from clairgen.wording import counted

UNSETTLED = "near_duplicates_unsettled"
"""Metadata key: not empty while the filters that compare pairs have yet to see them all. Named after the first such filter."""

TOKENIZER = "tokenizer"
"""Metadata key: the tokenizer of a run's contrasts."""


async def filter_pairs(run: Path | str, settings: FilterSettings) -> int:
    """Filter all pairs of a run by `settings`, in one transaction; returns the id of the new filter set."""
    directory = RunDirectory(Path(run))
    directory.require()
    with directory.locked():
        async with writing(directory) as store:
            return await refilter(store, settings, await store.metadata.get(TOKENIZER) or DEFAULT_TOKENIZER)


async def refilter(store: Store, settings: FilterSettings, tokenizer: str) -> int:
    """Filter all made pairs again; those whose contrast is under another tokenizer are measured again.

    What the set in force has found is not looked for again where the filter's options are the same.
    """
    number, before = await _set_in_force(store)
    filters_in_force = FilterPipeline(settings, before)
    plans = await store.metadata.plans()
    cut = await _cut_prompts(store)

    async def filtered() -> AsyncIterator[FilterResult]:
        for plan in plans.values():
            over_the_run = RunFilters(settings.of(plan.recipe), revises=plan.revises)
            async for stored, is_new in measured(store.pairs.made(plan.recipe), tokenizer):
                prompt = stored.task.messages
                findings = filters_in_force.apply(
                    stored.outcome,
                    stored.contrast,
                    revises=plan.revises,
                    prompt=prompt,
                    found=stored.findings if stored.filter_set == number else None,
                    cut_prompts=cut.get(stored.id, ()),
                    source_columns=stored.source_columns,
                )
                findings = over_the_run.settle(stored.outcome, stored.contrast, findings, prompt=prompt)
                if findings or is_new:
                    yield FilterResult(stored.id, findings, stored.contrast if is_new else None)

    recipes = [plan.recipe for plan in plans.values()]
    new = await store.filter_sets.replace(settings.model_dump_json(), FILTERS_VERSION, recipes, filtered())
    await store.metadata.put(UNSETTLED, "")
    return new


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
    for plan in (await store.metadata.plans()).values():
        over_the_run = RunFilters(settings.of(plan.recipe), revises=plan.revises)
        async for stored in store.pairs.made(plan.recipe):
            prompt = stored.task.messages
            findings = over_the_run.settle(stored.outcome, stored.contrast, stored.findings, prompt=prompt)
            if findings != stored.findings:
                await store.pairs.save_findings(stored.id, findings, filter_set)
    await store.metadata.put(UNSETTLED, "")


async def filter_cut_prompts(store: Store, filter_set: int, settings: FilterSettings) -> None:
    """Filter again the pairs of prompts that a server cut, which is known only when several such prompts were answered."""
    filters_in_force, plans = FilterPipeline(settings), await store.metadata.plans()
    async for stored, roles in _unseen_cut_prompts(store):
        prompt, plan = stored.task.messages, plans.get(stored.outcome.recipe)
        if plan is not None:
            findings = filters_in_force.apply(
                stored.outcome, stored.contrast, revises=plan.revises, prompt=prompt, cut_prompts=roles
            )
            await store.pairs.save_findings(stored.id, findings, filter_set)


async def _unseen_cut_prompts(store: Store) -> AsyncIterator[tuple[StoredPair, Sequence[str]]]:
    """The pairs of cut prompts that the filter `cut_prompt` has not found, with the roles whose server cut them."""
    cut = await _cut_prompts(store)
    async for stored in store.pairs.made_with_ids(cut):
        if all(finding.filter != CUT_PROMPT.name for finding in stored.findings):
            yield stored, cut[stored.id]


def _looks_for_cut_prompts(settings: FilterSettings, stored: StoredPair) -> bool:
    return settings.of(stored.outcome.recipe).action(CUT_PROMPT.name, revises=True) is not None


def _cut_prompts(store: Store) -> Awaitable[Mapping[str, Sequence[str]]]:
    return store.completions.cut_prompts(
        fewest_tokens=FEWEST_TOKENS, prompts=PROMPTS, characters_per_token=CHARACTERS_PER_TOKEN
    )


async def unsettle_run_filters(store: Store, settings: FilterSettings) -> None:
    """Record, before pairs are made (again), that the filters that compare pairs have yet to see them, in case of a kill."""
    if settings.compares_pairs:
        await store.metadata.put(UNSETTLED, "yes")


async def require_coverage(store: Store, run: RunDirectory) -> None:
    """Raise RunError unless the filters in force have seen all pairs of a run."""
    in_force = await store.filter_sets.in_force()
    uncovered = await store.pairs.uncovered(in_force[0]) if in_force else 0
    if await store.metadata.get(UNSETTLED):
        raise RunError(
            f"{run.path} is being written or its last command was killed, and its pairs have not been compared with each other, "
            f"as a filter such as near_duplicate needs; wait for that command to end, or run: clairgen filter {run.path}"
        )
    if in_force:
        settings = FilterSettings.from_record(in_force[1])
        uncovered += len([one async for one, _ in _unseen_cut_prompts(store) if _looks_for_cut_prompts(settings, one)])
    if uncovered:
        raise RunError(
            f"the filters in force have not seen {counted(uncovered, 'pair')} of {run.path}; run: clairgen filter {run.path}"
        )
