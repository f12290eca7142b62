"""Asks that an endpoint refuses by themselves: a 429 speaks of everybody, unless others are answered time and again.

Some servers say 429 to one text whatever the hour: a prompt over a limit of tokens, an abuse filter. Such an ask must neither
slow the others down nor wait as long as an endpoint that refuses all may take.
"""

from dataclasses import dataclass

_LEAST_SHARE = 0.1  # of the tries of others, which is taken for refused though fewer were
_SUSPECTED = 1.01e-3
_SINGLED_OUT = 1.01e-10
_LONGEST_WAIT_SECONDS = 30.0


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
        return min(2.0 ** (self._waits - 1), _LONGEST_WAIT_SECONDS)

    def end(self) -> None:
        """The ask goes on no more."""
        self._traffic.refusing -= self._first is not None
