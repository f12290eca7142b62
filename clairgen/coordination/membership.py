"""A process as a member of a coordinated group: it reports every few seconds, and keeps to what it is told by its own clock.

What a lease allows ends, by this process's clock, before it ends by the coordinator's: it counts from when it was asked for, and
also while the machine is suspended.
"""

import asyncio
import contextlib
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Self

from clairgen.coordination.coordinator_client import CoordinatorClient, SilentError
from clairgen.coordination.granted_budget import GrantedBudget
from clairgen.coordination.leased_limits import LeasedLimits
from clairgen.coordination.silence import RETRY_SECONDS, Silence, Surroundings
from clairgen.coordination.wire import (
    BEAT_SECONDS,
    SHARD_SECONDS,
    Beat,
    Claim,
    EndpointLimit,
    Join,
    Leave,
)
from clairgen.errors import (
    ClairgenError,
    DrainedError,
    EndpointsError,
    NothingLeftError,
    ReplacedError,
    RunStoppedError,
    UserError,
)
from clairgen.inference.retry import stoppable
from clairgen.task_shard import LeasedShard, TaskShard

_FIRST_SECONDS: Final = 1.0  # between reports while requests wait for a first share
_HURRIED_SECONDS: Final = 0.5  # between reports while requests wait for money
_MARGIN_SECONDS: Final = 1.0  # before the end of a lease: a request that begins to be sent has to be on disk first
_LONGEST_SHARD_WAIT_SECONDS: Final = 10.0
_SECONDS_TO_LEAVE: Final = 5.0


