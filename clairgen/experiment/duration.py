"""How long an experiment takes: counts of trainings and answers, and processor seconds as measured."""

from collections.abc import Iterator
from typing import Final

from clairgen.experiment.cells import Cell, combinations, steps_of, tuning_cells
from clairgen.experiment.experiment_config import ExperimentConfig
from clairgen.experiment.experiment_folder import ExperimentFolder, read_record

_SECONDS_PER_STEP: Final = {"kto": 0.5, "apo-zero-unpaired": 0.36, "kto-pair": 0.16, "sft": 0.13}
_SECONDS_PER_PAIRED_STEP: Final = 0.15
"""Of 16 pairs of the classroom's answers, one thread."""
_SECONDS_PER_ANSWER: Final = 0.008
_SECONDS_PER_TRAINING: Final = 1.5
_SECONDS_PER_TASK: Final = 0.11
"""Processor seconds measured on a server's CPU from 2023 with the classroom's student; the unit of the estimate."""


def duration_lines(config: ExperimentConfig, folder: ExperimentFolder, jobs: int) -> Iterator[str]:
    """What there is to do in all, what of it is done, and about how long the rest takes with so many processes."""
    count = len(list(combinations(config)))
    choices, repeats = count * len(config.learning_rates), count * (len(config.seeds) - 1)
    tested = count * len(config.seeds) * config.checkpoints + len(config.seeds)
    done = [folder.result(cell).is_file() for cell in tuning_cells(config)]
    answers = choices * config.dev.count + tested * (config.dev.count + config.test.count)
    yield (
        f"{len(config.data_sets)} data sets x {len(config.objectives)} objectives = {count} combinations; "
        f"{len(config.learning_rates)} learning rates each under seed {config.seeds[0]}: {choices:,} trainings"
        + (f", {sum(done):,} of them done" if any(done) else "")
    )
    yield f"the chosen rate under {len(config.seeds) - 1} more seeds: {repeats:,} trainings"
    yield (
        f"{tested:,} models answer {config.dev.count:,} dev and {config.test.count:,} test questions; {answers:,} answers in all"
    )
    pairs = config.tasks.count * _SECONDS_PER_TASK
    training = sum(_training_seconds(config, objective) * len(config.data_sets) for objective in config.objectives) * (
        len(config.learning_rates) + len(config.seeds) - 1
    )
    answering = answers * _SECONDS_PER_ANSWER
    yield (
        f"processor time, about: {pairs / 60:.0f} min for pairs, {training / 60:.0f} min for training, {answering / 60:.0f} min "
        f"for answers"
    )
    measured = _measured(config, folder)
    if measured is not None:
        yield f"the trainings that are done took {measured:.2f} times as long as that"
    whole = pairs + (training + answering) * (measured or 1.0) / jobs
    yield f"with {jobs} processes on CPUs of their own: about {whole / 60:.0f} min from the beginning to the end"


def _training_seconds(config: ExperimentConfig, objective: str) -> float:
    step = _SECONDS_PER_STEP.get(objective, _SECONDS_PER_PAIRED_STEP) * config.batch_size / 16
    return _SECONDS_PER_TRAINING + step * steps_of(config, config.pairs)


def _measured(config: ExperimentConfig, folder: ExperimentFolder) -> float | None:
    """The wall time of the trainings that are done over what was estimated; None before there is one."""

    def seconds(cell: Cell) -> float:
        result = read_record(folder.result(cell)) or {}
        return float(result.get("seconds", {}).get("wall", 0.0))

    done = [cell for cell in tuning_cells(config) if folder.result(cell).is_file()]
    estimated = sum(
        _training_seconds(config, cell.combination.objective) + config.dev.count * _SECONDS_PER_ANSWER for cell in done
    )
    return sum(map(seconds, done)) / estimated if done else None
