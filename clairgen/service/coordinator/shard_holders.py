"""Who has which shard: one process at a time, until it gives the shard up or is silent for longer than its lease.

A holder ends its lease by its own clock from when it asked, which is before this process counts from.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from clairgen.coordination.wire import SHARD_SECONDS, Claim, Claimed
from clairgen.errors import ConfigError, ReplacedError
from clairgen.store.group_records import DONE, HELD, ShardRow
from clairgen.task_shard import SHARD_MARK


@dataclass(slots=True)
class _Held:
    row: ShardRow
    ends_at: float


class ShardHolders:
    """The shards of a group; those that were held before this process began count as held from then on."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._held: dict[tuple[str, int], _Held] = {}

    def __len__(self) -> int:
        """How many shards anybody had."""
        return len(self._held)

    @property
    def are_held(self) -> bool:
        """Whether a process holds one of them now."""
        now = self._clock()
        return any(one.row.state == HELD and one.ends_at > now for one in self._held.values())

    def may_add(self, claim: Claim) -> bool:
        """Whether a claim may be given a shard that nobody had."""
        if claim.number is not None:
            return (claim.work, claim.number) not in self._held
        return sum(work == claim.work for work, _ in self._held) < claim.count

    def load(self, row: ShardRow) -> None:
        """Take over what is on disk of a shard."""
        self._held[row.work, row.number] = _Held(row, self._clock() + SHARD_SECONDS)

    def rows(self) -> list[tuple[ShardRow, float]]:
        """All shards that anybody had, with the seconds for which they are held yet."""
        now = self._clock()
        return [(one.row, max(0.0, one.ends_at - now)) for one in self._held.values()]

    def claim(self, group: str, claim: Claim) -> tuple[Claimed, ShardRow | None]:
        """The answer to a claim, and what has to be on disk before it is given.

        Of the free ones a holder gets the one that it had, and else one that nobody has begun. Raises ConfigError for another
        number of shards, ReplacedError for a process that has given its shard up.
        """
        other = next(
            (one.row.count for (work, _), one in self._held.items() if work == claim.work and one.row.state),
            claim.count,
        )
        if other != claim.count:
            raise ConfigError(
                f"the group {group} splits these tasks into {other} shards, and {claim.count} were asked for; give the same N "
                "everywhere, or another --group"
            )
        own = self._held_by(claim.session)
        if own is not None and (own.row.work, own.row.number) == (claim.work, claim.number or own.row.number):
            own.ends_at = self._clock() + SHARD_SECONDS  # asked again, since the answer got lost
            return Claimed(number=own.row.number), own.row
        if any(one.row.session == claim.session for one in self._held.values() if one.row.state != HELD):
            raise ReplacedError("this process has given its shard up; the message arrived after that")
        if (number := self._free_one(claim)) is None:
            return self._refused(claim), None
        before, holder = self._held.get((claim.work, number)), _holder(claim, number)
        row = ShardRow(group, claim.work, number, claim.count, claim.session, holder, HELD)
        self._held[claim.work, number] = _Held(row, self._clock() + SHARD_SECONDS)
        begun = ""
        if before is not None and before.row.holder != holder:
            begun = (
                f"shard {number}/{claim.count} was begun by {before.row.holder}; answers that are not in this run's folder are "
                "requested again"
            )
        return Claimed(number=number, sentence=begun), row

    def renew(self, session: str) -> bool:
        """A holder reports: whether the shard is still its own, also where its lease ended and nobody asked for the shard."""
        if (found := self._held_by(session)) is None:
            return False
        found.ends_at = self._clock() + SHARD_SECONDS
        return True

    def release(self, session: str, *, done: bool) -> list[ShardRow]:
        """A holder gives its shard up, done or not; what has to be on disk then."""
        released = []
        for one in self._held.values():
            row = one.row
            if row.session == session and row.state == HELD:
                one.row = replace(row, state=DONE if done else "")
                released.append(one.row)
        return released

    def _held_by(self, session: str) -> _Held | None:
        """What a process holds, which is one shard at most."""
        return next((one for one in self._held.values() if one.row.session == session and one.row.state == HELD), None)

    def _free_one(self, claim: Claim) -> int | None:
        numbers = range(1, claim.count + 1) if claim.number is None else [claim.number]
        free = (number for number in numbers if self._is_free(claim, number))
        return min(free, key=lambda number: self._rank(claim, number), default=None)

    def _rank(self, claim: Claim, number: int) -> int:
        held = self._held.get((claim.work, number))
        if held is None:
            return 1
        return 0 if held.row.holder == _holder(claim, number) else 2

    def _is_free(self, claim: Claim, number: int) -> bool:
        held = self._held.get((claim.work, number))
        if held is None or not held.row.state:
            return True
        if held.row.state == DONE:
            return claim.number is not None  # by its number it can be gone on with
        return held.ends_at <= self._clock() or (claim.takes_over and claim.number is not None)

    def _refused(self, claim: Claim) -> Claimed:
        of_work = [one for (work, _), one in self._held.items() if work == claim.work]
        if claim.number is None and sum(one.row.state == DONE for one in of_work) == claim.count:
            return Claimed(
                sentence=f"all {claim.count} shards are done; to go on with one of them, name it: --shard i/{claim.count}",
                done=True,
            )
        now = self._clock()
        busy = [one for one in of_work if one.row.state == HELD and claim.number in (None, one.row.number)]
        first = min(busy, key=lambda one: one.ends_at)
        which = f"shard {claim.number}/{claim.count} is" if claim.number else "all shards that are not done are"
        return Claimed(
            seconds=max(0.0, first.ends_at - now),
            sentence=f"{which} in work, such as by {first.row.holder}; waiting, since a holder that ends, or is "
            f"silent for {SHARD_SECONDS:g} s, is replaced",
        )


def _holder(claim: Claim, number: int) -> str:
    """Who holds a shard: with its number in the folder that was named before the number was known."""
    return claim.holder.replace(SHARD_MARK, str(number))
