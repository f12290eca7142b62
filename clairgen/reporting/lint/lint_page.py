"""What lint found, as one self-contained HTML page; every text of the data is shown as text."""

from pathlib import Path

from clairgen.reporting.html.frame import asset, rendered, write_html
from clairgen.reporting.lint.findings import LintReport
from clairgen.reporting.lint.lint_table import example_place, reasons
from clairgen.wording import counted


def write_lint_page(path: Path, report: LintReport) -> None:
    """Write the page to `path`. Raises InputError if that is not possible."""
    write_html(path, lint_page(report))


def lint_page(report: LintReport) -> str:
    """The whole page."""
    values = {"report": report, "counted": counted, "place": example_place, "reasons": list(reasons(report))}
    return rendered("lint.html", values, package=__package__, style=asset("page.css"))
