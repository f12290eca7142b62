"""The report in a terminal: in short, each recipe's contrast next to the paper's, pairs not kept by reason, judges, the audit.

Of several runs every table has a column for each run, grouped by recipe.
"""

from collections.abc import Callable, Iterator, Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from clairgen.records import OVERALL
from clairgen.reporting.assessment import telling
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
from clairgen.reporting.length_figures import LengthFigures
from clairgen.reporting.pair_metrics import TABLE_1_SOURCE, ContrastEstimates, MetricEstimates
from clairgen.reporting.position_bias import JudgeReport
from clairgen.reporting.report import RecipeReport
from clairgen.reporting.sanitize import plain_line, safe_line
from clairgen.reporting.score_tables import table_of_recipe, unreadable_words
from clairgen.reporting.shortcut_audit import FEWEST_PAIRS, Audit
from clairgen.stats import Estimate
from clairgen.wording import counted

# In a narrower terminal the tables keep this width and the terminal wraps their lines: ugly, but no figure is lost.
_NARROWEST = 79
_LABEL_WIDTH = 32  # of the names of figures, with the paper's column
_RUN_WIDTH = 22
_LONGEST_NAME = 20


def print_reports(console: Console, reports: Sequence[RecipeReport]) -> None:
    """Print the reports: in short, contrast next to the paper's, how to compare it, and which pairs were not kept."""
    if not reports:
        console.print(Text("No pairs yet."))
        return
    several = len(runs_of(reports)) > 1

    def print_tables(of_one_run: Table, lines: Callable[[Row], list[Line]]) -> None:
        tables = _side_by_side(reports, lines, console.width) if several else [of_one_run]
        for table in tables:
            if table.row_count:
                table.width = _NARROWEST if console.width < _NARROWEST else None
                console.print(table, crop=False)
                console.print()

    for words in matched_words(reports):
        console.print(safe_line(words))
    print_tables(_short_table(reports), assessment_lines)
    _print_next_steps(console, reports)
    print_tables(_contrast_table(reports), contrast_lines)
    console.print(_how_to_compare(reports))
    console.print()
    print_tables(_outcome_table(reports), outcome_lines)
    for row in by_recipe(reports).values():
        for report in row:
            if report is not None:
                _print_details(console, report, reports)
    if any(report.kept >= FEWEST_PAIRS and report.audit is None for report in reports):
        console.print(Text(f"Surface features were not audited: {AUDIT_HINT}.", "dim"))


def _print_next_steps(console: Console, reports: Sequence[RecipeReport]) -> None:
    for names, sentence in next_steps(reports):
        words = safe_line(f"Next{f' for {names}' if names else ''}: ", "bold")
        console.print(words.append(plain_line(sentence), "not bold"))
    console.print()


def _side_by_side(reports: Sequence[RecipeReport], lines: Callable[[Row], list[Line]], width: int) -> list[Table]:
    """A table with a column for each run, or several where there is no room for all."""
    runs, rows = runs_of(reports), by_recipe(reports)
    at_once = max(1, (max(width, _NARROWEST) - _LABEL_WIDTH) // _RUN_WIDTH)
    tables = []
    for start in range(0, len(runs), at_once):
        chosen = slice(start, start + at_once)
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), header_style="bold")
        table.add_column("", overflow="fold", min_width=10)
        for run in runs[chosen]:
            table.add_column(safe_line(run), justify="right", overflow="fold", min_width=10)
        of_recipes = {recipe: lines(row) for recipe, row in rows.items()}
        published = any(line.paper for of_one in of_recipes.values() for line in of_one)
        if published:
            table.add_column("paper", justify="right", no_wrap=True, style="dim")
        for recipe, of_one in of_recipes.items():
            if of_one:
                table.add_row(safe_line(recipe, "bold"))
            for line in of_one:
                cells = [safe_line(cell) for cell in line.cells[chosen]]
                table.add_row(safe_line(f"  {line.label}"), *cells, *([line.paper] if published else []))
            table.add_section()
        tables.append(table)
    return tables


