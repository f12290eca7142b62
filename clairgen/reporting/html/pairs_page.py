"""The HTML report on pairs: figures, charts, and a sample of the pairs to browse.

Pairs reach the page's script as JSON without `<`, and the script inserts them as text.
"""

import hashlib
import heapq
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from markupsafe import Markup

from clairgen.records import Finding, Pair, StoredPair
from clairgen.reporting.comparison import (
    Line,
    Row,
    assessment_lines,
    by_recipe,
    contrast_lines,
    matched_words,
    next_steps,
    outcome_lines,
    retried_words,
    runs_of,
)
from clairgen.reporting.diff import DiffOp, word_diff
from clairgen.reporting.differences import differences
from clairgen.reporting.html.charts import filled, highest_share, histogram_svg, shift_svg
from clairgen.reporting.html.frame import asset, rendered, write_html
from clairgen.reporting.pair_metrics import TABLE_1_SOURCE, Scale
from clairgen.reporting.report import RecipeReport
from clairgen.reporting.sanitize import plain_text
from clairgen.reporting.score_tables import number_words, score_words
from clairgen.reporting.shortcut_audit import MOST_PAIRS
from clairgen.wording import counted

_LONGEST = 20_000
_LONGEST_COLUMN = 300
BinLink: TypeAlias = Callable[[RecipeReport, str, float | None, float | None], str]
"""The address of a report's pairs whose metric of this name is at least the first number, and below the second."""
_CODES = {DiffOp.KEPT: 0, DiffOp.REMOVED: 1, DiffOp.ADDED: 2}


class PairSample:
    """A sample of at most `most` pairs of one run and recipe: those whose task id has the smallest hash.

    So every recipe, and every later report, samples the same tasks.
    """

    def __init__(self, run: str, recipe: str, most: int) -> None:
        self.run = run
        self.recipe = recipe
        self.seen = 0
        self._most = most
        self._drawn: list[tuple[int, int, StoredPair]] = []

    def add(self, stored: StoredPair) -> None:
        """Consider a pair; it is kept while its hash is among the smallest."""
        self.seen += 1
        digest = hashlib.sha256(stored.task.id.encode("utf-8", "surrogatepass")).digest()
        entry = (-int.from_bytes(digest[:8]), -self.seen, stored)
        if len(self._drawn) < self._most:
            heapq.heappush(self._drawn, entry)
        elif self._most and entry > self._drawn[0]:
            heapq.heapreplace(self._drawn, entry)

    def rows(self) -> list[dict[str, Any]]:
        """The sampled pairs in the order of their tasks, as JSON objects for the page's script."""
        ordered = sorted(self._drawn, key=lambda entry: -entry[1])
        return [pair_row(self.run, number, stored) for number, (_, _, stored) in enumerate(ordered)]


def pair_row(run: str, number: int, stored: StoredPair) -> dict[str, Any]:
    """What a page shows of a pair: its texts, made plain and cut where they are too long, the diff, its figures and findings."""
    outcome, contrast, dropped = stored.outcome, stored.contrast, stored.dropped_by
    if isinstance(outcome, Pair):
        first, last, other, undecided = outcome.rejected, outcome.chosen, None, None
        diff = compared(first.text, last.text)
        cut = is_cut(first.text, last.text)
    else:
        first, last = outcome.replies[0], outcome.replies[-1]
        other = None if last is first else shown_text(last.text)
        undecided = outcome.reason.value
        diff = [[0, shown_text(first.text)]]
        cut = is_cut(first.text)
    return {
        "run": plain_text(run),
        "number": number,
        "id": plain_text(stored.id),
        "task": plain_text(stored.task.id),
        "recipe": plain_text(outcome.recipe),
        "outcome": plain_text(dropped.reason if dropped else undecided or "kept"),
        "prompt": [[plain_text(message.role), shown_text(message.content)] for message in stored.task.messages],
        "reasoning": None if outcome.reasoning is None else shown_text(outcome.reasoning),
        "diff": diff,
        "other": other,
        "cut": cut,
        "chosen": plain_text("" if last is first else last.model),
        "rejected": plain_text(first.model),
        "jaccard": None if contrast is None else round(100 * contrast.jaccard, 2),
        "levenshtein": None if contrast is None else contrast.levenshtein,
        "ratio": None if contrast is None or contrast.length_ratio is None else round(contrast.length_ratio, 3),
        "findings": [
            *([f"failed check: {plain_text(outcome.failed_check)}"] if outcome.failed_check is not None else []),
            *([f"scores: {scores}"] if (scores := score_words(outcome)) else []),
            *(_finding(found) for found in stored.findings),
            *(plain_text(f"{name}: {value}")[:_LONGEST_COLUMN] for name, value in stored.source_columns.items()),
        ],
    }


def compared(first: str, second: str) -> list[list[Any]]:
    """The word diff of two texts, made plain and cut where they are too long: 0 is in both, 1 in the first, 2 in the second."""
    segments = word_diff(first[:_LONGEST], second[:_LONGEST])
    return [[_CODES[segment.change], plain_text(segment.text)] for segment in segments]


def is_cut(*texts: str) -> bool:
    """Whether a page shows only the beginning of one of the texts."""
    return any(len(text) > _LONGEST for text in texts)


def _finding(found: Finding) -> str:
    value = f"{found.value:g}" if isinstance(found.value, float) else found.value
    return plain_text(f"{found.action.value}: {found.reason}" + ("" if value is None else f" ({value})"))


