"""Asks that an endpoint refuses by themselves: a 429 speaks of everybody, unless others are answered time and again.

Some servers say 429 to one text whatever the hour: a prompt over a limit of tokens, an abuse filter. Such an ask must neither
slow the others down nor wait as long as an endpoint that refuses all may take.
"""

from dataclasses import dataclass, field

_LEAST_SHARE = 0.1  # of the tries of others, which is taken for refused though fewer were
_SUSPECTED = 1e-3
_SINGLED_OUT = 1e-9
_LONGEST_WAIT_SECONDS = 30.0


@dataclass(slots=True)
class Traffic:
    """What comes of all asks of a role: tries answered and refused, asks that go on, and those of them that are suspected."""

    answered: int = 0
    refused: int = 0
    asking: int = 0
    doubtful: int = 0


@dataclass(slots=True)
class Suspicion:
    """How likely it is that all refusals of one ask are due to the endpoint's load. It is dropped by `end`.

    A refusal speaks against the ask if others were answered since its last one, or if none are left but such. After ten of
    them, and a minute and a half of waiting, it is one in a billion that they would have come to any other ask as well
    (more, where others are refused often).
    """

    traffic: Traffic
    refusals: int = 0
    chance: float = 1.0
    _own: int = 0
    _before: tuple[int, int] = (0, 0)
    _answered: int = field(default=-1)
    _waits: int = 0

    @property
    def suspected(self) -> bool:
        """Whether its next refusal is likely to be its own fault, and tells nothing of the endpoint."""
        return self.chance <= 1.001 * _SUSPECTED

    @property
    def singled_out(self) -> bool:
        """Whether it is refused for what it is."""
        return self.chance < _SINGLED_OUT

    def refused(self) -> None:
        """One more refusal of this ask."""
        traffic = self.traffic
        if self._answered < 0:
            self._before = (traffic.answered, traffic.refused)
        elif traffic.answered > self._answered or (self.refusals and traffic.asking <= traffic.doubtful):
            self.refusals += 1
            traffic.doubtful += self.refusals == 1
            answered, refused = traffic.answered - self._before[0], traffic.refused - self._before[1] - self._own
            self.chance = max(_LEAST_SHARE, refused / max(1, answered + refused)) ** self.refusals
        self._own += self._answered >= 0
        self._answered = traffic.answered

    def wait_seconds(self) -> float:
        """Seconds until the next try: nothing as long as the endpoint's own pause is likely to be enough."""
        if not self.suspected:
            return 0.0
        self._waits += 1
        return min(2.0 ** (self._waits - 1), _LONGEST_WAIT_SECONDS)

    def end(self) -> None:
        """The ask goes on no more."""
        self.traffic.doubtful -= self.refusals > 0
