"""What a run has done so far, for whoever watches: plain counters that only grow."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(slots=True)
class RoleProgress:
    """Counters of a role in this session; `cost_usd` counts what this session paid for.

    `in_flight_now` tells how many asks are on the wire; more may wait for a place.
    """

    answered: int = 0
    stored: int = 0
    failed: int = 0
    retried: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float = 0.0
    priced: bool = False
    in_flight_now: Callable[[], int] = lambda: 0


@dataclass(slots=True)
class Money:
    """Dollars of the whole run: spent, reserved for what is in flight, and what both together never pass, if anything."""

    spent_usd: float = 0.0
    reserved_usd: float = 0.0
    budget_usd: float | None = None


@dataclass(slots=True)
class Progress:
    """Counters of a session of `generate`."""

    roles: dict[str, RoleProgress] = field(default_factory=dict)
    money: Money = field(default_factory=Money)
    pairs_to_make: int = 0
    made: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)

    @property
    def done(self) -> int:
        """Pairs of this session that were made or failed."""
        return self.made.total() + self.failed.total()

    def role(self, name: str) -> RoleProgress:
        """The counters of a role."""
        return self.roles.setdefault(name, RoleProgress())

    def note(self, sentence: str) -> None:
        """Tell the watcher something, such as a configuration change or a dead endpoint."""
        self.notes.append(sentence)