def _short_table(reports: Sequence[RecipeReport]) -> Table:
    """One row for each recipe: how many are kept, what they cost, cues, and how the judge leans."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    longest = max(len(report.recipe) for report in reports)
    table.add_column("recipe", overflow="fold", no_wrap=longest <= _LONGEST_NAME, min_width=10)
    table.add_column("kept", no_wrap=True)
    for title in ("cost", "cues", "judge leans to"):
        table.add_column(title, overflow="fold")
    for report in reports:
        found = report.assessment
        words = (found.kept_words, found.cost_words, found.cue_words, found.judge_words)
        table.add_row(safe_line(report.recipe, "bold"), *map(safe_line, words))
    return table


def _print_details(console: Console, report: RecipeReport, reports: Sequence[RecipeReport]) -> None:
    """What the tables do not have: metrics of plugins, revisions that failed their check, judges, scores, and the audit."""
    parts: list[Text | Table] = []
    if report.imported_from is not None:
        parts.append(
            _name(report, reports).append(f" is imported from {plain_line(report.imported_from)}.", "not bold")
        )
    if report.votes is not None:
        parts.append(_name(report, reports).append(f": {report.votes.words}.", "not bold"))
    if report.agreement is not None:
        rows = "; ".join(f"{title}: {words}" for title, words in report.agreement.rows[1:])
        parts.append(_name(report, reports).append(f", people: {plain_line(rows)}.", "not bold"))
    if report.groups:
        parts.append(_groups_table(report))
    parts += [_metric_words(report, name, one, reports) for name, one in report.metrics.items()]
    if report.retried or report.failed_checks:
        parts.append(_retry_words(report, reports))
    parts += [_judge_words(report, judge, reports) for judge in report.judges]
    if report.scores:
        parts += [_score_words(report, reports), table_of_recipe(report.scores)]
    if report.audit is not None:
        parts.append(audit_words(report.audit, _name(report, reports)))
        parts += [table] if (table := audit_table(report.audit)).row_count else []
    if report.lengths is not None:
        parts.append(length_table(report.lengths))
    for part in parts:
        console.print(part, crop=False)
        console.print()


def _contrast_table(reports: Sequence[RecipeReport]) -> Table:
    """One row for each recipe, with three figures in each cell: all pairs, kept pairs, and the paper's (dimmed)."""
    table = _table()
    table.add_column("recipe", overflow="fold", min_width=10)
    table.add_column("pairs", no_wrap=True)
    table.add_column("n", justify="right", no_wrap=True)
    for name in ("Jaccard\nx100", "Levenshtein\ncharacters", "length\nratio"):
        table.add_column(name, justify="right", no_wrap=True)
        table.add_column("\n± se", justify="right", no_wrap=True)
    for report in reports:
        lines = [
            ("all", f"{report.contrast_of_all.jaccard.n:,}", *_figures(report.contrast_of_all)),
            ("kept", f"{report.contrast_of_kept.jaccard.n:,}", *_figures(report.contrast_of_kept)),
            _published(report),
        ]
        table.add_row(_name(report, reports), *(_cell(*column) for column in zip(*lines, strict=True)))
        table.add_section()
    return table


def _groups_table(report: RecipeReport) -> Table:
    """One row for each group of pairs."""
    table = _table()
    table.padding = (0, 1, 0, 0)
    table.add_column("group", overflow="fold", min_width=10)
    for title in (
        "pairs",
        "kept",
        "Jaccard\nx100",
        "\n± se",
        "Levenshtein\ncharacters",
        "\n± se",
        "length\nratio",
        "\n± se",
    ):
        table.add_column(title, justify="right", no_wrap=True)
    for group in report.groups:
        table.add_row(safe_line(group.value), f"{group.n:,}", f"{group.kept:,}", *_figures(group.contrast))
    return table


