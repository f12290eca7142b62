"""Contrast and findings of pairs: measured in this process, and in others once they take much of its time.

A run of slow models never starts another process. Where answers come by the thousand, what a pair is measured by takes longer
than to request it, and would hold the event loop; then pairs go to other processes, as many at a time as have gathered.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

from clairgen.errors import RequestFailedError
from clairgen.filters.filter_settings import FilterSettings
from clairgen.filters.pipeline import FilterPipeline
from clairgen.filters.registry import FILTERS
from clairgen.long_texts import LONG_CHARACTERS, TOO_LONG, characters, in_process, in_thread, off_loop, usable_cores
from clairgen.metrics.contrast import contrast, contrasts
from clairgen.records import Contrast, Finding, Message, Pair, Undecided

Measures = tuple[Contrast | None, tuple[Finding, ...]]
"""What a pair is measured by, None for what was not decided, and what the filters find in it."""
_MOST_JOBS: Final = 8
_BATCH: Final = 32
_MOST_IN_BATCH: Final = 128
"""So many pairs keep another process busy for longer than this one takes to send it the next batch."""
_GATHERING_SECONDS: Final = 0.02
"""So long the first of a batch waits for others, since each batch costs this process time of its own."""
_SECONDS_HERE: Final = 0.1
"""So long pairs are measured in this process first: another takes a second to start."""
_SHARE: Final = 0.1
"""Of this process's time, from which on other processes measure."""


class UnmeasuredPair(NamedTuple):
    """A pair with all that its filters look at; see `FilterPipeline.apply`."""

    pair: Pair
    prompt: Sequence[Message]
    revises: bool
    source_columns: Mapping[str, Any]


_Waiting = tuple[UnmeasuredPair, asyncio.Future[Measures]]