@dataclass(slots=True)
class Membership:
    """Use it as an async context manager around all work of the process. `error` is why it stopped the work, if it did.

    `group` is the group's name, `where` the coordinator's URL. It is waited for as long as `patience_seconds`.
    """

    client: CoordinatorClient
    group: str
    where: str
    around: Surroundings
    patience_seconds: float
    shared: Sequence[EndpointLimit]
    session: str = field(default_factory=lambda: uuid.uuid4().hex)
    error: RunStoppedError | UserError | None = None
    shard: TaskShard | None = None
    budget: GrantedBudget | None = None
    is_done: bool = False
    spent: int | None = None
    models: tuple[str, ...] = ()
    limits: LeasedLimits = field(init=False)
    _servers: dict[str, list[str]] = field(default_factory=dict)
    _run_id: str | None = None
    _has_budget: bool = False
    _sequence: int = 0
    _lease: int = 0
    _reported_at: float = 0.0
    _silence: Silence = field(init=False)
    _hurry: asyncio.Event = field(default_factory=asyncio.Event)
    _talking: asyncio.Lock = field(default_factory=asyncio.Lock)
    _beating: asyncio.Task[None] | None = None

    def __post_init__(self) -> None:
        self.limits = LeasedLimits(self.shared, self.around.clock, self.around.lease_clock, self._hurry.set)
        self._silence = Silence(self.where, self.patience_seconds, self.around)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._beating is not None:
            self._beating.cancel()
            await asyncio.wait([self._beating])
            await self._leave()
        if isinstance(error, DrainedError) and self.error is not None:
            raise self.error from error

    def servers(self, model: str) -> frozenset[str]:
        """The servers of one of `models` that registered, by what was heard last."""
        return frozenset(self._servers.get(model, ()))

    async def claim(
        self, shard: TaskShard | LeasedShard, work: str, holder: str, *, takes_over: bool = False
    ) -> TaskShard:
        """Hold a shard, as soon as nobody else does or, if it `takes_over`, at once.

        Raises NothingLeftError once all are done, DrainedError.
        """
        number = shard.number if isinstance(shard, TaskShard) else None
        claim = Claim(
            session=self.session,
            work=work,
            count=shard.count,
            number=number,
            holder=holder[:1000],
            takes_over=takes_over,
        )
        said = None
        while True:
            asked_at, leased_from = self.around.clock(), self.around.lease_clock()
            found = await self._silence.insist(lambda: self.client.claim(claim))
            if found.done:
                raise NothingLeftError(found.sentence)
            if found.sentence and found.sentence != said:
                said = found.sentence
                self.around.note(said)
            if found.number is not None:
                break
            await self.around.pause(min(max(found.seconds, RETRY_SECONDS), _LONGEST_SHARD_WAIT_SECONDS))
        self.shard = TaskShard(found.number, shard.count)
        self._heard(asked_at, leased_from)
        self._begin()
        return self.shard

    async def join(self, run_id: str, run: str, location: str, spent: int, budget: int | None) -> None:
        """Begin to work on a run, which has `spent` so many picodollars. Raises ConfigError where the group has other limits."""
        join = Join(
            session=self.session,
            run_id=run_id,
            run=run[:1000],
            location=location,
            spent=spent,
            budget=budget,
            limits=tuple(self.shared),
        )
        asked_at = self.around.clock()
        await self._silence.insist(lambda: self.client.join(join))
        self._run_id, self._reported_at = run_id, asked_at
        self.budget = GrantedBudget(0, spent, self._hurry, self.group)
        await self._silence.insist(self._beat)
        if not self._has_budget:
            self.budget = None
        self._begin()

    def _begin(self) -> None:
        if self._beating is None:
            self._beating = asyncio.create_task(self._keep_reporting(), name="reports to the coordinator")

    async def _keep_reporting(self) -> None:
        """Report until the work ends; what cannot go on is stopped with its reason."""
        while True:
            await self._until_next()
            try:
                await self._beat()
            except SilentError as error:
                if (found := self._borne(error)) is not None:
                    self._fail(found)
                    return
            except (RunStoppedError, UserError) as error:
                self._fail(error)
                return
            except Exception as error:  # noqa: BLE001 - without reports nothing may be sent, whatever ends them
                self._fail(EndpointsError(f"the reports to the coordinator ended ({type(error).__name__}: {error})"))
                return

    async def _until_next(self) -> None:
        seconds = _FIRST_SECONDS if self.limits.is_starved else BEAT_SECONDS
        await self.around.sleep(_HURRIED_SECONDS)
        with contextlib.suppress(DrainedError):  # the hurry ends the pause
            await stoppable(self.around.sleep, self._hurry)(seconds - _HURRIED_SECONDS)
        self._hurry.clear()

    async def _beat(self) -> None:
        async with self._talking:
            await self._report()

    async def _report(self) -> None:
        sent_at, leased_from, uses = self.around.clock(), self.around.lease_clock(), self.limits.uses()
        self._sequence += 1
        beat = Beat(
            session=self.session,
            run_id=self._run_id,
            sequence=self._sequence,
            lease=self._lease,
            seconds=max(0.0, sent_at - self._reported_at),
            endpoints=tuple(uses) if self._run_id is not None else (),
            money=self.budget.use() if self.budget is not None else None,
            models=self.models,
        )
        granted = await self.client.beat(beat)
        self.limits.reported(beat.endpoints)
        self._lease, self._reported_at = granted.lease, sent_at
        if self.shard is not None and not granted.has_shard:
            raise self._lost_shard()
        self._heard(sent_at, leased_from)
        self.limits.apply(granted.shares, leased_from + granted.seconds - _MARGIN_SECONDS)
        self._servers = granted.servers
        if granted.money is not None and self.budget is not None:
            self._has_budget = True
            self.budget.granted(granted.money)

    def _heard(self, asked_at: float, leased_from: float) -> None:
        """The coordinator answered what was asked then, by each of the two clocks."""
        if self.shard is not None:
            self.limits.hold(leased_from + SHARD_SECONDS - _MARGIN_SECONDS)
        self._silence.end(asked_at)

    def _borne(self, error: SilentError) -> EndpointsError | None:
        """The coordinator is silent: why the work has to stop, if it has to."""
        if not (self.limits.are_leased or self.budget is not None or self.shard is not None):
            return None  # nothing here ends
        try:
            self._silence.bear(error)
        except EndpointsError as enough:
            return enough
        return None

    def _fail(self, error: RunStoppedError | UserError) -> None:
        self.error = self.error or error
        self.limits.hold(-1.0)
        self.around.stop.set()

    def _lost_shard(self) -> ReplacedError:
        return ReplacedError(
            f"shard {self.shard} was given to another process, since this one was not heard of for {SHARD_SECONDS:g} s; nothing "
            "more is asked here, and what was answered is kept"
        )

    async def _leave(self) -> None:
        """Give back what is held; a shard that is done has to be known as done, or it would be made a second time."""
        spent = self.budget.spent if self.budget is not None else self.spent
        leave = Leave(
            session=self.session, run_id=self._run_id, sequence=self._sequence + 1, spent=spent, done=self.is_done
        )
        is_urgent = self.is_done and self.shard is not None
        until = self.around.clock() + (self.patience_seconds if is_urgent else _SECONDS_TO_LEAVE)
        while True:
            try:
                await self.client.leave(leave)
            except SilentError as error:
                if self.around.clock() >= until or (self.around.stop.is_set() and not is_urgent):
                    self.around.note(
                        f"the coordinator at {self.where} was not told that this process has ended ({error}); what the run holds "
                        "of the budget stays with it until it goes on"
                        + (f", and shard {self.shard} counts as not done" if is_urgent else "")
                    )
                    return
            except ClairgenError:
                return  # another process has it all by now, or this was read before
            else:
                return
            await self.around.sleep(RETRY_SECONDS)
