"""What lint found, in a terminal: errors first, each with what it counts, what to do, and where to look."""

from collections.abc import Iterator

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from clairgen.reporting.lint.findings import Example, Finding, LintReport
from clairgen.reporting.lint.rules import Severity
from clairgen.reporting.sanitize import plain_line, safe_line, shortened
from clairgen.wording import counted

_STYLES = {Severity.ERROR: "bold red", Severity.WARNING: "bold yellow", Severity.NOTE: "bold cyan"}
_INDENT = 2


def print_lint(console: Console, report: LintReport) -> None:
    """Print what was looked at, the findings, and what was not found or not looked at."""
    for part in report.parts:
        console.print(safe_line(f"{part.name}: {counted(part.rows, 'row')}, {counted(part.pairs, 'pair')}", "bold"))
    if report.other_splits:
        _print_indented(console, safe_line(f"splits that are not read: {', '.join(report.other_splits)}"))
    for left in report.left_out:
        rows = f"{counted(left.count, 'row')} without a pair, the first at {plain_line(left.first)}: "
        _print_indented(console, Text(rows).append(shortened(left.why)))
    for finding in report.findings:
        console.print()
        _print_finding(console, finding)
    console.print()
    console.print(Text(f"{report.in_words}."))
    if report.passed:
        console.print(Text(f"Looked and found nothing: {', '.join(report.passed)}.", "dim"))
    for why, rules in reasons(report):
        console.print(safe_line(f"Not looked at, since {why}: {', '.join(rules)}.", "dim"))


def reasons(report: LintReport) -> Iterator[tuple[str, list[str]]]:
    """Why rules did not look, each reason with the names of its rules."""
    for why in dict.fromkeys(report.not_looked.values()):
        yield why, [rule for rule, reason in report.not_looked.items() if reason == why]


def _print_finding(console: Console, finding: Finding) -> None:
    title = Text(finding.severity.value, _STYLES[finding.severity]).append(f" {finding.rule}", "bold")
    console.print(title.append(f" {finding.count_in_words}", "not bold"))
    measured = finding.measured
    if measured is not None:
        _print_indented(console, Text(f"{measured.words}."))
        for detail in measured.details:
            _print_indented(console, Text(f"{detail}."), 2 * _INDENT)
    else:
        _print_indented(console, Text(f"{finding.counts[0].upper()}{finding.counts[1:]}."))
    _print_indented(console, Text(finding.advice))
    for example in finding.examples:
        line = Text(example_place(example), "dim").append(f" {plain_line(example.shown)}", "not dim")
        line.truncate(console.width - _INDENT, overflow="ellipsis")
        _print_indented(console, line)


def example_place(example: Example) -> str:
    """Where an example is, and which row it repeats, on one line."""
    as_other = "" if example.other is None else f", as {plain_line(example.other)}"
    return f"{plain_line(example.where)}{as_other}:"


def _print_indented(console: Console, text: Text, by: int = _INDENT) -> None:
    console.print(Padding(text, (0, 0, 0, by), expand=False))
