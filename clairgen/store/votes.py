"""Votes in the store: what people think of pairs. Each vote is kept; the latest of a voter on a pair counts."""

import json
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from clairgen.conversations import is_encodable
from clairgen.store.completions import now
from clairgen.store.reader import Reader
from clairgen.store.statements import Statement, Write
from clairgen.wording import counted

_LATEST = (
    "v.outdated_at IS NULL AND v.vote IN ('keep', 'swap', 'tie', 'drop') AND NOT EXISTS "
    "(SELECT 1 FROM votes w WHERE w.pair_id = v.pair_id AND w.voter = v.voter AND w.id > v.id)"
)
BLIND_VOTE = "blind_vote:"
"""How the keys of metadata begin that say of a blind vote which answer was shown first."""
_KEY = f"'{BLIND_VOTE}' || v.pair_id || ':' || v.created_at || ':' || v.vote || ':' || v.voter"
_FIRST = f"(SELECT m.value FROM meta m WHERE m.key = {_KEY}) AS shown_first"
_COUNTED = f"FROM votes v JOIN pairs p ON p.id = v.pair_id WHERE p.status = 'made' AND {_LATEST}"
"""The latest vote of each voter on each pair, unless the pair has other answers by now."""


LONGEST_NOTE = 10_000
"""Characters that a vote's note may have."""


class Vote(StrEnum):
    """What a person says of a pair."""

    KEEP = "keep"
    """The chosen answer is better."""
    SWAP = "swap"
    """The rejected answer is better."""
    TIE = "tie"
    """Neither is better."""
    DROP = "drop"
    """The pair should not be used."""


@dataclass(frozen=True, slots=True)
class CastVote:
    """A voter's vote on a pair, with the moment in UTC at which it was cast."""

    voter: str
    vote: Vote
    note: str | None
    created_at: str


@dataclass(frozen=True, slots=True)
class RecordedVote:
    """A vote as it was cast; `counts` is false for one that the voter changed, or that is about other answers of the pair.

    `shown_first` is the answer, `chosen` or `rejected`, that came first where the voter was not told which is which, None for a
    vote that was not blind.
    """

    pair_id: str
    recipe: str
    voter: str
    vote: str
    note: str | None
    created_at: str
    counts: bool
    shown_first: str | None = None


@dataclass(frozen=True, slots=True)
class VoteNumbers:
    """The votes on a recipe's pairs: how many people voted, and how many pairs have which majority.

    `disputed` counts pairs without a majority.
    """

    voters: int
    majorities: Mapping[Vote, int]
    disputed: int

    @property
    def pairs(self) -> int:
        """How many pairs have a vote."""
        return sum(self.majorities.values()) + self.disputed

    @property
    def words(self) -> str:
        """The counts as a sentence says them."""
        counts = [f"{vote.value} {count:,}" for vote, count in self.majorities.items()]
        counts += [f"disputed {self.disputed:,}"] if self.disputed else []
        return f"{counted(self.voters, 'person', 'people')} voted on {counted(self.pairs, 'pair')}: {', '.join(counts)}"

    def to_json(self) -> dict[str, int]:
        """The counts by name."""
        counts = {vote.value: count for vote, count in self.majorities.items()}
        return {"voters": self.voters, **counts, **({"disputed": self.disputed} if self.disputed else {})}


