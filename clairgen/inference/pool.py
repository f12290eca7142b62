"""The endpoints of one role: bounded calls, spread over those that live, tried again as the rules say."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from tenacity import AsyncRetrying, retry_if_exception_type

from clairgen.errors import EndpointsError, RequestError, RequestFailedError, RetryableError
from clairgen.inference.endpoint import Endpoint
from clairgen.inference.openai_format import ChatAnswer, UnusableEndpointError
from clairgen.inference.retry import Suspicion, Traffic, Tries, stoppable
from clairgen.inference.scheduler import Places

_BYTES_PER_TOKEN = 4
_ALIKE_AT_START = 10
_ALIKE_LATER = 50
_PATIENCE_AT_START_SECONDS = 20.0
_PATIENCE_REFUSED_SECONDS = 3600.0  # of nothing but 429s: a daily limit, or an account that is shared


@dataclass(frozen=True, slots=True)
class Answered:
    """A good answer, who gave it, and how long that took."""

    answer: ChatAnswer
    endpoint: Endpoint
    latency_seconds: float


class Call(Protocol):
    """One ask, as the pool sees it. Each of its tries begins, and unless it brings the answer, fails."""

    def body(self, redraws: int) -> bytes:
        """The request's bytes, after so many empty answers."""

    async def begins(self, endpoint: str, body: bytes) -> None:
        """A try is sent to this endpoint as soon as this returns."""

    async def fails(self, endpoint: str, error: RequestError, seconds: float) -> None:
        """The try brought no answer, after so many seconds."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a pool takes from outside. `tell` is given sentences for the user."""

    clock: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]]
    random: Callable[[], float]
    stop: asyncio.Event
    tell: Callable[[str], None]


