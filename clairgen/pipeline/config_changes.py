"""What a changed configuration means for a run: what differs, what of that is made again, and the run brought up to it."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

import yaml

from clairgen.config.differences import Difference, differences, sentence
from clairgen.config.file import config_yaml
from clairgen.config.models import RunConfig
from clairgen.config.renamed import with_new_names
from clairgen.config.role import Role
from clairgen.errors import RunError
from clairgen.filters.filter_settings import FilterSettings
from clairgen.installed import __version__
from clairgen.pipeline.import_pairs import OpenedSource, begun_import, import_into
from clairgen.pipeline.ingest import IngestState, ingest, ingest_state, source_facts
from clairgen.pipeline.plans import TEMPLATE_FACT, PlannedRecipe
from clairgen.pipeline.progress import Progress
from clairgen.pipeline.refilter import refilter
from clairgen.pipeline.run_shard import stored_part
from clairgen.records import Sampling
from clairgen.store import Plan, Store
from clairgen.store.metadata import TOKENIZER, same_source

_DECIDED_ELSEWHERE: Final = frozenset({"recipes", "rubric", "seed", "tasks", "import", "filters", "tokenizer"})
_SENT: Final = frozenset(
    {"model", "revision", "system", "max_completion_tokens", "reasoning_effort", "chat_template_kwargs"}
    | {field.name for field in fields(Sampling)}
)
CONFIGURED_FILTERS: Final = "configured_filters"
"""Metadata key: the filters of the configuration, which are in force unless `clairgen filter` set others."""
_DEFAULTS_OF_A_ROLE = {
    name: value
    for name, field in Role.model_fields.items()
    if not field.is_required() and (value := field.get_default(call_default_factory=True)) is not None
}


@dataclass(frozen=True, slots=True)
class PlanChange:
    """A difference between the plan that a recipe's pairs were made by and its plan under a configuration."""

    recipe: str
    difference: Difference


@dataclass(frozen=True, slots=True)
class PreparedRun:
    """A run that is up to its configuration: its tasks, and the filter set in force."""

    ingest: IngestState
    filter_set: int
    filters: FilterSettings


def may_change_requests(difference: Difference) -> bool:
    """Whether a difference between two configurations may change requests, pairs or filters; plans and filter sets say how."""
    top, *rest = difference.path
    if top != "models":
        return top in _DECIDED_ELSEWHERE
    return len(rest) < 2 or rest[1] in _SENT


def changes(before: Mapping[str, Plan], planned: list[PlannedRecipe]) -> list[PlanChange]:
    """What differs between the plans of a run and those of a configuration; a recipe that is new to the run is no change."""
    return [
        PlanChange(entry.recipe.name, difference)
        for entry in planned
        if entry.recipe.name in before
        for difference in differences(before[entry.recipe.name].facts, entry.plan.facts)
    ]


async def accepted_changes(
    store: Store, planned: list[PlannedRecipe], note: Callable[[str], None], *, other_tasks: bool, accepted: bool
) -> set[str]:
    """The recipes whose requests changed, once that is accepted; notes say what it means. Raises RunError until then."""
    plans = await store.metadata.plans()
    for entry in planned:
        if (known := plans.get(entry.recipe.name)) is not None and known.imported_from is not None:
            raise RunError(
                f"the run has pairs as {entry.recipe.name} that were imported from {known.imported_from}, which a recipe cannot "
                "make again; name another --run, or import them into a new run with --as NAME"
            )
    found = changes(plans, planned)
    named = await _templates_by_hash(store, planned)
    statuses = await store.pairs.statuses()
    recipes_by_change = defaultdict[str, list[str]](list)
    for change in found:
        if pairs := _pairs(change.recipe, statuses.get(change.recipe, {})):
            recipes_by_change[_in_words(change.difference, named)].append(pairs)
    meanings = [
        f"{change} (made again, with new requests where they differ: {', '.join(pairs)})"
        for change, pairs in recipes_by_change.items()
    ]
    if other_tasks:
        meanings.append(
            "the tasks changed: prompts that the run does not have yet are added, those it has stay, and pairs of recorded "
            "answers are made again where the answers or their scores changed"
        )
    if meanings and not accepted:
        raise RunError(
            f"the configuration differs from the one this run was made with ({'; '.join(meanings)}); every answer so far is "
            "kept; pass --accept-changes to continue with it, or name another --run"
        )
    for meaning in meanings:
        note(meaning)
    return {change.recipe for change in found}


def task_facts(config: RunConfig, state: IngestState | None) -> dict[str, Any] | None:
    """What identifies the tasks of a configuration, for a run that has read so far; None where it names no source of tasks."""
    if config.tasks is None:
        return None
    return source_facts(config.tasks, config.seed, state.source if state else None)


def has_other_tasks(state: IngestState | None, source: Mapping[str, Any] | None) -> bool:
    """Whether a run that has read all its tasks is given a source of other tasks."""
    if state is None or source is None:
        return False
    return state.complete and not same_source(state.source, dict(source))


