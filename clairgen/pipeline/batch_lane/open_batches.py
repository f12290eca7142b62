"""The open batches of a run: each has a task of its own until its end, and what comes of its lines is delivered."""

import asyncio
import datetime
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, Final

from clairgen.config.prices import batch_price
from clairgen.errors import (
    EndpointsError,
    RequestError,
    RunStoppedError,
    StoreError,
    UnusableEndpointError,
    UserError,
)
from clairgen.pipeline.batch_lane.batch_results import BatchResults, LineEnd
from clairgen.pipeline.batch_lane.batch_roles import BatchRole, close_services
from clairgen.pipeline.batch_lane.collection import Collection, Outcome, batch_file
from clairgen.pipeline.batch_lane.lifecycle import BatchRefusedError, OpenBatch
from clairgen.pipeline.batch_lane.missing_results import never_processed
from clairgen.pipeline.batch_lane.refused_batches import Refusals
from clairgen.pipeline.batch_lane.submission import BatchAbandonedError
from clairgen.pipeline.budget import Budget
from clairgen.pipeline.model_requests import Request
from clairgen.pipeline.progress import Progress
from clairgen.store import BatchLine, BatchRecord, Call, Store, now

_LOOK_SECONDS: Final = 0.1
Deliver = Callable[[str, Outcome], Request | None]


