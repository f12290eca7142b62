"""Circuit breaker of one endpoint: repeated faults open it, a probe and then one trial request close it again."""

import math
from collections.abc import Callable

from clairgen.errors import RetryableError, UnusableEndpointError

_FAULTS_UNTIL_OPEN = 5
_FIRST_OPEN_SECONDS = 1.0
_LONGEST_OPEN_SECONDS = 10.0  # a probe costs little
_UNCLEAR_UNTIL_HALF_OPEN = 10
_SERVER_FAULTS = ("server-error", "torn-connection", "timed-out")


class CircuitBreaker:
    """Whether requests may be sent to an endpoint, by what became of earlier ones.

    `last_error` is the detail of its last fault. `open_until` is when the breaker stops being open; infinite once the endpoint
    is unusable. `failing_since` is when the present series of faults began, `rate_limited_since` that of 429s, or of
    no capacity, without an answer in between; None where there is no such series.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.last_error: str | None = None
        self.open_until = 0.0
        self.failing_since: float | None = None
        self.rate_limited_since: float | None = None
        self._clock = clock
        self._unproven = False
        self._faults = 0
        self._unclear = 0
        self._has_answered = False
        self._open_seconds = _FIRST_OPEN_SECONDS

    @property
    def usable(self) -> bool:
        """Whether any further request may ever be sent."""
        return self.open_until < math.inf

    @property
    def healthy(self) -> bool:
        """Whether the last response was an answer."""
        return self.failing_since is None and self.rate_limited_since is None and self.usable

    @property
    def open(self) -> bool:
        """Whether nothing is sent now."""
        return self.open_until > self._clock()

    @property
    def needs_probe(self) -> bool:
        """Whether it was open long enough, and a probe has to succeed before a request is sent."""
        return self._unproven and not self.open

    @property
    def half_open(self) -> bool:
        """Whether, once it is no longer open, one request at a time is enough to find out if the endpoint answers any."""
        unclear_until = _UNCLEAR_UNTIL_HALF_OPEN if self._has_answered else 1
        return self._faults >= _FAULTS_UNTIL_OPEN or self._unclear >= unclear_until

    @property
    def state(self) -> str:
        """Its state in a word, as `EndpointState` has it."""
        if not self.usable:
            return "unusable"
        if self.open:
            return "open"
        return "half-open" if self._unproven or self.half_open else "closed"

    def succeeded(self) -> None:
        """A good answer was received: the breaker closes, even while it is open."""
        self.open_until, self._unproven = min(self.open_until, self._clock()), False
        self._has_answered, self._faults, self._unclear = True, 0, 0
        self.failing_since, self.rate_limited_since, self._open_seconds = None, None, _FIRST_OPEN_SECONDS

    def probe_succeeded(self) -> None:
        """A probe found the server alive: one request may be sent."""
        self._unproven = False

    def probe_failed(self) -> None:
        """A probe found no server: the breaker stays open, for twice as long."""
        self._open()

    def failed(self, error: RetryableError) -> None:
        """A request failed, and not because of what it asked for."""
        if error.status == 200:
            self.responded()
            return
        self.last_error, now = error.detail, self._clock()
        if error.reason in ("rate-limited", "no-capacity"):
            self.responded()  # it is alive and only has no room
            self.rate_limited_since = now if self.rate_limited_since is None else self.rate_limited_since
            return
        self.failing_since = now if self.failing_since is None else self.failing_since
        if error.reason == "unreachable":
            self._faults = _FAULTS_UNTIL_OPEN
        elif error.reason in _SERVER_FAULTS:
            self._faults += 1
        if self._faults >= _FAULTS_UNTIL_OPEN:
            self._open()

    def responded(self) -> None:
        """Some response was received, if not an answer: the server is alive."""
        self._faults, self.failing_since = 0, None

    def rejected_unclearly(self) -> None:
        """A request was rejected, or every request is: until that is known, few are sent."""
        self._unclear += 1
        self.responded()

    def disable(self, error: UnusableEndpointError) -> None:
        """Send nothing more, for good: every request would be rejected."""
        self.last_error, self.open_until = error.detail, math.inf

    def _open(self) -> None:
        now = self._clock()
        if now >= self.open_until:
            self.open_until = now + self._open_seconds
            self._open_seconds = min(2 * self._open_seconds, _LONGEST_OPEN_SECONDS)
            self._unproven = True
