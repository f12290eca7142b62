"""What can be done with a run, one function each: report on it, export it, look at a pair, see where it stands.

All of them read, also while the run goes on, and write nothing into it. Optional packages are imported where they are needed.
"""

import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from clairgen.errors import InputError, RunError
from clairgen.exporting.columns import ExportFormat, ExportSummary
from clairgen.exporting.dataset import DatasetWriter
from clairgen.exporting.dataset_card import AdviceRow, CardFacts, ContrastRow
from clairgen.exporting.score_columns import score_kinds, with_score_columns
from clairgen.exporting.thoughts import NO_THOUGHTS, Thinking, ThinkingField, thoughts_of_pair
from clairgen.filters.filter_settings import FilterSettings
from clairgen.filters.pipeline import reason_to_skip
from clairgen.installed import require_page_extra, require_report_extra, require_trajectory_extra
from clairgen.metrics.contrast import DEFAULT_TOKENIZER
from clairgen.pipeline.generate import pairs_in_words
from clairgen.pipeline.import_pairs import ImportState, import_states, merged_kinds
from clairgen.pipeline.ingest import IngestState, ingest_state
from clairgen.pipeline.refilter import TOKENIZER, require_coverage
from clairgen.pipeline.run_log import LastSession, last_session
from clairgen.records import StoredPair
from clairgen.reporting.pair_metrics import ContrastEstimates, ContrastMeans, contrast_under
from clairgen.reporting.report import RecipeReport, recipe_report
from clairgen.store import (
    AdviceNumbers,
    JudgeReply,
    PairChoice,
    RoleNumbers,
    RunDirectory,
    ScoreReply,
    Spent,
    Store,
    Thoughts,
    reading,
)
from clairgen.wording import counted, one_line_repr

if TYPE_CHECKING:
    from clairgen.reporting.html import pairs_page
    from clairgen.reporting.training.report import TrainingReport

_PAIRS_ON_A_PAGE = 500  # of a recipe: some 4 MB
_LONGEST_ID = 10_000  # beyond that SQLite refuses the pattern


@dataclass(frozen=True, slots=True)
class Status:
    """Where a run stands: pairs by recipe and status, drops and failures by reason, what each role has answered.

    `imports` has how far pairs were imported, by the name that they have in place of a recipe.
    """

    run: Path
    run_id: str | None
    tasks: int
    source: IngestState | None
    statuses: dict[str, dict[str, int]]
    dropped: dict[str, dict[str, int]]
    failures: list[tuple[str, str, int, str]]
    roles: list[RoleNumbers]
    spent: Spent
    filters: FilterSettings | None
    imports: dict[str, ImportState]

    def __repr__(self) -> str:
        return one_line_repr(self, self.run, counted(self.tasks, "task"), *pairs_in_words(self.statuses, self.dropped))


