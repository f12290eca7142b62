"""Reports on the pairs of runs and on training runs. Optional packages are imported where they are needed."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from clairgen.api.reported_parts import reported_parts
from clairgen.errors import InputError, RunError
from clairgen.filters.pipeline import reason_to_skip
from clairgen.installed import require_page_extra, require_report_extra, require_trajectory_extra
from clairgen.metrics.contrast import DEFAULT_TOKENIZER
from clairgen.pipeline.import_pairs import ImportOptions, ImportSummary
from clairgen.pipeline.import_state import import_states
from clairgen.pipeline.source_runs import TRAJECTORIES, NamedRun, source_runs
from clairgen.reporting.recipe_report import ReportedPart, recipe_report
from clairgen.reporting.report import RecipeReport
from clairgen.store import Plan, RunDirectory, Store, summed_counts
from clairgen.store.metadata import TOKENIZER

if TYPE_CHECKING:
    from clairgen.reporting.html import pairs_page
    from clairgen.reporting.training.report import TrainingReport

_PAIRS_ON_A_PAGE = 500  # of a recipe: some 4 MB


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

    The shards in a folder are one run. In place of a run there may be pairs from elsewhere, as `import_pairs` takes them: they
    are imported as `source` says into a temporary run, or into the run `keep`, and `tell` is given what was understood, what
    importing came to, and what figures are without.

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
    reads_columns = by is None and not matched
    async with source_runs(runs, source or ImportOptions(), keep, tell=tell, stop=stop) as named_runs:
        for run in named_runs:
            _refuse_training(run.path)
            async with reported_parts(run.path, reads_columns=reads_columns, tell=tell) as (plans, parts):
                if by is not None:
                    await _require_column(parts[0].store, run.name, by)
                reports += await _run_report(
                    plans, parts, run, tokenizer, length_tokenizer, by, matched, None if html is None else samples
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


async def _run_report(
    plans: Mapping[str, Plan],
    parts: Sequence[ReportedPart],
    run: NamedRun,
    tokenizer: str | None,
    length_tokenizer: str | None,
    by: str | None,
    matched: bool,
    samples: "list[pairs_page.PairSample] | None",
) -> list[RecipeReport]:
    """The reports on the recipes of a run; a sample of their pairs is added to `samples`, if there are any."""
    if matched and len(plans) < 2:
        raise InputError(f"--matched compares the recipes of a run, and {run.name} has {len(plans)}; leave it out")
    only = await _matched(parts, list(plans)) if matched else None
    statuses = summed_counts([await part.store.pairs.statuses() for part in parts])
    reports = []
    for recipe, plan in plans.items():
        if samples is not None:
            samples.append(_pair_sample(run.name, recipe))
        report = await recipe_report(
            parts,
            run.name,
            recipe,
            tokenizer or await parts[0].store.metadata.get(TOKENIZER) or DEFAULT_TOKENIZER,
            statuses.get(recipe, {}),
            samples[-1].add if samples is not None else None,
            imported_from=plan.imported_from,
            revises=plan.revises,
            by=by if plan.imported_from is not None else None,
            only=only,
            length_tokenizer=length_tokenizer,
            sampled_tasks=_PAIRS_ON_A_PAGE,
        )
        if samples is not None:
            samples[-1].seen = report.n
        reports.append(replace(report, keep_with=run.keep_with))
    return reports


async def _matched(parts: Sequence[ReportedPart], recipes: Sequence[str]) -> set[str]:
    """Ids of the tasks of which every recipe has a pair that is kept."""
    kept = [
        {
            stored.task.id
            for part in parts
            async for stored in part.store.pairs.made(recipe)
            if reason_to_skip(stored) is None
        }
        for recipe in recipes
    ]
    return set.intersection(*kept)


def _pair_sample(run: str, recipe: str) -> "pairs_page.PairSample":
    from clairgen.reporting.html.pairs_page import PairSample

    return PairSample(run, recipe, _PAIRS_ON_A_PAGE)


async def _require_column(store: Store, run: str, column: str) -> None:
    """Raise InputError unless imported pairs of a run have a further column of this name."""
    columns = dict.fromkeys(name for state in (await import_states(store)).values() for name in state.kinds)
    if column not in columns:
        has = f"they have {', '.join(columns)}" if columns else "it has no imported pairs with further columns"
        raise InputError(f"no imported pair of {run} has the column {column!r}; {has}")


def _refuse_training(out: Path) -> None:
    """Raise RunError for the output folder of a training run, which is not a run of pairs."""
    if (out / TRAJECTORIES).is_file() and not RunDirectory(out).database.exists():
        raise RunError(
            f"{out} is not a run of pairs but a training run's output; run: clairgen report --training {out}"
        )
