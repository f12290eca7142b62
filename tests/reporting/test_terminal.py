import io
import re
from dataclasses import replace

import pytest
from rich.console import Console

from clairgen.reporting.pair_metrics import TABLE_1, MetricEstimates
from clairgen.reporting.position_bias import judge_report
from clairgen.reporting.report import RecipeNumbers, RecipeReport
from clairgen.reporting.shortcut_audit import Audit, FeatureShift
from clairgen.reporting.terminal import print_reports
from clairgen.stats import Estimate
from tests.reporting.made import TOO_LONG, report_of, stored_pair

WIDTHS = [20, 40, 60, 79, 80, 120, 200]


def printed(*reports: RecipeReport, width: int = 80, colour: bool = False) -> str:
    file = io.StringIO()
    console = Console(file=file, width=width, force_terminal=colour, color_system="truecolor" if colour else None)
    print_reports(console, reports)
    return file.getvalue()


def line_of(text: str, *words: str) -> list[str]:
    return next(line.split() for line in text.splitlines() if all(word in line.split() for word in words))


@pytest.mark.slow
@pytest.mark.parametrize("width", WIDTHS)
def test_no_figure_is_cut_or_wrapped_at_any_width(width: int) -> None:
    reports = [report_of(recipe, scale=10_000) for recipe in TABLE_1]
    text = printed(*[measured_over(report, 1_234_567) for report in reports], width=width)
    assert "…" not in text
    assert text.count("1,234,567") == len(reports)
    for row in TABLE_1.values():
        assert line_of(text, "paper", f"{row.jaccard:.2f}", f"{row.levenshtein:,.0f}", f"{row.n:,}")
    kept = reports[0].contrast_of_kept.levenshtein
    assert f"{kept.mean:,.0f}" in line_of(text, "kept", "36")
    assert f"{kept.se:,.0f}" in line_of(text, "kept", "36")


def measured_over(report: RecipeReport, n: int) -> RecipeReport:
    """The report as if so many pairs had been measured, of more that were made."""
    jaccard = replace(report.contrast_of_all.jaccard, n=n)
    return replace(report, n=n + 1, contrast_of_all=replace(report.contrast_of_all, jaccard=jaccard))


def test_n_is_that_of_the_mean_beside_it() -> None:
    text = printed(measured_over(report_of("clair"), 77))
    assert line_of(text, "clair", "all")[2] == "77"


@pytest.mark.parametrize("width", [80, 120, 200])
def test_the_table_fits_the_terminal(width: int) -> None:
    text = printed(*[report_of(recipe) for recipe in TABLE_1], report_of("a-recipe-with-a-long-name" * 3), width=width)
    assert max(len(line) for line in text.splitlines()) <= width


def test_all_kept_and_published_figures_stand_one_below_the_other() -> None:
    report = report_of("clair")
    means = [report.contrast_of_all.jaccard.mean, report.contrast_of_kept.jaccard.mean, 43.11]
    lines = printed(report).splitlines()
    first = next(number for number, line in enumerate(lines) if line.split()[:2] == ["clair", "all"])
    block = lines[first : first + 3]
    assert [line.split()[0] for line in block] == ["clair", "kept", "paper"]
    assert len({line.index(f"{mean:.2f}") for line, mean in zip(block, means, strict=True)}) == 1


def test_a_recipe_that_the_paper_does_not_have_stands_alone() -> None:
    text = printed(report_of("my-own"))
    assert "paper" not in text
    assert "treebank" in text


def test_published_figures_are_dimmed() -> None:
    assert re.search(r"\x1b\[2m *43\.11", printed(report_of("clair"), colour=True))


def test_one_run_is_named_only_in_commands() -> None:
    text = printed(report_of("clair", "runs/first", pairs=20))
    assert "runs/first" not in text.replace("clairgen show runs/first", "")


@pytest.mark.parametrize("width", [80, 120])
def test_several_runs_stand_side_by_side_and_are_grouped_by_recipe(width: int) -> None:
    first = [replace(report_of(recipe, "runs/first", pairs=40), pending=0) for recipe in ("clair", "my-own")]
    audited = replace(
        first[0], judges=(judge_report("judge", first=10, second=10, ties=1),), audit=Audit(36, 0.5, (0.4, 0.6), ())
    )
    text = printed(audited, first[1], replace(report_of("clair", "runs/second", pairs=20), pending=0), width=width)
    lines = [line.split() for line in text.splitlines()]
    assert ["runs/first", "runs/second", "paper"] in lines
    assert ["kept", "36", "of", "40", "(90%)", "18", "of", "20", "(90%)"] in lines
    assert ["n,", "kept", "36", "18", "29,000"] in lines
    assert ["dropped:", "too-long", "4", "(10.0%)", "2", "(10.0%)"] in lines
    own = lines.index(["my-own"], lines.index(["runs/first", "runs/second", "paper"]))
    assert lines[own + 1] == ["n,", "all", "40", "–"]  # the second run does not have it
    words = " ".join(text.split())
    assert "Surface features of clair in runs/first: an AUC of 0.500" in words
    assert "The judge of clair in runs/first: 20 verdicts, 1 tie, 0 replies without a verdict" in words
    assert max(len(line) for line in text.splitlines()) <= width


