"""Pairs of answers of which it is known which is better, in the forms of data sets that measure judges.

| form | columns |
|---|---|
| RewardBench (1 and 2), pairs exported by clairgen | `prompt`, `chosen`, `rejected`: a text, one message, or a list of texts |
| JudgeBench | `question`, `response_A`, `response_B`, `label` (`A>B` or `B>A`) |
| AlpacaEval's annotations | `instruction`, `output_1`, `output_2`, `preference` (1 to 2) |

So are the pairs of a run on which people voted. What has no better answer is left out and counted by name.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from clairgen.config.models import TaskSource
from clairgen.errors import InputError
from clairgen.evaluation.recorded_outputs import part_of, prompt_column, text_fault
from clairgen.records import Pair, StoredPair, Task
from clairgen.sources import BadRow, file_rows
from clairgen.store import RunDirectory, Vote, reading
from clairgen.tasks import task_row


class LeftOut(StrEnum):
    """Why a row is no labelled pair."""

    UNLABELLED = "unlabelled"
    """It does not say which answer is better."""
    TIED = "tied"
    """It says that neither is better."""
    SEVERAL_RIGHT = "several-right-answers"
    """Several answers are right, which a judge of two cannot be measured on (the subset Ties of RewardBench 2)."""
    IDENTICAL = "identical-answers"
    """Both answers are the same."""
    DROPPED = "dropped-by-voters"
    """People say that the pair should not be used."""
    DISPUTED = "disputed-by-voters"
    """Not more than half of the people who voted say the same."""


@dataclass(frozen=True, slots=True)
class LabelledPair:
    """A prompt with a better and a worse answer; `row` names the row that it comes from, which may hold several pairs."""

    task: Task
    better: str
    worse: str
    part: str
    row: str


@dataclass(frozen=True, slots=True)
class LabelledPairs:
    """The pairs of a file in its order, and how many rows were left out, by reason."""

    pairs: Sequence[LabelledPair]
    left_out: Mapping[LeftOut, int]


def read_labelled_pairs(path: Path) -> LabelledPairs:
    """The labelled pairs of a .jsonl, .csv, .parquet or .json file.

    Raises InputError for a file in another form, and for a row that cannot be read or whose label is unknown.
    """
    pairs: list[LabelledPair] = []
    left_out: Counter[LeftOut] = Counter()
    for where, cells in file_rows(path, "labelled pairs"):
        if isinstance(cells, BadRow):
            raise InputError(f"{cells.where} of {path.parent} cannot be used: {cells.why}")
        try:
            found = list(_pairs(cells, where, path))
        except ValueError as error:
            raise InputError(f"{where} of {path.parent} cannot be used: {error}") from error
        for one in found:
            if isinstance(one, LeftOut):
                left_out[one] += 1
            else:
                pairs.append(one)
    if not pairs:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in left_out.items())
        raise InputError(f"{path} has no labelled pair{f' ({reasons})' if reasons else ''}")
    return LabelledPairs(pairs, left_out)


async def voted_pairs(run: Path) -> LabelledPairs:
    """The pairs of a run that people have voted on, labelled by what most of them say; parts are recipes.

    Raises InputError for a run without such pairs.
    """
    pairs: list[LabelledPair] = []
    left_out: Counter[LeftOut] = Counter()
    async with reading(RunDirectory(run), snapshot=True) as store:
        majorities = await store.votes.majorities()
        async for stored in store.pairs.made_with_ids(majorities):
            one = _voted(stored, majorities[stored.id])
            if isinstance(one, LeftOut):
                left_out[one] += 1
            else:
                pairs.append(one)
    if not pairs:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in left_out.items()) or "nobody has voted yet"
        raise InputError(
            f"{run} has no pair of which votes say which answer is better ({reasons}); see: clairgen vote --help"
        )
    return LabelledPairs(pairs, left_out)


def _voted(stored: StoredPair, vote: Vote | None) -> LabelledPair | LeftOut:
    pair = stored.outcome
    assert isinstance(pair, Pair)  # noqa: S101 - a vote on a pair without a chosen answer is refused, or outdated
    match vote:
        case Vote.KEEP:
            better, worse = pair.chosen.text, pair.rejected.text
        case Vote.SWAP:
            better, worse = pair.rejected.text, pair.chosen.text
        case Vote.TIE:
            return LeftOut.TIED
        case Vote.DROP:
            return LeftOut.DROPPED
        case None:
            return LeftOut.DISPUTED
    if better.strip() == worse.strip():
        return LeftOut.IDENTICAL
    return LabelledPair(stored.task, better, worse, pair.recipe, stored.id)


def _pairs(cells: Mapping[str, Any], where: str, path: Path) -> Iterator[LabelledPair | LeftOut]:
    """The pairs of a row, or why it has none."""
    answers = _answers(cells, path)
    if isinstance(answers, LeftOut):
        yield answers
        return
    task = _task(cells, where, path)
    row = str(next((cells[name] for name in ("id", "pair_id") if cells.get(name) is not None), where))
    better, all_worse = answers
    for worse in all_worse:
        if better.strip() == worse.strip():
            yield LeftOut.IDENTICAL
        else:
            yield LabelledPair(task, better, worse, part_of(cells), row)


def _answers(cells: Mapping[str, Any], path: Path) -> tuple[str, list[str]] | LeftOut:
    """The better answer and the worse ones. Raises ValueError for a label or an answer that is not understood."""
    if "chosen" in cells and "rejected" in cells:
        chosen, rejected = _texts(cells["chosen"], "chosen"), _texts(cells["rejected"], "rejected")
        if len(chosen) > 1:
            return LeftOut.SEVERAL_RIGHT
        return (chosen[0], rejected) if chosen and rejected else LeftOut.UNLABELLED
    if "response_A" in cells and "response_B" in cells:
        return _by_label(cells.get("label"), *(_text(cells[name], name) for name in ("response_A", "response_B")))
    if "output_1" in cells and "output_2" in cells:
        return _by_preference(cells.get("preference"), *(_text(cells[name], name) for name in ("output_1", "output_2")))
    raise InputError(
        f"{path} has no labelled pairs in a form that is read: `chosen` and `rejected` (RewardBench, exported pairs), "
        "`response_A`, `response_B` and `label` (JudgeBench), or `output_1`, `output_2` and `preference` (AlpacaEval); it has "
        f"{', '.join(map(str, cells))}"
    )


def _by_label(label: Any, first: str, second: str) -> tuple[str, list[str]] | LeftOut:  # noqa: ANN401 - a cell
    match label if not isinstance(label, str) else label.strip():
        case None | "":
            return LeftOut.UNLABELLED
        case "A>B":
            return first, [second]
        case "B>A":
            return second, [first]
        case "A=B" | "B=A" | "tie":
            return LeftOut.TIED
    raise ValueError(f"its label {label!r} is none of A>B, B>A and A=B")


def _by_preference(preference: Any, first: str, second: str) -> tuple[str, list[str]] | LeftOut:  # noqa: ANN401 - a cell
    """AlpacaEval's preferences: 1 for the first output, 2 for the second, anything between, 1.5 (or 0, formerly) for a tie."""
    if preference in (None, ""):
        return LeftOut.UNLABELLED
    try:
        number = float(preference)
    except (TypeError, ValueError):
        number = -1.0
    if number in (0, 1.5):
        return LeftOut.TIED
    if not 1 <= number <= 2:
        raise ValueError(f"its preference {preference!r} is no number from 1 (the first output) to 2 (the second)")
    return (first, [second]) if number < 1.5 else (second, [first])


