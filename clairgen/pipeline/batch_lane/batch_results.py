"""What comes back of a batch: each line read, matched by its content key and committed on its own, in whatever order.

The provider's counts and the places of lines say nothing here. What names no request of the batch, or cannot be read, is kept
and counted.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

from clairgen.config.prices import cost_of_usage, cost_usd
from clairgen.config.role import Price
from clairgen.errors import RequestError, UnusableEndpointError
from clairgen.inference.batch_lines import LineResult, UnreadableLine, read_line, unreadable
from clairgen.inference.openai_format import ChatAnswer
from clairgen.inference.redaction import Redaction
from clairgen.pipeline.batch_lane.unmatched_lines import UnmatchedLines
from clairgen.pipeline.budget import Budget, cost_of_failure
from clairgen.pipeline.model_requests import thinking_to_store
from clairgen.pipeline.progress import Progress
from clairgen.records import Completion, Usage
from clairgen.store import ANSWERED, Attempt, BatchRecord, Store, WaitingLine, now
from clairgen.thinking import separate

_AT_ONCE: Final = 256  # lines whose commits are waited for together: the writer puts them into one transaction


@dataclass(frozen=True, slots=True)
class LineEnd:
    """What became of a line: its completion, or the error that says why it has none; `thinking` and all are stored."""

    key: str
    outcome: Completion | RequestError
    usage: Usage | None


class BatchResults:
    """Commits what comes back of one batch. `settled` is called with each line once it is on disk.

    `answers` are the requests that lines had an answer to, of use or not, those that were taken in by earlier sessions included.
    """

    def __init__(
        self,
        batch: BatchRecord,
        lines: dict[str, WaitingLine],
        store: Store,
        budget: Budget | None,
        progress: Progress,
        redaction: Redaction,
        settled: Callable[[LineEnd], None],
        *,
        seconds: float,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self.waiting = lines
        self.new_lines = 0
        self.answers = set[str]()
        self.unmatched = UnmatchedLines(batch, lines, store, budget, redaction)
        self.unusable: UnusableEndpointError | None = None
        self._batch = batch
        self._store = store
        self._budget = budget
        self._progress = progress
        self._redaction = redaction
        self._settled = settled
        self._seconds = seconds
        self._wall_clock = wall_clock
        self._busy = asyncio.Semaphore(_AT_ONCE)
        self._running = set[asyncio.Task[None]]()
        self._error: BaseException | None = None
        self._price = (
            None
            if batch.input_price is None or batch.output_price is None
            else Price(input=batch.input_price, output=batch.output_price)
        )

    async def take(self, line: bytes) -> None:
        """Read a line and commit what it says, some time before `finish` returns. Raises StoreError of earlier ones."""
        found = await read_line(line, self._redaction, self._wall_clock())
        if isinstance(found, UnreadableLine):
            await self.unmatched.note_unreadable(found, line)
            await self._run(self.unmatched.keep_unreadable(found, line))
        elif (waiting := self.waiting.pop(found.custom_id, None)) is not None:
            self.new_lines += 1
            self.unmatched.taken[found.custom_id] = hash(line)
            self._note_answer(found)
            await self._start(waiting, found.outcome, self._cost(found.outcome))
        elif await self.unmatched.is_read_again(found, line):
            self._note_answer(found)
        else:
            cost = self._cost(found.outcome) if isinstance(found.outcome, ChatAnswer) else None
            await self._run(self.unmatched.keep(found, line, cost))

    async def fail_unreadable(self) -> None:
        """Fail those that wait and whose lines could not be read: all of them, unless each of these lines names its request."""
        reasons = self.unmatched.unreadable
        for key in [key for key in self.waiting if None in reasons or key in reasons]:
            why = reasons[key] if key in reasons else reasons[None]
            error = unreadable(f"the line that may be its result cannot be read ({why}); it is kept in batch_strays")
            await self._start(self.waiting.pop(key), error, self._cost(error))
        await self.finish()

    async def fail_rest(self, error: Callable[[], RequestError], *, cost: int | None) -> None:
        """Commit the same for all lines that nothing came back for; `cost` is that of each, None if it is not known."""
        for key in list(self.waiting):
            await self._start(self.waiting.pop(key), error(), cost)
        await self.finish()

    async def finish(self) -> None:
        """Wait until all that was taken is on disk. Raises StoreError."""
        while self._running:
            await asyncio.wait(self._running)
        if self._error is not None:
            raise self._error

    async def _start(self, line: WaitingLine, outcome: ChatAnswer | RequestError, cost: int | None) -> None:
        await self._run(self._commit(line, outcome, cost))

    async def _run(self, work: Coroutine[Any, Any, None]) -> None:
        """Commit something while further lines are read. Raises StoreError of what was committed before."""
        try:
            await self._busy.acquire()
        except asyncio.CancelledError:
            work.close()
            raise
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._ended)
        if self._error is not None:
            raise self._error

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._busy.release()
        if not task.cancelled() and (error := task.exception()) is not None:
            self._error = self._error or error

    async def _commit(self, line: WaitingLine, outcome: ChatAnswer | RequestError, cost: int | None) -> None:
        if isinstance(outcome, ChatAnswer):
            completion = await self._completion(line, outcome)
            await self._store.batches.answer(line, completion, cost)
            end = LineEnd(line.key, completion, outcome.usage)
            self._count_answer(completion)
        else:
            outcome.endpoint = self._batch.endpoint
            if isinstance(outcome, UnusableEndpointError):
                self.unusable = outcome
            await self._store.batches.fail(line, self._attempt(line, outcome), cost)
            end = LineEnd(line.key, outcome, None)
            counters = self._progress.role(self._batch.role)
            counters.failed_attempts[outcome.reason] += 1
            counters.attempted(self._batch.endpoint, outcome.reason, self._seconds)
        if self._budget is not None and line.call is not None:
            self._budget.close(line.call, cost)
        self._settled(end)

    def _note_answer(self, found: LineResult) -> None:
        outcome = found.outcome
        if isinstance(outcome, ChatAnswer) or outcome.billed or outcome.status == HTTPStatus.OK:
            self.answers.add(found.custom_id)

    def _count_answer(self, completion: Completion) -> None:
        counters = self._progress.role(self._batch.role)
        counters.answered += 1
        counters.attempted(self._batch.endpoint, ANSWERED, self._seconds)
        counters.prompt_tokens += completion.usage.prompt_tokens or 0
        counters.completion_tokens += completion.usage.completion_tokens or 0

    async def _completion(self, line: WaitingLine, answer: ChatAnswer) -> Completion:
        thinks = bool(separate(answer.text).thinking)
        prompt = await self._store.batches.prompt(line.messages) if thinks else ""
        return Completion(
            key=line.key,
            role=self._batch.role,
            model=self._batch.model,
            revision=self._batch.revision,
            sample=line.sample,
            text=answer.text,
            finish_reason=answer.finish_reason,
            usage=answer.usage,
            latency_seconds=self._seconds,
            endpoint=self._batch.endpoint,
            response_id=answer.response_id,
            cost_usd=cost_usd(answer.usage, self._price),
            created_at=now(),
            served_model=answer.served_model,
            system_fingerprint=answer.system_fingerprint,
            thinking=thinking_to_store(answer, prompt),
            service_tier=answer.service_tier,
        )

    def _attempt(self, line: WaitingLine, error: RequestError) -> Attempt:
        batch = self._batch
        return Attempt(
            key=line.key,
            role=batch.role,
            model=batch.model,
            endpoint=batch.endpoint,
            reason=error.reason,
            detail=error.detail,
            status=error.status,
            billed=error.billed,
            latency_seconds=self._seconds,
        )

    def _cost(self, outcome: ChatAnswer | RequestError) -> int | None:
        if isinstance(outcome, ChatAnswer):
            return cost_of_usage(outcome.usage, self._price)
        return cost_of_failure(outcome, self._price)
