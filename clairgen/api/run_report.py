"""Reports on the pairs of runs and on training runs. Optional packages are imported where they are needed."""

from pathlib import Path
from typing import TYPE_CHECKING

from clairgen.errors import InputError, RunError
from clairgen.installed import require_page_extra, require_report_extra, require_trajectory_extra
from clairgen.metrics.contrast import DEFAULT_TOKENIZER
from clairgen.pipeline.import_pairs import import_states
from clairgen.pipeline.refilter import TOKENIZER
from clairgen.reporting.report import RecipeReport, recipe_report
from clairgen.store import RunDirectory, Store, reading

if TYPE_CHECKING:
    from clairgen.reporting.html import pairs_page
    from clairgen.reporting.training.report import TrainingReport

_PAIRS_ON_A_PAGE = 500  # of a recipe: some 4 MB


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


def _pair_sample(run: str, recipe: str) -> "pairs_page.PairSample":
    from clairgen.reporting.html.pairs_page import PairSample

    return PairSample(run, recipe, _PAIRS_ON_A_PAGE)


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
