"""The endpoints of one role: bounded calls, spread over those that live, tried again as the rules say."""

import asyncio
import math
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from tenacity import AsyncRetrying, retry_if_exception_type

from clairgen.endpoint.client import Endpoint
from clairgen.endpoint.retry import Tries
from clairgen.endpoint.wire import ChatAnswer, UnusableEndpointError
from clairgen.errors import AskError, AskFailedError, DrainedError, EndpointsError, RetryableError

_BYTES_PER_TOKEN = 4
_ALIKE_AT_START = 10
_ALIKE_LATER = 50
_PATIENCE_SECONDS = 300.0
_PATIENCE_AT_START_SECONDS = 20.0
_PATIENCE_REFUSED_SECONDS = 3600.0  # of nothing but 429s: a daily limit, or an account that is shared

OnAttempt = Callable[[Endpoint, AskError, float], Awaitable[None]]
"""Called for every failed try with its endpoint, its error and the seconds that it took."""


@dataclass(frozen=True, slots=True)
class Answered:
    """A good answer, who gave it, and how long that took."""

    answer: ChatAnswer
    endpoint: Endpoint
    latency_seconds: float


class Pool:
    """Asks the endpoints of a role; at most each one's concurrency is in flight there, and nobody waits inside a slot."""

    def __init__(
        self,
        role: str,
        endpoints: Sequence[Endpoint],
        *,
        answer_tokens: int,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
        random: Callable[[], float],
        stop: asyncio.Event,
    ) -> None:
        self.role = role
        self.endpoints = endpoints
        self._answer_tokens = float(answer_tokens)
        self._clock = clock
        self._sleep = sleep
        self._random = random
        self._stop = stop
        self._stopping = asyncio.ensure_future(stop.wait())
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._alike: tuple[str, int] = ("", 0)
        self._has_answered = False

    @property
    def capacity(self) -> int:
        """Most asks in flight over all endpoints."""
        return sum(endpoint.concurrency for endpoint in self.endpoints)

    @property
    def in_flight(self) -> int:
        """Asks in flight now."""
        return sum(endpoint.in_flight for endpoint in self.endpoints)

    async def close(self) -> None:
        """End the pool; nobody may be asking any more."""
        self._stopping.cancel()
        await asyncio.wait([self._stopping])

    async def chat(self, body: Callable[[int], bytes], on_attempt: OnAttempt) -> Answered:
        """Ask until there is a good answer; `body` gives the request's bytes for a number of redraws.

        Raises AskFailedError when this ask is given up, EndpointsError when no endpoint is left for any ask, DrainedError
        when the run was asked to stop before this ask was sent.
        """
        tries = Tries(self._random)
        retrying = AsyncRetrying(
            retry=retry_if_exception_type(RetryableError),
            stop=tries.stop,
            wait=tries.wait,
            sleep=self._sleep,
            reraise=True,
        )
        try:
            answered: Answered = await retrying(self._try, body, tries, on_attempt)
        except RetryableError as error:
            self._count_failure(error)
            raise AskFailedError(error.reason, error.detail, status=error.status, billed=error.billed) from error
        except AskFailedError as error:
            self._count_failure(error)
            raise
        self._alike, self._has_answered = ("", 0), True
        return answered

    async def _try(self, body: Callable[[int], bytes], tries: Tries, on_attempt: OnAttempt) -> Answered:
        content = body(tries.redraws)
        while True:
            async with self._slot(tries.failed_at) as endpoint:
                start = self._clock()
                try:
                    answer, latency = await endpoint.chat(content, self._expected_tokens(content))
                except AskError as error:
                    tries.failed_at.add(endpoint.name)
                    await on_attempt(endpoint, error, self._clock() - start)
                    raise
                except UnusableEndpointError:
                    continue  # the next slot is at another endpoint, or there is none and waiting for it says so
            if answer.usage.completion_tokens:
                self._answer_tokens += 0.05 * (answer.usage.completion_tokens - self._answer_tokens)
            return Answered(answer, endpoint, latency)

    def _expected_tokens(self, body: bytes) -> int:
        return len(body) // _BYTES_PER_TOKEN + int(self._answer_tokens)

    @asynccontextmanager
    async def _slot(self, avoid: Collection[str]) -> AsyncIterator[Endpoint]:
        """A free place at an endpoint, the least loaded one that is not among `avoid` if there is one; waits for one."""
        try:
            while (endpoint := self._free_endpoint(avoid)) is None:
                await self._wait_for_a_change()
        except BaseException:
            self._wake(len(self._waiters))  # the others must see it too
            raise
        endpoint.in_flight += 1
        try:
            yield endpoint
        finally:
            endpoint.in_flight -= 1
            self._wake(1)

    def _free_endpoint(self, avoid: Collection[str]) -> Endpoint | None:
        """The endpoint to ask now. Raises DrainedError and EndpointsError when nobody is to be asked any more."""
        if self._stop.is_set():
            raise DrainedError
        free = [endpoint for endpoint in self.endpoints if endpoint.free]
        if not free:
            self._check_patience()
            return None
        return min(free, key=lambda endpoint: (endpoint.name in avoid, endpoint.in_flight / endpoint.concurrency))

    async def _wait_for_a_change(self) -> None:
        """Wait until a place is freed, a rest or pause ends, or the run is asked to stop."""
        freed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(freed)
        soonest = min(endpoint.changes_in_seconds for endpoint in self.endpoints)
        timer = asyncio.ensure_future(self._sleep(soonest)) if soonest < math.inf else None
        try:
            waited: list[asyncio.Future[Any]] = [freed, self._stopping]
            await asyncio.wait([*waited, timer] if timer else waited, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if freed in self._waiters:
                self._waiters.remove(freed)
            if timer is not None:
                timer.cancel()

    def _wake(self, count: int) -> None:
        """Let the longest waiting asks look again."""
        for _ in range(min(count, len(self._waiters))):
            freed = self._waiters.popleft()
            if not freed.done():
                freed.set_result(None)

    def _check_patience(self) -> None:
        """Give up when no endpoint can be used, or all have ailed or refused for too long. Raises EndpointsError."""
        usable = [endpoint for endpoint in self.endpoints if endpoint.resting_until < math.inf]
        ailing = [endpoint.ailing_since for endpoint in usable if endpoint.ailing_since is not None]
        refusing = [endpoint.refused_since for endpoint in usable if endpoint.refused_since is not None]
        patience = _PATIENCE_SECONDS if self._has_answered else _PATIENCE_AT_START_SECONDS
        ailing_too_long = len(ailing) == len(usable) and self._clock() - max(ailing, default=0.0) > patience
        refused_too_long = (
            len(refusing) == len(usable) and self._clock() - max(refusing, default=0.0) > _PATIENCE_REFUSED_SECONDS
        )
        if not usable or ailing_too_long or refused_too_long:
            troubles = "; ".join(f"{endpoint.name}: {endpoint.trouble}" for endpoint in self.endpoints)
            raise EndpointsError(f"no endpoint of the role {self.role!r} can be used ({troubles})")

    def _count_failure(self, error: AskError) -> None:
        """Stop the run when ask after ask fails alike: the fault is then not in the tasks. Raises EndpointsError."""
        reason, count = self._alike
        self._alike = (error.reason, count + 1 if error.reason == reason else 1)
        if self._alike[1] >= (_ALIKE_LATER if self._has_answered else _ALIKE_AT_START):
            raise EndpointsError(
                f"{self._alike[1]} asks of the role {self.role!r} in a row failed alike ({error.reason}: {error.detail}); mend "
                "that, then run again with --retry-failed"
            ) from error
