"""Which request is sent next, and where: requests wait in one queue per role for a slot at the least loaded available endpoint.

A slot is given together with the money that the request may cost, in one step: a request that waits for its turn at an
endpoint holds no money, and one that waits for the budget holds no slot. Waiting for a rate limit or for a circuit breaker to
close holds neither. When something changes, only the first in the queue is looked at; where sessions share an endpoint's limits,
only that of the session whose turn it is (`endpoint_limits`).

The endpoint is not chosen by the prompt: sending a request to the server that has its prefix in the cache gained nothing that
could be measured (`tests/real/prefixes.py`: prompts of 100 words sent twice, 1.001 times as long without vLLM's prefix
cache), and the common part of the prompts, a template, is soon in every cache.
"""

import asyncio
import math
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

from clairgen.errors import DrainedError, EndpointsError, RunStoppedError
from clairgen.inference.endpoint import Endpoint

Reserve = Callable[[Callable[[], None]], bool]
"""Reserves what a request may cost, without waiting. False if there is no room; its argument is called once there may be.

Raises RunStoppedError if there can never be room.
"""


@dataclass(slots=True)
class _Waiter:
    tokens: int
    avoid: Collection[str]
    reserve: Reserve
    slot: asyncio.Future[Endpoint]


class Scheduler:
    """Gives out the slots of a role's endpoints. `check` raises EndpointsError once waiting has become pointless."""

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        *,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
        stop: asyncio.Event,
        check: Callable[[], None],
    ) -> None:
        self._endpoints = endpoints  # as they are at any moment
        self._weighted = any(endpoint.weight is not None for endpoint in endpoints)
        self._clock = clock
        self._sleep = sleep
        self._stop = stop
        self._check = check
        self._waiting: deque[_Waiter] = deque()
        self._timer: asyncio.Task[None] | None = None
        self._timer_at = math.inf
        self._probes: dict[str, asyncio.Task[None]] = {}
        self._stopping = asyncio.create_task(self._drain_when_stopped())

    async def acquire(self, tokens: int, avoid: Collection[str], reserve: Reserve, *, urgent: bool = False) -> Endpoint:
        """A slot, at an endpoint that is not in `avoid` if one is available; give it back with `release`.

        An `urgent` request is the next to be sent, before those that have been waiting.

        Raises what `reserve` raises, DrainedError and EndpointsError when nothing more is to be sent.
        """
        if self._stop.is_set():
            raise DrainedError
        if not self._waiting and (endpoint := self._least_loaded(avoid)) is not None and reserve(self.dispatch):
            endpoint.acquire(tokens)
            return endpoint
        waiter = _Waiter(tokens, avoid, reserve, asyncio.get_running_loop().create_future())
        if urgent:
            self._waiting.appendleft(waiter)
        else:
            self._waiting.append(waiter)
        if self._waiting[0] is waiter:
            self.dispatch()
        try:
            return await waiter.slot
        except asyncio.CancelledError:
            if waiter.slot.cancelled() or waiter.slot.exception() is not None:
                self.dispatch()  # it may have been the first, and the next one may fit
            else:
                self.release(waiter.slot.result())
            raise

    def release(self, endpoint: Endpoint) -> None:
        """Give a slot back."""
        endpoint.release()
        self.dispatch()

    def dispatch(self) -> None:
        """Give out the slots that are free, in the order of waiting."""
        while self._waiting:
            waiter = self._waiting[0]
            if not waiter.slot.done():  # else it was cancelled
                if (endpoint := self._least_loaded(waiter.avoid)) is None:
                    self._wait_for_a_change()
                    return
                try:
                    if not waiter.reserve(self.dispatch):
                        self._stop_contending()
                        return
                except RunStoppedError as error:
                    waiter.slot.set_exception(error)
                else:
                    endpoint.acquire(waiter.tokens)
                    waiter.slot.set_result(endpoint)
            self._waiting.popleft()
        self._stop_contending()

    async def close(self) -> None:
        """End the background tasks; nothing may be waiting any more."""
        running = [task for task in (self._stopping, self._timer, *self._probes.values()) if task is not None]
        for task in running:
            task.cancel()
        await asyncio.wait(running)
        for endpoint in self._endpoints:
            endpoint.close()

    def _least_loaded(self, avoid: Collection[str]) -> Endpoint | None:
        """The endpoint to send to now, if one is available."""
        now = self._clock()
        best: tuple[bool, float] | None = None
        found: Endpoint | None = None
        max_load = self._max_load()
        for endpoint in self._endpoints:
            if endpoint.load < max_load and endpoint.available_at() <= now:
                rank = (endpoint.name in avoid, endpoint.load)
                if best is None or rank < best:
                    best, found = rank, endpoint
        return found

    def _max_load(self) -> float:
        """With weights: the load of the heaviest endpoint that works, were it full. No endpoint takes more for its weight."""
        if not self._weighted:
            return math.inf
        heaviest = max(
            (
                (endpoint.weight, endpoint.concurrency.limit)
                for endpoint in self._endpoints
                if endpoint.weight is not None
                and not endpoint.circuit_breaker.half_open
                and endpoint.circuit_breaker.usable
            ),
            default=None,
        )
        return math.inf if heaviest is None else heaviest[1] / heaviest[0]

    def _wait_for_a_change(self) -> None:
        """Dispatch again when a breaker, a pause or a rate limit allows it, or a probe has ended."""
        try:
            self._check()
        except EndpointsError as error:
            self._dismiss(error)
            return
        now, soonest, max_load = self._clock(), math.inf, self._max_load()
        for endpoint in self._shared():
            if endpoint.load < max_load:
                endpoint.contend(self.dispatch)
            else:
                endpoint.stop_contending()
        for endpoint in self._endpoints:
            breaker = endpoint.circuit_breaker
            if breaker.needs_probe:
                self._probe(endpoint)
            elif endpoint.load < max_load and (at := endpoint.available_at()) < soonest:
                soonest = at
            elif breaker.usable and breaker.open:
                soonest = min(soonest, breaker.open_until)
        if soonest < self._timer_at:
            if self._timer is not None:
                self._timer.cancel()
            self._timer_at = soonest
            self._timer = asyncio.create_task(self._dispatch_after(soonest - now))

    async def _dispatch_after(self, seconds: float) -> None:
        await self._sleep(max(0.0, seconds))
        self._timer, self._timer_at = None, math.inf
        self.dispatch()

    def _probe(self, endpoint: Endpoint) -> None:
        if endpoint.name not in self._probes:
            self._probes[endpoint.name] = asyncio.create_task(self._probed(endpoint))

    async def _probed(self, endpoint: Endpoint) -> None:
        try:
            await endpoint.probe()
        except Exception:  # noqa: BLE001 - whatever it is, such as no file left to open, the next probe may succeed
            endpoint.circuit_breaker.probe_failed()
        finally:
            del self._probes[endpoint.name]
        self.dispatch()

    async def _drain_when_stopped(self) -> None:
        await self._stop.wait()
        self._dismiss(DrainedError())

    def _dismiss(self, error: DrainedError | EndpointsError) -> None:
        """Raise an error in all that wait."""
        waiting, self._waiting = self._waiting, deque()
        for waiter in waiting:
            if not waiter.slot.done():
                waiter.slot.set_exception(type(error)(str(error)))
        self._stop_contending()

    def _stop_contending(self) -> None:
        """Nothing of this role is to be sent now, whatever its endpoints allow."""
        for endpoint in self._shared():
            endpoint.stop_contending()

    def _shared(self) -> Iterator[Endpoint]:
        return (endpoint for endpoint in self._endpoints if endpoint.is_shared)