class Pool:
    """Asks the endpoints of a role. `patience_seconds` is how long all of them may be down before the run stops."""

    def __init__(
        self,
        role: str,
        endpoints: Sequence[Endpoint],
        around: Surroundings,
        *,
        answer_tokens: int,
        patience_seconds: float,
    ) -> None:
        self.role = role
        self.endpoints = endpoints
        self._around = around
        self._answer_tokens = float(answer_tokens)
        self._patience_seconds = patience_seconds
        self._places = Places(
            endpoints, clock=around.clock, sleep=around.sleep, stop=around.stop, check=self._check_patience
        )
        self._alike: tuple[str, int] = ("", 0)
        self._traffic = Traffic()
        self._told_of_outage = False

    @property
    def capacity(self) -> int:
        """Most asks that may ever be in flight over all endpoints."""
        return sum(endpoint.width.most for endpoint in self.endpoints)

    @property
    def in_flight(self) -> int:
        """Asks in flight now."""
        return sum(endpoint.in_flight for endpoint in self.endpoints)

    async def close(self) -> None:
        """End the pool; nobody may be asking any more."""
        await self._places.close()

    async def chat(self, call: Call) -> Answered:
        """Ask until there is a good answer.

        Raises RequestFailedError when this ask is given up, EndpointsError when no endpoint is left for any ask, DrainedError
        when the run was asked to stop before this ask was sent.
        """
        self._traffic.asking += 1
        try:
            try:
                answered = await self._try(call)
            except RetryableError as error:
                answered = await self._retry(call, error)
        except RetryableError as error:
            self._count_failure(error)
            raise RequestFailedError(error.reason, error.detail, status=error.status, billed=error.billed) from error
        except RequestFailedError as error:
            self._count_failure(error)
            raise
        finally:
            self._traffic.asking -= 1
        self._alike, self._told_of_outage = ("", 0), False
        return answered

    async def _retry(self, call: Call, first: RetryableError) -> Answered:
        """Go on after a first try that failed; tenacity decides whether and when, and takes that try for its first."""
        tries = Tries(self._around.random, Suspicion(self._traffic))
        failed: RetryableError | None = first

        async def again() -> Answered:
            nonlocal failed
            if failed is not None:
                error, failed = failed, None
                raise error
            return await self._try(call, tries)

        retrying = AsyncRetrying(
            retry=retry_if_exception_type(RetryableError),
            stop=tries.stop,
            wait=tries.wait,
            sleep=stoppable(self._around.sleep, self._around.stop),
            reraise=True,
        )
        try:
            answered: Answered = await retrying(again)
        except RetryableError as error:
            if not tries.suspicion.singled_out:
                raise
            others = f"refused {tries.failed['rate-limited']} times while other asks were answered"
            raise RequestFailedError("refused-alone", f"{error.detail} ({others})", status=error.status) from error
        finally:
            tries.suspicion.end()
        return answered

    async def _try(self, call: Call, tries: Tries | None = None) -> Answered:
        body = call.body(tries.redraws if tries else 0)
        tokens = len(body) // _BYTES_PER_TOKEN + int(self._answer_tokens)
        while True:
            endpoint = await self._places.take(tokens, tries.failed_at if tries else ())
            start = self._around.clock()
            try:
                await call.begins(endpoint.name, body)
                slows = tries is None or not tries.suspicion.suspected
                answer, latency = await endpoint.chat(body, tokens, slows=slows)
            except RequestError as error:
                error.endpoint = endpoint.name
                await call.fails(endpoint.name, error, self._around.clock() - start)
                raise
            except UnusableEndpointError as error:
                refused = RequestFailedError(f"http-{error.status}", str(error), status=error.status)
                await call.fails(endpoint.name, refused, self._around.clock() - start)
                continue  # the next place is at another endpoint, or there is none and waiting for it says so
            finally:
                self._places.leave(endpoint)
            if answer.usage.completion_tokens:
                self._answer_tokens += 0.05 * (answer.usage.completion_tokens - self._answer_tokens)
            self._traffic.answered += 1
            return Answered(answer, endpoint, latency)

    def _check_patience(self) -> None:
        """Give up when no endpoint can be used, or all have ailed or refused for too long. Raises EndpointsError."""
        now = self._around.clock()
        usable = [endpoint.health for endpoint in self.endpoints if endpoint.health.usable]
        ailing = [health.ailing_since for health in usable if health.ailing_since is not None]
        refusing = [health.refused_since for health in usable if health.refused_since is not None]
        patience = self._patience_seconds
        if not self._traffic.answered:
            patience = min(patience, _PATIENCE_AT_START_SECONDS)
        all_ail, all_refuse = len(ailing) == len(usable), len(refusing) == len(usable)
        ailing_too_long = all_ail and now - max(ailing, default=0.0) > patience
        refused_too_long = all_refuse and now - max(refusing, default=0.0) > _PATIENCE_REFUSED_SECONDS
        if not usable or ailing_too_long or refused_too_long:
            raise EndpointsError(f"no endpoint of the role {self.role!r} can be used ({self._troubles()})")
        if all_ail and not self._told_of_outage and all(health.resting_until > now for health in usable):
            self._told_of_outage = True
            self._around.tell(
                f"no endpoint of the role {self.role!r} can be reached ({self._troubles()}); "
                f"waiting up to {patience:.0f} s for one, then the run stops and can be continued"
            )

    def _troubles(self) -> str:
        return "; ".join(f"{endpoint.name}: {endpoint.health.trouble}" for endpoint in self.endpoints)

    def _count_failure(self, error: RequestError) -> None:
        """Stop the run when ask after ask fails alike: the fault is then not in the tasks. Raises EndpointsError."""
        reason, count = self._alike
        self._alike = (error.reason, count + 1 if error.reason == reason else 1)
        if self._alike[1] >= (_ALIKE_LATER if self._traffic.answered else _ALIKE_AT_START):
            raise EndpointsError(
                f"{self._alike[1]} asks of the role {self.role!r} in a row failed alike ({error.reason}: {error.detail}); mend "
                "that, then run again with --retry-failed"
            ) from error
