"""The pairs of a run as a data set: what is written, and what its card says of it."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import NamedTuple

import yaml

from clairgen.api.run_pairs import require_recipes
from clairgen.errors import ConfigError, InputError
from clairgen.exporting.balanced_lengths import BalancedLengths, balanced_lengths
from clairgen.exporting.columns import REVISIONS_FILE, VOTES_FILE, ExportFormat, ExportSummary
from clairgen.exporting.dataset import DatasetWriter
from clairgen.exporting.dataset_card import AdviceRow, CardFacts, ContrastRow
from clairgen.exporting.reference_answers import ReferenceAnswer, References, find_references
from clairgen.exporting.score_columns import score_kinds, with_recorded_scores, with_score_columns
from clairgen.exporting.shards import FileFormat
from clairgen.exporting.thoughts import NO_THOUGHTS, PairThoughts, Thinking, ThinkingField, thoughts_of_pair
from clairgen.filters.filter_settings import FilterSettings
from clairgen.filters.pipeline import reason_to_skip
from clairgen.metrics.contrast import DEFAULT_TOKENIZER
from clairgen.pipeline.import_state import import_states, merged_kinds
from clairgen.pipeline.ingest import ingest_state
from clairgen.pipeline.refilter import require_coverage
from clairgen.records import OVERALL, StoredPair
from clairgen.reporting.pair_metrics import ContrastEstimates, ContrastMeans, contrast_under
from clairgen.store import (
    HUMAN_REVISION,
    REVISION_KINDS,
    AdviceNumbers,
    Plan,
    RunDirectory,
    Store,
    reading,
    reading_shards,
    runs_inside,
)
from clairgen.store.metadata import TOKENIZER
from clairgen.task_shard import TaskShard


async def export(
    run: Path | str,
    out: Path | str,
    *,
    export_format: ExportFormat = ExportFormat.PREFERENCE,
    recipes: Sequence[str] = (),
    test_fraction: float = 0.0,
    seed: int = 0,
    overwrite: bool = False,
    matched: bool = False,
    keep_identical: bool = False,
    balance_lengths: bool = False,
    length_tokenizer: str | None = None,
    thinking: Thinking | None = None,
    thinking_field: ThinkingField = ThinkingField.REASONING_CONTENT,
    reference: str | None = None,
    file_format: FileFormat = FileFormat.PARQUET,
    source: str | None = None,
    votes: bool = False,
) -> ExportSummary:
    """Write the pairs that pass the filters in force as a Hugging Face data set, one subset a recipe.

    `run` may be a folder of shards, whose pairs are exported as those of the merged run would be.
    `recipes` names those to export, all if empty. `matched` keeps the tasks whose pairs pass in all of them, so that recipes
    can be compared on the same tasks. `keep_identical` exports the pairs of recipes that revise in which the reviser changed
    nothing, unless another filter drops them, and marks them in a column. `balance_lengths` leaves pairs out, so that the length
    of an answer does not tell whether it is chosen (see `length_balance`), in characters or in the tokens of `length_tokenizer`
    (a folder, a tokenizer.json, or owner/name on the hub). `thinking` says whether answers have their thoughts beside them, in
    the field `thinking_field`; left out, the run's configuration does. `reference` says where the format `tpo` has its reference
    answers from: a recipe of the run, `recorded`, or a further column. `source` is what the card's examples load. `votes` adds
    the files `votes.jsonl` and `revisions.jsonl` with what people said of the exported pairs and edited, with their names.
    Raises RunError for a run with pairs that its filters were not applied to, InputError for a recipe that the run does not have
    and for a format that none of the recipes can fill, ConfigError for options that do not go together.
    """
    export_format, file_format = ExportFormat(export_format), FileFormat(file_format)
    _require_balance_alone(export_format, matched=matched, balance=balance_lengths, tokenizer=length_tokenizer)
    async with _opened(Path(run)) as (store, missing):
        plans = await _chosen_plans(store, recipes, run)
        confirming = _confirming(plans, export_format, run) if keep_identical else None
        _require_fitting(plans, export_format, thinking, reference, run)
        advice = [entry for entry in await store.advice.numbers() if entry.recipe in plans]
        config = yaml.safe_load(await store.metadata.configuration() or "{}")
        keeps_thoughts = (thinking or config.get("thinking")) == Thinking.KEEP and export_format.has_answer_messages
        kinds = await _further_columns(store, plans)
        pairs = _ExportedPairs(store, plans, keeps_thoughts)
        if export_format is ExportFormat.TPO:
            pairs = replace(pairs, references=find_references(reference, await store.metadata.plans(), kinds))
        with DatasetWriter(
            Path(out),
            export_format,
            test_fraction,
            seed,
            overwrite=overwrite,
            advised=bool(advice),
            confirming=confirming,
            thinking=thinking_field if keeps_thoughts else None,
            votes=await _votes_in_words(store),
            source_columns=kinds,
            revising=_revising(plans),
            references=pairs.references,
            file_format=file_format,
        ) as writer:
            tokenizer = await store.metadata.get(TOKENIZER) or DEFAULT_TOKENIZER
            balanced = await _balanced(pairs, writer, length_tokenizer) if balance_lengths else None
            means = await _write(pairs, writer, tokenizer, balanced, matched=matched)
            rows = [_contrast_row(recipe, of.estimates(), tokenizer) for recipe, of in means.items()]
            statuses = await store.pairs.statuses()
            read = await ingest_state(store)
            if votes:
                await _write_people(store, writer, plans)
            return writer.finish(
                await _card_facts(store, rows, advice, source or "path/to/this/folder"),
                {recipe: statuses.get(recipe, {}).get("pending", 0) for recipe in plans},
                None if read is None or read.complete else read.rows,
                balanced,
                tuple(map(str, missing)),
            )


@asynccontextmanager
async def _opened(run: Path) -> AsyncIterator[tuple[Store, Sequence[TaskShard]]]:
    """The store of a run, or of all shards in a folder, to whose pairs the filters were applied; and which shards are missing."""
    if not runs_inside(run):
        async with reading(RunDirectory(run), snapshot=True) as store:
            await require_coverage(store, RunDirectory(run))
            yield store, ()
        return
    async with reading_shards(run) as found:
        for path, store in found.shards.items():
            await require_coverage(store, RunDirectory(path), of_shard=True)
        yield found.together, found.missing


async def _write_people(store: Store, writer: DatasetWriter, plans: Mapping[str, Plan]) -> None:
    """Write what people said of the pairs of some recipes, and what they edited, as files of the data set."""
    writer.add_lines(VOTES_FILE, map(asdict, await store.votes.all(list(plans))))
    writer.add_lines(REVISIONS_FILE, map(asdict, await store.revisions.all() if HUMAN_REVISION in plans else ()))


class _ExportedPair(NamedTuple):
    stored: StoredPair
    thoughts: PairThoughts
    reference: ReferenceAnswer | None


@dataclass(frozen=True, slots=True)
class _ExportedPairs:
    """The pairs of the chosen recipes with what an export has of them besides."""

    store: Store
    plans: Mapping[str, Plan]
    keeps_thoughts: bool
    references: References | None = None

    async def of_recipe(self, recipe: str, lost_by: Sequence[str]) -> AsyncIterator[_ExportedPair]:
        """The pairs of a recipe that are kept, and those that are lost for one of the reasons `lost_by`."""
        compares_recorded = _compares_recorded(self.plans[recipe])
        async for stored in self.store.pairs.made(recipe, lost_by):
            thoughts = await thoughts_of_pair(self.store, stored.outcome) if self.keeps_thoughts else NO_THOUGHTS
            reference = await self.references.of_pair(self.store, stored) if self.references is not None else None
            scored = with_score_columns(stored)
            if compares_recorded and scored is stored:
                scored = await with_recorded_scores(self.store, stored)
            yield _ExportedPair(
                scored,
                thoughts,
                # Thoughts stand before all answers of an export or before none.
                reference if self.keeps_thoughts or reference is None else replace(reference, thoughts=""),
            )


async def _balanced(pairs: _ExportedPairs, writer: DatasetWriter, tokenizer: str | None) -> dict[str, BalancedLengths]:
    """The selection by length among the pairs that can be written, by recipe."""

    async def writable(recipe: str) -> AsyncIterator[StoredPair]:
        async for one in pairs.of_recipe(recipe, writer.reasons_to_read(recipe)):
            if writer.reason_to_skip(*one) is None:
                yield one.stored

    return {recipe: await balanced_lengths(writable(recipe), tokenizer) for recipe in pairs.plans}


async def _write(
    pairs: _ExportedPairs,
    writer: DatasetWriter,
    tokenizer: str,
    balanced: Mapping[str, BalancedLengths] | None,
    *,
    matched: bool,
) -> dict[str, ContrastMeans]:
    """Write all pairs, and return the contrasts of those whose answers differ, by recipe."""
    means = {recipe: ContrastMeans() for recipe in pairs.plans}
    wanted = await _matched(pairs, writer) if matched else None
    for recipe in pairs.plans:
        left_out = balanced[recipe].left_out if balanced is not None else {}
        lost_by = writer.reasons_to_read(recipe)
        writer.skip(await pairs.store.pairs.left_out(recipe, lost_by))
        async for stored, thoughts, reference in pairs.of_recipe(recipe, lost_by):
            is_wanted = wanted is None or stored.task.id in wanted
            written = writer.add(stored, is_wanted, thoughts, left_out.get(stored.id), reference)
            if written and reason_to_skip(stored) is None and (contrast := contrast_under(tokenizer, stored)):
                means[recipe].add(contrast)
    return means


async def _matched(pairs: _ExportedPairs, writer: DatasetWriter) -> set[str]:
    """Ids of the tasks whose pairs can be written for every recipe."""
    matched: set[str] | None = None
    for recipe in pairs.plans:
        passing = {
            one.stored.task.id
            async for one in pairs.of_recipe(recipe, writer.reasons_to_read(recipe))
            if writer.reason_to_skip(*one) is None
        }
        matched = passing if matched is None else matched & passing
    return matched or set()


async def _chosen_plans(store: Store, recipes: Sequence[str], run: Path | str) -> dict[str, Plan]:
    plans = await store.metadata.plans()
    require_recipes(run, plans, recipes)
    return {recipe: plans[recipe] for recipe in (list(recipes) or list(plans))}


def _revising(plans: Mapping[str, Plan]) -> set[str]:
    return {recipe for recipe, plan in plans.items() if plan.revises}


def _confirming(plans: Mapping[str, Plan], export_format: ExportFormat, run: Path | str) -> set[str]:
    """The recipes whose confirmed answers are kept. Raises InputError where none revises, or for the format `sdpo`."""
    left_out = "leave --keep-identical out (in Python, keep_identical)"
    if export_format is ExportFormat.SDPO:
        raise InputError(
            f"the format sdpo has what was wrong with an answer, and confirmed ones were right; {left_out}"
        )
    if not (revising := _revising(plans)):
        raise InputError(
            f"no reviser confirmed an answer in {run}: none of its recipes ({', '.join(plans) or 'none yet'}) revises; {left_out}"
        )
    return revising


def _require_balance_alone(export_format: ExportFormat, *, matched: bool, balance: bool, tokenizer: str | None) -> None:
    """Raise ConfigError for a selection by length that is not one, or has no meaning beside the other options."""
    if tokenizer is not None and not balance:
        raise ConfigError("length_tokenizer is for balance_lengths (--balance-lengths); give both or neither")
    if balance and matched:
        raise ConfigError(
            "balance_lengths leaves other tasks out in each recipe, and matched keeps the same tasks in all of them; use one of "
            "them (--balance-lengths or --matched)"
        )
    if balance and not export_format.has_both_answers:
        raise ConfigError(
            f"an export for {export_format.upper()} has chosen answers alone or none, whose length is compared with nothing; "
            "leave balance_lengths (--balance-lengths) out"
        )


def _require_fitting(
    plans: Mapping[str, Plan],
    export_format: ExportFormat,
    thinking: Thinking | None,
    reference: str | None,
    run: Path | str,
) -> None:
    """Raise InputError for options that the format does not have, and for a format that none of the recipes can fill."""
    if thinking is Thinking.KEEP and not export_format.has_answer_messages:
        raise InputError(
            f"the format {export_format} has no messages of answers that could keep their thoughts; leave --thinking out"
        )
    if reference is not None and export_format is not ExportFormat.TPO:
        raise InputError("only the format tpo has reference answers; leave --reference out, or give --format tpo")
    if export_format is ExportFormat.SDPO and not _revising(plans):
        raise InputError(
            f"the format sdpo has a reviser's reasoning as feedback, and none of the recipes of {run} "
            f"({', '.join(plans) or 'none yet'}) revises; export sdft, which has the chosen answer as demonstration"
        )


async def _further_columns(store: Store, plans: Mapping[str, Plan]) -> dict[str, str]:
    """The columns that exported pairs have besides, with what they hold: those of imports, scores, and whose edits they are."""
    states = await import_states(store)
    revised = [REVISION_KINDS] if HUMAN_REVISION in plans and plans[HUMAN_REVISION].imported_from is None else []
    criteria = {recipe: await store.scores.criteria(recipe) for recipe in plans}
    scored = [
        score_kinds(criteria[name] or ([OVERALL] if _compares_recorded(plan) else [])) for name, plan in plans.items()
    ]
    return merged_kinds([*(states[name].kinds for name in plans if name in states), *scored, *revised])


async def _votes_in_words(store: Store) -> dict[str, str] | None:
    """What most people said of each pair that has votes, by its id; None in a run without any."""
    majorities = await store.votes.majorities()
    return {pair: vote.value if vote is not None else "disputed" for pair, vote in majorities.items()} or None


def _compares_recorded(plan: Plan) -> bool:
    """Whether a recipe chose between answers that the tasks' source has, perhaps with scores."""
    return plan.imported_from is None and "tasks" in plan.facts


async def _card_facts(
    store: Store, contrast: Sequence[ContrastRow], advice: Sequence[AdviceNumbers], source: str
) -> CardFacts:
    in_force = await store.filter_sets.in_force()
    plans = (await store.metadata.plans()).items()
    config = yaml.safe_load(await store.metadata.configuration() or "{}")
    return CardFacts(
        source=source,
        models={role: facts["model"] for role, facts in config.get("models", {}).items()},
        templates=dict(await store.metadata.templates()),
        filters=FilterSettings.from_record(in_force[1]).phrases if in_force else (),
        imported={name: plan.imported_from for name, plan in plans if plan.imported_from is not None},
        contrast=tuple(row for row in contrast if row.pairs),
        advice=tuple(AdviceRow(entry.recipe, entry.objective.value, entry.by, entry.pairs) for entry in advice),
    )


def _contrast_row(recipe: str, means: ContrastEstimates, tokenizer: str) -> ContrastRow:
    return ContrastRow(
        recipe,
        means.jaccard.n,
        means.jaccard.mean or 0.0,
        means.levenshtein.mean or 0.0,
        means.length_ratio.mean or 0.0,
        tokenizer,
    )
