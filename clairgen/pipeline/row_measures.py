"""Measures of imported pairs, a batch at a time, on as many cores as are given.

Batches are measured ahead of their being committed, in processes that end with this one, and come back in their order.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from clairgen.errors import RequestFailedError
from clairgen.filters.filter_settings import FilterSettings
from clairgen.filters.pipeline import FilterPipeline
from clairgen.long_texts import Workers
from clairgen.metrics.contrast import check_length
from clairgen.pipeline.pair_measures import Measures, UnmeasuredPair, is_applied_anywhere, measured_pairs, measures
from clairgen.records import Answer, Pair
from clairgen.row_pairs import ReadRow, RowPair

_BEFORE_PROCESSES: Final = 2
"""Batches that are measured in this process first: most data sets are small, and a process takes a second to start."""
_TIME_LIMIT_SECONDS: Final = 6 * 3600.0
"""Of a batch in another process: a thousand of the longest pairs that are measured at all take as long."""


@dataclass(frozen=True, slots=True)
class MeasuredBatch:
    """The rows of a batch, in order, and the measures of those that hold a pair."""

    rows: Sequence[ReadRow]
    measures: Sequence[Measures]

    @property
    def pairs(self) -> list[tuple[ReadRow, RowPair, Measures]]:
        """The rows that hold a pair, with it and its measures."""
        held = [(row, row.found) for row in self.rows if isinstance(row.found, RowPair)]
        return [(row, pair, measures) for (row, pair), measures in zip(held, self.measures, strict=True)]


async def measured_batches(
    batches: Iterator[Sequence[ReadRow]], name: str, settings: FilterSettings, tokenizer: str, jobs: int
) -> AsyncGenerator[MeasuredBatch, None]:
    """Each batch of pairs that are called `name` with its measures, in order.

    With `jobs` above 1, that many other processes measure the later ones. Filters of plugins are applied in this process, which
    has loaded them. Close the iterator, also after an error.
    """
    if not is_applied_anywhere(settings):
        jobs = 1
    pipeline, record = FilterPipeline(settings), settings.model_dump_json()
    workers = Workers(time_limit_seconds=_TIME_LIMIT_SECONDS, most=jobs)
    ahead: deque[tuple[Sequence[ReadRow], asyncio.Task[list[Measures]]]] = deque()
    try:
        for number, batch in enumerate(batches):
            rows = [_short_enough(row) for row in batch]
            pairs = tuple(_unmeasured(row.where, name, row.found) for row in rows if isinstance(row.found, RowPair))
            here = jobs == 1 or number < _BEFORE_PROCESSES
            measuring = (
                asyncio.to_thread(measured_pairs, pairs, pipeline, tokenizer, cores=-1)
                if here
                else workers.run(measures, pairs, record, tokenizer)
            )
            ahead.append((rows, asyncio.create_task(measuring)))
            if here or len(ahead) > jobs:
                yield await _first(ahead)
        while ahead:
            yield await _first(ahead)
    finally:
        for _, task in ahead:
            task.cancel()
        await asyncio.gather(*(task for _, task in ahead), return_exceptions=True)
        await workers.close()


def answers_of_row(pair: RowPair) -> tuple[Answer, Answer]:
    """The chosen and the rejected answer as the run has them."""
    return (
        Answer(pair.chosen, pair.finish_reason("chosen"), "", pair.chosen_model),
        Answer(pair.rejected, pair.finish_reason("rejected"), "", pair.rejected_model),
    )


def _unmeasured(where: str, name: str, pair: RowPair) -> UnmeasuredPair:
    """A pair of a row, its texts as they are, space around them included."""
    made = Pair(where, name, *answers_of_row(pair), pair.reasoning)
    return UnmeasuredPair(made, pair.messages, revises=False, source_columns=pair.further)


def _short_enough(row: ReadRow) -> ReadRow:
    """The row; without its pair, and with the reason, where that is too long to measure."""
    if isinstance(row.found, RowPair):
        try:
            check_length(row.found.chosen, row.found.rejected)
        except RequestFailedError as error:
            return replace(row, found=error.detail)
    return row


async def _first(ahead: deque[tuple[Sequence[ReadRow], asyncio.Task[list[Measures]]]]) -> MeasuredBatch:
    rows, task = ahead[0]
    batch = MeasuredBatch(rows, await task)
    ahead.popleft()
    return batch
