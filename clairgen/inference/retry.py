"""Retry policy: which failed attempts are repeated, how often and after how long; which 429s concern one request alone.

The numbers of the policy are tenacity's strategies, asked as plain functions of the number of attempts. The loop that they
serve is `CompletionClient`'s, since between two attempts a request gives its slot back.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from tenacity import RetryCallState, Retrying, stop_after_attempt, stop_never, wait_exponential, wait_none

from clairgen.errors import (
    DrainedError,
    RequestError,
    RequestFailedError,
    RetryableError,
    UnclearRejectionError,
    UnusableEndpointError,
)

_BACKOFF = wait_exponential(multiplier=0.5, max=30)  # seconds; half as long to one and a half times as long, at random
_SERVER_FAULT = Retrying(stop=stop_after_attempt(6), wait=_BACKOFF)
_BAD_ANSWER = Retrying(stop=stop_after_attempt(3), wait=_BACKOFF)
_ENDPOINT = Retrying(stop=stop_never, wait=wait_none())  # the endpoint waits for itself; the pool decides for how long
_CAPACITY = Retrying(stop=stop_never, wait=wait_exponential(multiplier=1, max=60))  # the pool decides for how long
_IN_BATCHES = Retrying(stop=stop_after_attempt(3), wait=wait_none())
_REFUSED_BATCH = Retrying(stop=stop_after_attempt(20), wait=wait_none())  # halved until what is refused is alone
_POLICIES = {
    "batch-abandoned": _ENDPOINT,
    "batch-cancelled": Retrying(stop=stop_after_attempt(10), wait=wait_none()),
    "batch-expired": _IN_BATCHES,
    "batch-failed": _IN_BATCHES,
    "batch-line-failed": _IN_BATCHES,
    "batch-refused": _REFUSED_BATCH,
    "no-capacity": _CAPACITY,
    "empty-answer": _BAD_ANSWER,
    "no-choices": _BAD_ANSWER,
    "repeated-key": _BAD_ANSWER,
    "broken-off": _BAD_ANSWER,
    "unreadable-stream": _BAD_ANSWER,
    "not-run": _SERVER_FAULT,
    "not-json": _BAD_ANSWER,
    "unreachable": _ENDPOINT,
    "rate-limited": _ENDPOINT,
}
_LEAST_SHARE = 0.1  # of the attempts of others, which is taken for rate-limited even though fewer were
_SUSPECTED = 1.01e-3
_REJECTED = 1.01e-10
_LONGEST_WAIT_SECONDS = 30.0  # of a request whose 429s are probably its own


@dataclass(slots=True)
class Traffic:
    """What became of all requests of a role.

    `answered` and `rate_limited` count attempts, the latter without those of suspected requests; `pending` counts requests that
    have not ended, `pending_rate_limited` those of them that got a 429.
    """

    answered: int = 0
    rate_limited: int = 0
    pending: int = 0
    pending_rate_limited: int = 0


class RequestSpecific429:
    """How likely it is that all 429s of one request are due to the endpoint's load: `chance`. Ends with `close`.

    A 429 speaks against the request if others were answered since its last one, or if only requests that got a 429 are left.
    After ten of them, and a minute and a half of waiting, it is one in a billion that any other request would have got them
    too (it takes more where others often get a 429).
    """

    def __init__(self, traffic: Traffic) -> None:
        self.chance = 1.0
        self._traffic = traffic
        self._no_others_left = False
        self._first: tuple[int, int] | None = None
        self._own = 0
        self._answered = 0
        self._waits = 0

    @property
    def suspected(self) -> bool:
        """Whether its next 429 is probably its own and says nothing about the endpoint, or no other request is left."""
        return self.chance <= _SUSPECTED or self._no_others_left

    @property
    def rejected_alone(self) -> bool:
        """Whether the endpoint rejects this request for what it contains."""
        return self.chance <= _REJECTED

    def rate_limited(self) -> None:
        """This request got one more 429."""
        traffic, own = self._traffic, not self.suspected
        traffic.rate_limited += own
        if self._first is None:
            self._first = traffic.answered, traffic.rate_limited
            traffic.pending_rate_limited += 1
        else:
            self._own += own
            answered = traffic.answered - self._first[0]
            limited = traffic.rate_limited - self._first[1] - self._own
            self._no_others_left = traffic.pending <= traffic.pending_rate_limited and traffic.answered > 0
            if traffic.answered > self._answered:
                self.chance *= max(_LEAST_SHARE, limited / (answered + limited))
            elif self._no_others_left:
                self.chance *= max(_LEAST_SHARE, traffic.pending / (traffic.pending + traffic.answered))
        self._answered = traffic.answered

    def wait_seconds(self) -> float:
        """Seconds until the next attempt: none as long as the endpoint's own pause is probably enough."""
        if not self.suspected:
            return 0.0
        self._waits += 1
        return min(2.0 ** (self._waits - 1), _LONGEST_WAIT_SECONDS)

    def close(self) -> None:
        """The request has ended."""
        self._traffic.pending_rate_limited -= self._first is not None