def test_more_runs_than_fit_are_several_tables_without_a_cut_figure() -> None:
    reports = [replace(report_of("clair", f"runs/{number}", scale=10_000), pending=0) for number in range(7)]
    text = printed(*reports, width=80)
    assert all(text.count(f"runs/{number} ") >= 3 for number in range(7))
    assert "…" not in text
    assert max(len(line) for line in text.splitlines()) <= 80


def test_it_begins_with_what_it_comes_to_and_what_to_do_next() -> None:
    report = replace(report_of("clair", pairs=40), pending=0, failed=0)
    audit = Audit(36, 0.9, (0.8, 0.95), (FeatureShift("bold", Estimate(1.0, 0.1, 36), 0.9, 0.2, True),))
    leaning = replace(report_of("judge-on-policy"), pending=0, judges=(judge_report("judge", first=90, second=10),))
    text = " ".join(
        printed(replace(report, audit=audit), leaning, replace(report_of("mine"), pending=1), width=150).split()
    )
    assert text.startswith("recipe kept cost cues judge leans to")
    assert "clair 36 of 40 (90%) $12.35 ($0.3429 a pair kept) yes, AUC 0.900: bold no judge" in text
    assert (
        "judge-on-policy 36 of 40 (90%) $12.35 ($0.3429 a pair kept) not audited first position (90.0% first)" in text
    )
    assert "Next for clair: Cues tell chosen from rejected: look at some pairs with clairgen show" in text
    assert (
        "Next for judge-on-policy: The judge leans to a position: write the recipe as {name: judge-on-policy, order"
        in text
    )
    assert "Next for mine: 1 pair is still to be made: run clairgen generate again." in text


def test_reasons_failures_and_cost_are_listed() -> None:
    text = printed(report_of("clair"))
    assert line_of(text, "dropped") == ["clair", "dropped", "too-long", "4", "10.0%"]
    assert line_of(text, "marked") == ["marked", "mentions-revision", "5", "12.5%"]
    assert line_of(text, "failed")[-1] == "2"
    assert line_of(text, "pending")[-1] == "3"
    assert line_of(text, "dollars", "12.35")[0] == "cost"
    assert line_of(text, "kept", "pair", "0.3429")[0] == "cost"  # 12.345 over 36 kept pairs


def test_the_audit_is_told_with_its_interval_and_its_features() -> None:
    shifts = (
        FeatureShift("bold", Estimate(1.25, 0.2, 36), 0.71, 0.12, True),
        FeatureShift("links", Estimate(0, 0, 36), 0.5, 0, False),
    )
    report = replace(report_of("clair"), audit=Audit(36, 0.734, (0.601, 0.822), shifts))
    text = printed(report)
    assert "AUC of 0.734 (95% interval 0.601 to 0.822)" in " ".join(text.split())
    assert "a reward model can learn these" in " ".join(text.split())
    assert line_of(text, "bold", "±") == ["bold", "+1.25", "±", "0.20", "0.710", "+0.120"]
    assert "links" not in text
    apart = printed(replace(report, audit=Audit(36, 0.52, (0.4, 0.63), ())))
    assert "within chance" in " ".join(apart.split())
    assert "AUC\nalone" not in apart


def test_a_missing_audit_names_what_to_install() -> None:
    assert "pip install 'clairgen[report]'" in " ".join(printed(report_of("clair")).split())
    assert "pip install" not in printed(RecipeNumbers("runs/a", "clair", "treebank").report())


def test_a_run_where_everything_is_kept_has_no_second_table() -> None:
    numbers = RecipeNumbers("runs/a", "clair", "treebank")
    numbers.add(stored_pair())
    assert "outcome" not in printed(numbers.report())


def test_figures_that_cannot_be_known_are_left_out() -> None:
    text = printed(RecipeNumbers("runs/a", "clair", "treebank").report())
    assert line_of(text, "clair", "all") == ["clair", "all", "0", "–", "–", "–"]
    numbers = RecipeNumbers("runs/a", "clair", "treebank")
    numbers.add(stored_pair())
    assert line_of(printed(numbers.report()), "kept", "50.00") == ["kept", "1", "50.00", "120", "1.25"]


def test_no_report_says_so() -> None:
    assert printed() == "No pairs yet.\n"


def test_hostile_names_do_no_harm() -> None:
    hostile = "[red]\x1b[2J[/]\u202e\n"
    numbers = RecipeNumbers(f"runs/{hostile}", hostile, hostile)
    numbers.add(stored_pair(None, findings=[replace(TOO_LONG, reason=hostile)]))
    text = printed(numbers.report(), report_of("clair", "runs/other"), width=200)
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert text.count(r"[red]\x1b[2J[/]\u202e\n") >= 8


def test_metrics_of_plugins_are_stated_with_their_errors() -> None:
    saved = MetricEstimates("Words that the chosen answer saves", Estimate(1.25, 0.5, 40), Estimate(2.0, None, 1))
    text = " ".join(printed(replace(report_of("clair"), metrics={"words_saved": saved})).split())
    assert "words_saved of clair: 1.250 ± 0.500 (all, n = 40); 2.000 (kept, n = 1). Words that the chosen" in text


def test_failed_checks_are_said_also_where_nothing_was_requested_once_more() -> None:
    text = printed(replace(report_of("clair"), retried=0, failed_checks={"edit_share 0.9": 3}), width=200)
    assert "0 were requested once more because they failed their check; still failing: 3 edit_share 0.9." in text