class PairMeasures:
    """Measures the pairs of a session; use it as an async context manager.

    `jobs` is how many other processes may measure at once, never more than there are cores; None is one for each core but one,
    up to eight. `most_elsewhere` is how many pairs may be with them or wait for them at once: one commit of the store lets about
    a hundred go on together. Further ones are measured here, so that no core waits for another. `elsewhere` is whether they
    measure already. Filters of plugins are applied in this process, which has loaded them. `clock` gives seconds.
    """

    def __init__(
        self,
        settings: FilterSettings,
        tokenizer: str,
        *,
        jobs: int | None = None,
        most_elsewhere: int = 96,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pipeline = FilterPipeline(settings)
        self._record = settings.model_dump_json()
        self._tokenizer = tokenizer
        most = min(usable_cores() - 1, _MOST_JOBS) if jobs is None else min(jobs, usable_cores())
        self._jobs = most if is_applied_anywhere(settings) else 0
        self._most_elsewhere = most_elsewhere
        self._number_elsewhere = 0
        self._clock = clock
        self._since = clock()
        self._spent = 0.0
        self._opening: asyncio.Task[None] | None = None
        self.elsewhere = False
        self._waiting: list[_Waiting] = []
        self._running: set[asyncio.Task[None]] = set()
        self._gathering: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        unfinished = [*self._running, *((self._opening,) if self._opening is not None else ())]
        if self._gathering is not None:
            self._gathering.cancel()
        for task in unfinished:
            task.cancel()
        await asyncio.gather(*unfinished, return_exceptions=True)

    async def of(self, outcome: Pair | Undecided, prompt: Sequence[Message], *, revises: bool) -> Measures:
        """The measures of what a recipe made, whose target was sent `prompt`; `revises` is whether the recipe revises.

        Raises RequestFailedError for texts that cannot be measured.
        """
        find = partial(self._pipeline.apply, outcome, revises=revises, prompt=prompt)
        texts = [message.content for message in prompt]
        if isinstance(outcome, Undecided):
            return None, await in_thread(partial(find, None), *texts)
        texts += outcome.chosen.text, outcome.rejected.text
        if characters(*texts) > LONG_CHARACTERS:
            measured = await off_loop(contrast, outcome.chosen.text, outcome.rejected.text, self._tokenizer)
            return measured, await in_thread(partial(find, measured), *texts)
        if self.elsewhere and self._number_elsewhere < self._most_elsewhere:
            return await self._elsewhere(UnmeasuredPair(outcome, tuple(prompt), revises, {}))
        start = self._clock()
        measured = contrast(outcome.chosen.text, outcome.rejected.text, self._tokenizer)
        findings = find(measured)
        if not self.elsewhere and self._jobs and self._opening is None:
            self._took(start)
        return measured, findings

    def _took(self, start: float) -> None:
        """Count the time that a pair took here; open another process if it is much of all."""
        now = self._clock()
        self._spent += now - start
        if self._spent < _SECONDS_HERE:
            return
        if self._spent >= _SHARE * (now - self._since):
            self._opening = asyncio.create_task(self._open(), name="first process that measures")
        self._since, self._spent = now, 0.0

    async def _open(self) -> None:
        """Start the first process, and meanwhile go on here; for good if none can be started."""
        try:
            await in_process(measures, (), self._record, self._tokenizer)
        except Exception:  # noqa: BLE001 - whatever keeps it from that, pairs can be measured here
            return
        self.elsewhere = True

    async def _elsewhere(self, pair: UnmeasuredPair) -> Measures:
        done: asyncio.Future[Measures] = asyncio.get_running_loop().create_future()
        self._waiting.append((pair, done))
        self._send(_BATCH)
        self._number_elsewhere += 1
        try:
            return await done
        finally:
            self._number_elsewhere -= 1

    def _send(self, least: int) -> None:
        """Send what waits to processes that are free, in batches of `least` pairs and more, and the rest in a while."""
        while len(self._waiting) >= least and len(self._running) < self._jobs:
            batch, self._waiting = self._waiting[:_MOST_IN_BATCH], self._waiting[_MOST_IN_BATCH:]
            task = asyncio.create_task(self._measure(batch), name="pairs measured elsewhere")
            self._running.add(task)
            task.add_done_callback(self._ended)
        if self._waiting and self._gathering is None:
            self._gathering = asyncio.get_running_loop().call_later(_GATHERING_SECONDS, self._gathered)

    def _gathered(self) -> None:
        self._gathering = None
        self._send(1)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._send(_BATCH)

    async def _measure(self, batch: Sequence[_Waiting]) -> None:
        """Measure a batch; if that fails, or its process ends, each pair alone, so that a bad one affects no other."""
        batch = [(pair, done) for pair, done in batch if not done.done()]
        try:
            found = await in_process(measures, tuple(pair for pair, _ in batch), self._record, self._tokenizer)
        except Exception:  # noqa: BLE001 - whose fault it is, each of them alone will show
            for pair, done in batch:
                await self._measure_alone(pair, done)
            return
        for (_, done), of_pair in zip(batch, found, strict=True):
            if not done.done():
                done.set_result(of_pair)

    async def _measure_alone(self, pair: UnmeasuredPair, done: asyncio.Future[Measures]) -> None:
        try:
            (found,) = await self._alone(pair)
        except Exception as error:  # noqa: BLE001 - who waits for the pair gets it
            if not done.done():
                done.set_exception(error)
        else:
            if not done.done():
                done.set_result(found)

    async def _alone(self, pair: UnmeasuredPair) -> list[Measures]:
        try:
            return await in_process(measures, (pair,), self._record, self._tokenizer)
        except OSError:  # no process can be started any more
            return measured_pairs((pair,), self._pipeline, self._tokenizer, cores=1)
        except RequestFailedError as error:
            size = characters(pair.pair.chosen.text, pair.pair.rejected.text)
            detail = f"each process that measured these answers of {size:,} characters ended: {error.detail}"
            raise RequestFailedError(TOO_LONG, detail) from error


def is_applied_anywhere(settings: FilterSettings) -> bool:
    """Whether another process has all these filters: it does not load plugins."""
    return all(one.name in FILTERS.built_in for one in settings.filters)


def measures(pairs: Sequence[UnmeasuredPair], filters: str, tokenizer: str) -> list[Measures]:
    """What another process is asked for: the measures of pairs, on one core; `filters` are settings as JSON."""
    return measured_pairs(pairs, _pipeline(filters), tokenizer, cores=1)


def measured_pairs(
    pairs: Sequence[UnmeasuredPair], pipeline: FilterPipeline, tokenizer: str, *, cores: int
) -> list[Measures]:
    """The measures of pairs, in their order, on so many cores, -1 for all."""
    chosen, rejected = [one.pair.chosen.text for one in pairs], [one.pair.rejected.text for one in pairs]
    return [
        (
            measured,
            pipeline.apply(
                one.pair, measured, revises=one.revises, prompt=one.prompt, source_columns=one.source_columns
            ),
        )
        for one, measured in zip(pairs, contrasts(chosen, rejected, tokenizer, cores=cores), strict=True)
    ]


@lru_cache(maxsize=4)
def _pipeline(filters: str) -> FilterPipeline:
    return FilterPipeline(FilterSettings.from_record(filters))
