"""How many asks may be in flight at an endpoint: as many as the user says, or as many as it is found to gain by.

A width that finds itself doubles as long as that makes the endpoint answer clearly more a second. From there on it is tried
a little wider after every round of answers (additive increase); what brings no more answers only makes each one wait, so
that the width falls back (multiplicative decrease), as it does when the endpoint refuses.
"""

from collections.abc import Callable
from typing import Final

WIDEST: Final = 1024
"""The most asks in flight at an endpoint whose width finds itself."""
_FIRST = 32.0
_ROUND = 32  # answers at least: fewer tell no rate
_STEP = 1 / 8  # of the width, and one place at least, tried after every round
_GAIN_OF_DOUBLING = 1.15  # in answers a second; less means that the endpoint is full
_FELL_BACK = 0.95  # of what was there before
_REFUSED = 0.5
_SPARE = 1.25
_REGAINED = 0.25  # with every answer


class Width:
    """The places at one endpoint: `now`, where a part of one counts towards the next, and at `most`.

    `fixed` is the user's number; None lets it find its own.
    """

    def __init__(self, fixed: int | None, clock: Callable[[], float]) -> None:
        self.most = fixed or WIDEST
        self._finds_itself = fixed is None
        self.now = _FIRST if fixed is None else float(fixed)
        self._clock = clock
        self._doubling = True
        self._rate_before = 0.0
        self._width_before = 0.0
        self._answers = 0
        self._full = 0
        self._round_began = clock()

    def refused(self, needed: float = 0.0) -> None:
        """The endpoint has no room. `needed` are the places that the rate takes up which it lets through, as far as known."""
        left = max(1.0, self.now * _REFUSED, needed * _SPARE)
        if left < self.now:
            self.now, self._doubling = left, False
        self._begin_round()

    def answered(self, *, full: bool) -> None:
        """An answer came; `full` is whether all places were taken, without which the width tells nothing."""
        if not self._finds_itself:
            self.now = min(self.most, self.now + _REGAINED)  # up again after refusals
            return
        self._answers += 1
        self._full += full
        if self._answers >= max(self.now, _ROUND):
            self._end_round()

    def _end_round(self) -> None:
        rate = self._answers / max(self._clock() - self._round_began, 1e-9)
        if 2 * self._full >= self._answers:
            widened = self.now > self._width_before
            grown = self.now / self._width_before if self._width_before else 2.0
            needed = 1 + (_GAIN_OF_DOUBLING - 1) * (grown - 1)
            gained = not self._rate_before or rate >= needed * self._rate_before
            before = self.now
            if self._doubling and gained:
                self.now = min(WIDEST, 2 * self.now)
            elif widened and not gained:
                self._doubling = False
                self.now = max(1.0, self._width_before * (1.0 if grown >= 2 else _FELL_BACK))
            else:
                self.now = min(WIDEST, self.now + max(1.0, self.now * _STEP))
            self._rate_before, self._width_before = rate, before
        self._begin_round()

    def _begin_round(self) -> None:
        self._answers, self._full, self._round_began = 0, 0, self._clock()
