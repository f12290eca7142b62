"""The loop: evaluate the newest model, generate with it as the target, export, train, and begin again with what was trained.

It knows no command line, no model server and no trainer: those are `Steps`. Each step can be run again after a kill, and is
recorded once it is done.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from clairgen.config.role import Role
from clairgen.iteration.lineage import DataSet, Gain, Lineage, Model, PairCounts, Round, Score, Verdict, save_lineage


class Reference(StrEnum):
    """Which model the training's rewards are relative to: the one that each round begins with, or the first of all."""

    UPDATED = "updated"
    FIRST = "first"


class Steps(Protocol):
    """What a round is made of. Each may be called again after a kill, and then does only what is missing.

    What stops a step before its end is raised (UserError, RunStoppedError).
    """

    def serving(self, number: int, model: Model) -> AbstractContextManager[Role]:
        """The model of a round (0: the first one) as the target, which can be asked inside the block."""

    def evaluate(self, number: int, target: Role, parent: Score | None) -> Score:
        """What the model reaches on what is held out; `parent` is the score of the model that it was trained from."""

    def gain(self, score: Score, parent: Score) -> Gain:
        """What the model gained over the one that it was trained from."""

    def generate(self, one: Round, target: Role) -> PairCounts:
        """Make the pairs of a round."""

    def export(self, one: Round) -> DataSet:
        """Write the kept pairs as a data set."""

    def train(self, one: Round, parent: Model) -> Model:
        """Train the parent on the data set of a round."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How many rounds to make, in which folder, and when to stop.

    `evaluates` is whether anything is held out to evaluate on; `stops` whether a gain that is not shown ends the rounds.
    """

    folder: Path
    rounds: int
    reference: Reference = Reference.UPDATED
    evaluates: bool = True
    stops: bool = True

    def is_over(self, lineage: Lineage) -> bool:
        """Whether nothing is left to do: no round is in progress, and no further one is to be begun."""
        if not lineage.rounds:
            return False
        return lineage.rounds[-1].verdict is not None and (
            len(lineage.rounds) >= self.rounds or self.has_stopped(lineage)
        )

    def has_stopped(self, lineage: Lineage) -> bool:
        """Whether the last round's gain, which is not shown, ends the rounds."""
        return self.stops and bool(lineage.rounds) and lineage.rounds[-1].verdict in (Verdict.NO_GAIN, Verdict.WORSE)


def run_rounds(
    lineage: Lineage, plan: Plan, steps: Steps, *, now: Callable[[], str], say: Callable[[str], None]
) -> Lineage:
    """Make what is missing of the rounds, and return the lineage as it is then; it is saved after each step.

    `now` gives the time in ISO 8601. `say` is given a sentence before each step.
    """
    record = _Record(lineage, plan.folder)
    while not plan.is_over(record.lineage):
        if record.is_generated:
            _train(record, steps, now, say, evaluates=plan.evaluates)
            if plan.is_over(record.lineage):
                break
        number, model = record.newest
        with steps.serving(number, model) as target:
            if plan.evaluates:
                _evaluate(record, steps, target, now, say)
            if not plan.is_over(record.lineage):
                _generate(record, steps, target, now, say, plan.reference)
    return record.lineage


class _Record:
    """The lineage as it grows, which is saved with each change."""

    def __init__(self, lineage: Lineage, folder: Path) -> None:
        self._folder = folder
        self.save(lineage)

    def save(self, lineage: Lineage) -> None:
        """Save and keep a lineage."""
        save_lineage(lineage, self._folder)
        self.lineage = lineage

    @property
    def newest(self) -> tuple[int, Model]:
        """The newest model and the number of its round."""
        models = self.lineage.models
        return len(models) - 1, models[-1]

    @property
    def is_generated(self) -> bool:
        """Whether the last round has its pairs and no model yet."""
        rounds = self.lineage.rounds
        return bool(rounds) and rounds[-1].pairs is not None and rounds[-1].model is None


def _evaluate(record: _Record, steps: Steps, target: Role, now: Callable[[], str], say: Callable[[str], None]) -> None:
    """Evaluate the newest model unless it is, and say what its round gained."""
    number, model = record.newest
    one = record.lineage.rounds[number - 1] if number else None
    parent = None if one is None else record.lineage.models[one.parent].score
    score = model.score
    if score is None:
        say(f"Evaluating the {_named(number)}")
        score = steps.evaluate(number, target, parent)
        record.save(record.lineage.with_score(number, score))
    if one is not None and one.verdict is None and parent is not None:
        one = record.lineage.rounds[number - 1]
        gain = steps.gain(score, parent)
        record.save(record.lineage.with_round(replace(one, gain=gain, verdict=gain.verdict, ended_at=now())))


def _generate(
    record: _Record, steps: Steps, target: Role, now: Callable[[], str], say: Callable[[str], None], kept: Reference
) -> None:
    """Begin a round, unless one is in progress, and make its pairs."""
    parent, model = record.newest
    number = parent + 1
    if len(record.lineage.rounds) < number:
        reference = model if kept is Reference.UPDATED else record.lineage.first
        record.save(record.lineage.with_round(Round(number, parent, reference.weights, now())))
    one = record.lineage.rounds[parent]
    say(f"Round {number}: making pairs with the {_named(parent)}")
    record.save(record.lineage.with_round(replace(one, pairs=steps.generate(one, target))))


def _train(
    record: _Record, steps: Steps, now: Callable[[], str], say: Callable[[str], None], *, evaluates: bool
) -> None:
    """Export the pairs of the last round and train on them."""
    one = record.lineage.rounds[-1]
    if one.data_set is None:
        say(f"Round {one.number}: exporting the pairs")
        one = replace(one, data_set=steps.export(one))
        record.save(record.lineage.with_round(one))
    say(f"Round {one.number}: training the {_named(one.parent)}")
    one = replace(one, model=steps.train(one, record.lineage.models[one.parent]))
    if not evaluates:
        one = replace(one, verdict=Verdict.NOT_EVALUATED, ended_at=now())
    record.save(record.lineage.with_round(one))


def _named(number: int) -> str:
    return f"model of round {number}" if number else "first model"
