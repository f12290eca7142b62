"""Judges whose length bias and preference are known, and the lengths that they judge by."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from clairgen.evaluation.length_control import Preference


def lengths(prompts: int, longer: float, seed: int = 0) -> list[tuple[int, int]]:
    """Lengths of a model's answers and its opponent's, log-normal and correlated; `longer` is the mean difference of the logs."""
    random = Random(seed)
    pairs = []
    for _ in range(prompts):
        prompt = random.gauss(6, 0.4)
        pairs.append(
            (round(math.exp(prompt + random.gauss(longer, 0.4))), round(math.exp(prompt + random.gauss(0, 0.4))))
        )
    return pairs


@dataclass(frozen=True, slots=True)
class SimulatedJudge:
    """Prefers the model with the log-odds `preference` + `length_bias` tanh(d / sd(d)) + `hardship` times the difficulty.

    `position_bias` is added in the order in which the model's answer stands first and taken off in the other.
    """

    preference: float
    length_bias: float
    position_bias: float = 0.0
    hardship: float = 0.0

    def judge(
        self, pairs: Sequence[tuple[int, int]], random: Random, difficulties: Sequence[float] = ()
    ) -> list[Preference]:
        """A preference for each pair of lengths, over both orders: 0, one half or 1."""
        differences = [model - opponent for model, opponent in pairs]
        mean = sum(differences) / len(pairs)
        deviation = math.sqrt(sum((one - mean) ** 2 for one in differences) / (len(pairs) - 1))
        found = []
        for number, (model, opponent) in enumerate(pairs):
            difficulty = difficulties[number] if difficulties else None
            score = self.preference + self.length_bias * math.tanh((model - opponent) / deviation)
            score += self.hardship * (difficulty or 0.0)
            wins = sum(random.random() < _logistic(score + bias) for bias in (self.position_bias, -self.position_bias))
            found.append(Preference(wins / 2, f"prompt-{number}", model, opponent, difficulty))
        return found

    def at_equal_lengths(self, difficulties: Sequence[float] = (0.0,)) -> float:
        """How often it prefers the model where both answers are equally long, over both orders."""
        scores = [self.preference + self.hardship * one for one in difficulties]
        chances = [_logistic(score + bias) for score in scores for bias in (self.position_bias, -self.position_bias)]
        return sum(chances) / len(chances)


def _logistic(score: float) -> float:
    return 1 / (1 + math.exp(-score))