class Votes:
    """The votes in one run."""

    def __init__(self, reader: Reader, write: Write) -> None:
        self._reader = reader
        self._write = write

    async def cast(
        self, pair_id: str, voter: str, vote: Vote, note: str | None = None, *, shown_first: str | None = None
    ) -> bool:
        """Commit a vote, beside the earlier ones; false, and nothing is written, if it is what the voter says already.

        `shown_first` is the answer that came first for a voter who did not know which is which. Only a voter's first vote on a
        pair is blind: afterwards the whole pair is shown.
        """
        before = [one for one in await self.of_pair(pair_id) if one.voter == voter]
        if before and (before[0].vote, before[0].note) == (vote, note):
            return False
        sql = "INSERT INTO votes (pair_id, voter, vote, note, created_at) VALUES (?, ?, ?, ?, ?)"
        at = now()
        statements: list[Statement] = [(sql, (pair_id, voter, vote.value, note, at))]
        if shown_first is not None and not before:
            key = f"{BLIND_VOTE}{pair_id}:{at}:{vote.value}:{voter}"
            statements.append(("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", (key, shown_first)))
        await self._write(*statements)
        return True

    async def other_case(self, voter: str) -> str | None:
        """The name of another voter from which this new one differs by case alone; None if there is none."""
        for table in ("votes", "leases"):
            if await self._reader.value(f"SELECT 1 FROM {table} WHERE voter = ? LIMIT 1", (voter,)) is not None:
                return None
        rows = await self._reader.rows("SELECT voter FROM votes UNION SELECT voter FROM leases")
        return next((row["voter"] for row in rows if row["voter"].casefold() == voter.casefold()), None)

    async def of_pair(self, pair_id: str) -> list[CastVote]:
        """The votes on a pair that count, one for each voter, in the order in which they were cast."""
        sql = f"SELECT v.voter, v.vote, v.note, v.created_at {_COUNTED} AND v.pair_id = ? ORDER BY v.id"
        return [
            CastVote(row["voter"], Vote(row["vote"]), row["note"], row["created_at"])
            for row in await self._reader.rows(sql, (pair_id,))
        ]

    async def of_coming(self, pair_id: str) -> tuple[Vote, ...]:
        """What people said of a pair that is about to be in the run, perhaps again, which they said when it was there before."""
        rows = await self._reader.rows(f"SELECT v.vote FROM votes v WHERE {_LATEST} AND v.pair_id = ?", (pair_id,))
        return tuple(Vote(row["vote"]) for row in rows)

    async def by_pair(self, recipe: str | None = None) -> dict[str, dict[str, Vote]]:
        """The votes that count, by pair and voter; of the pairs of a recipe if it is named, in the order of their tasks."""
        sql = f"SELECT v.pair_id, v.voter, v.vote {_COUNTED} AND ? IN (p.recipe, '') ORDER BY p.recipe, p.position, p.id, v.id"
        found: dict[str, dict[str, Vote]] = {}
        for row in await self._reader.rows(sql, (recipe or "",)):
            found.setdefault(row["pair_id"], {})[row["voter"]] = Vote(row["vote"])
        return found

    async def shown_first(self, recipe: str) -> dict[tuple[str, str], str]:
        """Of the blind votes on a recipe's pairs that count which answer was shown first, by pair and voter."""
        sql = f"SELECT * FROM (SELECT v.pair_id, v.voter, {_FIRST} {_COUNTED} AND p.recipe = ?) WHERE shown_first IS NOT NULL"
        rows = await self._reader.rows(sql, (recipe,))
        return {(row["pair_id"], row["voter"]): row["shown_first"] for row in rows}

    async def latest(self) -> int:
        """The number of the latest vote; 0 without one."""
        return int(await self._reader.value("SELECT coalesce(max(id), 0) FROM votes"))

    async def all(self, recipes: Sequence[str]) -> list[RecordedVote]:
        """All votes on the made pairs of these recipes, in the order in which they were cast."""
        sql = (
            f"SELECT v.id, v.pair_id, p.recipe, v.voter, v.vote, v.note, v.created_at, v.outdated_at, {_FIRST} FROM votes v "
            "JOIN pairs p ON p.id = v.pair_id WHERE p.status = 'made' AND p.recipe IN (SELECT value FROM json_each(?)) "
            "ORDER BY v.id"
        )
        rows = await self._reader.rows(sql, (json.dumps(list(recipes)),))
        latest = {(row["pair_id"], row["voter"]): row["id"] for row in rows}
        return [
            RecordedVote(
                row["pair_id"],
                row["recipe"],
                row["voter"],
                row["vote"],
                row["note"],
                row["created_at"],
                counts=row["outdated_at"] is None and latest[row["pair_id"], row["voter"]] == row["id"],
                shown_first=row["shown_first"],
            )
            for row in rows
        ]

    async def majorities(self, recipe: str | None = None) -> dict[str, Vote | None]:
        """What most voters say of each pair that has a vote, by its id; None where there is no majority."""
        return {pair: majority(votes.values()) for pair, votes in (await self.by_pair(recipe)).items()}


def vote_numbers(votes: Mapping[str, Mapping[str, Vote]]) -> VoteNumbers:
    """Counts of votes that are given by pair and voter."""
    counts = Counter(majority(of_pair.values()) for of_pair in votes.values())
    voters = {voter for of_pair in votes.values() for voter in of_pair}
    return VoteNumbers(len(voters), {vote: counts[vote] for vote in Vote if counts[vote]}, counts[None])


def majority(votes: Iterable[Vote]) -> Vote | None:
    """The vote that more than half of the voters cast; None without one."""
    counts = Counter(votes)
    return next((vote for vote, count in counts.items() if 2 * count > counts.total()), None)


def one_spelling(name: str) -> str:
    """A name in the one way in which it is kept: composed letters (NFC), and single spaces only between its words."""
    return " ".join(unicodedata.normalize("NFC", name).split())


def voter_fault(name: str) -> str | None:
    """What is wrong with a voter's name, to be said after what it was given as; None if nothing is."""
    if name.strip() and name.isprintable() and len(name) <= 200 and len(one_spelling(name)) <= 200:
        return None
    return "is a name of 1 to 200 printable characters"


def note_fault(note: str | None) -> str | None:
    """The same of a vote's note."""
    if note is None or (len(note) <= LONGEST_NOTE and "\0" not in note and is_encodable(note)):
        return None
    return f"is a text of at most {LONGEST_NOTE:,} characters, without a NUL, as UTF-8"


def outdated_votes_row(pair_id: str, chosen: str | None, rejected: str) -> Statement:
    """The statement after which the votes on a pair no longer count, if it is about to get other answers."""
    sql = (
        "UPDATE votes SET outdated_at = ? WHERE pair_id = ? AND outdated_at IS NULL "
        "AND NOT EXISTS (SELECT 1 FROM pairs p JOIN pair_texts t ON t.pair = p.number "
        "WHERE p.id = ? AND t.chosen IS ? AND t.rejected IS ?)"
    )
    return sql, (now(), pair_id, pair_id, chosen, rejected)
