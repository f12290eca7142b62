"""The page of a report on pairs.

Pairs reach the page's own script as JSON without `<`, and it sets them as text.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from clairgen.reporting import paper
from clairgen.reporting.html.charts import filled, histogram_svg, shift_svg
from clairgen.reporting.html.drawn import DrawnPairs
from clairgen.reporting.html.page import asset, rendered, write_html
from clairgen.reporting.report import RecipeReport
from clairgen.reporting.shortcut_audit import MOST_PAIRS


def write_page(path: Path, reports: Sequence[RecipeReport], drawn: Sequence[DrawnPairs]) -> None:
    """Write the page to `path`. Raises InputError where that cannot be done."""
    write_html(path, page(reports, drawn))


def page(reports: Sequence[RecipeReport], drawn: Sequence[DrawnPairs]) -> str:
    """The whole page of some reports and the pairs drawn from them."""
    rows = [row for one in drawn for row in one.rows()]
    values = {
        "reports": reports,
        "several_runs": len({report.run for report in reports}) > 1,
        "paper": paper,
        "charts": _charts(reports),
        "shifts": [None if report.audit is None else shift_svg(report.audit) for report in reports],
        "tokenisers": sorted({report.tokeniser for report in reports}),
        "most_audited": MOST_PAIRS,
        "shown": len(rows),
        "made": sum(one.seen for one in drawn),
        "pairs": _json(rows),
    }
    return rendered(
        "page.html",
        values,
        style=asset("page.css"),
        script=asset("page.js"),
        filters={"number": _number, "dollars": _dollars, "percent": lambda share: f"{share:.1%}"},
    )


def _charts(reports: Sequence[RecipeReport]) -> list[list[Markup]]:
    """Each report's histograms; those of one measure share their bins, so that recipes compare at a glance."""
    if not reports:
        return []
    ranges = [filled(one_scale) for one_scale in zip(*(report.histograms for report in reports), strict=True)]
    return [
        [histogram_svg(histogram, shown) for histogram, shown in zip(report.histograms, ranges, strict=True)]
        for report in reports
    ]


def _json(rows: list[dict[str, Any]]) -> Markup:
    """JSON that cannot end its script element, nor open a comment in it: every `<` is an escape."""
    return Markup(json.dumps(rows, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c"))  # noqa: S704


def _number(value: float | None, digits: int = 2) -> str:
    return "–" if value is None else f"{value:,.{digits}f}"


def _dollars(value: float | None) -> str:
    return "–" if value is None else f"${value:,.2f}" if value >= 1 else f"${value:,.4f}"
