"""Findings of an experiment without an experiment: scores as they are planted."""

from collections.abc import Mapping, Sequence

import numpy as np

from clairgen.experiment.cells import Combination
from clairgen.experiment.classroom_score import ScoredAnswers
from clairgen.experiment.findings import CheckpointScores, CombinationResult, Findings
from tests.experiment.test_configuration import config

QUESTIONS = 200


def planted(share: float, seed: int) -> tuple[float, ...]:
    """Scores of as many questions, the same share of them 1 for every seed, which ones nearly so."""
    random = np.random.default_rng(7)
    return tuple(float(each) for each in random.random(QUESTIONS) < share + 0.002 * seed)


def result(data_set: str, objective: str, shares: Sequence[float], seeds: Sequence[int] = (0, 1)) -> CombinationResult:
    """A combination whose checkpoints have these shares of right answers, on dev as on test."""
    checkpoints = []
    for seed in seeds:
        answers = [ScoredAnswers(planted(share, seed), 1, 30.0) for share in shares]
        checkpoints.append([CheckpointScores(10 * (at + 1), one, one) for at, one in enumerate(answers)])
    trajectory = [{"step": 0, "chosen": -9.0, "rejected": -8.0}, {"step": 10, "chosen": -7.0, "rejected": -11.0}]
    return CombinationResult(
        Combination(data_set, objective), 1e-3, True, list(seeds), checkpoints, [trajectory for _ in seeds], 0
    )


def findings(shares: Mapping[tuple[str, str], Sequence[float]], student: float = 0.5, **changes: object) -> Findings:
    """Findings with these shares by data set and objective."""
    sets = list(dict.fromkeys(data_set for data_set, _ in shares))
    objectives = list(dict.fromkeys(objective for _, objective in shares))
    test = {"single": 150, "two_part": 50, "seed": 1}
    settings = config(
        data_sets=sets, objectives=objectives, test=test, tasks={"single": 10, "two_part": 10, "seed": 1}, **changes
    )
    facts = {
        "made": 90,
        "pairs": 80,
        "chosen_right": 1.0,
        "rejected_right": 0.0,
        "levenshtein": 4.0,
        "chosen_characters": 30.0,
        "rejected_characters": 31.0,
    }
    return Findings(
        config=settings,
        sets={"pairs": 80, "held_out_pairs": 5, "tasks_with_pairs_in_all": 70, "sets": dict.fromkeys(sets, facts)},
        student=np.array([planted(student, seed) for seed in (0, 1)]),
        student_characters=29.0,
        results={Combination(*names): result(*names, of) for names, of in shares.items()},
        failed=[],
    )
