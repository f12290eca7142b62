"""A worker of `clairgen experiment`: trains and tests cells that nobody has yet, one after another, in one process."""

import os
import shutil
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clairgen.child_processes import end_with_parent
from clairgen.errors import RunError, RunStoppedError
from clairgen.experiment.cells import Cell, chosen_cells, steps_between_checkpoints, steps_of, tuning_cells
from clairgen.experiment.classroom_score import ScoredAnswers, prompts_of, scored
from clairgen.experiment.experiment_config import ExperimentConfig
from clairgen.experiment.experiment_folder import STUDENT, ExperimentFolder, read_record, write_record
from clairgen.experiment.learning_rates import remove_beaten

if TYPE_CHECKING:
    from clairgen_train.settings import TrainingSettings

_UNNEEDED = ("optimizer.pt", "scheduler.pt", "rng_state.pth", "training_args.bin", "README.md")


def main() -> None:
    """Work on the experiment in the folder of the first argument until nothing is left that nobody has; see `work`."""
    end_with_parent()
    work(ExperimentFolder(Path(sys.argv[1])))


def work(folder: ExperimentFolder) -> None:
    """Do what is not done and nobody else does: train for the choice, or once it is made train the chosen and test them."""
    from clairgen_train import loading_libraries

    with loading_libraries():  # torch and trl, optional packages, take seconds to load
        import torch

        import clairgen_train.run  # noqa: F401 - what trains the cells below

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    config, rates = folder.config(), folder.choices()
    if rates is None:
        for cell in tuning_cells(config):
            with folder.claimed(cell.name) as is_ours:
                if is_ours and not folder.result(cell).is_file():
                    write_record(folder.result(cell), trained(config, folder, cell))
                    remove_beaten(config, folder, cell.combination)
        return
    with folder.claimed(STUDENT) as is_ours:
        if is_ours and not folder.test(STUDENT).is_file():
            write_record(folder.test(STUDENT), tested(config, students(config)))
    for cell in chosen_cells(config, rates):
        with folder.claimed(cell.name) as is_ours:
            if is_ours and not folder.result(cell).is_file():
                write_record(folder.result(cell), trained(config, folder, cell))
            if is_ours and not folder.test(cell.name).is_file():
                write_record(folder.test(cell.name), tested(config, models_of(folder, cell)))
                folder.remove_training(cell)


def students(config: ExperimentConfig) -> list[tuple[str, Path, int]]:
    """The untrained student once for each seed: a name, its folder, and the seed of its answers."""
    return [(str(seed), config.student_folder, seed) for seed in config.seeds]


def models_of(folder: ExperimentFolder, cell: Cell) -> list[tuple[str, Path, int]]:
    """The checkpoints of a training by their steps, each with its folder and the seed of its answers.

    Raises RunError where they were deleted.
    """
    models = (read_record(folder.result(cell)) or {}).get("models", {})
    found = [(step, folder.training(cell) / where, cell.seed) for step, where in models.items()]
    for _, model, _ in found:
        if not (model / "model.safetensors").is_file():
            raise RunError(
                f"the checkpoint {model} is no longer there; remove {folder.result(cell)} and run the same command again"
            )
    return found


