"""Concurrency limit of one endpoint: how many requests may be in flight, as configured or found by measuring.

A limit that is found by measuring doubles as long as that clearly raises the number of answers per second. From there on it
is raised a little after every round of answers (additive increase); where that does not bring more answers it only makes each
of them wait, so the limit is lowered again (multiplicative decrease), as it is when the endpoint answers with a 429.
"""

from collections.abc import Callable
from typing import Final

MAX_CONCURRENCY: Final = 1024
"""The largest limit that is found by measuring."""
_INITIAL = 32.0
_ROUND = 32  # answers at least: fewer do not show a rate
_INCREASE = 1 / 8  # of the limit, and at least 1, after every round
_GAIN_OF_DOUBLING = 1.15  # in answers per second; less means that the endpoint is full
_DECREASE = 0.95  # of the limit before
_DECREASE_AFTER_429 = 0.5
_HEADROOM = 1.25
_REGAINED = 0.25  # with every answer


class ConcurrencyLimit:
    """The slots of one endpoint: `limit` now, where a fraction counts towards the next slot, and `maximum` at most.

    `configured` is the user's number; None means that the limit is found by measuring. Neither exceeds `most`.
    """

    def __init__(self, configured: int | None, clock: Callable[[], float], most: int | None = None) -> None:
        wanted = configured or MAX_CONCURRENCY
        self.maximum = wanted if most is None else min(wanted, most)
        self.limit = min(_INITIAL if configured is None else float(configured), self.maximum)
        self._adaptive = configured is None
        self._clock = clock
        self._doubling = True
        self._rate_before = 0.0
        self._limit_before = 0.0
        self._answers = 0
        self._saturated_answers = 0
        self._round_began = clock()

    def configure(self, configured: int | None, most: int, *, at_once: bool = False) -> None:
        """Take another number of the user's, or `most`, from now on: a lower one at once, a higher one is risen to.

        It is taken `at_once` too if that is said, unless a 429 had lowered the limit.
        """
        was_full = self.limit >= self.maximum
        self.maximum = min(configured or MAX_CONCURRENCY, most)
        self.limit = min(self.limit, self.maximum)
        self._adaptive = configured is None
        if at_once and was_full and configured is not None:
            self.limit = float(self.maximum)

    def rate_limited(self, needed: float = 0.0) -> None:
        """The endpoint answered with a 429. `needed` is the concurrency that its rate limit needs, as far as that is known."""
        lowered = max(1.0, self.limit * _DECREASE_AFTER_429, needed * _HEADROOM)
        if lowered < self.limit:
            self.limit, self._doubling = lowered, False
        self._begin_round()

    def answered(self, *, saturated: bool) -> None:
        """An answer was received; `saturated` is whether all slots were taken, without which its rate says nothing."""
        if not self._adaptive:
            self.limit = min(self.maximum, self.limit + _REGAINED)  # back up after 429s
            return
        self._answers += 1
        self._saturated_answers += saturated
        if self._answers >= max(self.limit, _ROUND):
            self._end_round()

    def _end_round(self) -> None:
        rate = self._answers / max(self._clock() - self._round_began, 1e-9)
        if 2 * self._saturated_answers >= self._answers:
            raised = self.limit > self._limit_before
            growth = self.limit / self._limit_before if self._limit_before else 2.0
            needed = 1 + (_GAIN_OF_DOUBLING - 1) * (growth - 1)
            gained = not self._rate_before or rate >= needed * self._rate_before
            before = self.limit
            if self._doubling and gained:
                self.limit = min(self.maximum, 2 * self.limit)
            elif raised and not gained:
                self._doubling = False
                self.limit = max(1.0, self._limit_before * (1.0 if growth >= 2 else _DECREASE))
            else:
                self.limit = min(self.maximum, self.limit + max(1.0, self.limit * _INCREASE))
            self._rate_before, self._limit_before = rate, before
        self._begin_round()

    def _begin_round(self) -> None:
        self._answers, self._saturated_answers, self._round_began = 0, 0, self._clock()