async def prepare(
    store: Store,
    config: RunConfig,
    planned: list[PlannedRecipe],
    progress: Progress,
    *,
    skip_bad_lines: bool,
    accept_changes: bool,
    stop: asyncio.Event,
    imports: Sequence[OpenedSource] = (),
) -> PreparedRun:
    """Update the store to a configuration: tasks, templates, filters, imported pairs, plans and pending pairs.

    Raises RunError for a change of requests that was not accepted, and what `ingest` raises; a change takes effect only once
    all tasks are read.
    """
    await store.metadata.initialize(__version__)
    for opened in imports:
        await begun_import(store, opened)
    state = await ingest_state(store)
    source = task_facts(config, state)
    part = await stored_part(store, config, state, source)
    changed = await accepted_changes(
        store, planned, progress.note, other_tasks=has_other_tasks(state, source), accepted=accept_changes
    )
    if config.tasks is not None and source is not None:
        state = await ingest(
            store,
            config.tasks,
            config.seed,
            source,
            skip_bad_lines=skip_bad_lines,
            stop=stop,
            compared_by=await _comparing_recorded(store, planned),
            needs_scores=config.compares_by_scores,
            part=part,
        )
    await store.metadata.record_templates(
        template for entry in planned for template in entry.context.templates.values()
    )
    filter_set, filters = await _filters_in_force(store, config, progress)
    for opened in imports:
        await import_into(store, opened, progress.note, stop)
    for entry in planned:
        await store.tasks.add_pending_pairs(entry.recipe.name)
        await store.metadata.record_plan(entry.plan, changed=entry.recipe.name in changed)
    await _note_harmless_changes(store, config, progress)
    return PreparedRun(state or IngestState({}, complete=True), filter_set, filters)


async def _comparing_recorded(store: Store, planned: list[PlannedRecipe]) -> list[str]:
    """The recipes, also those of earlier configurations, that choose between answers of the data set."""
    earlier = {name for name, plan in (await store.metadata.plans()).items() if "tasks" in plan.facts}
    return sorted(earlier | {entry.recipe.name for entry in planned if entry.context.recorded})


def _pairs(recipe: str, counts: Mapping[str, int]) -> str:
    """What a recipe has made that a change makes again; empty if there is none."""
    made, failed = counts.get("made", 0), counts.get("failed", 0)
    if made:
        return f"{made:,} {'pair' if made == 1 else 'pairs'} of {recipe}"
    return f"{failed:,} failed {'task' if failed == 1 else 'tasks'} of {recipe}" if failed else ""


async def _templates_by_hash(store: Store, planned: list[PlannedRecipe]) -> dict[str, str]:
    """Names of the templates that were used and are to be used."""
    now = {template.content_hash: template.name for entry in planned for template in entry.context.templates.values()}
    return {content_hash: name for name, content_hash in await store.metadata.templates()} | now


def _in_words(difference: Difference, templates: Mapping[str, str]) -> str:
    """A difference as part of a message; templates by their names, which plans do not have."""
    what = ".".join(difference.path)
    if not what.startswith(TEMPLATE_FACT):
        return sentence(difference)
    old, new = (templates.get(value, "another text") for value in (difference.old, difference.new))
    return f"{what}: the text of {new} changed" if old == new else f"{what}: {old} -> {new}"


async def _filters_in_force(store: Store, config: RunConfig, progress: Progress) -> tuple[int, FilterSettings]:
    """The filter set in force: the configuration's, unless `clairgen filter` has set another since it last changed."""
    configured = await store.metadata.get(CONFIGURED_FILTERS)
    in_force = await store.filter_sets.in_force()
    unchanged = configured is not None and FilterSettings.from_record(configured) == config.filters
    if in_force is not None and unchanged and await store.metadata.get(TOKENIZER) == config.tokenizer:
        return in_force[0], FilterSettings.from_record(in_force[1])
    if in_force is not None and any("made" in counts for counts in (await store.pairs.statuses()).values()):
        tokenizer = await store.metadata.get(TOKENIZER)
        old = FilterSettings.from_record(configured or "{}").model_dump(mode="json")
        before = {"filters": old, "tokenizer": tokenizer}
        now = {"filters": config.filters.model_dump(mode="json"), "tokenizer": config.tokenizer}
        changed = "; ".join(map(sentence, differences(before, now)))
        progress.note(f"{changed} (all pairs are filtered again, without new requests)")
    filters = config.filters if in_force is None or not unchanged else FilterSettings.from_record(in_force[1])
    number = await refilter(store, filters, config.tokenizer)
    await store.metadata.put(TOKENIZER, config.tokenizer)
    await store.metadata.put(CONFIGURED_FILTERS, config.filters.model_dump_json())
    return number, filters


async def _note_harmless_changes(store: Store, config: RunConfig, progress: Progress) -> None:
    before = await store.metadata.configuration()
    now = config_yaml(config)
    if before is not None and before != now:
        recorded, _ = with_new_names(yaml.safe_load(before), "the run's configuration")
        # A key that the version which recorded it did not have is no change as long as it has its default.
        recorded["models"] = {name: _DEFAULTS_OF_A_ROLE | role for name, role in recorded.get("models", {}).items()}
        for difference in differences(recorded, yaml.safe_load(now)):
            if not may_change_requests(difference) and difference.path != ("budget_usd",):
                progress.note(f"{sentence(difference)} (no new requests)")
    await store.metadata.record_configuration(now)