def _task(cells: Mapping[str, Any], where: str, path: Path) -> Task:
    row = task_row(cells, where, TaskSource(path=path, column=prompt_column(cells, path)))
    if isinstance(row, BadRow):
        raise ValueError(row.why)
    return row.task


def _texts(cell: Any, name: str) -> list[str]:  # noqa: ANN401 - a cell of a data set
    """The answers in a cell: a text, a list of texts, or messages of which the last is the answer."""
    if cell is None or cell == "":
        return []
    if isinstance(cell, str):
        return [_text(cell, name)]
    if isinstance(cell, Sequence) and cell and all(isinstance(one, Mapping) for one in cell):
        if len(cell) != 1 or cell[0].get("role") != "assistant":
            raise ValueError(
                f"its `{name}` is a conversation; give the prompt in `prompt` and the answer alone in `{name}`"
            )
        return [_text(cell[0].get("content"), name)]
    if isinstance(cell, Sequence):
        return [_text(one, name) for one in cell]
    raise ValueError(f"its `{name}` is neither a text nor a list of texts")


def _text(cell: Any, name: str) -> str:  # noqa: ANN401 - a cell of a data set
    if not isinstance(cell, str):
        raise ValueError(f"its `{name}` is not a text")
    if (fault := text_fault(cell)) is not None:
        raise ValueError(f"its `{name}` contains {fault}")
    return cell
