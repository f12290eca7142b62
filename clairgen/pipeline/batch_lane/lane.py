"""The batch lane: a second way by which an answer that is not stored is fetched, through a provider's batches.

Requests wait here under their content keys: for money, in a collection, then in a batch. A batch outlives the session, so a
request whose key is in an open one waits for it, whatever the configuration says by now, and is never sent a second time.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from clairgen.config.endpoint_checks import FILE_SCHEME
from clairgen.config.prices import batch_price, costs, max_cost
from clairgen.config.role import Role
from clairgen.errors import (
    DrainedError,
    RequestFailedError,
    RunStoppedError,
    StoreError,
    UnclearRejectionError,
    UserError,
)
from clairgen.inference.pool import Pool
from clairgen.inference.retry import Retries
from clairgen.pipeline.batch_lane.batch_roles import BatchRole
from clairgen.pipeline.batch_lane.collection import Collected, Collection, Collector, Outcome
from clairgen.pipeline.batch_lane.missing_results import PaidFailures
from clairgen.pipeline.batch_lane.open_batches import OpenBatches
from clairgen.pipeline.budget import Budget
from clairgen.pipeline.model_requests import Request
from clairgen.pipeline.progress import Progress
from clairgen.store import Store


@dataclass(slots=True)
class _Intake:
    """What is on its way into the batches of a role: those that wait for money, and a collector for each part."""

    one: BatchRole
    priced: Role
    again: Callable[[], None]
    unfunded: deque[Collected] = field(default_factory=deque)
    collectors: dict[str, Collector] = field(default_factory=dict)


class BatchLane:
    """The batches of a run. `open` it before anything is requested, `close` it before the store.

    What failed for good in an earlier session although it was paid for is requested again only if the lane `retries_failed`.
    Once `stop` is set, all that wait get a DrainedError; batches that were submitted go on at the provider.
    """

    def __init__(
        self,
        store: Store,
        roles: Mapping[str, BatchRole],
        pools: Mapping[str, Pool],
        folder: Path,
        *,
        progress: Progress,
        budget: Budget | None,
        stop: asyncio.Event,
        check_space: Callable[[], None] = lambda: None,
        retries_failed: bool = True,
    ) -> None:
        self._store = store
        self._pools = pools
        self._folder = folder
        self._budget = budget
        self._stop = stop
        self._paid_failures = PaidFailures(store, retries=retries_failed)
        self._waiting: dict[str, Collected] = {}
        self._error: RunStoppedError | UserError | None = None
        self._draining: asyncio.Task[None] | None = None
        self.batches = OpenBatches(
            store,
            roles,
            folder,
            progress=progress,
            budget=budget,
            deliver=self._deliver,
            fail=self.dismiss,
            check_space=check_space,
        )
        self._intakes = {name: self._intake(one) for name, one in roles.items() if one.collects}

    @property
    def most_waiting(self) -> int:
        """Tasks that may be begun beyond those in flight, to wait for batches."""
        return max((intake.one.role.batches.waiting for intake in self._intakes.values()), default=0)

    @property
    def waits_for_batches_alone(self) -> bool:
        """Whether all that wait here are in batches that are created and were looked at since, or wait for what those free."""
        unfunded = {collected.request.key for intake in self._intakes.values() for collected in intake.unfunded}
        return (
            self.batches.settled
            and self.batches.any
            and all(self.batches.holds(key) or key in unfunded for key in self._waiting)
        )

    @property
    def waiting(self) -> int:
        """Requests that wait here."""
        return len(self._waiting)

    async def open(self) -> None:
        """Go on with all batches that earlier sessions left. Raises StoreError."""
        await self.batches.resume()
        self._draining = asyncio.create_task(self._drain_when_stopped(), name="batch lane")

    async def take_in_ended(self) -> RunStoppedError | UserError | None:
        """Take in what has ended at the provider by now; the error that keeps batches from being taken in, if there is one.

        It may be called once `stop` is set, and waits then all the same.
        """
        if isinstance(self._error, DrainedError):
            self._error = None
        if self._error is None:
            await self.batches.take_in_ended(None if self._stop.is_set() else self._stop)
        return self._error

    async def close(self) -> None:
        """Leave everything as it is on disk and at the provider."""
        if self._draining is not None:
            self._draining.cancel()
            await asyncio.wait((self._draining,))
        await self.batches.close()
        self.dismiss(DrainedError())

    async def outcome(self, request: Request, retries: Retries) -> Outcome:
        """What becomes of a request in a batch: its completion, or why it has none; None if it is to be sent directly.

        Raises RunStoppedError when nothing more comes.
        """
        intake = self._intakes.get(request.role.name)
        if request.is_probe or (intake is None and not self.batches.holds(request.key)):
            return None
        if self._error is not None:
            raise self._error
        if not self.batches.holds(request.key):
            paid = await self._paid_failures.of(request.key, self.batches.failures(request.key))
            if paid is not None:
                return paid
        for reason, count in self.batches.failures(request.key).items():
            retries.failed[reason] = max(count, retries.failed.get(reason, 0))
        collected = self._waiting[request.key] = Collected(request, asyncio.get_running_loop().create_future())
        try:
            if not self.batches.holds(request.key):
                # Its batch may have been taken in since the store was looked into.
                if (stored := await self._store.completions.find(request.key)) is not None:
                    return stored
                if intake is None:
                    return None
                self._pools[request.role.name].check()
                intake.unfunded.append(collected)
                self._take_in(intake)
            return _final(await collected.waiting)
        finally:
            self._waiting.pop(request.key, None)

    def dismiss(self, error: RunStoppedError | UserError) -> None:
        """Nothing more is taken in or delivered: all that wait get this error."""
        self._error = self._error or error
        for intake in self._intakes.values():
            left = [*intake.unfunded, *(one for collector in intake.collectors.values() for one in collector.close())]
            intake.unfunded.clear()
            intake.collectors.clear()
            for collected in left:
                self._release(collected)
        for collected in self._waiting.values():
            if not collected.waiting.done():
                collected.waiting.set_exception(error)

    def _intake(self, one: BatchRole) -> _Intake:
        priced = one.role.model_copy(update={"price_per_million": batch_price(one.role)})
        return _Intake(one, priced, lambda: self._take_in(self._intakes[one.name]))

    def _take_in(self, intake: _Intake) -> None:
        """Collect those that wait for money, in their order, as far as it reaches."""
        while intake.unfunded:
            collected = intake.unfunded[0]
            if not collected.waiting.done():
                try:
                    body = collected.request.body(self.batches.redraws(collected.request.key), streams=False)
                    if not self._reserve(intake, collected, body):
                        return
                    self._collector(intake, collected.request.key).add(collected, body)
                except OSError as error:
                    self._release(collected)
                    said = f"requests cannot be written to {self._folder}: {error.strerror}; check the disk"
                    collected.waiting.set_exception(StoreError(said))
                except RunStoppedError as error:
                    collected.waiting.set_exception(error)
            if (
                intake.unfunded and intake.unfunded[0] is collected
            ):  # a collection that was handed over may have ended all
                intake.unfunded.popleft()

    def _reserve(self, intake: _Intake, collected: Collected, body: bytes) -> bool:
        """Whether there is room for what a request may cost in a batch, which is then reserved."""
        if self._budget is None or not costs(intake.priced):
            return True
        collected.call = self._budget.reserve(intake.one.name, max_cost(intake.priced, body), intake.again)
        return collected.call is not None

    def _release(self, collected: Collected) -> None:
        """Give back what is reserved for a request that is in no batch."""
        if self._budget is not None and collected.call is not None:
            self._budget.cancel(collected.call)
        collected.call = None

    def _collector(self, intake: _Intake, key: str) -> Collector:
        """Where a request is collected: apart from others, if it was in a part of a batch that was refused."""
        part = self.batches.part_of(key)
        if part not in intake.collectors:
            account = intake.one.account
            intake.collectors[part] = Collector(
                self._folder,
                intake.one.role.batches,
                lambda collection: self._hand_over(intake, collection),
                clock=account.clock,
                sleep=account.sleep,
            )
        return intake.collectors[part]

    def _hand_over(self, intake: _Intake, collection: Collection) -> None:
        """Submit a collection; of `auto` one that is too small goes directly."""
        wanted = [collected for collected in collection.requests if not collected.waiting.done()]
        too_few = intake.one.role.delivery == "auto" and len(wanted) < intake.one.role.batches.auto_from
        if wanted and not too_few:
            self.batches.submit(intake.one, collection)
            return
        collection.discard()
        for collected in collection.requests:
            self._release(collected)
            if not collected.waiting.done():
                collected.waiting.set_result(None)

    def _deliver(self, key: str, outcome: Outcome) -> Request | None:
        """Hand what came of a line to the request that waits for it, if one does."""
        collected = self._waiting.get(key)
        if collected is None:
            return None
        if not collected.waiting.done():
            collected.waiting.set_result(outcome)
        return collected.request

    async def _drain_when_stopped(self) -> None:
        await self._stop.wait()
        self.dismiss(DrainedError())


def _final(outcome: Outcome) -> Outcome:
    """The outcome, where a file is all that could be asked whether a rejection is of every request: then it is of this one."""
    if isinstance(outcome, UnclearRejectionError) and (outcome.endpoint or "").startswith(FILE_SCHEME):
        return RequestFailedError(outcome.reason, outcome.detail, status=outcome.status)
    return outcome
