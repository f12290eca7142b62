"""Runs that measure every N steps, stop early or keep the best model by the held-out margin, and warn of falling likelihoods."""

import json
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file
from transformers import TrainerControl, TrainerState

from clairgen.errors import ConfigError
from clairgen_train.best_model import HeldOutWatch
from clairgen_train.run import prepare, run
from clairgen_train.run_folder import RunFolder
from clairgen_train.settings import TrainingSettings
from clairgen_train.trajectories import trajectory_schema
from tests.training.small_run import settings, trained, written

FACTS = {"objective": "apo-zero", "beta": "0.1"}


def measured(folder: Path, means: dict[int, tuple[float, float]]) -> RunFolder:
    """A run folder whose trajectories have two pairs with these changes of (chosen, rejected) by step, in nats."""
    import pyarrow as pa

    rows = [
        {"step": step, "epoch": 0.0, "pair_id": f"pair-{number}", "chosen_logps": chosen, "rejected_logps": rejected}
        | {"ref_chosen_logps": 0.0, "ref_rejected_logps": 0.0}
        for step, (chosen, rejected) in means.items()
        for number in range(2)
    ]
    folder.mkdir(exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema=trajectory_schema(FACTS)), folder / "trajectories.parquet")
    return RunFolder(folder)


def decided(folder: RunFolder, step: int, **given: object) -> tuple[bool, bool, str | None]:
    """Whether a measurement at `step` saves, whether it stops, and which checkpoint is kept."""
    settings = TrainingSettings.model_validate({"model": "m"} | given)
    state, control = TrainerState(global_step=step, max_steps=100), TrainerControl()
    HeldOutWatch(folder, settings, is_main=True).measured(state, control)
    kept = state.best_model_checkpoint
    return control.should_save, control.should_training_stop, None if kept is None else Path(kept).name


def test_the_best_measurement_is_saved_and_kept(tmp_path: Path) -> None:
    folder = measured(tmp_path, {0: (0, 0), 2: (1, -1), 4: (2, -1), 6: (2, 0.5)})
    assert decided(folder, 2, keep_best=True) == (True, False, "checkpoint-2")
    assert decided(folder, 4, keep_best=True) == (True, False, "checkpoint-4")
    assert decided(folder, 6, keep_best=True) == (False, False, "checkpoint-4")
    assert decided(folder, 4) == (False, False, None)


def test_a_run_stops_once_the_margin_was_not_the_highest_for_so_many_measurements(tmp_path: Path) -> None:
    folder = measured(tmp_path, {0: (0, 0), 2: (2, -1), 4: (1, -1), 6: (float("nan"), 0), 8: (0, 0)})
    stops = [decided(folder, step, early_stopping=2)[1] for step in (2, 4, 6, 8)]
    assert stops == [False, False, True, True]
    never_better = measured(tmp_path, {0: (0, 0), 2: (-1, 1), 4: (-2, 1)})
    assert [decided(never_better, step, early_stopping=2)[1] for step in (2, 4)] == [False, True]


@pytest.mark.parametrize(
    ("change", "objective", "warned"),
    [(-0.6, "apo-zero", True), (-0.4, "apo-zero", False), (0.6, "apo-zero", False), (-5.0, "apo-down", False)],
)
def test_a_clear_fall_of_chosen_answers_is_a_warning_once(
    tmp_path: Path, change: float, objective: str, warned: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = measured(tmp_path, {0: (0, 0), 2: (change, 0), 4: (change, 0)})
    watch = HeldOutWatch(folder, TrainingSettings(model="m", objective=objective), is_main=True)
    for step in (2, 4):
        watch.measured(TrainerState(global_step=step, max_steps=9), TrainerControl())
    assert capsys.readouterr().err.count("held-out chosen answers are less likely than at the start, by 0.6") == warned


def weights(folder: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = load_file(folder / "model.safetensors")
    return found


def test_a_run_ends_early_with_its_best_model_also_after_a_kill(tmp_path: Path) -> None:
    # a learning rate at which the held-out margin rises and then falls
    given: dict[str, Any] = {
        "epochs": 8,
        "measure": 2,
        "early_stopping": 2,
        "keep_best": True,
        "keep_checkpoints": 1,
        "checkpoints": 1,
    }
    out = trained(tmp_path, learning_rate=0.05, scheduler="constant", **given)
    result = json.loads((out.path / "result.json").read_text())
    table = pq.read_table(out.trajectories)
    steps = [int(step or 0) for step in pc.unique(table["step"]).to_pylist()]
    assert steps == list(range(0, steps[-1] + 1, 2))
    assert result["steps"] == steps[-1] < 56
    best = result["best_step"]
    assert best == steps[-3]
    kept = out.path / f"checkpoint-{best}"
    assert all(torch.equal(tensor, weights(kept)[name]) for name, tensor in weights(out.path).items())
    assert f"at step {best}, which had the highest margin" in (out.path / "README.md").read_text()
    before = weights(out.path)
    for name in ("result.json", "model.safetensors"):  # as if it had been killed before it saved its model
        (out.path / name).unlink()
    run(out)
    assert all(torch.equal(before[name], tensor) for name, tensor in weights(out.path).items())
    assert json.loads((out.path / "result.json").read_text())["steps"] == steps[-1]


def test_data_that_nothing_is_held_out_of_cannot_stop_early(tmp_path: Path) -> None:
    data = written(tmp_path / "answers.jsonl", [{"prompt": "1?", "completion": "1"}])
    with pytest.raises(ConfigError, match="none are held out of this data"):
        prepare(str(data), tmp_path / "out", settings(tmp_path, objective="sft", early_stopping=1))
    with pytest.raises(ConfigError, match="set held_out_pairs above 0"):
        settings(tmp_path, keep_best=True, held_out_pairs=0)