def _metric_words(report: RecipeReport, name: str, metric: MetricEstimates, reports: Sequence[RecipeReport]) -> Text:
    """A plugin's metric with its means and standard errors."""
    words = safe_line(name, "bold").append(" of ").append_text(_name(report, reports))
    figures = []
    for which, estimate in (("all", metric.of_all), ("kept", metric.of_kept)):
        mean, error = _mean_and_error(estimate, 3)
        figures.append(f"{mean} {error}".rstrip() + f" ({which}, n = {estimate.n:,})")
    return words.append(f": {'; '.join(figures)}. ").append_text(safe_line(f"{metric.summary}.", "dim"))


def _retry_words(report: RecipeReport, reports: Sequence[RecipeReport]) -> Text:
    """How many revisions failed their check."""
    failing = ", ".join(f"{count:,} {plain_line(what)}" for what, count in report.failed_checks.items()) or "none"
    return Text("Revisions of ").append_text(_name(report, reports)).append(f": {retried_words(report)}: {failing}.")


def _judge_words(report: RecipeReport, judge: JudgeReport, reports: Sequence[RecipeReport]) -> Text:
    """A judge's verdicts in a sentence: how often it chose the first position, and whether that is more than chance."""
    words = safe_line(f"The {judge.role} of ").append_text(_name(report, reports))
    counts = (
        counted(judge.verdicts, "verdict"),
        counted(judge.ties, "tie"),
        counted(judge.unreadable, "reply", "replies"),
    )
    words.append(f": {', '.join(counts)} without a verdict")
    if judge.interval is not None and judge.first_position.mean is not None:
        low, high = judge.interval
        words.append(
            f"; the first position chosen in {judge.first_position.mean:.1%} (95% interval {low:.1%} to {high:.1%}): it leans to "
            f"{judge.leaning}"
        )
    if judge.flips.mean is not None:
        words.append(f"; of {judge.flips.n:,} shown in both orders {judge.flips.mean:.1%} flipped")
    return words.append(".")


def _score_words(report: RecipeReport, reports: Sequence[RecipeReport]) -> Text:
    """Which scores decide, and why answers have none."""
    words = (
        Text("Scores of ").append_text(_name(report, reports)).append(f": {OVERALL} decides, a mean over its scorers")
    )
    unreadable = unreadable_words(report.scores)
    return words.append(f"; answers without a score: {unreadable}." if unreadable else "; every answer has its scores.")


def _cell(of_all: str, of_kept: str, published: str) -> Text:
    return Text("\n").join([Text(of_all), Text(of_kept), Text(published, "dim")][: 3 if published else 2])


def _figures(contrast: ContrastEstimates) -> tuple[str, ...]:
    return (
        *_mean_and_error(contrast.jaccard, 2),
        *_mean_and_error(contrast.levenshtein, 0 if (contrast.levenshtein.mean or 0) >= 100 else 1),
        *_mean_and_error(contrast.length_ratio, 2),
    )


def _mean_and_error(estimate: Estimate, digits: int) -> tuple[str, str]:
    mean = "–" if estimate.mean is None else f"{estimate.mean:,.{digits}f}"
    return mean, "" if estimate.se is None else f"± {estimate.se:,.{digits}f}"


def _published(report: RecipeReport) -> tuple[str, ...]:
    row = report.published
    if row is None:
        return ("",) * 8
    return ("paper", f"{row.n:,}", f"{row.jaccard:.2f}", "", f"{row.levenshtein:,.0f}", "", "", "")


def _how_to_compare(reports: Sequence[RecipeReport]) -> Text:
    tokenizers = sorted({plain_line(report.tokenizer) for report in reports})
    text = Text("Tokenizer of the Jaccard: ")
    text.append(", ".join(tokenizers), "bold")
    text.append(". Figures under another tokenizer do not compare.")
    if any(report.published for report in reports):
        text.append(
            f" The paper's ({TABLE_1_SOURCE}) is not stated; a Treebank-like one comes closest to its figures.", "dim"
        )
    return text


