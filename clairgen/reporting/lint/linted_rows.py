"""The rows that lint reads: of files, folders and hub data sets as import reads them, or the kept pairs of a run."""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from clairgen.errors import InputError
from clairgen.filters.pipeline import reason_to_skip
from clairgen.import_source import HUB, ImportSource, import_splits
from clairgen.pair_shapes import shape_of
from clairgen.recorded_answers import OVERALL, answer_entries, false_ten, has_ten, score_of
from clairgen.records import Pair, StoredPair
from clairgen.reporting.lint.findings import MOST_EXAMPLES, Example
from clairgen.row_pairs import FINISH_REASONS, PairShape, ReadRow, RowPair, read_pairs
from clairgen.sources import BadRow, SourceRow
from clairgen.store import RunDirectory, Store, reading, reading_shards, runs_inside, shards_in_words

_BINARIZED: Final = {"score_chosen", "score_rejected"}
"""The columns in which UltraFeedback binarized has the overall scores of its two answers."""


@dataclass(frozen=True, slots=True)
class LintedSource:
    """What of a source is read: a `subset` and `splits` of folders and the hub, `columns` by their role, a `recipe` of a run."""

    subset: str | None = None
    splits: tuple[str, ...] = ()
    columns: Mapping[str, str] = field(default_factory=dict)
    recipe: str | None = None


class Tens:
    """Scores of 10 among raw rows: false ones, and those that nothing beside them confirms or contradicts.

    `rows` counts the rows that have such scores; `false` and `unchecked` those of them with a ten, and `examples` show where.
    """

    def __init__(self) -> None:
        self.rows = 0
        self.counts = {"false-tens": 0, "unchecked-tens": 0}
        self.examples: dict[str, list[Example]] = {rule: [] for rule in self.counts}
        self.counting = True

    def watch(self, rows: Iterator[SourceRow], shape: PairShape) -> Iterator[SourceRow]:
        """The same rows, looked at on their way where they have scores that may be false."""
        answers = shape.columns.get("answers")
        looks = self.counting and (answers is not None or set(shape.further) >= _BINARIZED)
        for where, content in rows:
            if looks and not isinstance(content, BadRow):
                self._look(where, content, answers)
            yield where, content

    def _look(self, where: str, row: Mapping[str, Any], answers: str | None) -> None:
        entries = _entries(row, answers) if answers is not None else []
        self.rows += answers is None or any(OVERALL in entry for entry in entries)
        tens = [entry for entry in entries if has_ten(entry)]
        if doubt := next((found for entry in tens if (found := false_ten(entry)) is not None), None):
            self._add("false-tens", Example(where, doubt))
        elif any(not _is_rated(entry) for entry in tens) or (
            answers is None and score_of(row.get("score_chosen")) == 10
        ):
            self._add("unchecked-tens", Example(where, "a score of 10 without ratings"))

    def _add(self, rule: str, example: Example) -> None:
        self.counts[rule] += 1
        if len(self.examples[rule]) < MOST_EXAMPLES:
            self.examples[rule].append(example)


@dataclass(frozen=True, slots=True)
class Part:
    """A split of a source: its name, how it is understood, and a function that reads its rows from the start.

    `is_run` is whether rows without a pair are what a run does not keep.
    """

    name: str
    understood: str
    rows: Callable[[], AsyncIterator[ReadRow]]
    is_run: bool = False


