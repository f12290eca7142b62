"""Who asks next, and where: asks wait in one queue a role and are given a place at the least loaded endpoint that is open.

No place is chosen by the prompt: that an ask finds its prefix in the cache of the server that had it before gained nothing that
could be measured (`tests/real/prefixes.py`: prompts of 100 words asked twice, 1.001 times as long without
vLLM's prefix cache), and the prompts' common part, a template, is soon in every cache.

Nobody waits inside a place, neither for a turn of the pace nor for the end of a rest, and only the first in the queue is
looked at when something changes.
"""

import asyncio
import math
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass

from clairgen.errors import DrainedError, EndpointsError
from clairgen.inference.endpoint import Endpoint


@dataclass(slots=True)
class _Waiter:
    tokens: int
    avoid: Collection[str]
    place: asyncio.Future[Endpoint]


class Places:
    """The places of a role's endpoints. `check` raises EndpointsError once waiting has no sense any more."""

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        *,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
        stop: asyncio.Event,
        check: Callable[[], None],
    ) -> None:
        self._endpoints = endpoints
        self._clock = clock
        self._sleep = sleep
        self._stop = stop
        self._check = check
        self._waiting: deque[_Waiter] = deque()
        self._alarm: asyncio.Task[None] | None = None
        self._alarm_at = math.inf
        self._probes: dict[str, asyncio.Task[None]] = {}
        self._stopping = asyncio.create_task(self._drain_when_stopped())

    @property
    def somebody_waits(self) -> bool:
        """Whether asks wait for a place."""
        return bool(self._waiting)

    async def take(self, tokens: int, avoid: Collection[str]) -> Endpoint:
        """A place, at an endpoint that is not among `avoid` if one is open; give it back with `leave`.

        Raises DrainedError and EndpointsError when nobody is to be asked any more.
        """
        if self._stop.is_set():
            raise DrainedError
        if not self._waiting and (endpoint := self._open(avoid)) is not None:
            endpoint.enter(tokens)
            return endpoint
        waiter = _Waiter(tokens, avoid, asyncio.get_running_loop().create_future())
        self._waiting.append(waiter)
        if len(self._waiting) == 1:
            self.look()
        try:
            return await waiter.place
        except asyncio.CancelledError:
            if waiter.place.done() and not waiter.place.cancelled() and waiter.place.exception() is None:
                self.leave(waiter.place.result())
            raise

    def leave(self, endpoint: Endpoint) -> None:
        """Give a place back."""
        endpoint.leave()
        self.look()

    def look(self) -> None:
        """Give out what places there are, in the order of waiting."""
        while self._waiting:
            waiter = self._waiting[0]
            if not waiter.place.done():  # else it was cancelled
                if (endpoint := self._open(waiter.avoid)) is None:
                    break
                endpoint.enter(waiter.tokens)
                waiter.place.set_result(endpoint)
            self._waiting.popleft()
        if self._waiting:
            self._wait_for_a_change()

    async def close(self) -> None:
        """End what runs here; nobody may be waiting any more."""
        running = [task for task in (self._stopping, self._alarm, *self._probes.values()) if task is not None]
        for task in running:
            task.cancel()
        await asyncio.wait(running)

    def _open(self, avoid: Collection[str]) -> Endpoint | None:
        """The endpoint to ask now."""
        now = self._clock()
        best: tuple[bool, float] | None = None
        found: Endpoint | None = None
        most = self._most_load()
        for endpoint in self._endpoints:
            if endpoint.load < most and endpoint.opens_at() <= now:
                rank = (endpoint.name in avoid, endpoint.load)
                if best is None or rank < best:
                    best, found = rank, endpoint
        return found

    def _most_load(self) -> float:
        """Where weights are told: the load of the heaviest endpoint that lives, were it full. None takes more for its weight."""
        heaviest = max(
            (
                (endpoint.weight, endpoint.width.now)
                for endpoint in self._endpoints
                if endpoint.weight is not None and not endpoint.health.on_trial and endpoint.health.usable
            ),
            default=None,
        )
        return math.inf if heaviest is None else heaviest[1] / heaviest[0]

    def _wait_for_a_change(self) -> None:
        """Have somebody look again when a rest, a pause or a turn's time ends, or a probe is answered."""
        try:
            self._check()
        except EndpointsError as error:
            self._dismiss(error)
            return
        now, soonest, most = self._clock(), math.inf, self._most_load()
        for endpoint in self._endpoints:
            health = endpoint.health
            if health.unproven and health.resting_until <= now:
                self._probe(endpoint)
            elif endpoint.load < most and (at := endpoint.opens_at()) < soonest:
                soonest = at
            elif health.usable and health.resting_until > now:
                soonest = min(soonest, health.resting_until)
        if soonest < self._alarm_at:
            if self._alarm is not None:
                self._alarm.cancel()
            self._alarm_at = soonest
            self._alarm = asyncio.create_task(self._ring(soonest - now))

    async def _ring(self, seconds: float) -> None:
        await self._sleep(max(0.0, seconds))
        self._alarm, self._alarm_at = None, math.inf
        self.look()

    def _probe(self, endpoint: Endpoint) -> None:
        if endpoint.name not in self._probes:
            self._probes[endpoint.name] = asyncio.create_task(self._probed(endpoint))

    async def _probed(self, endpoint: Endpoint) -> None:
        try:
            await endpoint.probe()
        finally:
            del self._probes[endpoint.name]
        self.look()

    async def _drain_when_stopped(self) -> None:
        await self._stop.wait()
        self._dismiss(DrainedError())

    def _dismiss(self, error: DrainedError | EndpointsError) -> None:
        """Send away all who wait."""
        waiting, self._waiting = self._waiting, deque()
        for waiter in waiting:
            if not waiter.place.done():
                waiter.place.set_exception(type(error)(str(error)))
