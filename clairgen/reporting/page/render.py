"""The page put together: what models and users wrote becomes text, never markup, style or script.

Jinja escapes every value; `plain_text` makes what could hide or reorder visible first. Pairs reach the page's own script as
JSON without `<`, and it sets them as text. A Content-Security-Policy allows that script and that style by their hashes and
nothing else: no network, no inline handler, no image.
"""

import base64
import hashlib
import json
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from clairgen.errors import InputError
from clairgen.reporting import paper
from clairgen.reporting.audit import MOST_PAIRS
from clairgen.reporting.contrast import RecipeReport
from clairgen.reporting.page.charts import filled, histogram_svg, shift_svg
from clairgen.reporting.page.drawn import DrawnPairs
from clairgen.reporting.plain import plain_line, plain_text
from clairgen.version import __version__


def write_page(path: Path, reports: Sequence[RecipeReport], drawn: Sequence[DrawnPairs]) -> None:
    """Write the page to `path`. Raises InputError where that cannot be done."""
    html = page(reports, drawn)
    try:
        path.write_text(html, encoding="utf-8")
    except (OSError, ValueError) as error:
        raise InputError(f"the page {path} cannot be written ({error}); name a file in a folder that exists") from error


def page(reports: Sequence[RecipeReport], drawn: Sequence[DrawnPairs]) -> str:
    """The whole page of some reports and the pairs drawn from them."""
    style, script = _asset("page.css"), _asset("page.js")
    rows = [row for one in drawn for row in one.rows()]
    environment = Environment(
        loader=FunctionLoader(_asset),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_without_hidden,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": _number,
        "dollars": _dollars,
        "line": plain_line,
        "percent": lambda share: f"{share:.1%}",
    }
    return environment.get_template("page.html").render(
        reports=reports,
        several_runs=len({report.run for report in reports}) > 1,
        paper=paper,
        charts=_charts(reports),
        shifts=[None if report.audit is None else shift_svg(report.audit) for report in reports],
        tokenisers=sorted({report.tokeniser for report in reports}),
        most_audited=MOST_PAIRS,
        shown=len(rows),
        made=sum(one.seen for one in drawn),
        version=__version__,
        style=Markup(style),  # noqa: S704 - clairgen's own
        script=Markup(script),  # noqa: S704 - clairgen's own
        policy=(
            f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; base-uri 'none'; form-action 'none'"
        ),
        pairs=_json(rows),
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


def _asset(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _json(rows: list[dict[str, Any]]) -> Markup:
    """JSON that cannot end its script element, nor open a comment in it: every `<` is an escape."""
    return Markup(json.dumps(rows, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c"))  # noqa: S704


def _without_hidden(value: object) -> object:
    """Every value on its way into the page, before Jinja escapes it."""
    return plain_text(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _number(value: float | None, digits: int = 2) -> str:
    return "–" if value is None else f"{value:,.{digits}f}"


def _dollars(value: float | None) -> str:
    return "–" if value is None else f"${value:,.2f}" if value >= 1 else f"${value:,.4f}"
