"""The length-controlled win rate: how often a model would be preferred if its answers were as long as its opponent's.

The model is that of AlpacaEval 2 (Dubois et al. 2024, arXiv 2404.04475), for one model and one opponent:

    P(model preferred | x) = logistic(theta + phi tanh(d / sd(d)) + psi gamma(x))

with d the length of the model's answer minus that of the opponent's, in characters, sd(d) its standard deviation over the
comparisons, and gamma(x) the difficulty of the instruction, where one is given. The estimate is the mean over the instructions
of what the fitted model says at d = 0.

It differs from the official tool in four ways. Difficulties are given or the term is left out; the official ones are fitted over
all models of its leaderboard. phi and psi are shrunken by a normal prior, not by an L1 penalty chosen by cross-validation. No
answers of "gamed" baselines, which pull phi towards theirs, are added to the data. And there is an interval, clustered by prompt.
As there, swapping model and opponent turns an estimate p into 1 - p, and equal answers give one half.

An estimate needs data about d = 0 (positivity, Appendix D of the paper on CLAIR and APO): where nearly all answers are shorter
than the opponent's, or nearly all longer, the logistic curve would only be extrapolated, so no estimate is given.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Final

from clairgen.errors import MissingExtraError
from clairgen.evaluation.logistic_fit import fitted, is_separated
from clairgen.wording import counted

FEWEST: Final = 10
"""At least so many prompts have to be on each side of equal length, and about at it; and as many wins and losses are needed."""
FEWEST_SHARE: Final = 0.05
"""At least this share of the prompts has to be on each side of equal length."""
NEAR: Final = 0.5
"""Lengths that differ by at most so many standard deviations of the difference are about equal."""
_SEPARATED: Final = (
    "the verdicts follow the length without an exception, so what the judge would prefer at equal lengths cannot be "
    "estimated"
)


@dataclass(frozen=True, slots=True)
class Preference:
    """What a judge made of a model's answer and its opponent's to one prompt.

    `value` is 1 where the model's answer was preferred and 0 where the opponent's was; it may lie between them, and a tie is one
    half. `cluster` is the prompt. Lengths are in characters. `difficulty` is that of the instruction, if it is known.
    """

    value: float
    cluster: str
    length: int
    opponent_length: int
    difficulty: float | None = None

    @property
    def difference(self) -> int:
        """By how many characters the model's answer is longer."""
        return self.length - self.opponent_length


@dataclass(frozen=True, slots=True)
class LengthOverlap:
    """Where the lengths of a model's answers are beside those of its opponent's.

    `shorter`, `equal` and `longer` count prompts, and `near` those whose lengths are about equal (`NEAR`). `mean` and `deviation`
    are those of the difference, in characters. A prompt with several comparisons may count on both sides.
    """

    prompts: int
    shorter: int
    equal: int
    longer: int
    near: int
    mean: float
    deviation: float

    @property
    def problem(self) -> str | None:
        """Why nothing can be said about answers of equal length, as a sentence; None where it can."""
        if self.equal == self.prompts:
            return None
        needed = max(FEWEST, math.ceil(FEWEST_SHARE * self.prompts))
        prompts = counted(self.prompts, "prompt")
        for count, side in ((self.shorter + self.equal, "short"), (self.longer + self.equal, "long")):
            if count < needed:
                return (
                    f"only {count:,} of {prompts} have an answer of the model that is as {side} as its opponent's or {side}er "
                    f"({needed:,} are needed), so nothing shows what the judge would prefer at equal lengths"
                )
        if self.near < FEWEST:
            return (
                f"only {self.near:,} of {prompts} have two answers of about the same length ({FEWEST} are needed), so nothing "
                "shows what the judge would prefer at equal lengths"
            )
        return None

    def to_json(self) -> dict[str, Any]:
        """The counts as an object."""
        counts = {name: getattr(self, name) for name in ("prompts", "shorter", "equal", "longer", "near")}
        return {**counts, "mean_characters": self.mean, "deviation_characters": self.deviation}


