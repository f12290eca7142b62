"""What a run has done so far: counters in one place, read as one snapshot by displays and logs."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from clairgen.pipeline.attempt_counts import (
    ANSWERED,
    COMMIT_BOUNDS,
    AttemptCounts,
    DurationCounts,
    Durations,
    EndpointProgress,
)
from clairgen.records import EndpointState
from clairgen.wording import counted, one_line_repr


class Load(Protocol):
    """The requests of a role at this moment: `in_flight`, and `pending`, which are those and all that wait; its endpoints."""

    @property
    def in_flight(self) -> int: ...  # noqa: D102 - see above

    @property
    def pending(self) -> int: ...  # noqa: D102 - see above

    def endpoint_states(self) -> tuple[EndpointState, ...]: ...  # noqa: D102 - see above


class SharedMoney(Protocol):
    """A budget that several sessions share: its limit, and what all of them together have spent and reserved of it."""

    @property
    def limit_usd(self) -> float: ...  # noqa: D102 - see above

    @property
    def used_usd(self) -> float: ...  # noqa: D102 - see above


@dataclass(slots=True)
class RoleProgress:
    """Counters of a role in this session; `cost_usd` counts what this session paid for, failed attempts included.

    `failed_attempts` counts those that gave no completion, by reason; `failed` the requests that were given up.
    """

    sent: int = 0
    answered: int = 0
    stored: int = 0
    failed: int = 0
    failed_attempts: Counter[str] = field(default_factory=Counter)
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float = 0.0
    priced: bool = False
    load: Load | None = None
    attempts: dict[str, EndpointProgress] = field(default_factory=dict)

    def attempted(self, endpoint: str, outcome: str, seconds: float) -> None:
        """Count an attempt at an endpoint, which took so long."""
        if (found := self.attempts.get(endpoint)) is None:
            found = self.attempts[endpoint] = EndpointProgress()
        found.outcomes[outcome] += 1
        if outcome == ANSWERED:
            found.answer_seconds.add(seconds)

    @property
    def retried(self) -> int:
        """Attempts that gave no completion."""
        return self.failed_attempts.total()


@dataclass(frozen=True, slots=True)
class RoleCounters:
    """A role's counters at one moment; `cost_usd` is None where no price is known.

    `attempts` has those at each endpoint, `endpoints` the state of each; logs of earlier versions have neither.
    """

    sent: int
    answered: int
    stored: int
    failed_attempts: Mapping[str, int]
    failed: int
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float | None
    in_flight: int
    waiting: int
    endpoints: tuple[EndpointState, ...] = ()
    attempts: Mapping[str, AttemptCounts] = field(default_factory=dict)


@dataclass(slots=True)
class Money:
    """Dollars of the whole run: spent, reserved for what is in flight, and the budget that both together never exceed, if any.

    Of what is spent, `uncertain_usd` is the most that `uncertain_calls` of unknown cost can have cost; `uncounted_calls` of them
    have no limit and count as nothing. Of a budget that several sessions share, `shared_used_usd` is spent and reserved by all.
    """

    spent_usd: float = 0.0
    uncertain_usd: float = 0.0
    uncertain_calls: int = 0
    uncounted_calls: int = 0
    reserved_usd: float = 0.0
    budget_usd: float | None = None
    shared_budget_usd: float | None = None
    shared_used_usd: float = 0.0

    @property
    def has_calls(self) -> bool:
        """Whether anything was sent that costs something."""
        return self.spent_usd > 0 or self.uncertain_calls > 0


@dataclass(frozen=True, slots=True)
class CopyState:
    """The copy of a run: all that was committed `behind_seconds` ago is in it; None until its first snapshot is.

    `failures` counts the times that it could not be brought up to the run.
    """

    address: str
    behind_seconds: float | None
    bytes_written: int
    failures: int


@dataclass(frozen=True, slots=True)
class Counters:
    """A session of `generate` at one moment, `seconds` after its start; `noun` is what an evaluation makes in place of pairs.

    `commits` has how long the transactions of the store took; None in logs of earlier versions. `copy` is None where no copy is
    kept.
    """

    seconds: float
    pairs_to_make: int
    made: Mapping[str, int]
    failed: Mapping[str, int]
    roles: Mapping[str, RoleCounters]
    money: Money
    noun: str = "pair"
    commits: DurationCounts | None = None
    copy: CopyState | None = None

    @property
    def done(self) -> int:
        """Pairs of this session that were made or failed."""
        return sum(self.made.values()) + sum(self.failed.values())


def _log_nothing(event: str, /, **facts: object) -> None:
    """No log is kept."""


@dataclass(slots=True)
class Progress:
    """Counters of a session of `generate`, or of one that evaluates, in which every `pair` is an item, named by `noun`.

    `log_event` is called with the name of an event and its facts. `log_texts` is whether the user allows prompts and answers
    among them.
    """

    roles: dict[str, RoleProgress] = field(default_factory=dict)
    money: Money = field(default_factory=Money)
    pairs_to_make: int = 0
    made: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    log_event: Callable[..., None] = _log_nothing
    log_texts: bool = False
    noun: str = "pair"
    shared_budget: SharedMoney | None = None
    commit_seconds: Durations = field(default_factory=lambda: Durations(COMMIT_BOUNDS))
    copy: Callable[[], CopyState] | None = None

    @property
    def done(self) -> int:
        """Pairs of this session that were made or failed."""
        return self.made.total() + self.failed.total()

    def __repr__(self) -> str:
        roles = (f"{name} {role.answered:,} answered" for name, role in self.roles.items())
        return one_line_repr(self, counted(self.pairs_to_make, self.noun), f"{self.done:,} done", *roles)

    def role(self, name: str) -> RoleProgress:
        """The counters of a role."""
        if (found := self.roles.get(name)) is None:
            found = self.roles[name] = RoleProgress()
        return found

    def note(self, sentence: str, *, quotes: bool = False) -> None:
        """Show the user a sentence, such as a configuration change; one that quotes a server stays out of the log."""
        self.notes.append(sentence)
        if not quotes:
            self.log_event("note", text=sentence)

    def counters(self, seconds: float) -> Counters:
        """All counters as they stand now."""
        return Counters(
            round(seconds, 3),
            self.pairs_to_make,
            dict(self.made),
            dict(self.failed),
            {name: _counters(role) for name, role in self.roles.items()},
            self._money(),
            self.noun,
            self.commit_seconds.counted(),
            self.copy() if self.copy is not None else None,
        )

    def _money(self) -> Money:
        shared = self.shared_budget
        if shared is None:
            return replace(self.money)
        return replace(self.money, shared_budget_usd=shared.limit_usd, shared_used_usd=shared.used_usd)


def _counters(role: RoleProgress) -> RoleCounters:
    in_flight, pending = (role.load.in_flight, role.load.pending) if role.load is not None else (0, 0)
    return RoleCounters(
        sent=role.sent,
        answered=role.answered,
        stored=role.stored,
        failed_attempts=dict(role.failed_attempts),
        failed=role.failed,
        prompt_tokens=role.prompt_tokens,
        completion_tokens=role.completion_tokens,
        cost_usd=role.cost_usd if role.priced else None,
        in_flight=in_flight,
        waiting=max(0, pending - in_flight),
        endpoints=role.load.endpoint_states() if role.load is not None else (),
        attempts={
            name: AttemptCounts(dict(one.outcomes), one.answer_seconds.counted()) for name, one in role.attempts.items()
        },
    )