def shown_text(text: str) -> str:
    """The plain text, truncated if it is too long for a page."""
    return plain_text(text) if len(text) <= _LONGEST else f"{plain_text(text[:_LONGEST])} …"


def write_page(path: Path, reports: Sequence[RecipeReport], drawn: Sequence[PairSample]) -> None:
    """Write the page to `path`. Raises InputError if that is not possible."""
    write_html(path, page(reports, drawn))


def page(reports: Sequence[RecipeReport], drawn: Sequence[PairSample]) -> str:
    """The whole page for some reports and their sampled pairs."""
    rows = [row for one in drawn for row in one.rows()]
    values = report_values(reports) | {
        "shown": len(rows),
        "made": sum(one.seen for one in drawn),
        "pairs": _json(rows),
    }
    return rendered("page.html", values, style=asset("page.css"), script=asset("page.js"), filters=report_filters())


def report_values(
    reports: Sequence[RecipeReport],
    beside: Mapping[str, RecipeReport] | None = None,
    bin_link: BinLink | None = None,
) -> dict[str, Any]:
    """What `page.html` shows of some reports, without their pairs; `bin_link` says where the bars of histograms lead.

    `beside` has reports of any runs and recipes by their titles, which then stand beside each other; left out, those of one
    recipe do, by their runs.
    """
    shown = by_recipe(reports) if beside is None else {_recipes(beside.values()): list(beside.values())}
    titles = runs_of(reports) if beside is None else list(beside)
    return {
        "reports": reports,
        "rows": {title: [one for one in row if one is not None] for title, row in shown.items()},
        "several_runs": len(titles) > 1,
        "run_titles": [f"#{title}" for title in titles],
        "captions": {_key(report): report.run for report in reports}
        if beside is None
        else {_key(report): title for title, report in beside.items()},
        "comparisons": _comparisons(shown),
        "differences": {
            title: differences(*two)
            for title, row in shown.items()
            if len(row) == 2 and len(two := [one for one in row if one is not None]) == 2
        },
        "counted": counted,
        "matched_words": matched_words(reports),
        "retried_words": retried_words,
        "score": number_words,
        "next_steps": list(next_steps(reports)),
        "table_1_source": TABLE_1_SOURCE,
        "charts": _charts(reports, bin_link, as_shares=len(titles) > 1),
        "shifts": {_key(report): shift_svg(report.audit) for report in reports if report.audit is not None},
        "tokenizers": sorted({report.tokenizer for report in reports}),
        "most_audited": MOST_PAIRS,
    }


def report_filters() -> dict[str, Callable[..., object]]:
    """The filters that `page.html` uses."""
    return {"number": _number, "dollars": _dollars, "percent": lambda share: f"{share:.1%}"}


def _comparisons(rows: Mapping[str, Row]) -> dict[str, dict[str, list[Line]]]:
    """For the tables that have a column for each run, their lines by title; those without a line are left out."""
    kinds = {"short": assessment_lines, "contrast": contrast_lines, "outcomes": outcome_lines}
    return {
        kind: {title: found for title, row in rows.items() if (found := lines(row))} for kind, lines in kinds.items()
    }


def _key(report: RecipeReport) -> tuple[str, str]:
    return report.run, report.recipe


def _recipes(reports: Iterable[RecipeReport]) -> str:
    return ", ".join(dict.fromkeys(report.recipe for report in reports))


def _charts(
    reports: Sequence[RecipeReport], bin_link: BinLink | None, *, as_shares: bool
) -> dict[tuple[str, str], list[Markup]]:
    """Each report's histograms; all histograms of one metric share their bins, so that recipes are easy to compare.

    Those of several runs share the other axis too, on which are shares of their pairs.
    """
    if not reports:
        return {}
    published = [report.published.means for report in reports if report.published is not None]
    scales = list(zip(*(report.histograms for report in reports), strict=True))
    ranges = [
        filled(one_scale, [value for values in published if (value := values[at]) is not None])
        for at, one_scale in enumerate(scales)
    ]
    highest = [max(map(highest_share, one_scale)) if as_shares else None for one_scale in scales]
    return {
        _key(report): [
            histogram_svg(histogram, shown, value, high, _links(report, histogram.scale, bin_link))
            for histogram, shown, value, high in zip(
                report.histograms, ranges, _published(report), highest, strict=True
            )
        ]
        for report in reports
    }


def _links(report: RecipeReport, scale: Scale, bin_link: BinLink | None) -> dict[int, str] | None:
    """Where each bin of a histogram leads."""
    if bin_link is None:
        return None
    return {number: bin_link(report, scale.metric, *scale.limits(number)) for number in range(scale.count)}


def _published(report: RecipeReport) -> tuple[float | None, ...]:
    return (None, None, None) if report.published is None else report.published.means


def _json(rows: list[dict[str, Any]]) -> Markup:
    """JSON that cannot close its script element or open a comment in it: every `<` is escaped."""
    return Markup(json.dumps(rows, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c"))  # noqa: S704


def _number(value: float | None, digits: int = 2) -> str:
    return "–" if value is None else f"{value:,.{digits}f}"


def _dollars(value: float | None) -> str:
    return "–" if value is None else f"${value:,.2f}" if value >= 1 else f"${value:,.4f}"