@asynccontextmanager
async def opened(
    sources: Sequence[str], options: LintedSource, tens: Tens
) -> AsyncIterator[tuple[list[Part], list[str]]]:
    """The parts of all sources, and the names of splits that are left out.

    Raises InputError, one sentence, for a source that cannot be read or is not understood.
    """
    parts: list[Part] = []
    left_out: list[str] = []
    async with AsyncExitStack() as stack:
        names = [Path(source).name for source in sources]
        for source in sources:
            if runs_inside(Path(source)):
                shards = await stack.enter_async_context(reading_shards(Path(source)))
                part = await _part_of_run(source, shards.together, options)
                parts.append(replace(part, understood=f"{part.understood}; {shards_in_words(shards)}"))
                continue
            if RunDirectory(Path(source)).database.is_file():
                store = await stack.enter_async_context(reading(RunDirectory(Path(source)), snapshot=True))
                parts.append(await _part_of_run(source, store, options))
                continue
            if options.recipe is not None:
                raise InputError(f"{source} is no run, so it has no recipe {options.recipe!r}; leave --recipe out")
            splits, others = import_splits(source, options.subset, options.splits)
            if names.count(Path(source).name) > 1 and not source.startswith(HUB):
                splits = [_in_folder(split, source) for split in splits]
            parts += [_part_of_source(split, options.columns, tens) for split in splits]
            left_out += others
        yield parts, left_out


def _in_folder(split: ImportSource, source: str) -> ImportSource:
    """A split of a source that has the name of another, with the folder in its name and before the place of each row."""
    before = f"{Path(source).parent}/"

    def rows() -> Iterator[SourceRow]:
        for where, content in split.rows():
            yield (
                f"{before}{where}",
                replace(content, where=f"{before}{where}") if isinstance(content, BadRow) else content,
            )

    return replace(split, name=f"{before}{split.name}", rows=rows)


def _part_of_source(source: ImportSource, columns: Mapping[str, str], tens: Tens) -> Part:
    shape = shape_of(source, columns)
    understood = f"{shape.sentence}{source.unread_in_words}"
    return Part(source.name, understood, partial(_rows_of_source, source, shape, tens))


async def _rows_of_source(source: ImportSource, shape: PairShape, tens: Tens) -> AsyncIterator[ReadRow]:
    for row in read_pairs(tens.watch(source.rows(), shape), shape):
        yield row


async def _part_of_run(run: str, store: Store, options: LintedSource) -> Part:
    if options.splits or options.subset is not None or options.columns:
        raise InputError(f"{run} is a run, which has no splits, subsets or columns to name; leave these options out")
    recipes = list(await store.metadata.plans())
    recipe = options.recipe or (recipes[0] if len(recipes) == 1 else None)
    if recipe is None:
        raise InputError(f"the run {run} has the recipes {', '.join(recipes) or '(none yet)'}; name one with --recipe")
    if recipe not in recipes:
        raise InputError(f"the run {run} has no recipe {recipe!r}; it has {', '.join(recipes) or 'none yet'}")
    understood = f"the kept pairs of {recipe}, as an export has them"
    return Part(f"{run} {recipe}", understood, partial(_rows_of_run, store, recipe), is_run=True)


async def _rows_of_run(store: Store, recipe: str) -> AsyncIterator[ReadRow]:
    async for stored in store.pairs.made(recipe):
        yield ReadRow(f"pair {stored.id}", _kept(stored))


def _kept(stored: StoredPair) -> RowPair | str:
    """The pair as rows have it, with the finish reasons of its answers; or why it is not kept."""
    pair = stored.outcome
    if (reason := reason_to_skip(stored)) is not None or not isinstance(pair, Pair):
        return f"it is not kept: {reason}"
    finish = {FINISH_REASONS["chosen"]: pair.chosen, FINISH_REASONS["rejected"]: pair.rejected}
    further: dict[str, Any] = {column: answer.finish_reason for column, answer in finish.items()}
    further |= stored.source_columns
    return RowPair(stored.task.messages, pair.chosen.text, pair.rejected.text, name=stored.task.id, further=further)


def _entries(row: Mapping[str, Any], answers: str) -> list[Mapping[str, Any]]:
    try:
        entries = answer_entries(row.get(answers), answers)
    except ValueError:
        return []
    return [entry for entry in entries if isinstance(entry, Mapping)]


def _is_rated(entry: Mapping[str, Any]) -> bool:
    return bool(entry.get("annotations")) or entry.get("fine-grained_score") is not None
