"""Cells of an experiment are trained and tested in this process, each once, and what is found in them is reported."""

import json
from pathlib import Path

import pytest

from clairgen.cli.experiment_worker import models_of, training_settings, work
from clairgen.data.classroom.questions import draw
from clairgen.data.classroom.styles import STUDENT
from clairgen.errors import ConfigError, RunError
from clairgen.experiment.cells import Cell, Combination, chosen_cells, tuning_cells
from clairgen.experiment.experiment_config import ExperimentConfig
from clairgen.experiment.experiment_folder import ExperimentFolder, read_record, write_record
from clairgen.experiment.findings import findings_of
from clairgen.experiment.learning_rates import chosen_rates
from clairgen.whole_files import write_whole
from clairgen_train.answers import model_answers
from tests.cli.commands import clairgen
from tests.experiment.test_configuration import config

TRAINING = {"optimizer": "adamw_torch", "precision": "fp32", "beta": 1.0}


def begun(path: Path, **changes: object) -> tuple[ExperimentConfig, ExperimentFolder]:
    """An experiment whose pairs are made: 8 to train on and 2 held out."""
    settings = config(
        **{
            "data_sets": ["clair"],
            "learning_rates": [1e-4],
            "seeds": [0],
            "epochs": 1,
            "checkpoints": 2,
            "training": TRAINING,
        }
        | changes
    )
    folder = ExperimentFolder(path)
    folder.open(settings)
    rows = [
        {
            "prompt": [{"role": "user", "content": each.prompt}],
            "chosen": [{"role": "assistant", "content": each.answer(STUDENT[0])}],
            "rejected": [{"role": "assistant", "content": "I do not know."}],
            "pair_id": str(number),
        }
        for number, each in enumerate(draw(10, "train", seed=0))
    ]
    for name, some in (("train", rows[:8]), ("test", rows[8:])):
        write_whole(folder.data_set("clair") / f"{name}.jsonl", "".join(json.dumps(row) + "\n" for row in some))
    facts = {"made": 10, "pairs": 8, "chosen_right": 1.0, "rejected_right": 0.0, "levenshtein": 20.0}
    facts |= {"chosen_characters": 30.0, "rejected_characters": 14.0}
    write_record(
        folder.sets, {"pairs": 8, "held_out_pairs": 2, "tasks_with_pairs_in_all": 10, "sets": {"clair": facts}}
    )
    return settings, folder


async def test_an_experiment_goes_from_pairs_to_a_page_and_does_nothing_twice(tmp_path: Path) -> None:
    settings, folder = begun(tmp_path / "out", objectives=["apo-zero", "kto"])
    work(folder)
    assert folder.choices() is None
    assert not (folder.path / "tests").exists()  # no test question before the choice
    first = {cell: folder.result(cell).stat().st_mtime_ns for cell in tuning_cells(settings)}
    rates = chosen_rates(settings, folder)
    folder.save_choices(rates)
    work(folder)
    assert {cell: folder.result(cell).stat().st_mtime_ns for cell in chosen_cells(settings, rates)} == first
    found = findings_of(settings, folder)
    one = found.results[Combination("clair", "apo-zero")]
    assert [each.step for each in one.checkpoints[0]] == [1, 2]
    assert [point["step"] for point in one.trajectories[0]] == [0, 1, 2]
    assert found.student.shape == one.last.shape == (1, 4)
    assert not any((folder.path / "training").iterdir())  # tested, so their checkpoints are deleted
    file = tmp_path / "experiment.yaml"
    file.write_text((folder.path / "experiment.yaml").read_text())
    done = await clairgen("experiment", file, "--out", folder.path)
    assert done.code == 0, done.err
    assert "| apo-zero |" in done.out
    assert (folder.path / "page.html").is_file()


def test_a_cell_that_another_process_has_is_left_alone(tmp_path: Path) -> None:
    settings, folder = begun(tmp_path / "out", objectives=["sft"])
    [cell] = tuning_cells(settings)
    with folder.claimed(cell.name):
        work(folder)
    assert not folder.result(cell).exists()


def test_a_training_that_diverges_is_a_result(tmp_path: Path) -> None:
    settings, folder = begun(tmp_path / "out", objectives=["sft"], learning_rates=[1e30])
    work(folder)
    [cell] = tuning_cells(settings)
    result = read_record(folder.result(cell))
    assert result is not None
    assert result["failed"] is not None
    assert chosen_rates(settings, folder) == {}


def test_objectives_for_single_answers_see_the_same_pairs_in_as_many_steps(tmp_path: Path) -> None:
    settings, folder = config(training=TRAINING), ExperimentFolder(tmp_path)
    paired, unpaired = (
        training_settings(settings, folder, Cell(Combination("clair", objective), 1e-4, 0), 10)
        for objective in ("dpo", "kto")
    )
    assert (paired.batch_size, unpaired.batch_size) == (4, 8)
    assert (paired.measure, paired.checkpoints) == (1, 3)


async def test_a_setting_of_training_that_there_is_not_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="objective"):
        training_settings(config(), ExperimentFolder(tmp_path), Cell(Combination("clair", "ipo"), 1e-4, 0), 10)


def test_a_checkpoint_that_was_deleted_is_named(tmp_path: Path) -> None:
    folder, cell = ExperimentFolder(tmp_path), Cell(Combination("clair", "sft"), 1e-4, 0)
    write_record(folder.result(cell), {"models": {"2": "."}})
    with pytest.raises(RunError, match="is no longer there; remove"):
        models_of(folder, cell)


def test_answers_are_the_same_for_the_same_seed_and_follow_the_temperature() -> None:
    student = config().student_folder
    prompts = [each.prompt for each in draw(28, "dev", seed=5)]
    one, again, other = (
        model_answers(student, prompts, temperature=0.7, max_new_tokens=96, seed=seed) for seed in (1, 1, 2)
    )
    assert one == again != other
    assert all(answer.ended for answer in one)
    [cut] = model_answers(student, prompts[:1], temperature=0.7, max_new_tokens=2, seed=1)
    assert not cut.ended
    cold = [model_answers(student, prompts, temperature=1e-4, max_new_tokens=96, seed=seed) for seed in (1, 2)]
    assert cold[0] == cold[1]
