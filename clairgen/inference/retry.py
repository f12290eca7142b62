"""Whether and when a failed ask is tried again: the rules that tenacity is given, one `Tries` an ask."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from tenacity import RetryCallState

from clairgen.errors import DrainedError, RetryableError

_LEAST_SHARE = 0.1  # of the tries of others, which is taken for refused though fewer were
_SUSPECTED = 1.01e-3
_SINGLED_OUT = 1.01e-10
_LONGEST_ALONE_SECONDS = 30.0


@dataclass(slots=True)
class Traffic:
    """What comes of all asks of a role: tries answered, and refused without a suspicion; asks that go on, and those of them that
    were refused.
    """

    answered: int = 0
    refused: int = 0
    asking: int = 0
    refusing: int = 0


class Suspicion:
    """How likely it is that all refusals of one ask are due to the endpoint's load: `chance`. It is dropped by `end`.

    A refusal speaks against the ask if others were answered since its last one, or if none are left but such as were refused.
    After ten of them, and a minute and a half of waiting, it is one in a billion that they would have come to any other ask
    as well (after more, where others are refused often).
    """

    def __init__(self, traffic: Traffic) -> None:
        self.chance = 1.0
        self._traffic = traffic
        self._none_but_such = False
        self._first: tuple[int, int] | None = None
        self._own = 0
        self._answered = 0
        self._waits = 0

    @property
    def suspected(self) -> bool:
        """Whether its next refusal is likely to be its own fault and tells nothing of the endpoint, or nobody else is left."""
        return self.chance <= _SUSPECTED or self._none_but_such

    @property
    def singled_out(self) -> bool:
        """Whether it is refused for what it is."""
        return self.chance <= _SINGLED_OUT

    def refused(self) -> None:
        """One more refusal of this ask."""
        traffic, own = self._traffic, not self.suspected
        traffic.refused += own
        if self._first is None:
            self._first = traffic.answered, traffic.refused
            traffic.refusing += 1
        else:
            self._own += own
            answered, refused = traffic.answered - self._first[0], traffic.refused - self._first[1] - self._own
            self._none_but_such = traffic.asking <= traffic.refusing and traffic.answered > 0
            if traffic.answered > self._answered:
                self.chance *= max(_LEAST_SHARE, refused / (answered + refused))
            elif self._none_but_such:
                self.chance *= max(_LEAST_SHARE, traffic.asking / (traffic.asking + traffic.answered))
        self._answered = traffic.answered

    def wait_seconds(self) -> float:
        """Seconds until the next try: nothing as long as the endpoint's own pause is likely to be enough."""
        if not self.suspected:
            return 0.0
        self._waits += 1
        return min(2.0 ** (self._waits - 1), _LONGEST_ALONE_SECONDS)

    def end(self) -> None:
        """The ask goes on no more."""
        self._traffic.refusing -= self._first is not None


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