class Retries:
    """The failed attempts of one request, by reason and endpoint; a context manager around all of its attempts.

    `random` gives numbers in [0, 1), which spread the waits. `given_up` is called when the request fails for good.
    """

    def __init__(
        self, random: Callable[[], float], traffic: Traffic, given_up: Callable[[RequestFailedError], None]
    ) -> None:
        self.failed: dict[str, int] = {}
        self.failed_at: set[str] = set()
        self._random = random
        self._traffic = traffic
        self._given_up = given_up
        self._own_429s: RequestSpecific429 | None = None

    def __enter__(self) -> Self:
        self._traffic.pending += 1
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._traffic.pending -= 1
        if self._own_429s is not None:
            self._own_429s.close()
        if isinstance(error, RequestFailedError):
            self._given_up(error)

    @property
    def adapts(self) -> bool:
        """Whether the next 429 is to change the limits that all requests share."""
        return self._own_429s is None or not self._own_429s.suspected

    @property
    def redraws(self) -> int:
        """Empty answers so far: the next attempt must sample a different one."""
        return self.failed.get("empty-answer", 0)

    def seconds_after(self, error: RequestError) -> float:
        """Seconds to wait after a failed attempt. Raises RequestFailedError if there is to be no further one."""
        if not isinstance(error, RetryableError):
            raise error
        self.failed[error.reason] = self.failed.get(error.reason, 0) + 1
        self.failed_at.add(error.endpoint or "")
        if error.reason == "rate-limited":
            return self._seconds_after_429(error)
        elsewhere = isinstance(error, UnusableEndpointError | UnclearRejectionError)
        policy = _ENDPOINT if elsewhere else _POLICIES.get(error.reason, _SERVER_FAULT)
        state = RetryCallState(policy, None, (), {})
        state.attempt_number = self.failed[error.reason]
        if policy.stop(state):
            raise RequestFailedError(error.reason, error.detail, status=error.status, billed=error.billed) from error
        backoff = policy.wait(state) * (0.5 + self._random())
        return backoff if policy is _ENDPOINT else max(error.retry_after_seconds or 0.0, backoff)

    def _seconds_after_429(self, error: RetryableError) -> float:
        own = self._own_429s = self._own_429s or RequestSpecific429(self._traffic)
        own.rate_limited()
        if own.rejected_alone:
            others = f"rejected {self.failed['rate-limited']} times while other requests were answered"
            raise RequestFailedError("rejected-alone", f"{error.detail} ({others})", status=error.status) from error
        return own.wait_seconds()


def stoppable(sleep: Callable[[float], Awaitable[None]], stop: asyncio.Event) -> Callable[[float], Awaitable[None]]:
    """`sleep`, ended by a DrainedError as soon as `stop` is set."""

    async def stoppable_sleep(seconds: float) -> None:
        if seconds > 0:
            async with asyncio.TaskGroup() as group:
                sleeping = group.create_task(_awaited(sleep(seconds)))
                stopping = group.create_task(stop.wait())
                await asyncio.wait((sleeping, stopping), return_when=asyncio.FIRST_COMPLETED)
                sleeping.cancel()
                stopping.cancel()
        if stop.is_set():
            raise DrainedError

    return stoppable_sleep


async def _awaited(awaitable: Awaitable[None]) -> None:
    await awaitable
