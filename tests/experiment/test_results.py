"""Intervals cover what they say, claims are decided by them, learning rates by dev alone, and the files say all of it."""

import json
from pathlib import Path

import numpy as np
import pytest

from clairgen.experiment.cells import Cell, Combination, tuning_cells
from clairgen.experiment.claims import BEYOND, CLAIMS, Ruling, judged
from clairgen.experiment.crossed_interval import crossed_mean
from clairgen.experiment.experiment_folder import ExperimentFolder, write_record
from clairgen.experiment.learning_rates import chosen_rates, remove_beaten
from clairgen.experiment.result_files import write_results
from tests.experiment.made import findings
from tests.experiment.test_configuration import config

ALL = {
    (data_set, objective): [0.5]
    for data_set in ("clair", "judge-on-policy", "judge-off-policy", "stronger-preferred", "worse-winners", "clair-one-part")
    for objective in ("dpo", "kto-pair", "sft", "apo-zero", "apo-down")
}  # fmt: skip


def test_an_interval_is_as_worked_by_hand() -> None:
    found = crossed_mean([[0.0, 0.1, 0.2], [0.1, 0.2, 0.3]])
    # questions' means 5, 15, 25: variance 100, over 3; seeds' means 10 and 20: variance 50, over 2
    variance = 100 / 3 + 50 / 2
    freedom = variance**2 / ((100 / 3) ** 2 / 2 + (50 / 2) ** 2 / 1)
    assert found.mean == pytest.approx(15)
    assert 2.7 < freedom < 2.9
    assert (found.high - found.low) / 2 == pytest.approx(variance**0.5 * 3.257, rel=0.001)
    assert (found.questions, found.seeds) == (3, 2)


@pytest.mark.parametrize("of_seeds", [0.0, 0.02, 0.05])
def test_intervals_cover_the_truth_when_seeds_differ_and_when_not(of_seeds: float) -> None:
    random = np.random.default_rng(1)
    covered = 0
    for _ in range(300):
        questions, seeds = 0.3 * random.normal(size=200), of_seeds * random.normal(size=3)
        differences = 0.1 + questions + seeds[:, None] + 0.4 * random.normal(size=(3, 200))
        found = crossed_mean(differences.tolist())
        covered += found.low <= 10 <= found.high
    assert covered >= 0.93 * 300


def test_one_seed_gives_an_interval_over_questions_and_no_variance_none() -> None:
    found = crossed_mean([[0.0, 1.0, 0.0, 1.0]])
    assert (found.low + found.high) / 2 == pytest.approx(50)
    assert crossed_mean([[0.0, 0.0], [0.0, 0.0]]).text == "+0.0 (+0.0, +0.0)"


def test_claims_agree_disagree_or_cannot_be_told_by_their_intervals() -> None:
    as_the_paper = ALL | {
        ("clair", "apo-zero"): [0.9],
        ("clair", "dpo"): [0.7],
        ("clair", "kto-pair"): [0.7],
        ("worse-winners", "apo-zero"): [0.2],
        ("clair-one-part", "apo-zero"): [0.8],
    }
    assert [judged(claim, findings(as_the_paper)).verdict for claim in (*CLAIMS, *BEYOND)] == [Ruling.AGREES] * 5
    other = findings(as_the_paper | {("clair", "sft"): [1.0], ("clair", "kto-pair"): [0.5]})
    verdicts = [judged(claim, other).verdict for claim in CLAIMS]
    assert verdicts == [Ruling.AGREES, Ruling.CANNOT_TELL, Ruling.AGREES, Ruling.DISAGREES]
    assert "imitation is hard to beat" in judged(CLAIMS[3], other).perhaps


def test_a_claim_about_what_was_not_run_is_not_decided() -> None:
    some = findings({("clair", "apo-zero"): [0.9], ("clair", "sft"): [0.5]})
    found = judged(CLAIMS[3], some)
    assert found.verdict is Ruling.NOT_RUN
    assert [difference is None for _, difference in found.differences] == [True, True, False]


def test_checkpoints_chosen_on_dev_are_no_better_than_those_chosen_on_test() -> None:
    one = findings({("clair", "sft"): [0.5, 0.9, 0.6]}).results[Combination("clair", "sft")]
    assert one.last.mean() < one.over_checkpoints.mean() < one.best.mean() == one.highest.mean()


def test_the_files_show_the_table_the_claims_and_every_figure(tmp_path: Path) -> None:
    text, files = write_results(ExperimentFolder(tmp_path), findings(ALL | {("clair", "apo-zero"): [0.7, 0.9]}))
    assert [file.name for file in files] == ["result.json", "table.md", "figure.svg", "page.html"]
    assert "| apo-zero | +4" in text
    assert text.count("cannot tell.**") + text.count(": agrees.**") + text.count("disagrees.**") == 5
    figures = json.loads(files[0].read_text())
    assert len(figures["results"]) == 30
    assert figures["results"][3]["bias_of_choosing_on_test"]["mean"] >= 0
    assert figures["results"][3]["by_parts"].keys() == {"one part", "two parts"}
    assert files[2].read_text().startswith("<svg")
    page = files[3].read_text()
    assert page.count("<svg") == 1 + 6
    assert 'class="number gain above"' in page


def record(folder: ExperimentFolder, cell: Cell, share: float | None) -> None:
    dev = None if share is None else {"scores": [share, share], "unended": 0, "characters": 3.0}
    write_record(folder.result(cell), {"failed": "it diverged" if share is None else None, "dev": dev})
    folder.training(cell).mkdir(parents=True)


def test_the_learning_rate_that_is_best_on_dev_is_chosen_and_the_beaten_ones_are_deleted(tmp_path: Path) -> None:
    folder, settings = ExperimentFolder(tmp_path), config(learning_rates=[1e-4, 3e-4, 1e-3], objectives=["sft"])
    cells = list(tuning_cells(settings))
    for cell, share in zip(cells, (0.5, 0.7, 0.7, 0.4, None, 0.3), strict=True):
        record(folder, cell, share)
    rates = chosen_rates(settings, folder)
    assert rates == {Combination("clair", "sft"): 3e-4, Combination("worse-winners", "sft"): 1e-4}
    for combination in rates:
        remove_beaten(settings, folder, combination)
    assert [folder.training(cell).is_dir() for cell in cells] == [False, True, False, True, False, False]
    folder.save_choices(rates)
    assert folder.choices() == rates


def test_trainings_that_all_failed_have_no_learning_rate(tmp_path: Path) -> None:
    folder, settings = ExperimentFolder(tmp_path), config(data_sets=["clair"], objectives=["sft"])
    for cell in tuning_cells(settings):
        record(folder, cell, None)
    assert chosen_rates(settings, folder) == {}
