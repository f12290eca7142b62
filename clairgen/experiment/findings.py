"""What an experiment found: the table, its checkpoints, its trajectories, and what it says of the paper's claims."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clairgen.errors import RunError
from clairgen.experiment.cells import Cell, Combination, chosen_cells, combinations
from clairgen.experiment.classroom_score import ScoredAnswers
from clairgen.experiment.crossed_interval import CrossedMean, crossed_mean
from clairgen.experiment.experiment_config import ExperimentConfig
from clairgen.experiment.experiment_folder import STUDENT, ExperimentFolder, read_record

Scores = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class CheckpointScores:
    """A checkpoint of one training on both splits."""

    step: int
    dev: ScoredAnswers
    test: ScoredAnswers


@dataclass(frozen=True)
class CombinationResult:
    """The tests of a combination at its chosen learning rate: by seed (those in `seeds`), then by checkpoint.

    `trajectories` are by seed: at each measurement the step and the mean log-likelihoods of held-out answers, in nats.
    `failed` counts trainings that did not end, of any learning rate.
    """

    combination: Combination
    learning_rate: float
    is_at_edge: bool
    seeds: Sequence[int]
    checkpoints: Sequence[Sequence[CheckpointScores]]
    trajectories: Sequence[Sequence[Mapping[str, float]]]
    failed: int

    @cached_property
    def last(self) -> Scores:
        """Test scores of the last checkpoints, shape (seeds, questions)."""
        return np.array([seed[-1].test.scores for seed in self.checkpoints])

    @cached_property
    def best(self) -> Scores:
        """Test scores of the checkpoints that were best on dev (of equals the last), shape (seeds, questions)."""
        best = [max(seed, key=lambda one: (one.dev.mean, one.step)) for seed in self.checkpoints]
        return np.array([one.test.scores for one in best])

    @cached_property
    def highest(self) -> Scores:
        """Test scores of the checkpoints that were best on the test questions themselves, which flatters them."""
        best = [max(seed, key=lambda one: one.test.mean) for seed in self.checkpoints]
        return np.array([one.test.scores for one in best])

    @cached_property
    def over_checkpoints(self) -> Scores:
        """Test scores, the mean over all checkpoints, shape (seeds, questions)."""
        return np.array([np.mean([one.test.scores for one in seed], axis=0) for seed in self.checkpoints])

    @property
    def characters(self) -> float:
        """The mean length of the last checkpoints' answers."""
        return float(np.mean([seed[-1].test.characters for seed in self.checkpoints]))

    @property
    def unended(self) -> float:
        """The share of the last checkpoints' answers that reached the most tokens."""
        return float(np.mean([seed[-1].test.unended / len(seed[-1].test.scores) for seed in self.checkpoints]))


@dataclass(frozen=True)
class Findings:
    """All results of an experiment.

    `student` are the untrained student's scores on the test questions, shape (seeds, questions); `single` says how many of the
    questions, the first ones, have one part. `failed` names combinations of which no training ended.
    """

    config: ExperimentConfig
    sets: Mapping[str, Any]
    student: Scores
    student_characters: float
    results: Mapping[Combination, CombinationResult]
    failed: Sequence[Combination]

    @cached_property
    def base(self) -> Scores:
        """The student's mean score of each question."""
        mean: Scores = self.student.mean(axis=0)
        return mean

    def gain(self, scores: Scores, part: slice = slice(None)) -> CrossedMean:
        """How much better scores are than the student's, in points, on the questions of `part`."""
        return crossed_mean((scores - self.base)[:, part].tolist())

    def parts(self) -> dict[str, slice]:
        """The test questions by their number of parts, where both are asked."""
        single = self.config.test.single
        if not single or not self.config.test.two_part:
            return {}
        return {"one part": slice(0, single), "two parts": slice(single, None)}


def findings_of(config: ExperimentConfig, folder: ExperimentFolder) -> Findings:
    """The findings of an experiment of which all is done. Raises RunError where something is missing."""
    rates, sets, student = folder.choices(), read_record(folder.sets), read_record(folder.test(STUDENT))
    if rates is None or sets is None or student is None:
        raise RunError(f"the experiment in {folder.path} is not finished; run the same command again")
    scores = [ScoredAnswers.from_json(each["test"]) for each in student["models"].values()]
    by_combination: dict[Combination, list[Cell]] = {}
    for cell in chosen_cells(config, rates):
        by_combination.setdefault(cell.combination, []).append(cell)
    results = {
        combination: result
        for combination, cells in by_combination.items()
        if (result := _result(config, folder, combination, cells)) is not None
    }
    return Findings(
        config=config,
        sets=sets,
        student=np.array([each.scores for each in scores]),
        student_characters=float(np.mean([each.characters for each in scores])),
        results=results,
        failed=[combination for combination in combinations(config) if combination not in results],
    )


def _result(
    config: ExperimentConfig, folder: ExperimentFolder, combination: Combination, cells: Sequence[Cell]
) -> CombinationResult | None:
    """The result of a combination over the seeds whose training ended; None where none did."""
    seeds, checkpoints, trajectories, failed = [], [], [], 0
    for cell in cells:
        result, test = read_record(folder.result(cell)), read_record(folder.test(cell.name))
        if result is None or test is None:
            raise RunError(f"the test of {cell.name} is missing in {folder.path}; run the same command again")
        if result["failed"] is not None:
            failed += 1
            continue
        seeds.append(cell.seed)
        trajectories.append(result["trajectory"])
        checkpoints.append(
            [
                CheckpointScores(int(step), *(ScoredAnswers.from_json(each[split]) for split in ("dev", "test")))
                for step, each in test["models"].items()
            ]
        )
    if not checkpoints:
        return None
    for rate in config.learning_rates:
        first = read_record(folder.result(Cell(combination, rate, config.seeds[0]))) or {}
        failed += rate != cells[0].learning_rate and first.get("failed") is not None
    rate, rates = cells[0].learning_rate, sorted(config.learning_rates)
    is_at_edge = len(rates) > 1 and rate in (rates[0], rates[-1])
    return CombinationResult(combination, rate, is_at_edge, seeds, checkpoints, trajectories, failed)
