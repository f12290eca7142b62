"""Training runs in a terminal: one table for each run, side by side if there is room, and the diagnostics below."""

from collections.abc import Iterator, Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from clairgen.reporting.sanitize import plain_line, safe_line, shortened
from clairgen.reporting.training.diagnostics.diagnostic import Diagnostic, DiagnosticKind, figure
from clairgen.reporting.training.diagnostics.registry import cautions, differing_settings
from clairgen.reporting.training.report import Measurement, TrainingReport
from clairgen.stats import Estimate
from clairgen.wording import counted

MOST_ROWS = 5
_GAP = 3
_WIDEST = 400  # a table is as wide as its figures; a narrower terminal wraps its lines, but no figure is lost


def print_training(console: Console, reports: Sequence[TrainingReport]) -> None:
    """Print the runs to compare, what makes them hard to compare, and their diagnostics."""
    for row in _rows([_table(report, console) for report in reports], console.width):
        side_by_side = Table.grid(padding=(0, _GAP, 0, 0), pad_edge=False)
        side_by_side.add_row(*row)
        side_by_side.width = _width(row)
        console.print(side_by_side, crop=False)
        console.print()
    console.print(
        Text(
            "Means over held-out pairs ± standard error, log-likelihoods in nats, chosen above rejected. Below the margin: the "
            "share of pairs with a margin above 0 (accuracy), where a tie counts one half. "
            "All measurements: --json, or --html FILE.",
            "dim",
        )
    )
    trajectories = [report.trajectory for report in reports]
    for sentence in cautions(trajectories):
        console.print(Text(sentence, "bold"))
    for name, values in differing_settings(trajectories).items():
        console.print(safe_line(f"{name}: {' | '.join(values)}", "dim"))
    for report in reports:
        console.print()
        for words in _findings(report, reports):
            console.print(words)


def few(measurements: Sequence[Measurement]) -> list[Measurement]:
    """The first, the last and some in between, evenly spaced."""
    last = len(measurements) - 1
    if last < MOST_ROWS:
        return list(measurements)
    return [measurements[round(last * at / (MOST_ROWS - 1))] for at in range(MOST_ROWS)]


def _rows(tables: list[Table], width: int) -> Iterator[list[Table]]:
    """The tables in rows, as many in each as fit the width."""
    row: list[Table] = []
    for table in tables:
        if row and _width([*row, table]) > width:
            yield row
            row = []
        row.append(table)
    if row:
        yield row


def _width(row: Sequence[Table]) -> int:
    return sum(table.width or 0 for table in row) + _GAP * (len(row) - 1)


def _table(report: TrainingReport, console: Console) -> Table:
    """Two lines for each measurement: chosen above rejected."""
    trajectory = report.trajectory
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=0, header_style="bold")
    for name in (
        "step\nepoch",
        "",
        "log-\nlikelihood",
        "\nper token",
        "\nreward",
        "margin\naccuracy",
        "sampled\ntokens",
    ):
        table.add_column(name, justify="left" if not name else "right", no_wrap=True)
    for one in few(report.measurements):
        table.add_row(*(Text("\n").join(map(Text, lines)) for lines in _cells(one)))
    table.width = console.measure(table, options=console.options.update(width=_WIDEST)).maximum
    pairs = f"{counted(len(trajectory.pair_ids), 'pair')}, beta {trajectory.beta:g}"
    table.title = Text("\n").join(
        [
            safe_line(shortened(trajectory.objective, 60), "bold not italic"),
            safe_line(_cut(trajectory.run, table.width), "dim not italic"),
            safe_line(_cut(f"{pairs}, {trajectory.model or 'unnamed model'}", table.width), "dim not italic"),
        ]
    )
    table.title_justify = "left"
    return table


def _cells(one: Measurement) -> list[tuple[str, str]]:
    """The two lines of each column."""
    right = "–" if one.accuracy.mean is None else f"{one.accuracy.mean:.1%}"
    sampled = _shown(one.sampled_tokens)
    return [
        (f"{one.step:,}", f"{one.epoch:.4g}"),
        ("chosen", "rejected"),
        (_shown(one.chosen_logps), _shown(one.rejected_logps)),
        (_shown(one.chosen_per_token), _shown(one.rejected_per_token)),
        (_shown(one.chosen_reward), _shown(one.rejected_reward)),
        (_shown(one.margin), right if one.margin.n == one.pairs else f"{right}, n {one.margin.n:,}"),
        (sampled, "" if one.sampled_tokens.n in (0, one.pairs) else f"n {one.sampled_tokens.n:,}"),
    ]


def _shown(estimate: Estimate) -> str:
    if estimate.mean is None:
        return "–"
    error = "" if estimate.se is None else f"±{figure(estimate.se, estimate.mean)}"
    return f"{figure(estimate.mean)}{error}"


def _findings(report: TrainingReport, reports: Sequence[TrainingReport]) -> Iterator[Text]:
    name = safe_line(shortened(report.trajectory.objective, 60), "bold")
    if len(reports) > 1:
        name.append(f" ({plain_line(report.trajectory.run)})", "not bold dim")
    if not report.diagnostics:
        yield name.append(": no diagnostic found anything.", "not bold")
    for one in report.diagnostics:
        yield name.copy().append(": ", "not bold").append_text(_sentences(one))


def _sentences(one: Diagnostic) -> Text:
    warning = one.kind is DiagnosticKind.WARNING
    words = Text(f"{one.name}{'' if warning else ' (a remark)'}. ", "bold yellow" if warning else "bold")
    return words.append(f"{one.seen} {one.may_mean} {one.to_try}", "not bold")


def _cut(text: str, width: int) -> str:
    """The end of the line, which tells folders apart, if all of it is too long."""
    line = plain_line(text)
    return line if len(line) <= width else f"…{line[-width + 1 :]}"
