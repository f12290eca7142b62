"""Whether an endpoint lives: a row of faults opens its breaker, a probe and then one trial ask close it again."""

import math
from collections.abc import Callable

from clairgen.errors import RequestFailedError, RetryableError
from clairgen.inference.openai_format import UnusableEndpointError

_FIRST_REST_SECONDS = 1.0
_LONGEST_REST_SECONDS = 10.0  # a probe costs little
_FAULTS_UNTIL_REST = 5
_REFUSALS_UNTIL_UNUSABLE = 3
_FAULTS = ("server-error", "torn-connection", "timed-out")  # the server's; after a few in a row it is left alone
_CERTAIN = (401, 429)  # a wrong key, an empty account: no other ask will fare better


class Health:
    """What an endpoint's answers and faults say of it.

    `trouble` is its last fault. `resting_until` lies in the future while it is left alone, and is infinite once it is
    unusable; `unproven` tells that it has not been heard of since. `ailing_since` is when its present row of faults began,
    `refused_since` that of 429s without an answer between them.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.trouble: str | None = None
        self.resting_until = 0.0
        self.unproven = False
        self.ailing_since: float | None = None
        self.refused_since: float | None = None
        self._clock = clock
        self._faults = 0
        self._refusals = 0
        self._has_answered = False
        self._rest_seconds = _FIRST_REST_SECONDS

    @property
    def usable(self) -> bool:
        """Whether it may ever be asked again."""
        return self.resting_until < math.inf

    @property
    def on_trial(self) -> bool:
        """Whether one ask at a time is enough to find out if it lives again."""
        return self._faults >= _FAULTS_UNTIL_REST

    def answered(self) -> None:
        """A good answer came, perhaps during a rest, which then is over."""
        self.resting_until, self.unproven = min(self.resting_until, self._clock()), False
        self._has_answered, self._faults, self._refusals = True, 0, 0
        self.ailing_since, self.refused_since, self._rest_seconds = None, None, _FIRST_REST_SECONDS

    def proven(self) -> None:
        """A probe found it alive: one ask may try it."""
        self.unproven = False

    def failed(self, error: RetryableError) -> None:
        """An ask failed there, and not by its own fault."""
        if error.status == 200:
            self.spoke()
            return
        self.trouble, now = error.detail, self._clock()
        if error.reason == "rate-limited":
            self.spoke()  # it lives, it only has no room
            self.refused_since = now if self.refused_since is None else self.refused_since
            return
        self.ailing_since = now if self.ailing_since is None else self.ailing_since
        if error.reason == "unreachable":
            self._faults = _FAULTS_UNTIL_REST
        elif error.reason in _FAULTS:
            self._faults += 1
        if self._faults >= _FAULTS_UNTIL_REST:
            self.rest()

    def spoke(self) -> None:
        """It said something, if not what was asked for: it lives."""
        self._faults, self.ailing_since = 0, None

    def rest(self) -> None:
        """Leave it alone, each time twice as long."""
        now = self._clock()
        if now >= self.resting_until:
            self.resting_until = now + self._rest_seconds
            self._rest_seconds = min(2 * self._rest_seconds, _LONGEST_REST_SECONDS)
            self.unproven = True

    def refused(self, error: UnusableEndpointError) -> UnusableEndpointError | RequestFailedError:
        """What a refusal means: an endpoint that answers others refused this one text, unless refusals go on in a row."""
        self._refusals += 1
        one_text = error.status not in _CERTAIN and (self._has_answered or error.status == 403)
        if one_text and self._refusals < _REFUSALS_UNTIL_UNUSABLE:
            return RequestFailedError(f"http-{error.status}", str(error), status=error.status)
        self.trouble, self.resting_until = str(error), math.inf
        return error
