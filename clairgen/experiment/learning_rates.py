"""The choice of learning rates, by dev questions alone, and which trainings need not be kept for it."""

from collections.abc import Sequence

from clairgen.experiment.cells import Cell, Combination, tuning_cells
from clairgen.experiment.classroom_score import ScoredAnswers
from clairgen.experiment.experiment_config import ExperimentConfig
from clairgen.experiment.experiment_folder import ExperimentFolder, read_record


def dev_mean(folder: ExperimentFolder, cell: Cell) -> float | None:
    """The mean score on the dev questions at the end of a training; None where there is no result, or the training failed."""
    result = read_record(folder.result(cell))
    if result is None or result["failed"] is not None:
        return None
    return ScoredAnswers.from_json(result["dev"]).mean


def chosen_rates(config: ExperimentConfig, folder: ExperimentFolder) -> dict[Combination, float]:
    """The learning rate of each combination that did best so far, of equals the lowest; none where all trainings failed."""
    rates = {}
    for combination, cells in _by_combination(config).items():
        best = _best(folder, cells)
        if best is not None:
            rates[combination] = best.learning_rate
    return rates


def remove_beaten(config: ExperimentConfig, folder: ExperimentFolder, combination: Combination) -> None:
    """Delete the checkpoints of those trainings of a combination that another one beats already."""
    cells = _by_combination(config)[combination]
    best = _best(folder, cells)
    for cell in cells:
        if cell != best and folder.result(cell).is_file():
            folder.remove_training(cell)


def _by_combination(config: ExperimentConfig) -> dict[Combination, list[Cell]]:
    found: dict[Combination, list[Cell]] = {}
    for cell in tuning_cells(config):
        found.setdefault(cell.combination, []).append(cell)
    return found


def _best(folder: ExperimentFolder, cells: Sequence[Cell]) -> Cell | None:
    """The best of the cells that have a result."""
    means = {cell: mean for cell in cells if (mean := dev_mean(folder, cell)) is not None}
    return min(means, key=lambda cell: (-means[cell], cell.learning_rate), default=None)