async def status(run: Path | str) -> Status:
    """Where a run stands now."""
    directory = RunDirectory(Path(run))
    async with reading(directory, snapshot=True) as store:
        in_force = await store.filter_sets.in_force()
        return Status(
            directory.path,
            await store.metadata.get("run_id"),
            await store.tasks.count(),
            await ingest_state(store),
            await store.pairs.statuses(),
            await store.pairs.dropped(),
            await store.pairs.failures(),
            await store.completions.numbers(),
            await store.spending.total(),
            FilterSettings.from_record(in_force[1]) if in_force else None,
            await import_states(store),
        )


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A run at a glance: what is cheap to read repeatedly. `session` is what its log says of the last session."""

    run: Path
    statuses: dict[str, dict[str, int]]
    spent: Spent
    session: LastSession | None

    @property
    def running(self) -> bool:
        """Whether a session is in progress."""
        return self.session is not None and self.session.running

    def __repr__(self) -> str:
        return one_line_repr(
            self, self.run, *pairs_in_words(self.statuses, {}), "running" if self.running else "not running"
        )


async def snapshot(run: Path | str) -> Snapshot:
    """Where a run stands now, from its indexes and its log alone."""
    directory = RunDirectory(Path(run))
    async with reading(directory, snapshot=True) as store:
        return Snapshot(
            directory.path,
            await store.pairs.statuses(),
            await store.spending.total(),
            last_session(directory.events),
        )


async def report(
    *runs: Path | str, tokenizer: str | None = None, html: Path | str | None = None, by: str | None = None
) -> list[RecipeReport]:
    """Contrast, drops and audit of every recipe of `runs`; with each run's own tokenizer if none is named.

    `by` names a column of the source of imported pairs, by whose values they are also reported. `html` names a file
    to write the same into as a page, with a sample of the pairs. Raises MissingExtraError if that needs packages that are not
    installed, InputError for a column that no imported pair has.
    """
    if html is not None:
        require_report_extra()
    reports: list[RecipeReport] = []
    samples: list[pairs_page.PairSample] = []
    for run in dict.fromkeys(map(Path, runs)):
        _refuse_training(run)
        async with reading(RunDirectory(run), snapshot=True) as store:
            named = tokenizer or await store.metadata.get(TOKENIZER) or DEFAULT_TOKENIZER
            statuses = await store.pairs.statuses()
            plans = await store.metadata.plans()
            if by is not None:
                await _require_column(store, run, by)
            for recipe, plan in plans.items():
                if html is not None:
                    samples.append(_pair_sample(str(run), recipe))
                also = samples[-1].add if samples else None
                source, grouped = plan.imported_from, by if plan.imported_from is not None else None
                counts = statuses.get(recipe, {})
                reports.append(
                    await recipe_report(store, str(run), recipe, named, counts, also, imported_from=source, by=grouped)
                )
    if html is not None:
        from clairgen.reporting.html.pairs_page import write_page

        write_page(Path(html), reports, samples)
    return reports


def report_training(*outs: Path | str, html: Path | str | None = None) -> "list[TrainingReport]":
    """Trajectories of held-out pairs, and what is wrong with them, of the training runs in these output folders.

    `html` names a file to write the same into as a page. Raises InputError for a folder without a trajectory, MissingExtraError
    if packages that this needs are not installed.
    """
    require_trajectory_extra()
    if html is not None:
        require_page_extra()
    from clairgen.reporting.training.report import TrainingReport
    from clairgen.reporting.training.trajectory_files import read_trajectory

    reports = [TrainingReport(read_trajectory(Path(out))) for out in outs]
    if html is not None:
        from clairgen.reporting.training.page import write_training_page

        write_training_page(Path(html), reports)
    return reports


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
    thinking: Thinking | None = None,
    thinking_field: ThinkingField = ThinkingField.REASONING_CONTENT,
    source: str | None = None,
) -> ExportSummary:
    """Write the pairs that pass the filters in force as a Hugging Face data set, one subset a recipe.

    `recipes` names those to export, all if empty. `matched` keeps the tasks whose pairs pass in all of them, so that recipes
    can be compared on the same tasks. `keep_identical` exports the pairs of recipes that revise in which the reviser changed
    nothing, unless another filter drops them, and marks them in a column. `thinking` says whether answers have their thoughts
    beside them, in the field `thinking_field`; left out, the run's configuration does. `source` is what the card's examples load.
    Raises RunError for a run with pairs that its filters were not applied to, InputError for a recipe that the run does not have
    and for `keep_identical` where no recipe revises.
    """
    directory = RunDirectory(Path(run))
    async with reading(directory, snapshot=True) as store:
        plans = await store.metadata.plans()
        for recipe in recipes:
            if recipe not in plans:
                raise InputError(f"the run {run} has no recipe {recipe!r}; it has {', '.join(plans) or 'none yet'}")
        chosen = list(recipes) or list(plans)
        confirming = {recipe for recipe in chosen if plans[recipe].revises} if keep_identical else None
        if confirming is not None and not confirming:
            raise InputError(
                f"no reviser confirmed an answer in {run}: none of its recipes ({', '.join(chosen) or 'none yet'}) revises; "
                "leave --keep-identical out (in Python, keep_identical)"
            )
        await require_coverage(store, directory)
        advice = [entry for entry in await store.advice.numbers() if entry.recipe in chosen]
        config = yaml.safe_load(await store.metadata.configuration() or "{}")
        keeps_thoughts = (thinking or config.get("thinking")) == Thinking.KEEP
        with DatasetWriter(
            Path(out),
            export_format,
            test_fraction,
            seed,
            overwrite=overwrite,
            advised=bool(advice),
            confirming=confirming,
            thinking=thinking_field if keeps_thoughts else None,
            source_columns=await _further_columns(store, chosen),
        ) as writer:
            tokenizer = await store.metadata.get(TOKENIZER) or DEFAULT_TOKENIZER
            means = {recipe: ContrastMeans() for recipe in chosen}
            wanted = (
                await _matched(
                    store, chosen, confirming or (), one_sided=not keeps_thoughts or export_format is ExportFormat.SFT
                )
                if matched
                else None
            )
            for recipe in chosen:
                async for stored in store.pairs.made(recipe):
                    thoughts = await thoughts_of_pair(store, stored.outcome) if keeps_thoughts else NO_THOUGHTS
                    written = writer.add(
                        with_score_columns(stored), wanted is None or stored.task.id in wanted, thoughts
                    )
                    if written and reason_to_skip(stored) is None and (contrast := contrast_under(tokenizer, stored)):
                        means[recipe].add(contrast)
            rows = [_contrast_row(recipe, of.estimates(), tokenizer) for recipe, of in means.items()]
            statuses = await store.pairs.statuses()
            pending = {recipe: statuses.get(recipe, {}).get("pending", 0) for recipe in chosen}
            read = await ingest_state(store)
            return writer.finish(
                await _card_facts(store, rows, advice, source or "path/to/this/folder"),
                pending,
                None if read is None or read.complete else read.rows,
            )


async def find_pairs(run: Path | str, start: str | None = None, recipe: str | None = None) -> list[StoredPair]:
    """Made pairs whose id begins with `start` or whose task has that id; without `start` the first pair, of `recipe` if named."""
    directory = RunDirectory(Path(run))
    async with reading(directory, snapshot=True) as store:
        if start is not None:
            return [
                stored
                for stored in await store.pairs.find(start[:_LONGEST_ID])
                if recipe in (None, stored.outcome.recipe)
            ]
        for name in await store.metadata.plans() if recipe is None else [recipe]:
            async for stored in store.pairs.made(name):
                return [stored]
    return []


@dataclass(frozen=True, slots=True)
class ChosenPair:
    """A pair among `count` that were chosen, `number` of them, and how many more pairs its task has; `pair` is None for none."""

    pair: StoredPair | None
    number: int
    count: int
    others_of_task: int = 0

    def __repr__(self) -> str:
        return one_line_repr(self, "none" if self.pair is None else self.pair.id, f"{self.number:,} of {self.count:,}")


async def choose_pair(run: Path | str, choice: PairChoice, number: int | None = None) -> ChosenPair:
    """The pair of this number (from 1) among the chosen ones, a random one without a number.

    Raises InputError for a recipe that the run does not have and a reason by which it drops no pair.
    """
    async with reading(RunDirectory(Path(run))) as store:
        plans = list(await store.metadata.plans())
        if choice.recipe is not None and choice.recipe not in plans:
            raise InputError(
                f"{run} has no pair that was made by {choice.recipe}; its recipes are {', '.join(plans) or 'none yet'}"
            )
        count = await store.pairs.count(choice)
        if not count and choice.dropped is not None:
            reasons = sorted({reason for counts in (await store.pairs.dropped()).values() for reason in counts})
            raise InputError(
                f"no such pair of {run} is dropped for {choice.dropped!r}; reasons of this run: {', '.join(reasons) or 'none'}"
            )
        number = number or random.randint(1, max(count, 1))  # noqa: S311 - which pair a person looks at
        pair = await store.pairs.nth(choice, number)
        others = await store.pairs.of_task(pair.task.id, plans) - 1 if pair is not None else 0
        return ChosenPair(pair, number, count, others)


async def recipe_behind(run: Path | str, name: str) -> str:
    """The recipe that a run has under this name, which is another one where its configuration says `as`."""
    async with reading(RunDirectory(Path(run))) as store:
        plan = (await store.metadata.plans()).get(name)
    return name if plan is None else str(plan.facts.get(f"recipes.{name}", name))


async def judge_replies(run: Path | str, stored: StoredPair) -> list[JudgeReply]:
    """What judges wrote about the answers to a pair's task in its recipe; empty where none was asked."""
    async with reading(RunDirectory(Path(run))) as store:
        return await store.judgements.replies(stored.task.id, stored.outcome.recipe)


