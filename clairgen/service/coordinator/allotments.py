"""One budget over the runs of a group: what each may cost in all, given in chunks, and what it gives back.

A run's allotment counts in full until the run itself says, from its own disk, that it needs less. So what a process may have
spent that was killed, or is cut off, is never given to another.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from clairgen.coordination.wire import MOST, SHARD_SECONDS, MoneyGrant, MoneyUse
from clairgen.store.group_records import MemberRow

_FORMER_SESSIONS = 4  # of each run, so that what they sent late is known
_SCARCE_SECONDS = 10.0  # for which all give back what they do not need, after one found too little


@dataclass(slots=True)
class RunAccount:
    """A run of the group: `row` as it stands, and how much of its allotment is on disk; `seen_at` is when it last reported.

    `last` is the hash of the message with the row's sequence, None where a process before this one read it.
    """

    row: MemberRow
    on_disk: int
    seen_at: float
    last: int | None = None

    @property
    def counted(self) -> int:
        """What the run may have cost, or may still cost, in all."""
        return self.row.allotted + self.row.lost


class Allotments:
    """The accounts of a group's runs; without a `budget` they only say what was spent.

    Until `quiet_until` a run of which nothing was heard yet counts as one that is at work.
    """

    def __init__(self, budget: int | None, clock: Callable[[], float], quiet_until: float) -> None:
        self.budget = budget
        self.accounts: dict[str, RunAccount] = {}
        self._clock = clock
        self._quiet_until = quiet_until
        self._scarce_until = 0.0

    def load(self, row: MemberRow) -> None:
        """Take over what is on disk of a run."""
        self.accounts[row.run_id] = RunAccount(row, row.allotted, -SHARD_SECONDS)

    @property
    def unallotted(self) -> int:
        """What is left of the budget for whoever asks."""
        return (self.budget or 0) - sum(account.counted for account in self.accounts.values())

    def is_at_work(self, account: RunAccount) -> bool:
        """Whether a process works on a run, as far as is known."""
        if not account.row.session:
            return False
        return self._clock() < max(account.seen_at + SHARD_SECONDS, self._quiet_until)

    def join(self, row: MemberRow) -> RunAccount:
        """A process begins with a run, whose disk says what it has spent; the same file as before has all that was spent.

        In another file it is a copy, which may lack the latest: what the run was allotted beyond that may be spent. A file that
        says less than the run reported was put back from a copy.
        """
        known, lost, former = self.accounts.get(row.run_id), 0, ""
        if known is not None:
            counted = known.row.spent if known.row.location == row.location else known.row.allotted
            lost = min(MOST, known.row.lost + max(0, counted - row.spent))
            former = known.row.former if known.row.session == row.session else _with_last(known.row)
        account = RunAccount(replace(row, allotted=row.spent, lost=lost, former=former), 0, self._clock())
        self.accounts[row.run_id] = account
        return account

    def report(self, account: RunAccount, use: MoneyUse) -> MoneyGrant | None:
        """A run reports, and perhaps asks for more; what it is allotted now has to be on disk before it is told."""
        row, account.seen_at = account.row, self._clock()
        account.row = row = replace(row, spent=use.spent, allotted=max(use.allotted, use.spent))
        if self.budget is None:
            return None
        needed = max(0, use.needed - row.allotted)
        wanted = max(needed, use.wanted - row.allotted)
        left, silent = self.unallotted, [one for one in self.accounts.values() if not self.is_at_work(one)]
        if needed > left:
            self._scarce_until = self._clock() + _SCARCE_SECONDS
        elif wanted > 0:
            at_work = len(self.accounts) - len(silent)
            more = max(needed, min(wanted, left // (2 * max(1, at_work))))
            account.row = row = replace(row, allotted=row.allotted + max(0, more))
        return MoneyGrant(
            allotted=row.allotted,
            others=min(MOST, self._others(account, silent) + row.lost),
            budget=self.budget,
            silent=min(MOST, sum(one.counted - one.row.spent for one in silent)),
            scarce=self._clock() < self._scarce_until,
        )

    def leave(self, account: RunAccount, spent: int | None) -> None:
        """A process ends; what its run did not spend is free again, if it says how much that is."""
        row, former = account.row, _with_last(account.row)
        settled = row.allotted if spent is None else spent
        spent = row.spent if spent is None else spent
        account.row = replace(row, session="", spent=spent, allotted=settled, former=former)

    def free(self, account: RunAccount) -> int:
        """What a run held and has not reported as spent is free again, as somebody says who knows that nothing spends it."""
        row, freed = account.row, account.counted - account.row.spent
        account.row = replace(row, session="", allotted=row.spent, lost=0, former=_with_last(row))
        return freed

    def _others(self, account: RunAccount, silent: Iterable[RunAccount]) -> int:
        """What the other runs have spent, or hold without being at work, so that it does not come back by itself."""
        spent = sum(one.row.lost + one.row.spent for one in self.accounts.values() if one is not account)
        return spent + sum(one.row.allotted - one.row.spent for one in silent)


def _with_last(row: MemberRow) -> str:
    """The former sessions of a run with the one that has it now, if any."""
    return " ".join(filter(None, [row.session, *row.former.split()][:_FORMER_SESSIONS]))
