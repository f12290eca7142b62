"""What the pairs of a recipe by themselves say against training on them as usual, each with what to do about it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from clairgen.filters.identical import is_identical
from clairgen.filters.pipeline import reason_to_skip
from clairgen.records import Pair, StoredPair, Variant
from clairgen.stats import WinRate, wilson

MANY: Final = 0.1
"""A share of pairs is worth a warning where the lower end of its 95% interval is above this."""


MOSTLY: Final = 0.75
"""The same for the share of pairs whose winner is clearly the longer answer: most good revisions are somewhat longer."""
CLEARLY_LONGER: Final = 1.1
"""A winner of more than so many times the loser's characters."""


@dataclass(frozen=True, slots=True)
class DataWarning:
    """A `share` of `n` pairs or tasks with its 95% interval; `meaning` says what holds for them, and `advice` what to do."""

    name: str
    share: float
    low: float
    high: float
    n: int
    meaning: str
    advice: str

    def to_json(self) -> dict[str, str | float | int]:
        """The warning as an object with one key for each field."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    @property
    def sentence(self) -> str:
        """All of it, in words."""
        figures = f"{self.share:.0%} (95% interval {self.low:.0%} to {self.high:.0%}, n {self.n:,})"
        return f"{self.meaning}: {figures}. {self.advice}."


@dataclass(slots=True)
class PairSurvey:
    """Counts of a recipe's pairs, one `add` each: those with two answers, those whose answers are the same, and those kept.

    `target` is the model that is to be trained; `not_its_own` counts the kept pairs whose rejected answer another model wrote,
    `longer` those whose chosen answer is clearly the longer one.
    """

    target: str
    revises: bool
    answered: int = 0
    identical: int = 0
    kept: int = 0
    not_its_own: int = 0
    longer: int = 0

    def add(self, stored: StoredPair) -> bool:
        """Count a pair; whether it is kept."""
        kept = reason_to_skip(stored) is None
        if isinstance(stored.outcome, Pair):
            self.answered += 1
            self.identical += is_identical(stored.outcome)
            self.kept += kept
            self.not_its_own += kept and stored.outcome.rejected.model != self.target
            chosen, rejected = (len(answer.text) for answer in (stored.outcome.chosen, stored.outcome.rejected))
            self.longer += kept and chosen > CLEARLY_LONGER * rejected
        return kept

    def warnings(self, rate: WinRate, run: str) -> list[DataWarning]:
        """What to know before training on the kept pairs; `rate` is that of their winners against fresh answers of the target.

        Where winners are worse, nothing is said of keeping identical pairs: their likelihood is trained with that of winners.
        """
        worse = list(_of_winners(rate))
        return [*worse, *([] if worse else self._of_identical(run)), *self._of_losers(), *self._of_lengths(run)]

    def _of_identical(self, run: str) -> Iterator[DataWarning]:
        if self.revises and (found := _many(self.identical, self.answered)):
            yield DataWarning(
                "identical",
                *found,
                "pairs in which the reviser changed nothing",
                "They are left out, so training sees the model's mistakes alone and may cost it what it can do. To keep them: "
                f"clairgen export {run} OUT --keep-identical, then train with --set keep_identical=true --set chosen_nll=1",
            )

    def _of_losers(self) -> Iterator[DataWarning]:
        if found := _many(self.not_its_own, self.kept):
            yield DataWarning(
                "off_policy",
                *found,
                "kept pairs whose loser was not written by the target",
                "To make less likely what it would not say teaches it little; prefer its own answers as losers, as clair and "
                "judge-on-policy do",
            )

    def _of_lengths(self, run: str) -> Iterator[DataWarning]:
        if found := _many(self.longer, self.kept, above=MOSTLY):
            yield DataWarning(
                "longer",
                *found,
                "kept pairs whose winner is longer than the loser by more than a tenth",
                "Training may teach length in place of quality. To leave pairs out until length tells nothing: clairgen export "
                f"{run} OUT --balance-lengths; to train on all of them with less weight on length: --objective dpo-norm, or "
                "--set ld_alpha=0.5 with apo-zero or dpo",
            )


def _of_winners(rate: WinRate) -> Iterator[DataWarning]:
    if (
        rate.recommendation is Variant.APO_DOWN
        and rate.mean is not None
        and rate.low is not None
        and rate.high is not None
    ):
        yield DataWarning(
            "winners_worse",
            1 - rate.mean,
            1 - rate.high,
            1 - rate.low,
            rate.tasks,
            "fresh answers of the target that beat the winner",
            "sft, apo-zero and chosen_nll raise winners, here worse ones than what it says already; train with --objective "
            "apo-down and without chosen_nll, or make pairs with a stronger model",
        )


def _many(count: int, n: int, above: float = MANY) -> tuple[float, float, float, int] | None:
    """Share, interval and n, where the share is worth a warning: where its interval is wholly `above` that."""
    interval = wilson(count, n)
    return (count / n, *interval, n) if interval is not None and interval[0] > above else None