async def score_replies(run: Path | str, stored: StoredPair) -> list[ScoreReply]:
    """What scorers wrote about the answers to a pair's task in its recipe; empty where none was asked for a text."""
    async with reading(RunDirectory(Path(run))) as store:
        return await store.scores.replies(stored.id)


async def thoughts(run: Path | str, stored: StoredPair) -> list[Thoughts]:
    """What the models thought that a pair is from: those that answered, the reviser, the judges; empty where none did."""
    async with reading(RunDirectory(Path(run))) as store:
        found = [await store.completions.thoughts(key) for key in await store.pairs.request_keys(stored.id)]
    return [one for one in found if one is not None and one.text]


async def filters_in_force(run: Path | str) -> FilterSettings | None:
    """The filters that the pairs of a run were last filtered by; None before the first."""
    async with reading(RunDirectory(Path(run))) as store:
        in_force = await store.filter_sets.in_force()
        return FilterSettings.from_record(in_force[1]) if in_force else None


@dataclass(frozen=True, slots=True)
class FilterCounts:
    """Pairs by recipe: how many have which status, and how many the filters in force drop and mark for which reason."""

    statuses: dict[str, dict[str, int]]
    dropped: dict[str, dict[str, int]]
    marked: dict[str, dict[str, int]]


async def filtered(run: Path | str) -> FilterCounts:
    """What the filters in force find in the pairs of a run."""
    async with reading(RunDirectory(Path(run)), snapshot=True) as store:
        pairs = store.pairs
        return FilterCounts(await pairs.statuses(), await pairs.dropped(), await pairs.marked())