def training_settings(config: ExperimentConfig, folder: ExperimentFolder, cell: Cell, pairs: int) -> "TrainingSettings":
    """The settings of a cell's training on so many pairs. Raises ConfigError for one that there is not."""
    from clairgen_train.settings import load_settings

    every = steps_between_checkpoints(config, pairs)
    given: dict[str, Any] = {
        "model": str(config.student_folder),
        "objective": cell.combination.objective,
        "learning_rate": cell.learning_rate,
        "seed": cell.seed,
        "epochs": config.epochs,
        "batch_size": config.batch_size,
        "device_batch_size": config.batch_size,
        "held_out_pairs": config.held_out_pairs,
        "measure": max(every * config.checkpoints // config.measurements, 1),
        "checkpoints": every,
        "reference_cache": str(folder.references),
    }
    settings = load_settings(None, config.training | given)
    if settings.objective.is_paired:
        return settings
    answers = 2 * config.batch_size  # of as many pairs
    return settings.model_copy(update={"batch_size": answers, "device_batch_size": answers})


def trained(config: ExperimentConfig, folder: ExperimentFolder, cell: Cell) -> dict[str, Any]:
    """Train a cell, or go on with it, and answer the dev questions if it is one to choose among; the record of its result."""
    from clairgen_train.run import prepare, run
    from clairgen_train.run_folder import RunFolder

    pairs = (read_record(folder.sets) or {})["pairs"]
    settings = training_settings(config, folder, cell, pairs)
    out = folder.training(cell)
    started, used = time.monotonic(), time.process_time()
    record: dict[str, Any] = {"cell": cell.name, "failed": None}
    try:
        with RunFolder(out).locked():
            prepared = prepare(str(folder.data_set(cell.combination.data_set)), out, settings)
            if not prepared.is_finished:
                run(prepared)
    except RunStoppedError as error:  # it diverged, which is a result
        shutil.rmtree(out, ignore_errors=True)
        return record | {"failed": str(error), "seconds": _spent(started, used)}
    models = _checkpoints(out, steps_of(config, pairs))
    record |= {"models": models, "trajectory": _trajectory(out), "training_seconds": _spent(started, used)}
    _remove_unneeded(out)
    if cell.seed == config.seeds[0]:  # the others are not chosen among, and answer in their test
        record["dev"] = answers_of(config, out, cell.seed, prompts_of(config, "dev")).to_json()
    return record | {"seconds": _spent(started, used)}


def tested(config: ExperimentConfig, models: Iterable[tuple[str, Path, int]]) -> dict[str, Any]:
    """The answers of some models to the dev and the test questions, as a record."""
    started, used = time.monotonic(), time.process_time()
    prompts = {split: prompts_of(config, split) for split in ("dev", "test")}
    record = {
        name: {split: answers_of(config, model, seed, asked).to_json() for split, asked in prompts.items()}
        for name, model, seed in models
    }
    return {"models": record, "seconds": _spent(started, used)}


def answers_of(config: ExperimentConfig, model: Path, seed: int, prompts: Sequence[str]) -> ScoredAnswers:
    """A model's answers to some questions, scored."""
    from clairgen_train.answers import model_answers

    given = model_answers(
        model, prompts, temperature=config.temperature, max_new_tokens=config.answer_tokens, seed=seed
    )
    return scored(prompts, [(answer.text, answer.ended) for answer in given])


def _checkpoints(out: Path, steps: int) -> dict[str, str]:
    """The checkpoints of a finished training by their steps, as paths below its folder; the last one is the model itself."""
    found = {int(path.name.removeprefix("checkpoint-")): path.name for path in out.glob("checkpoint-*")}
    return {str(step): found[step] for step in sorted(found) if step < steps} | {str(steps): "."}


def _trajectory(out: Path) -> list[dict[str, float]]:
    """The means of the held-out pairs' log-likelihoods at each measurement, nats per answer."""
    from clairgen.reporting.training.trajectory_files import read_trajectory

    trajectory = read_trajectory(out)
    return [
        {
            "step": step,
            "chosen": float(trajectory.chosen_logps[at].mean()),
            "rejected": float(trajectory.rejected_logps[at].mean()),
        }
        for at, step in enumerate(trajectory.steps)
        if trajectory.finite[at].all()
    ]


def _remove_unneeded(out: Path) -> None:
    """Delete what only a training that goes on needs, of all checkpoints."""
    for name in _UNNEEDED:
        for file in out.rglob(name):
            file.unlink(missing_ok=True)


def _spent(started: float, used: float) -> dict[str, float]:
    return {"wall": time.monotonic() - started, "processor": time.process_time() - used}


if __name__ == "__main__":
    main()
