"""Several runs side by side: for each recipe lines with a cell for each run, for the terminal and the page alike."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from clairgen.reporting.pair_metrics import ContrastEstimates
from clairgen.reporting.report import RecipeReport
from clairgen.stats import Estimate
from clairgen.wording import counted

NONE = "–"
Row = Sequence[RecipeReport | None]
"""One recipe's reports, one for each run; None where a run does not have the recipe."""


@dataclass(frozen=True, slots=True)
class Line:
    """One figure of a recipe: what it is, the cells of the runs, and the paper's value, empty where it has none."""

    label: str
    cells: tuple[str, ...]
    paper: str = ""


def runs_of(reports: Sequence[RecipeReport]) -> list[str]:
    """The runs, in order."""
    return list(dict.fromkeys(report.run for report in reports))


def by_recipe(reports: Sequence[RecipeReport]) -> dict[str, Row]:
    """For each recipe its report in each run, in the order of `runs_of`."""
    found = {(report.recipe, report.run): report for report in reports}
    runs = runs_of(reports)
    return {
        recipe: [found.get((recipe, run)) for run in runs] for recipe in dict.fromkeys(one.recipe for one in reports)
    }


def assessment_lines(row: Row) -> list[Line]:
    """What the reports come to."""
    found = [None if one is None else one.assessment for one in row]
    return [
        Line("kept", tuple(NONE if one is None else one.kept_words for one in found)),
        Line("cost", tuple(NONE if one is None else one.cost_words for one in found)),
        Line("cues", tuple(NONE if one is None else one.cue_words for one in found)),
        Line("judge leans to", tuple(NONE if one is None else one.judge_words for one in found)),
    ]


def contrast_lines(row: Row) -> list[Line]:
    """Each measure over all pairs and over the kept ones, with its n."""
    published = next((one.published for one in row if one is not None and one.published), None)
    lines = []
    for which in ("all", "kept"):
        found = [None if one is None else _contrast(one, which) for one in row]
        values = ("", "", "", "") if published is None or which == "all" else published.words
        for (label, cells), value in zip(_measures(found), values, strict=True):
            lines.append(Line(f"{label}, {which}", cells, value))
    return lines


def outcome_lines(row: Row) -> list[Line]:
    """How many pairs were dropped and marked, by reason, with their share of those made; and the tasks without a pair."""
    lines = []
    for outcome in ("dropped", "marked"):
        counts = [{} if one is None else getattr(one, outcome) for one in row]
        for reason in dict.fromkeys(reason for of_one in counts for reason in of_one):
            cells = zip(row, counts, strict=True)
            lines.append(
                Line(f"{outcome}: {reason}", tuple(_counted(one, of_one.get(reason, 0)) for one, of_one in cells))
            )
    of_status = [
        Line(status, tuple(NONE if one is None else f"{getattr(one, status):,}" for one in row))
        for status in ("failed", "pending")
        if any(one is not None and getattr(one, status) for one in row)
    ]
    return lines + of_status


def next_steps(reports: Sequence[RecipeReport]) -> Iterator[tuple[str, str]]:
    """What to do next, each sentence once, with the recipes (and the run) that it is for; no names if it is for all."""
    several = len(runs_of(reports)) > 1
    named: dict[str, list[str]] = {}
    for report in reports:
        named.setdefault(report.assessment.next_step, []).append(report.recipe_in_run(several=several))
    for sentence, names in named.items():
        yield "" if len(named) == 1 and len(names) > 1 else ", ".join(names), sentence


def matched_words(reports: Sequence[RecipeReport]) -> list[str]:
    """To how many tasks the reports are limited, a sentence for each run of which that is so."""
    several = len(runs_of(reports)) > 1
    found = {report.run: report.matched_tasks for report in reports if report.matched_tasks is not None}
    return [
        f"{f'{run}: only' if several else 'Only'} the {counted(tasks, 'task')} of which every recipe has a pair that is kept."
        for run, tasks in found.items()
    ]


def retried_words(report: RecipeReport) -> str:
    """How many revisions were requested once more, up to the list of those that still fail their check."""
    were, they, their = ("was", "it", "its") if report.retried == 1 else ("were", "they", "their")
    return f"{report.retried:,} {were} requested once more because {they} failed {their} check; still failing"


def with_error(estimate: Estimate, digits: int) -> str:
    """A mean with its standard error, if there is one."""
    if estimate.mean is None:
        return NONE
    return f"{estimate.mean:,.{digits}f}" + ("" if estimate.se is None else f" ± {estimate.se:,.{digits}f}")


def edit_digits(contrast: ContrastEstimates) -> int:
    """Digits after the point of a mean number of edits."""
    return 0 if (contrast.levenshtein.mean or 0) >= 100 else 1


def _contrast(report: RecipeReport, which: str) -> ContrastEstimates:
    return report.contrast_of_all if which == "all" else report.contrast_of_kept


def _measures(found: Sequence[ContrastEstimates | None]) -> Iterator[tuple[str, tuple[str, ...]]]:
    yield "n", tuple(NONE if one is None else f"{one.jaccard.n:,}" for one in found)
    yield "Jaccard x100", tuple(NONE if one is None else with_error(one.jaccard, 2) for one in found)
    yield "Levenshtein", tuple(NONE if one is None else with_error(one.levenshtein, edit_digits(one)) for one in found)
    yield "length ratio", tuple(NONE if one is None else with_error(one.length_ratio, 2) for one in found)


def _counted(report: RecipeReport | None, count: int) -> str:
    if report is None:
        return NONE
    return f"{count:,} ({count / report.n:.1%})" if count else "0"
