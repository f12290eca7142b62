"""The cells of an experiment: one training each, and in which order they are run."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from clairgen.experiment.experiment_config import ExperimentConfig


class Combination(NamedTuple):
    """A data set and an objective: one cell of the paper's table."""

    data_set: str
    objective: str

    @property
    def name(self) -> str:
        """The combination as a name of a file."""
        return f"{self.data_set}_{self.objective}"


@dataclass(frozen=True, slots=True)
class Cell:
    """One training."""

    combination: Combination
    learning_rate: float
    seed: int

    @property
    def name(self) -> str:
        """The cell as a name of a file, unique in its experiment."""
        return f"{self.combination.name}_{self.learning_rate:g}_{self.seed}"


def combinations(config: ExperimentConfig) -> Iterator[Combination]:
    """Every data set with every objective."""
    for data_set in config.data_sets:
        for objective in config.objectives:
            yield Combination(data_set, objective)


def tuning_cells(config: ExperimentConfig) -> Iterator[Cell]:
    """Every learning rate of every combination under the first seed."""
    for combination in combinations(config):
        for rate in config.learning_rates:
            yield Cell(combination, rate, config.seeds[0])


def chosen_cells(config: ExperimentConfig, rates: Mapping[Combination, float]) -> Iterator[Cell]:
    """Every combination at its chosen learning rate under every seed; those without one, which always failed, are left out."""
    for combination in combinations(config):
        if combination in rates:
            for seed in config.seeds:
                yield Cell(combination, rates[combination], seed)


def steps_of(config: ExperimentConfig, pairs: int) -> int:
    """Optimizer steps of a training on so many pairs."""
    return -(-pairs // config.batch_size) * config.epochs


def steps_between_checkpoints(config: ExperimentConfig, pairs: int) -> int:
    """Steps from one checkpoint to the next; the last one, at the end, may come sooner."""
    return -(-steps_of(config, pairs) // config.checkpoints)