async def made_pairs(run: Path | str, recipe: str) -> list[StoredPair]:
    """All made pairs of a recipe as a list in memory; for small runs."""
    async with reading(RunDirectory(Path(run)), snapshot=True) as store:
        return [stored async for stored in store.pairs.made(recipe)]


def _pair_sample(run: str, recipe: str) -> "pairs_page.PairSample":
    from clairgen.reporting.html.pairs_page import PairSample

    return PairSample(run, recipe, _PAIRS_ON_A_PAGE)


async def _further_columns(store: Store, recipes: Sequence[str]) -> dict[str, str]:
    """The columns that exported pairs have besides, with what they hold: those of imports, and scores."""
    states = await import_states(store)
    scored = [score_kinds(await store.scores.criteria(recipe)) for recipe in recipes]
    return merged_kinds([*(states[name].kinds for name in recipes if name in states), *scored])


async def _require_column(store: Store, run: Path, column: str) -> None:
    """Raise InputError unless imported pairs of a run have a further column of this name."""
    columns = dict.fromkeys(name for state in (await import_states(store)).values() for name in state.kinds)
    if column not in columns:
        has = f"they have {', '.join(columns)}" if columns else "it has no imported pairs with further columns"
        raise InputError(f"no imported pair of {run} has the column {column!r}; {has}")


def _refuse_training(out: Path) -> None:
    """Raise RunError for the output folder of a training run, which is not a run of pairs."""
    if (out / "trajectories.parquet").is_file() and not RunDirectory(out).database.exists():
        raise RunError(
            f"{out} is not a run of pairs but a training run's output; run: clairgen report --training {out}"
        )


async def _matched(store: Store, recipes: Sequence[str], confirming: Collection[str], *, one_sided: bool) -> set[str]:
    """Ids of the tasks whose pairs are exported for every recipe; `confirming` names those whose equal answers are kept.

    `one_sided` is whether pairs with thoughts on one side count.
    """
    matched: set[str] | None = None
    for recipe in recipes:
        keep_identical = recipe in confirming
        passing = {
            stored.task.id
            async for stored in store.pairs.made(recipe)
            if reason_to_skip(stored, keep_identical=keep_identical) is None
            and (one_sided or not (await thoughts_of_pair(store, stored.outcome)).is_one_sided)
        }
        matched = passing if matched is None else matched & passing
    return matched or set()


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
