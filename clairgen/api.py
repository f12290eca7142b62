"""What can be done with a run, one function each: report on it, export it, look at a pair, vote on it, see where it stands.

All of them but `cast_vote` read, also while the run goes on, and write nothing into it. Optional packages are imported where
they are needed.
"""

import asyncio
import random
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from clairgen.config.prices import PICODOLLARS
from clairgen.errors import ConfigError, InputError, RunError
from clairgen.exporting.balanced_lengths import balanced_lengths
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
from clairgen.pipeline.import_pairs import ImportOptions, ImportSummary
from clairgen.pipeline.import_state import ImportState, import_states, merged_kinds
from clairgen.pipeline.ingest import IngestState, ingest_state
from clairgen.pipeline.refilter import TOKENIZER, require_coverage
from clairgen.pipeline.run_log import LastSession, last_session
from clairgen.pipeline.source_runs import TRAJECTORIES, NamedRun, source_runs
from clairgen.records import Pair, StoredPair
from clairgen.reporting.pair_metrics import ContrastEstimates, ContrastMeans, contrast_under
from clairgen.reporting.report import RecipeReport, recipe_report
from clairgen.store import (
    AdviceNumbers,
    CastVote,
    EvaluationNumbers,
    JudgeReply,
    PairChoice,
    RoleNumbers,
    RunDirectory,
    ScoreReply,
    Spent,
    Store,
    Thoughts,
    Vote,
    note_fault,
    reading,
    voter_fault,
    writing,
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

    `imports` has how far pairs were imported, by the name that they have in place of a recipe; `evaluations` how far each
    evaluation in the directory is.
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
    evaluations: list[EvaluationNumbers]

    def __repr__(self) -> str:
        return one_line_repr(self, self.run, counted(self.tasks, "task"), *pairs_in_words(self.statuses, self.dropped))

    def to_json(self) -> dict[str, object]:
        """The stable object of `status --json`."""
        roles = {role.role: asdict(role) for role in self.roles}
        return {
            "run": str(self.run),
            "run_id": self.run_id,
            "tasks": self.tasks,
            "duplicates": self.source.duplicates if self.source else 0,
            "bad_rows": self.source.bad_rows if self.source else 0,
            "doubtful_rows": self.source.doubts if self.source else 0,
            "imports": {name: asdict(state) for name, state in self.imports.items()},
            "evaluations": [asdict(one) for one in self.evaluations],
            "pairs": self.statuses,
            "dropped": self.dropped,
            "failures": [
                {"recipe": recipe, "reason": reason, "count": count, "detail": detail}
                for recipe, reason, count, detail in self.failures
            ],
            "roles": {
                name: {key: value for key, value in role.items() if key != "role"} for name, role in roles.items()
            },
            "spent_usd": self.spent.total / PICODOLLARS,
            "unsettled_usd": self.spent.unsettled / PICODOLLARS,
            "unsettled_calls": self.spent.open_calls,
            "filters": self.filters.model_dump(mode="json") if self.filters else None,
        }


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
            await store.evaluations.numbers(),
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
    *runs: Path | str,
    tokenizer: str | None = None,
    html: Path | str | None = None,
    by: str | None = None,
    length_tokenizer: str | None = None,
    matched: bool = False,
    source: ImportOptions | None = None,
    keep: Path | str | None = None,
    tell: Callable[[ImportSummary | str], None] = lambda _: None,
    stop: asyncio.Event | None = None,
) -> list[RecipeReport]:
    """Contrast, drops and audit of every recipe of `runs`; with each run's own tokenizer if none is named.

    In place of a run there may be pairs from elsewhere, as `import_pairs` takes them: they are imported as `source` says into a
    temporary run, or into the run `keep`, and `tell` is given what was understood and what importing came to.

    `by` names a column of the source of imported pairs, by whose values they are also reported. `matched` counts only the tasks
    of which every recipe of a run has a pair that is kept, so that recipes can be compared. `length_tokenizer` names the
    tokenizer in whose tokens lengths are counted (a folder, a tokenizer.json, or owner/name on the hub); left out, in
    characters. `html` names a file to write the same into as a page, with a sample of the pairs. Raises MissingExtraError if
    that needs packages that are not installed, InputError for a column that no imported pair has, for `matched` with a run of
    one recipe, and for a source that is not understood, ConfigError for a tokenizer that cannot be read.
    """
    if html is not None:
        require_report_extra()
    reports: list[RecipeReport] = []
    samples: list[pairs_page.PairSample] = []
    async with source_runs(runs, source or ImportOptions(), keep, tell=tell, stop=stop) as named_runs:
        for run in named_runs:
            _refuse_training(run.path)
            async with reading(RunDirectory(run.path), snapshot=True) as store:
                if by is not None:
                    await _require_column(store, run.name, by)
                reports += await _run_report(
                    store, run, tokenizer, length_tokenizer, by, matched, None if html is None else samples
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
    balance_lengths: bool = False,
    length_tokenizer: str | None = None,
    thinking: Thinking | None = None,
    thinking_field: ThinkingField = ThinkingField.REASONING_CONTENT,
    source: str | None = None,
) -> ExportSummary:
    """Write the pairs that pass the filters in force as a Hugging Face data set, one subset a recipe.

    `recipes` names those to export, all if empty. `matched` keeps the tasks whose pairs pass in all of them, so that recipes
    can be compared on the same tasks. `keep_identical` exports the pairs of recipes that revise in which the reviser changed
    nothing, unless another filter drops them, and marks them in a column. `balance_lengths` leaves pairs out, so that the length
    of an answer does not tell whether it is chosen (see `length_balance`), in characters or in the tokens of `length_tokenizer`
    (a folder, a tokenizer.json, or owner/name on the hub). `thinking` says whether answers have their thoughts beside them, in
    the field `thinking_field`; left out, the run's configuration does. `source` is what the card's examples load.
    Raises RunError for a run with pairs that its filters were not applied to, InputError for a recipe that the run does not have
    and for `keep_identical` where no recipe revises, ConfigError for options that do not go together.
    """
    _require_balance_alone(export_format, matched=matched, balance=balance_lengths, tokenizer=length_tokenizer)
    directory = RunDirectory(Path(run))
    async with reading(directory, snapshot=True) as store:
        plans = await store.metadata.plans()
        _require_recipes(run, plans, recipes)
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
            votes=await _votes_in_words(store),
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
            balanced = (
                {
                    recipe: await balanced_lengths(
                        store,
                        recipe,
                        length_tokenizer,
                        keep_identical=recipe in (confirming or ()),
                        one_sided=not keeps_thoughts,
                    )
                    for recipe in chosen
                }
                if balance_lengths
                else None
            )
            for recipe in chosen:
                left_out = balanced[recipe].left_out if balanced is not None else {}
                async for stored in store.pairs.made(recipe):
                    thoughts = await thoughts_of_pair(store, stored.outcome) if keeps_thoughts else NO_THOUGHTS
                    is_wanted = wanted is None or stored.task.id in wanted
                    written = writer.add(with_score_columns(stored), is_wanted, thoughts, left_out.get(stored.id))
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
                balanced,
            )


