"""The endpoints of one role: slots for its requests, and when the role is given up."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence

from clairgen.errors import EndpointsError, RequestFailedError
from clairgen.inference.endpoint import Endpoint
from clairgen.inference.retry import Retries, Traffic, stoppable
from clairgen.inference.runtime import Runtime
from clairgen.inference.scheduler import Reserve, Scheduler
from clairgen.records import Usage

_BYTES_PER_TOKEN = 4
_NEWEST = 0.05  # weight of one answer in the moving average of their tokens
_SAME_FAILURES_AT_START = 10
_SAME_FAILURES_LATER = 50
_PATIENCE_AT_START_SECONDS = 20.0
_PATIENCE_RATE_LIMITED_SECONDS = 3600.0  # of nothing but 429s: a daily limit, or an account that is shared


class Pool:
    """The endpoints of a role. `patience_seconds` is how long all of them may fail before the run stops.

    Once `stop` is set, no more slots are given out. `note` is given sentences for the user.
    """

    def __init__(
        self,
        role: str,
        endpoints: Sequence[Endpoint],
        runtime: Runtime,
        stop: asyncio.Event,
        note: Callable[[str], None],
        *,
        answer_tokens: int,
        patience_seconds: float,
    ) -> None:
        self.role = role
        self.endpoints = endpoints
        self.clock = runtime.clock
        self.sleep = stoppable(runtime.sleep, stop)
        self._random = runtime.random
        self._note = note
        self._answer_tokens = float(answer_tokens)
        self._patience_seconds = patience_seconds
        self._scheduler = Scheduler(
            endpoints, clock=runtime.clock, sleep=runtime.sleep, stop=stop, check=self._check_patience
        )
        self._same_failures: tuple[str, int] = ("", 0)
        self._traffic = Traffic()
        self._noted_outage = False

    @property
    def capacity(self) -> int:
        """The most requests that may ever be in flight over all endpoints."""
        return sum(endpoint.concurrency.maximum for endpoint in self.endpoints)

    @property
    def in_flight(self) -> int:
        """Requests in flight now."""
        return sum(endpoint.in_flight for endpoint in self.endpoints)

    @property
    def pending(self) -> int:
        """Requests that have not ended: in flight, or waiting."""
        return self._traffic.pending

    async def close(self) -> None:
        """Close the pool; nothing may be waiting any more."""
        await self._scheduler.close()

    def request(self) -> Retries:
        """One request; use it as a context manager from its first attempt to its end.

        Raises EndpointsError when one request after the other fails in the same way.
        """
        return Retries(self._random, self._traffic, self._count_failure)

    def acquire(self, tokens: int, avoid: Collection[str], reserve: Reserve) -> Awaitable[Endpoint]:
        """A slot for a request of this many tokens, together with its money; see `Scheduler.acquire`."""
        return self._scheduler.acquire(tokens, avoid, reserve)

    def release(self, endpoint: Endpoint) -> None:
        """Give a slot back."""
        self._scheduler.release(endpoint)

    def expected_tokens(self, body: bytes) -> int:
        """What a request will probably use of a limit of tokens: its prompt and an average answer."""
        return len(body) // _BYTES_PER_TOKEN + int(self._answer_tokens)

    def answered(self, usage: Usage) -> None:
        """A request was answered: failures before it did not concern all of them."""
        if usage.completion_tokens:
            self._answer_tokens += _NEWEST * (usage.completion_tokens - self._answer_tokens)
        self._traffic.answered += 1
        self._same_failures, self._noted_outage = ("", 0), False

    def _check_patience(self) -> None:
        """Give up when no endpoint is usable, or all have failed or sent 429s for too long. Raises EndpointsError."""
        if any(endpoint.circuit_breaker.healthy for endpoint in self.endpoints):
            return
        now = self.clock()
        usable = [endpoint.circuit_breaker for endpoint in self.endpoints if endpoint.circuit_breaker.usable]
        failing = [breaker.failing_since for breaker in usable if breaker.failing_since is not None]
        limited = [breaker.rate_limited_since for breaker in usable if breaker.rate_limited_since is not None]
        patience = self._patience_seconds
        if not self._traffic.answered:
            patience = min(patience, _PATIENCE_AT_START_SECONDS)
        all_fail, all_limited = len(failing) == len(usable), len(limited) == len(usable)
        failing_too_long = all_fail and now - max(failing, default=0.0) > patience
        limited_too_long = all_limited and now - max(limited, default=0.0) > _PATIENCE_RATE_LIMITED_SECONDS
        if not usable or failing_too_long or limited_too_long:
            raise EndpointsError(f"no endpoint of the role {self.role!r} can be used ({self._last_errors()})")
        if all_fail and not self._noted_outage and all(breaker.open for breaker in usable):
            self._noted_outage = True
            self._note(
                f"no endpoint of the role {self.role!r} can be reached ({self._last_errors()}); "
                f"waiting up to {patience:.0f} s for one, then the run stops and can be continued"
            )

    def _last_errors(self) -> str:
        return "; ".join(f"{endpoint.name}: {endpoint.circuit_breaker.last_error}" for endpoint in self.endpoints)

    def _count_failure(self, error: RequestFailedError) -> None:
        """Stop the run when requests in a row fail the same way: the cause is then not in the tasks. Raises EndpointsError."""
        reason, count = self._same_failures
        self._same_failures = (error.reason, count + 1 if error.reason == reason else 1)
        if self._same_failures[1] >= (_SAME_FAILURES_LATER if self._traffic.answered else _SAME_FAILURES_AT_START):
            raise EndpointsError(
                f"{self._same_failures[1]} requests of the role {self.role!r} in a row failed in the same way ({error.reason}: "
                f"{error.detail}); fix that, then run again with --retry-failed"
            ) from error
