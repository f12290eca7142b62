"""The page's file, without a browser."""

import re
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest

from clairgen.errors import InputError
from clairgen.records import Answer, ParseStatus, Task, Undecided
from clairgen.reporting.html.charts import filled, histogram_svg, whole_ticks
from clairgen.reporting.html.pairs_page import PairSample, page, write_page
from clairgen.reporting.pair_metrics import SCALES, Histogram, MetricEstimates
from clairgen.reporting.position_bias import judge_report
from clairgen.reporting.shortcut_audit import Audit, FeatureShift
from clairgen.stats import Estimate
from tests.reporting.made import report_of, stored_pair

pytestmark = pytest.mark.slow


def text_of(html: str) -> str:
    shown = re.sub(r"<(script|style).*?</\1>", "", html, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]+>", " ", shown).split())


def test_all_figures_of_the_report_stand_in_the_page() -> None:
    shift = FeatureShift("bold", Estimate(1.25, 0.2, 36), 0.71, 0.12, True)
    report = replace(
        report_of("clair"),
        judges=(judge_report("judge", first=70, second=30, ties=2, unreadable=1),),
        audit=Audit(36, 0.734, (0.601, 0.822), (shift,)),
        retried=5,
        failed_checks={"too-long": 2},
        metrics={"words_saved": MetricEstimates("Words saved", Estimate(1.25, 0.5, 40), Estimate(2.0, 0.4, 36))},
    )
    text = text_of(page([report], []))
    kept = report.contrast_of_kept.jaccard
    for figure in (
        f"kept 36 {kept.mean:.2f} ± {kept.se:.2f}",
        "paper 29,000 43.11 1,108",
        "words_saved 1.250 ± 0.500 2.000 ± 0.400 Words saved",
        "dropped too-long 4 10.0%",
        "per kept pair $0.3429",
        "judge 100 2 1 70.0% 60.4% to 78.1% first position",
        "AUC 0.734 95% interval 0.601 to 0.822",
        "bold 1.25 ± 0.20 yes 0.710 0.120",
        "5 were requested once more because they failed their check",
        "treebank",
    ):
        assert figure in text, figure


def test_runs_are_told_apart_and_no_report_says_so() -> None:
    assert (
        text_of(page([report_of("clair", "runs/first"), report_of("clair", "runs/second")], [])).count("runs/second")
        > 2
    )
    assert "No pairs yet." in text_of(page([], []))


def test_the_page_asks_for_nothing_from_outside() -> None:
    html = unescape(page([report_of("clair")], []))
    assert not re.findall(r"""(?:src|href)=["'](?!#)""", html.replace('xmlns:xlink="http', ""))
    assert "default-src 'none'" in html
    assert "unsafe" not in html.split("</head>")[0]


def test_a_pair_that_was_not_decided_shows_both_answers() -> None:
    answers = (
        Answer("The cat sat on a mat.", "stop", "k", "student"),
        Answer("Another answer.", "stop", "k", "student"),
    )
    drawn = PairSample("runs/a", "judge-on-policy", 5)
    tie = Undecided("task-1", "judge-on-policy", ParseStatus.DECLARED_TIE, answers)
    drawn.add(replace(stored_pair(None), outcome=tie))
    [row] = drawn.rows()
    assert row["diff"] == [[0, "The cat sat on a mat."]]
    assert row["other"] == "Another answer."
    assert row["outcome"] == "declared-tie"


def test_the_same_tasks_are_drawn_in_every_recipe_in_the_order_of_the_tasks() -> None:
    drawn = [PairSample("runs/a", recipe, 20) for recipe in ("clair", "stronger-preferred")]
    for one in drawn:
        for number in range(200):
            one.add(replace(stored_pair(recipe=one.recipe), task=Task(f"task-{number}", ())))
    tasks = [[row["task"] for row in one.rows()] for one in drawn]
    assert tasks[0] == tasks[1]
    assert len(set(tasks[0])) == 20
    numbers = [int(task.removeprefix("task-")) for task in tasks[0]]
    assert numbers == sorted(numbers)
    assert max(numbers) > 100
    assert drawn[0].seen == 200


def test_a_very_long_answer_is_cut_and_says_so() -> None:
    drawn = PairSample("runs/a", "clair", 1)
    drawn.add(stored_pair("word " * 10_000, "word"))
    [row] = drawn.rows()
    assert row["cut"]
    assert sum(len(text) for _, text in row["diff"]) <= 20_000


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent/x\.html cannot be written"):
        write_page(tmp_path / "absent" / "x.html", [report_of("clair")], [])


@pytest.mark.parametrize(
    ("most", "ticks"),
    [
        (0, [0, 1]),
        (1, [0, 1]),
        (3, [0, 1, 2, 3]),
        (5, [0, 2, 4, 6]),
        (10, [0, 5, 10]),
        (274, [0, 100, 200, 300]),
        (1112, [0, 500, 1000, 1500]),
    ],
)
def test_counts_stand_at_whole_numbers(most: int, ticks: list[int]) -> None:
    assert whole_ticks(most) == ticks


def test_a_chart_of_few_pairs_has_whole_counts_the_bin_of_zero_and_the_papers_mean() -> None:
    histogram = Histogram(SCALES[1], (0, *[0] * 4, 2, *[0] * 29), (1, *[0] * 34))
    svg = histogram_svg(histogram, filled([histogram], [1108]), 1108)
    labels = re.findall(r"<text[^>]*>([^<]*)</text>", svg)
    assert labels.count("0") == 2  # of edits and of pairs
    assert {"1", "2", "1,024"} <= set(labels)
    assert not any("." in label for label in labels)
    assert svg.count("stroke-dasharray") == 1
    assert "<a " not in svg  # a page of its own has no pairs to lead to


def test_bars_lead_where_they_are_told_and_say_what_is_in_them() -> None:
    histogram = Histogram(SCALES[2], (1, *[0] * 22, 1200), (0, 3, *[0] * 22))
    svg = histogram_svg(histogram, range(24), links={0: '/?a=1&b="', 1: "/1", 2: "/2"})
    assert 'aria-hidden="true"><a' not in svg
    assert re.findall(r'<a href="([^"]*)" aria-label="([^"]*)">', svg) == [
        ("/?a=1&amp;b=&#34;", "length ratio below 0.15: 1 kept, 0 dropped"),
        ("/1", "length ratio from 0.15 and below 0.18: 0 kept, 3 dropped"),
    ]
    assert "invalid" not in svg