@dataclass(frozen=True, slots=True)
class LengthControlled:
    """The length-controlled win rate over `n` comparisons with its 95% interval; or in `problem` the sentence why there is none.

    `length_slope` is phi with its interval: by how much the log-odds of being preferred rise with tanh(d / sd(d)); None where all
    lengths are equal. `with_difficulty` is whether gamma(x) was part of the model.
    """

    n: int
    overlap: LengthOverlap
    mean: float | None = None
    interval: tuple[float, float] | None = None
    length_slope: tuple[float, float, float] | None = None
    with_difficulty: bool = False
    problem: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The estimate as an object."""
        return {
            "n": self.n,
            "mean": self.mean,
            "interval_95": None if self.interval is None else list(self.interval),
            "length_slope": None if self.length_slope is None else list(self.length_slope),
            "with_difficulty": self.with_difficulty,
            "overlap": self.overlap.to_json(),
            "problem": self.problem,
        }


def length_controlled(preferences: Sequence[Preference]) -> LengthControlled:
    """The length-controlled win rate of a model over its comparisons with one opponent by one judge.

    Without scipy there is no estimate. Raises ValueError where only some comparisons have a difficulty.
    """
    overlap, n = length_overlap(preferences), len(preferences)
    known = sum(one.difficulty is not None for one in preferences)
    if 0 < known < n:
        raise ValueError(f"{known:,} of {counted(n, 'comparison')} have a difficulty; give it for all or for none")
    problem = _few_wins_or_losses(preferences) or overlap.problem or _missing_packages()
    return LengthControlled(n, overlap, problem=problem) if problem else _estimated(preferences, overlap)


def length_overlap(preferences: Sequence[Preference]) -> LengthOverlap:
    """Where the lengths of the model's answers are beside those of its opponent's."""
    differences = [(one.cluster, one.difference) for one in preferences]
    n = len(differences)
    mean = sum(difference for _, difference in differences) / n if n else 0.0
    spread = sum((difference - mean) ** 2 for _, difference in differences)
    deviation = math.sqrt(spread / (n - 1)) if n > 1 else 0.0
    return LengthOverlap(
        prompts=len({cluster for cluster, _ in differences}),
        shorter=len({cluster for cluster, difference in differences if difference < 0}),
        equal=len({cluster for cluster, difference in differences if difference == 0}),
        longer=len({cluster for cluster, difference in differences if difference > 0}),
        near=len({cluster for cluster, difference in differences if abs(difference) <= NEAR * deviation}),
        mean=mean,
        deviation=deviation,
    )


def _few_wins_or_losses(preferences: Sequence[Preference]) -> str | None:
    """That wins or losses are too few for a logistic model, as a sentence."""
    won = math.fsum(one.value for one in preferences)
    lost = len(preferences) - won
    if min(won, lost) >= FEWEST:
        return None
    return (
        f"of {counted(len(preferences), 'comparison')} {won:,.4g} were won and {lost:,.4g} lost, a tie counting half for both; a "
        f"length-controlled figure needs at least {FEWEST} of each"
    )


def _missing_packages() -> str | None:
    if find_spec("scipy") is not None and find_spec("numpy") is not None:
        return None
    return str(MissingExtraError("a length-controlled figure", "report"))


def _estimated(preferences: Sequence[Preference], overlap: LengthOverlap) -> LengthControlled:
    import numpy as np

    n = len(preferences)
    values = np.array([one.value for one in preferences], dtype=np.float64)
    lengths = (
        [np.tanh(np.array([one.difference for one in preferences]) / overlap.deviation)] if overlap.deviation else []
    )
    difficulty = np.array([one.difficulty or 0.0 for one in preferences], dtype=np.float64)
    difficulties = [(difficulty - difficulty.mean()) / difficulty.std()] if difficulty.std() > 0 else []
    design = np.stack([np.ones(n), *lengths, *difficulties], axis=1)
    if is_separated(design, values):
        return LengthControlled(n, overlap, with_difficulty=bool(difficulties), problem=_SEPARATED)
    clusters = np.unique([one.cluster for one in preferences], return_inverse=True)[1]
    fit = fitted(design, values, clusters)
    at_equal_lengths = np.stack([np.ones(n), *(0 * one for one in lengths), *difficulties], axis=1)
    mean, interval = fit.mean_at(at_equal_lengths)
    slope = fit.coefficient(1) if lengths else None
    return LengthControlled(n, overlap, mean, interval, slope, bool(difficulties))
