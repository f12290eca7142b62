import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from clairgen.reporting.training.report import TrainingReport
from clairgen.reporting.training.terminal import few, print_training
from tests.reporting.training.made import FOUR, HEALTHY, Planned, line, trajectory


def printed(*reports: TrainingReport, width: int = 80) -> str:
    file = io.StringIO()
    print_training(Console(file=file, width=width), reports)
    return file.getvalue()


@pytest.fixture
def four(tmp_path: Path) -> list[TrainingReport]:
    return [TrainingReport(trajectory(tmp_path / name, planned)) for name, planned in FOUR.items()]


@pytest.mark.slow
@pytest.mark.parametrize("width", [40, 79, 80, 200])
def test_no_figure_is_cut_at_any_width(four: list[TrainingReport], width: int) -> None:
    text = printed(*four, width=width)
    for report in four:
        last = report.measurements[-1]
        assert f"{last.chosen_logps.mean:,.1f}±{last.chosen_logps.se:,.1f}" in text
        assert f"{last.accuracy.mean:.1%}" in text
        assert f"{last.sampled_tokens.mean:,.1f}±{last.sampled_tokens.se:,.1f}" in text


def test_tables_fit_eighty_columns_and_stand_side_by_side_where_there_is_room(four: list[TrainingReport]) -> None:
    narrow, wide = printed(*four, width=80), printed(*four, width=170)
    assert max(len(line.rstrip()) for line in narrow.splitlines()) <= 80
    assert max(len(line.rstrip()) for line in wide.splitlines()) <= 170
    assert not any("apo-zero" in line and "apo-down" in line for line in narrow.splitlines())
    assert any(line.split() == ["apo-zero", "apo-down"] for line in wide.splitlines())


def test_the_first_the_last_and_a_few_steps_between_are_shown(four: list[TrainingReport]) -> None:
    assert [one.step for one in few(four[0].measurements)] == [0, 240, 540, 840, 1080]
    assert [one.step for one in few(four[0].measurements[:3])] == [0, 60, 120]
    assert [one.step for one in few(four[0].measurements[:6])] == [0, 60, 120, 240, 300]


def test_findings_stand_below_under_their_run_and_name(four: list[TrainingReport]) -> None:
    text = " ".join(printed(*four, width=100).split())
    assert "no diagnostic found anything" in text
    assert ": chosen_falls (a remark). The log-likelihood of chosen answers fell by" in text
    assert ": margin_falls. The log-likelihood of chosen answers of held-out pairs was largest at step" in text
    assert "Use the checkpoint of step" in text


def test_a_run_of_one_measurement_and_one_pair_is_shown(tmp_path: Path) -> None:
    text = printed(TrainingReport(trajectory(tmp_path, Planned(pairs=1, measurements=1))))
    assert "There is one measurement of 1 pair." in " ".join(text.split())


def test_hostile_names_do_no_harm(tmp_path: Path) -> None:
    hostile = "[red]\x1b[2J[/]\u202e\n"
    planned = replace(HEALTHY, objective=hostile, model=hostile, data=hostile, chosen=line(90))
    for name in ("[red]\x1b[2Ja", "b"):
        (tmp_path / name).mkdir()
    (tmp_path / "b" / "training.yaml").write_text('"\\e[2J": "\\e[3J[red]"\n')
    runs = [TrainingReport(trajectory(tmp_path / name, planned)) for name in ("[red]\x1b[2Ja", "b")]
    text = printed(*runs, width=200)
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert r"[red]\x1b[2J[/]\u202e\n" in text
    assert r"\x1b[3J[red]" in text
