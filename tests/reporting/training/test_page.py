"""The page's file, without a browser."""

import math
import re
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest

from clairgen.errors import InputError
from clairgen.reporting.training.diagnostics.diagnostic import figure
from clairgen.reporting.training.page import training_page, write_training_page
from clairgen.reporting.training.report import TrainingReport
from tests.reporting.html.test_pairs_page import text_of
from tests.reporting.training.made import FOUR, HEALTHY, Planned, columns, trajectory

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> list[TrainingReport]:
    folder = tmp_path_factory.mktemp("four")
    return [TrainingReport(trajectory(folder / name, planned)) for name, planned in FOUR.items()]


def test_every_measurement_and_finding_stands_in_the_page(four: list[TrainingReport]) -> None:
    text = unescape(text_of(training_page(four)))
    for report in four:
        for one in report.measurements:
            mean, error = one.chosen_logps.mean or 0, one.chosen_logps.se or 0
            assert f"{one.step:,} {one.epoch:.4g} 100 {mean:,.1f} ± {error:,.1f}" in text
            assert figure(one.margin.mean or 0) in text
        for sick in report.diagnostics:
            assert sick.name in text
            assert sick.seen in text
            assert sick.to_try in text


def test_charts_of_a_measure_share_their_scales(tmp_path: Path) -> None:
    longer = replace(FOUR["sft"], measurements=25)
    html = training_page(
        [TrainingReport(trajectory(tmp_path / "a", HEALTHY)), TrainingReport(trajectory(tmp_path / "b", longer))]
    )
    scales = re.findall(
        r"titled &#39;(.*?)&#39;|titled '(.*?)' for a linear scale with values from (\S+) to (\S+)\"", html
    )
    by_title: dict[str, set[tuple[str, str]]] = {}
    for _, title, low, high in scales:
        by_title.setdefault(title, set()).add((low, high))
    assert {"epoch", "reward", "margin"} <= {title.split(",")[0] for title in by_title}
    assert all(len(ends) == 1 for ends in by_title.values()), by_title


def test_a_measure_that_no_run_has_is_left_out(tmp_path: Path, four: list[TrainingReport]) -> None:
    assert "Sampled length" not in training_page([TrainingReport(trajectory(tmp_path / "a", HEALTHY))])
    assert "Sampled length" in training_page(four[:1])


def test_pairs_that_are_no_numbers_are_counted_where_there_are_any(tmp_path: Path) -> None:
    lost: list[object] = [*columns(HEALTHY)["chosen_logps"][:-3], *[math.nan] * 3]
    broken = TrainingReport(trajectory(tmp_path / "a", HEALTHY, {"chosen_logps": lost}))
    table = text_of(training_page([broken])).split("All measurements")[1]
    assert "sampled not finite" in table
    assert re.search(r"1,080 18 100 .*\(n 97\).* 3 (\S+ )*Runs", table)
    unbroken = text_of(training_page([TrainingReport(trajectory(tmp_path / "b", HEALTHY))]))
    assert "sampled not finite" not in unbroken


def test_one_measurement_of_one_pair_is_a_page_too(tmp_path: Path) -> None:
    html = training_page([TrainingReport(trajectory(tmp_path, Planned(pairs=1, measurements=1)))])
    assert html.count("<svg") == 3


def test_the_page_asks_for_nothing_from_outside(four: list[TrainingReport]) -> None:
    html = unescape(training_page(four[:1]))
    assert not re.findall(r"""(?:src|href)=["'](?!#)""", html.replace('xmlns:xlink="http', ""))
    head = html.split("</head>")[0]
    assert "default-src 'none'; style-src 'sha256-" in head
    assert "script-src" not in head
    assert "<script" not in html


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path, four: list[TrainingReport]) -> None:
    with pytest.raises(InputError, match=r"absent/x\.html cannot be written"):
        write_training_page(tmp_path / "absent" / "x.html", four[:1])
