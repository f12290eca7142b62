"""An experiment's configuration is refused where it cannot be meant, and decides how many cells there are."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from clairgen.errors import ConfigError, InputError, RunError
from clairgen.experiment.cells import Combination, chosen_cells, steps_between_checkpoints, steps_of, tuning_cells
from clairgen.experiment.experiment_config import ExperimentConfig, experiment_yaml, load_experiment
from clairgen.experiment.experiment_folder import ExperimentFolder, read_record, write_record
from tests.cli.commands import clairgen

SHIPPED = Path(__file__).parents[2] / "data" / "examples" / "experiment.yaml"


def config(**changes: object) -> ExperimentConfig:
    """A small experiment."""
    content: dict[str, Any] = {
        "data_sets": ["clair", "worse-winners"],
        "objectives": ["apo-zero", "sft"],
        "learning_rates": [1e-4, 1e-3],
        "seeds": [0, 1],
        "tasks": {"single": 100, "seed": 1},
        "dev": {"single": 2, "seed": 2},
        "test": {"single": 2, "two_part": 2, "seed": 3},
        "pairs": 10,
        "batch_size": 4,
    }
    return ExperimentConfig.model_validate(content | changes)


def test_the_shipped_one_has_the_papers_data_sets_and_objectives() -> None:
    shipped = load_experiment(SHIPPED)
    assert len(list(tuning_cells(shipped))) == 6 * 7 * 4
    assert set(shipped.objectives) == {"dpo", "kto-pair", "sft", "apo-zero", "apo-down", "kto", "apo-zero-unpaired"}
    assert len(shipped.seeds) == 3


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"seeds": [0, 0]}, "something is named twice"),
        ({"training": {"learning_rate": 1e-4}}, "training.learning_rate is set by the experiment"),
        ({"data_sets": ["clair-one-part"]}, "clair-one-part needs tasks of two parts"),
        ({"data_sets": ["clair-one-part"], "tasks": {"single": 0, "two_part": 5, "seed": 0}, "pair": 3}, "unknown key 'pair'"),
        ({"tasks": {"single": 0, "two_part": 5, "seed": 0}}, "these data sets need tasks of one part"),
        ({"dev": {"single": 0, "seed": 0}}, "no question is asked"),
        ({"pairs": 101}, "100 tasks cannot give 101 pairs, since a task gives one at most; raise tasks, or lower pairs"),
        ({"data_sets": ["clair-one-part"], "tasks": {"single": 50, "two_part": 9, "seed": 0}}, "9 tasks cannot give 10 pairs"),
        ({"student": "gguf:no/such.gguf"}, "There is no model file"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused(changes: dict[str, object], sentence: str, tmp_path: Path) -> None:
    file = tmp_path / "experiment.yaml"
    file.write_text(yaml.safe_dump(config().model_dump(mode="json") | changes))
    with pytest.raises(ConfigError, match=sentence):
        load_experiment(file)


def test_a_model_that_cannot_be_trained_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    file = tmp_path / "experiment.yaml"
    file.write_text(yaml.safe_dump(config(student=f"gguf:{tmp_path}/model.gguf").model_dump(mode="json")))
    with pytest.raises(ConfigError, match=r"no model\.safetensors beside"):
        load_experiment(file)


def test_every_combination_has_the_same_number_of_settings() -> None:
    cells = list(tuning_cells(config()))
    assert {cell.seed for cell in cells} == {0}
    assert len({cell.name for cell in cells}) == len(cells) == 2 * 2 * 2
    chosen = list(chosen_cells(config(), {Combination("clair", "sft"): 1e-3}))
    assert [(cell.learning_rate, cell.seed) for cell in chosen] == [(1e-3, 0), (1e-3, 1)]


def test_checkpoints_are_evenly_spaced() -> None:
    assert steps_of(config(epochs=2), pairs=10) == 6
    assert steps_between_checkpoints(config(epochs=2, checkpoints=3), pairs=10) == 2
    assert steps_between_checkpoints(config(epochs=2, checkpoints=2), pairs=10) == 3
    assert steps_between_checkpoints(config(epochs=2, checkpoints=4), pairs=10) == 2


def test_a_folder_goes_on_with_its_configuration_and_no_other(tmp_path: Path) -> None:
    folder = ExperimentFolder(tmp_path / "out")
    folder.open(config())
    folder.open(config())
    assert experiment_yaml(folder.config()) == experiment_yaml(config())
    with pytest.raises(RunError, match="was begun with another seeds"):
        folder.open(config(seeds=[0, 1, 2]))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "letter.txt").write_text("dear")
    with pytest.raises(InputError, match="is not an experiment"):
        ExperimentFolder(tmp_path / "other").open(config())


def test_a_claim_is_held_by_one_process_at_a_time(tmp_path: Path) -> None:
    folder, same = ExperimentFolder(tmp_path), ExperimentFolder(tmp_path)
    with folder.claimed("cell") as first, same.claimed("cell") as second, same.claimed("other") as other:
        assert (first, second, other) == (True, False, True)
    with same.claimed("cell") as later:
        assert later
    with folder.locked(), pytest.raises(RunError, match="another process works on"), same.locked():
        pass


def test_a_record_is_whole_or_refused(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "record.json"
    assert read_record(file) is None
    write_record(file, {"a": [1.5]})
    assert read_record(file) == {"a": [1.5]}
    assert [path.name for path in file.parent.iterdir()] == ["record.json"]
    file.write_text('{"a": [1.')
    with pytest.raises(RunError, match="is damaged"):
        read_record(file)


async def test_a_dry_run_refuses_the_folder_that_the_run_refuses(tmp_path: Path) -> None:
    file = tmp_path / "experiment.yaml"
    file.write_text(experiment_yaml(config()))
    foreign, begun = tmp_path / "foreign", tmp_path / "begun"
    foreign.mkdir()
    (foreign / "thesis.tex").touch()
    ExperimentFolder(begun).open(config(seeds=[5]))
    for folder, sentence in ((foreign, "is not empty and is not an experiment"), (begun, "begun with another seeds")):
        done = await clairgen("experiment", file, "--out", folder, "--dry-run")
        assert (done.code, done.out) == (2, "")
        assert sentence in done.err
    new = await clairgen("experiment", file, "--out", tmp_path / "new", "--dry-run")
    assert (new.code, (tmp_path / "new").exists()) == (0, False)


def test_what_a_kill_left_before_the_configuration_was_written_is_no_other_thing(tmp_path: Path) -> None:
    for name in ("lock", ".experiment.yaml.17.partial"):
        (tmp_path / name).touch()
    ExperimentFolder(tmp_path).open(config())
    assert load_experiment(tmp_path / "experiment.yaml") == config()