def _outcome_table(reports: Sequence[RecipeReport]) -> Table:
    """Dropped, marked, failed and pending pairs by reason; a share is of the pairs that the recipe made."""
    table = _table()
    table.add_column("recipe", overflow="fold", min_width=10)
    table.add_column("outcome", no_wrap=True)
    table.add_column("reason", overflow="fold", min_width=10)
    table.add_column("number", justify="right", no_wrap=True)
    table.add_column("share", justify="right", no_wrap=True)
    for report in reports:
        for number, row in enumerate(_outcomes(report)):
            table.add_row("" if number else _name(report, reports), *row)
        table.add_section()
    return table


def _outcomes(report: RecipeReport) -> Iterator[tuple[str | Text, ...]]:
    for outcome, counts in (("dropped", report.dropped), ("marked", report.marked)):
        for reason, count in counts.items():
            yield outcome, safe_line(reason), f"{count:,}", f"{count / report.n:.1%}"
    if report.failed:
        yield "failed", Text("tasks without a pair", "dim"), f"{report.failed:,}", ""
    if report.pending:
        yield "pending", Text("tasks not done yet", "dim"), f"{report.pending:,}", ""
    if report.cost_usd:
        yield "cost", Text("US dollars for the pairs' answers", "dim"), f"{report.cost_usd:,.2f}", ""
    if report.cost_per_kept_usd:
        yield "cost", Text("US dollars per kept pair", "dim"), f"{report.cost_per_kept_usd:,.4f}", ""


def _name(report: RecipeReport, reports: Sequence[RecipeReport]) -> Text:
    """The recipe as a sentence names it, and of several runs the run."""
    name = safe_line(report.recipe, "bold")
    if len(runs_of(reports)) > 1:
        name.append(" in ", "not bold").append_text(safe_line(report.run, "not bold"))
    return name


def _table() -> Table:
    return Table(box=box.SIMPLE_HEAD, show_edge=False, padding=0, header_style="bold")


AUDIT_HINT = "install scikit-learn with pip install 'clairgen[report]'"


def audit_words(audit: Audit, name: Text) -> Text:
    """The result of the audit in a sentence."""
    low, high = audit.interval
    words = Text("Surface features of ").append_text(name)
    words.append(
        f": an AUC of {audit.auc:.3f} (95% interval {low:.3f} to {high:.3f}) for separating chosen from rejected by counts "
        f"alone, out of fold over {audit.n:,} kept pairs, where 0.5 is chance: "
    )
    if audit.tells_apart:
        return words.append("a reward model can learn these instead of quality.", "bold")
    return words.append("within chance.")


def audit_table(audit: Audit) -> Table:
    """One row for each feature: the shift from rejected to chosen, its AUC alone, and the AUC lost without it."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column("feature", no_wrap=True)
    for name in ("chosen minus\nrejected", "\n± se", "AUC\nalone", "AUC lost\nwithout"):
        table.add_column(name, justify="right", no_wrap=True)
    for one in telling(audit):
        mean, error = one.shift.mean or 0.0, one.shift.se or 0.0
        style = "bold" if one.clear else ""
        table.add_row(
            Text(one.feature, style),
            f"{mean:+,.2f}",
            f"± {error:,.2f}",
            f"{one.univariate_auc:.3f}",
            f"{one.importance:+.3f}",
        )
    return table


def length_table(lengths: LengthFigures) -> Table:
    """By how much chosen is the longer answer: of all pairs, of the kept ones, and after a selection that balances lengths."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column(safe_line(f"length in {lengths.unit}"), overflow="fold", min_width=10)
    table.add_column("pairs", justify="right", no_wrap=True)
    for title in ("chosen minus\nrejected", "chosen longer", "AUC of length\nalone"):
        table.add_column(title, overflow="fold")
    for name, shift in lengths.rows:
        table.add_row(name, *shift.cells)
    return table