def _require_balance_alone(export_format: ExportFormat, *, matched: bool, balance: bool, tokenizer: str | None) -> None:
    """Raise ConfigError for a selection by length that is not one, or has no meaning beside the other options."""
    if tokenizer is not None and not balance:
        raise ConfigError("length_tokenizer is for balance_lengths (--balance-lengths); give both or neither")
    if balance and matched:
        raise ConfigError(
            "balance_lengths leaves other tasks out in each recipe, and matched keeps the same tasks in all of them; use one of "
            "them (--balance-lengths or --matched)"
        )
    if balance and export_format is ExportFormat.SFT:
        raise ConfigError(
            "an export for SFT has chosen answers alone, whose length is compared with nothing; leave balance_lengths "
            "(--balance-lengths) out"
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
        count = await store.chosen.count(choice)
        if not count and choice.dropped is not None:
            reasons = sorted({reason for counts in (await store.pairs.dropped()).values() for reason in counts})
            raise InputError(
                f"no such pair of {run} is dropped for {choice.dropped!r}; reasons of this run: {', '.join(reasons) or 'none'}"
            )
        number = number or random.randint(1, max(count, 1))  # noqa: S311 - which pair a person looks at
        pair = await store.chosen.nth(choice, number)
        others = await store.pairs.of_task(pair.task.id, plans) - 1 if pair is not None else 0
        return ChosenPair(pair, number, count, others)


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


async def votes(run: Path | str, stored: StoredPair) -> list[CastVote]:
    """What people said of a pair with `clairgen vote`, the latest vote of each."""
    async with reading(RunDirectory(Path(run))) as store:
        return await store.votes.of_pair(stored.id)


@dataclass(frozen=True, slots=True)
class VoteCast:
    """A vote that was cast: on which pair, how many others have voted on it, and whether it says something new."""

    pair_id: str
    others: int
    is_new: bool


async def cast_vote(
    run: Path | str, start: str, vote: Vote, voter: str, note: str | None = None, *, version: str | None = None
) -> VoteCast:
    """Commit a person's vote on the one pair whose id begins with `start`; earlier votes are kept, the latest counts.

    `version` is that of the pair which the voter saw. Raises InputError for a name or a note that cannot be kept, and where there
    is no such pair or nothing to vote on, RunError while another process writes the run and for a pair of another version.
    """
    for what, fault in (("the voter", voter_fault(voter)), ("the note", note_fault(note))):
        if fault is not None:
            raise InputError(f"{what} {fault}")
    directory = RunDirectory(Path(run))
    directory.require()
    with directory.locked():
        async with writing(directory) as store:
            found = await store.pairs.find(start[:_LONGEST_ID]) if start else []
            if len(found) != 1:
                ids = ", ".join(f"{one.id} ({one.outcome.recipe})" for one in found[:5])
                raise InputError(
                    f"{run} has {counted(len(found), 'made pair')} of {start[:100]!r}"
                    + (f"; name one by its id: {ids}" if found else f"; see: clairgen show {run}")
                )
            if not isinstance(found[0].outcome, Pair):
                raise InputError(f"pair {found[0].id} has no chosen answer, so there is nothing to vote on")
            if version not in (None, found[0].version):
                raise RunError(f"pair {found[0].id} has other answers by now than those that you saw: look at it again")
            voter = voter.strip()
            is_new = await store.votes.cast(found[0].id, voter, vote, note)
            others = sum(one.voter != voter for one in await store.votes.of_pair(found[0].id))
            return VoteCast(found[0].id, others, is_new)


async def filters_in_force(run: Path | str) -> FilterSettings | None:
    """The filters that the pairs of a run were last filtered by; None before the first."""
    async with reading(RunDirectory(Path(run))) as store:
        in_force = await store.filter_sets.in_force()
        return FilterSettings.from_record(in_force[1]) if in_force else None


async def recipes_of(run: Path | str, names: Sequence[str]) -> tuple[str, ...]:
    """`names`, if the run has a recipe (or imported pairs) of each; InputError otherwise."""
    async with reading(RunDirectory(Path(run))) as store:
        plans = await store.metadata.plans()
    _require_recipes(run, plans, names)
    return tuple(dict.fromkeys(names))


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


async def _run_report(
    store: Store,
    run: NamedRun,
    tokenizer: str | None,
    length_tokenizer: str | None,
    by: str | None,
    matched: bool,
    samples: "list[pairs_page.PairSample] | None",
) -> list[RecipeReport]:
    """The reports on the recipes of a run; a sample of their pairs is added to `samples`, if there are any."""
    statuses, plans = await store.pairs.statuses(), await store.metadata.plans()
    if matched and len(plans) < 2:
        raise InputError(f"--matched compares the recipes of a run, and {run.name} has {len(plans)}; leave it out")
    only = await _matched(store, list(plans), (), one_sided=True) if matched else None
    reports = []
    for recipe, plan in plans.items():
        if samples is not None:
            samples.append(_pair_sample(run.name, recipe))
        report = await recipe_report(
            store,
            run.name,
            recipe,
            tokenizer or await store.metadata.get(TOKENIZER) or DEFAULT_TOKENIZER,
            statuses.get(recipe, {}),
            samples[-1].add if samples is not None else None,
            imported_from=plan.imported_from,
            by=by if plan.imported_from is not None else None,
            only=only,
            length_tokenizer=length_tokenizer,
        )
        reports.append(replace(report, keep_with=run.keep_with))
    return reports


def _pair_sample(run: str, recipe: str) -> "pairs_page.PairSample":
    from clairgen.reporting.html.pairs_page import PairSample

    return PairSample(run, recipe, _PAIRS_ON_A_PAGE)


def _require_recipes(run: Path | str, plans: Collection[str], names: Sequence[str]) -> None:
    """Raise InputError for the name of a recipe that the run does not have."""
    for name in names:
        if name not in plans:
            raise InputError(f"the run {run} has no recipe {name!r}; it has {', '.join(plans) or 'none yet'}")


async def _further_columns(store: Store, recipes: Sequence[str]) -> dict[str, str]:
    """The columns that exported pairs have besides, with what they hold: those of imports, and scores."""
    states = await import_states(store)
    scored = [score_kinds(await store.scores.criteria(recipe)) for recipe in recipes]
    return merged_kinds([*(states[name].kinds for name in recipes if name in states), *scored])


async def _require_column(store: Store, run: str, column: str) -> None:
    """Raise InputError unless imported pairs of a run have a further column of this name."""
    columns = dict.fromkeys(name for state in (await import_states(store)).values() for name in state.kinds)
    if column not in columns:
        has = f"they have {', '.join(columns)}" if columns else "it has no imported pairs with further columns"
        raise InputError(f"no imported pair of {run} has the column {column!r}; {has}")


async def _votes_in_words(store: Store) -> dict[str, str] | None:
    """What most people said of each pair that has votes, by its id; None in a run without any."""
    majorities = await store.votes.majorities()
    return {pair: vote.value if vote is not None else "disputed" for pair, vote in majorities.items()} or None


def _refuse_training(out: Path) -> None:
    """Raise RunError for the output folder of a training run, which is not a run of pairs."""
    if (out / TRAJECTORIES).is_file() and not RunDirectory(out).database.exists():
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