class OpenBatches:
    """The batches of a run that have not ended. `deliver` is given what came of a line, `fail` an error that ends all of them.

    `check_space` raises StoreError where what is sent, or taken in, could not be kept.
    """

    def __init__(
        self,
        store: Store,
        roles: Mapping[str, BatchRole],
        folder: Path,
        *,
        progress: Progress,
        budget: Budget | None,
        deliver: Deliver,
        fail: Callable[[RunStoppedError | UserError], None],
        check_space: Callable[[], None] = lambda: None,
    ) -> None:
        self._store = store
        self._roles = roles
        self._folder = folder
        self._progress = progress
        self._budget = budget
        self._deliver = deliver
        self._fail = fail
        self._check_space = check_space
        self._open: dict[str, Call | None] = {}
        self._failures: dict[str, Counter[str]] = {}
        self._by_id: dict[str, OpenBatch] = {}
        self._tasks = set[asyncio.Task[None]]()
        self._submitting = 0
        self._refusals = Refusals(folder)

    @property
    def settled(self) -> bool:
        """Whether all that was submitted is created at the provider and was looked at since, or waits until others have ended.

        None of it is stuck there, and given up soon.
        """
        return self._all(lambda one: one.polled and one.batch.state == "created" and not one.is_stuck)

    @property
    def any(self) -> bool:
        """Whether there are any."""
        return bool(self._by_id)

    def takes(self, record: BatchRecord) -> bool:
        """Whether a batch is one of those that are taken to their end here: its role and its endpoint are known."""
        return record.role in self._roles and record.endpoint in self._roles[record.role].role.endpoints

    def holds(self, key: str) -> bool:
        """Whether a request with this key waits in an open batch."""
        return key in self._open

    def failures(self, key: str) -> Mapping[str, int]:
        """How often a request has failed in batches so far, by reason, over all sessions."""
        return self._failures.get(key, Counter())

    def redraws(self, key: str) -> int:
        """Empty answers to a request so far."""
        return self.failures(key).get("empty-answer", 0)

    def part_of(self, key: str) -> str:
        """The part of a refused batch that a request belongs to, once; empty for most."""
        return self._refusals.parts.pop(key, "")

    async def resume(self, *, cancels: bool = False) -> None:
        """Go on with all batches that earlier sessions left, or cancel them; their lines count as reserved. Raises StoreError."""
        self._failures = await self._store.batches.failures()
        records = await self._store.batches.all(open_only=True)
        for record in records:
            if record.duplicate_of is not None or not self.takes(record):
                continue
            lines = await self._store.batches.waiting(record.id)
            if self._budget is not None:
                self._budget.resume(line.call for line in lines.values() if line.call is not None)
            self._open |= {key: line.call for key, line in lines.items()}
            duplicates = [one for one in records if one.duplicate_of == record.id]
            account = self._roles[record.role].account
            open_batch = OpenBatch(record, account, resumed=True, duplicates=duplicates, cancels=cancels)
            self._by_id[record.id] = open_batch
            self._start(self._taken_to_its_end(open_batch), record.id)
        known = {batch_file(self._folder, record.id) for record in records}
        for file in self._folder.iterdir() if self._folder.exists() else ():
            if file not in known and file.suffix in (".jsonl", ".partial"):
                file.unlink(missing_ok=True)

    def submit(self, one: BatchRole, collection: Collection) -> None:
        """Record a collection as a batch, and take it to its end."""
        self._submitting += 1
        self._start(self._submitted(one, collection), collection.id)

    async def close(self) -> None:
        """Leave everything as it is on disk and at the provider."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._budget is not None:
            self._budget.leave_open(call for call in self._open.values() if call is not None)
        await close_services(self._roles)

    async def take_in_ended(self, stop: asyncio.Event | None) -> None:
        """Wait until what has ended at the provider is taken in, whatever goes on there, or until `stop` is set."""
        while self._tasks and not self._all(lambda one: one.goes_on) and not (stop is not None and stop.is_set()):
            await asyncio.wait(self._tasks, timeout=_LOOK_SECONDS, return_when=asyncio.FIRST_COMPLETED)

    async def ended(self) -> None:
        """Wait until all of them have ended."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _all(self, holds_for: Callable[[OpenBatch], bool]) -> bool:
        """Whether something holds for each batch that does not wait until others have ended."""
        return not self._submitting and all(
            holds_for(one) or one.account.enqueued.holds_up(one.batch.id) for one in self._by_id.values()
        )

    def _start(self, work: Coroutine[Any, Any, None], identity: str) -> None:
        task = asyncio.create_task(self._ended_by(work), name=f"batch {identity}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _ended_by(self, work: Coroutine[Any, Any, None]) -> None:
        """Do the work; its error ends everything, since what waits would wait for ever."""
        try:
            await work
        except UnusableEndpointError as error:
            self._fail(EndpointsError(f"the provider refuses what its batches need: {error.detail}"))
        except (RunStoppedError, UserError) as error:
            self._fail(error)
        except Exception as error:  # noqa: BLE001 - at the boundary of a task: whatever it is, nothing more comes of the batch
            stopped = EndpointsError(
                f"a batch cannot go on: {type(error).__name__}: {error}; it is as it was, so the run can be continued"
            )
            stopped.__cause__ = error
            self._fail(stopped)

    async def _submitted(self, one: BatchRole, collection: Collection) -> None:
        try:
            record = await self._recorded(one, collection)
        finally:
            self._submitting -= 1
        await self._taken_to_its_end(self._by_id[record.id])

    async def _recorded(self, one: BatchRole, collection: Collection) -> BatchRecord:
        """Put a batch on disk with its lines and the most that each can cost. Raises StoreError."""
        self._check_space()
        price, requests = batch_price(one.role), collection.requests
        record = BatchRecord(
            collection.id,
            one.name,
            one.role.model,
            one.role.revision,
            one.role.endpoints[0],
            len(requests),
            collection.size,
            collection.tokens,
            price.input if price is not None else None,
            price.output if price is not None else None,
            now(),
        )
        lines = [BatchLine(each.request.key, each.request.sample, each.request.sent, each.call) for each in requests]
        try:
            await asyncio.to_thread(collection.complete)
        except OSError as error:
            raise StoreError(f"{collection.file} cannot be written: {error.strerror}; check the disk") from error
        await self._store.batches.intend(record, lines)
        self._open |= {line.key: line.call for line in lines}
        self._by_id[record.id] = OpenBatch(record, one.account)
        self._progress.role(one.name).sent += len(lines)
        self._progress.log_event("batch_collected", role=one.name, batch=record.id, requests=len(lines))
        requests.clear()
        return record

    async def _taken_to_its_end(self, open_batch: OpenBatch) -> None:
        """Take a batch to its end, and deliver what came of its lines."""
        batch = open_batch.batch
        try:
            while True:
                await open_batch.submit()
                try:
                    remote = await open_batch.finish()
                except BatchRefusedError as error:
                    if await self._refusals.waited_for_others(open_batch, error):
                        continue
                    await self._refusals.settle(open_batch, error, await self._results(open_batch), self._fail)
                else:
                    self._refusals.accepted(batch.role)
                    self._check_space()
                    results = await self._results(open_batch)
                    await open_batch.take_results(remote, results)
                    self._check_setup(results)
                break
        except BatchAbandonedError:
            results = await self._results(open_batch)
            await results.fail_rest(never_processed("batch-abandoned", "nothing of the batch was submitted"), cost=0)
            await open_batch.end("abandoned")
        finally:
            self._roles[batch.role].account.enqueued.give_back(batch.id)
            self._by_id.pop(batch.id, None)
        self._progress.log_event("batch_ended", role=batch.role, batch=batch.id, status=open_batch.batch.status)

    async def _results(self, open_batch: OpenBatch) -> BatchResults:
        batch, one = open_batch.batch, self._roles[open_batch.batch.role]
        since = datetime.datetime.fromisoformat(batch.submitted_at or batch.created_at)
        seconds = (datetime.datetime.now(datetime.UTC) - since).total_seconds()
        return BatchResults(
            batch,
            await self._store.batches.waiting(batch.id),
            self._store,
            self._budget,
            self._progress,
            one.redaction,
            lambda end: self._line_ended(one, open_batch, end),
            seconds=max(0.0, seconds),
            wall_clock=one.account.wall_clock,
        )

    def _line_ended(self, one: BatchRole, open_batch: OpenBatch, end: LineEnd) -> None:
        """Deliver what became of a line, which is on disk."""
        self._open.pop(end.key, None)
        if isinstance(end.outcome, RequestError):
            self._failures.setdefault(end.key, Counter())[end.outcome.reason] += 1
        request = None if isinstance(end.outcome, UnusableEndpointError) else self._deliver(end.key, end.outcome)
        if end.usage is not None and one.pool is not None:
            since = open_batch.submitted_clock
            one.pool.answered(end.usage, -float("inf") if since is None else since, request.prompt if request else "")

    def _check_setup(self, results: BatchResults) -> None:
        """Raise EndpointsError if a line was rejected for what every request has, such as its model's name."""
        if results.unusable is not None:
            raise EndpointsError(
                f"requests in a batch were rejected for what all of them have: {results.unusable.detail}"
            )
