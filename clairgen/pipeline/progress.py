"""What a run has done so far, for whoever watches: counters in one place, told as one snapshot."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace


@dataclass(slots=True)
class RoleProgress:
    """Counters of a role in this session; `cost_usd` counts what this session paid for, failed tries included.

    `asking` counts the asks that are on the wire or wait for a place; `in_flight_now` tells how many are on the wire.
    `refused` counts tries that gave no completion, by reason; `failed` the asks that were given up.
    """

    sent: int = 0
    answered: int = 0
    stored: int = 0
    failed: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float = 0.0
    priced: bool = False
    asking: int = 0
    in_flight_now: Callable[[], int] = lambda: 0

    @property
    def retried(self) -> int:
        """Tries that gave no completion."""
        return self.refused.total()


@dataclass(frozen=True, slots=True)
class RoleCounters:
    """A role's counters at one moment; `cost_usd` is None where no price is known."""

    sent: int
    answered: int
    stored: int
    refused: Mapping[str, int]
    failed: int
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float | None
    in_flight: int
    waiting: int


@dataclass(slots=True)
class Money:
    """Dollars of the whole run: spent, reserved for what is in flight, and what both together never pass, if anything."""

    spent_usd: float = 0.0
    reserved_usd: float = 0.0
    budget_usd: float | None = None


@dataclass(frozen=True, slots=True)
class Counters:
    """A session of `generate` at one moment, `seconds` after its beginning."""

    seconds: float
    pairs_to_make: int
    made: Mapping[str, int]
    failed: Mapping[str, int]
    roles: Mapping[str, RoleCounters]
    money: Money

    @property
    def done(self) -> int:
        """Pairs of this session that were made or failed."""
        return sum(self.made.values()) + sum(self.failed.values())


def _nobody_listens(event: str, /, **facts: object) -> None:
    """Nobody keeps what happens."""


@dataclass(slots=True)
class Progress:
    """Counters of a session of `generate`.

    `tell` hears what happens, by name with its facts; a log keeps it. `tell_texts` is the user's word that prompts and answers
    may be among them.
    """

    roles: dict[str, RoleProgress] = field(default_factory=dict)
    money: Money = field(default_factory=Money)
    pairs_to_make: int = 0
    made: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    tell: Callable[..., None] = _nobody_listens
    tell_texts: bool = False

    @property
    def done(self) -> int:
        """Pairs of this session that were made or failed."""
        return self.made.total() + self.failed.total()

    def role(self, name: str) -> RoleProgress:
        """The counters of a role."""
        return self.roles.setdefault(name, RoleProgress())

    def note(self, sentence: str, *, quotes: bool = False) -> None:
        """Tell the watcher something, such as a configuration change; what quotes a server stays out of the log."""
        self.notes.append(sentence)
        if not quotes:
            self.tell("note", text=sentence)

    def counters(self, seconds: float) -> Counters:
        """All counters as they stand now."""
        return Counters(
            round(seconds, 3),
            self.pairs_to_make,
            dict(self.made),
            dict(self.failed),
            {name: _counters(role) for name, role in self.roles.items()},
            replace(self.money),
        )


def _counters(role: RoleProgress) -> RoleCounters:
    in_flight = role.in_flight_now()
    return RoleCounters(
        sent=role.sent,
        answered=role.answered,
        stored=role.stored,
        refused=dict(role.refused),
        failed=role.failed,
        prompt_tokens=role.prompt_tokens,
        completion_tokens=role.completion_tokens,
        cost_usd=role.cost_usd if role.priced else None,
        in_flight=in_flight,
        waiting=max(0, role.asking - in_flight),
    )
