"""Whether and when a failed ask is tried again: the rules that tenacity is given, one `Tries` an ask."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from tenacity import RetryCallState

from clairgen.errors import DrainedError, RetryableError
from clairgen.inference.suspicion import Suspicion

_LIMITS = {"empty-answer": 3, "no-choices": 3, "not-json": 3}
_LIMIT = 6
_UNLIMITED = {"unreachable", "rate-limited"}  # hardly this ask's fault: the pool decides how long that may go on
_FIRST_WAIT_SECONDS = 0.5
_LONGEST_WAIT_SECONDS = 30.0


@dataclass(slots=True)
class Tries:
    """The failed tries of one ask, by reason and endpoint. `random` gives a number in [0, 1), which spreads the waits."""

    random: Callable[[], float]
    suspicion: Suspicion
    failed: Counter[str] = field(default_factory=Counter)
    failed_at: set[str] = field(default_factory=set)

    @property
    def redraws(self) -> int:
        """Empty answers so far: the next try must draw another one."""
        return self.failed["empty-answer"]

    def stop(self, state: RetryCallState) -> bool:
        """Count the failed try; whether it was the last."""
        error = _error(state)
        self.failed[error.reason] += 1
        self.failed_at.add(error.endpoint or "")
        if error.reason == "rate-limited":
            self.suspicion.refused()
            return self.suspicion.singled_out
        return error.reason not in _UNLIMITED and self.failed[error.reason] >= _LIMITS.get(error.reason, _LIMIT)

    def wait(self, state: RetryCallState) -> float:
        """Seconds until the next try; for a 429 and a dead endpoint the endpoint's own pause does the waiting."""
        error = _error(state)
        if error.reason == "rate-limited":
            return self.suspicion.wait_seconds()
        if error.reason in _UNLIMITED:
            return 0.0
        backoff = min(_FIRST_WAIT_SECONDS * 2.0 ** (self.failed[error.reason] - 1), _LONGEST_WAIT_SECONDS)
        return max(error.retry_after_seconds or 0.0, backoff * (0.5 + self.random()))


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


def _error(state: RetryCallState) -> RetryableError:
    error = state.outcome.exception() if state.outcome else None
    assert isinstance(error, RetryableError), "only such errors are retried"  # noqa: S101 - tenacity's contract
    return error
