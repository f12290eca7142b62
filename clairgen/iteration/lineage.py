"""What rounds of training came to, in `lineage.json`: for each round its pairs, data set, model, evaluation and gain.

A step that stands in the record is done. The record is replaced as a whole after each step, so that after a kill at any moment
it says what was the case before or after one.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from clairgen.errors import RunError
from clairgen.folder_lock import LOCK_FILE
from clairgen.whole_files import is_partial, write_whole

FILE: Final = "lineage.json"
VERSION: Final = 1


class RoundVerdict(StrEnum):
    """What the 95% interval of a round's gain says: above zero, with zero in it, or below zero."""

    BETTER = "better"
    NO_GAIN = "no gain shown"
    WORSE = "worse"
    NOT_EVALUATED = "not evaluated"


@dataclass(frozen=True, slots=True)
class Score:
    """What a model reached on the questions: the share of right answers with its 95% interval, over `n` answers.

    `evaluation` is its id in the directory of evaluations. `unscored` counts items without a score, which are in no share.
    Shares are None without an answer.
    """

    evaluation: str
    n: int
    mean: float | None
    low: float | None
    high: float | None
    unscored: int


@dataclass(frozen=True, slots=True)
class Gain:
    """A model's score minus that of the model it was trained from, paired by question, with its 95% interval."""

    n: int
    mean: float | None
    low: float | None
    high: float | None

    @property
    def verdict(self) -> RoundVerdict:
        """What the interval says; without one no gain is shown."""
        if self.low is None or self.high is None:
            return RoundVerdict.NO_GAIN
        if self.low > 0:
            return RoundVerdict.BETTER
        return RoundVerdict.WORSE if self.high < 0 else RoundVerdict.NO_GAIN


@dataclass(frozen=True, slots=True)
class Model:
    """A model of the lineage: where its weights are (a folder, or a name on the hub), and its score, once it is evaluated.

    `training` is the folder that it was trained in, None for the first model; with adapters, which are merged, its weights are
    elsewhere. `revision` identifies the weights in content keys: the hash of the folder's files; None for the first model,
    whose revision follows from the configuration.
    """

    weights: str
    revision: str | None = None
    training: str | None = None
    score: Score | None = None


@dataclass(frozen=True, slots=True)
class PairCounts:
    """Pairs of a round: made, kept by the filters, and failed. `run` is the run directory that holds them.

    `asked` counts the answers of each role that were requested for them, `reused` those that were there already.
    """

    run: str
    made: int
    kept: int
    failed: int
    asked: Mapping[str, int]
    reused: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class DataSet:
    """The data set of a round: its folder, the digest of its files, and its rows."""

    path: str
    digest: str
    rows: int


@dataclass(frozen=True, slots=True)
class Round:
    """One round; what is None is still to be done. `parent` is the round whose model it trains on (0: the first model).

    `reference` is where the weights of the training's reference are. Times are ISO 8601.
    """

    number: int
    parent: int
    reference: str
    began_at: str
    pairs: PairCounts | None = None
    data_set: DataSet | None = None
    model: Model | None = None
    gain: Gain | None = None
    verdict: RoundVerdict | None = None
    ended_at: str | None = None


@dataclass(frozen=True, slots=True)
class Lineage:
    """The first model and the rounds that followed; `settings` is what all of them rest on (any JSON object)."""

    settings: Mapping[str, Any]
    first: Model
    rounds: tuple[Round, ...] = ()
    version: int = field(default=VERSION)

    @property
    def models(self) -> list[Model]:
        """The first model and those of the rounds that have one; a model's index is the number of its round."""
        return [self.first, *(each.model for each in self.rounds if each.model is not None)]

    @property
    def best(self) -> int:
        """The number of the last round that no verdict speaks against: its model is the one to use. 0 is the first model."""
        number = 0
        for each in self.rounds:
            if each.verdict not in (RoundVerdict.BETTER, RoundVerdict.NOT_EVALUATED):
                break
            number = each.number
        return number

    def with_round(self, changed: Round) -> "Lineage":
        """The lineage with a round that is new, or in place of the one of the same number."""
        return replace(self, rounds=(*(each for each in self.rounds if each.number != changed.number), changed))

    def with_score(self, number: int, score: Score) -> "Lineage":
        """The lineage with the score of a model."""
        if number == 0:
            return replace(self, first=replace(self.first, score=score))
        one = self.rounds[number - 1]
        if one.model is None:
            raise ValueError(f"round {number} has no model yet")
        return self.with_round(replace(one, model=replace(one.model, score=score)))


_ADAPTER: Final = TypeAdapter(Lineage)


def read_lineage(folder: Path) -> Lineage | None:
    """The lineage that a folder holds; None where there is none. Raises RunError for a file that cannot be read."""
    file = folder / FILE
    try:
        text = file.read_text(encoding="utf-8")
        lineage = _ADAPTER.validate_json(text)
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError, ValidationError) as error:
        raise RunError(
            f"{file} cannot be read as the record of rounds, so they cannot go on; restore it, or begin again in another folder"
        ) from error
    if lineage.version > VERSION:
        raise RunError(f"{file} was written by a newer version of clairgen; update clairgen")
    return lineage


def require_free(folder: Path) -> None:
    """Make the folder of rounds. Raises RunError for one that cannot be made or holds something else."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        entries = [entry for entry in folder.iterdir() if not is_partial(entry, folder / FILE)]
        others = sorted({entry.name for entry in entries} - {LOCK_FILE})
    except OSError as error:
        raise RunError(f"the folder {folder} cannot be used: {error.strerror}; name another one with --out") from error
    if others and FILE not in others:
        raise RunError(
            f"{folder} holds something that is not a record of rounds ({others[0]}); name a new folder with --out"
        )


def save_lineage(lineage: Lineage, folder: Path) -> None:
    """Write the lineage, completely or not at all. Raises RunError where that is not possible."""
    file = folder / FILE
    try:
        write_whole(file, _ADAPTER.dump_json(lineage, indent=2) + b"\n")
    except OSError as error:
        raise RunError(f"{file} cannot be written: {error.strerror}; check the disk and the permissions") from error


def lineage_object(lineage: Lineage) -> dict[str, Any]:
    """The lineage as a JSON object, with the number of the model to use."""
    content: dict[str, Any] = json.loads(_ADAPTER.dump_json(lineage))
    return content | {"best": lineage.best}


def require_same(lineage: Lineage, settings: Mapping[str, Any], folder: Path) -> None:
    """Raise RunError where rounds were begun with other settings than these."""
    for name in dict.fromkeys([*lineage.settings, *settings]):
        before, now = lineage.settings.get(name), settings.get(name)
        if before != now:
            raise RunError(
                f"the rounds in {folder} were begun with {name} {_shown(before)}, and it is {_shown(now)} now, so their "
                "models could not be compared; go back to that, or begin in another folder"
            )


def _shown(value: object) -> str:
    if value is None:
        return "not set"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:60]}…"
