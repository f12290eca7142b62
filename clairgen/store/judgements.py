"""Judgements in the store: what judges said of the answers to a task, by the recipe that asked them."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from clairgen.records import Pair, ParseStatus, Undecided
from clairgen.store.reader import Reader
from clairgen.store.statements import Statement

_OF_MADE_PAIRS = "FROM judgements a JOIN pairs p ON p.task_id = a.task_id AND p.recipe = a.recipe AND p.status = 'made'"


@dataclass(frozen=True, slots=True)
class JudgementNumbers:
    """Counts of a judge's verdicts: for the first position, for the second, ties, and those that could not be read.

    Of the comparisons shown in both orders with two verdicts, `flipped` chose the same position twice.
    """

    role: str
    first: int
    second: int
    ties: int
    unreadable: int
    flipped: int
    in_both_orders: int

    def __add__(self, other: "JudgementNumbers") -> "JudgementNumbers":
        """The counts of the same judge in two runs together."""
        return JudgementNumbers(
            self.role,
            self.first + other.first,
            self.second + other.second,
            self.ties + other.ties,
            self.unreadable + other.unreadable,
            self.flipped + other.flipped,
            self.in_both_orders + other.in_both_orders,
        )


@dataclass(frozen=True, slots=True)
class JudgeReply:
    """What a judge wrote about two answers, in the order in which it was shown them, and what was read in it.

    `winner` is the answer of the task, 1 or 2, that it chose; None without a choice, for which `status` says why.
    """

    role: str
    shown: tuple[int, int]
    winner: int | None
    status: str
    text: str


@dataclass(frozen=True, slots=True)
class JudgeOpinions:
    """Which answer of a task (1 or 2) a pair's judges chose together, and which each of them prefers, None for none."""

    chosen: int
    of_roles: Mapping[str, int | None]


class Judgements:
    """The judgements of one run, of pairs that are made."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def opinions(self, recipe: str) -> dict[str, JudgeOpinions]:
        """What judges prefer in each pair of a recipe on which people have voted; a judge has to say so in all orders."""
        winner = "CASE a.choice WHEN 1 THEN a.shown_first WHEN 2 THEN a.shown_second END"
        sql = (
            f"SELECT p.id, a.role, min({winner}) AS low, max({winner}) AS high, count(*) - count(a.choice) AS without "
            f"{_OF_MADE_PAIRS} WHERE a.recipe = ? AND a.round = 0 AND p.parse_status = 'ok' "
            "AND p.id IN (SELECT pair_id FROM votes WHERE outdated_at IS NULL) GROUP BY p.id, a.role"
        )
        found = defaultdict[str, dict[str, int | None]](dict)
        for row in await self._reader.rows(sql, (recipe,)):
            found[row["id"]][row["role"]] = row["low"] if row["low"] == row["high"] and not row["without"] else None
        together = {pair: Counter(one for one in said.values() if one is not None) for pair, said in found.items()}
        return {
            pair: JudgeOpinions(together[pair].most_common(1)[0][0], said)
            for pair, said in found.items()
            if together[pair]
        }

    async def numbers(self, recipe: str) -> list[JudgementNumbers]:
        """Counts of a recipe's judgements, one entry for each judge."""
        sql = (
            f"SELECT a.role, a.choice, a.status, count(*) AS count {_OF_MADE_PAIRS} WHERE a.recipe = ? GROUP BY 1, 2, 3 "
            "ORDER BY 1"
        )
        counts = defaultdict[str, Counter[str]](Counter)
        for row in await self._reader.rows(sql, (recipe,)):
            tie = row["status"] == ParseStatus.DECLARED_TIE
            kind = str(row["choice"]) if row["choice"] is not None else "tie" if tie else "unreadable"
            counts[row["role"]][kind] += row["count"]
        both = await self._in_both_orders(recipe)
        return [
            JudgementNumbers(
                role, of_role["1"], of_role["2"], of_role["tie"], of_role["unreadable"], *both.get(role, (0, 0))
            )
            for role, of_role in counts.items()
        ]

    async def replies(self, task_id: str, recipe: str) -> list[JudgeReply]:
        """The replies of all judges to the answers of a task, both orders beside each other."""
        sql = (
            "SELECT a.role, a.shown_first, a.shown_second, a.choice, a.status, c.text FROM judgements a "
            "JOIN completions c ON c.key = a.key WHERE a.task_id = ? AND a.recipe = ? ORDER BY a.round, a.role, a.shown_first"
        )
        replies = []
        for row in await self._reader.rows(sql, (task_id, recipe)):
            shown = (row["shown_first"], row["shown_second"])
            winner = None if row["choice"] is None else shown[row["choice"] - 1]
            replies.append(JudgeReply(row["role"], shown, winner, row["status"], row["text"]))
        return replies

    async def _in_both_orders(self, recipe: str) -> dict[str, tuple[int, int]]:
        """By judge: how many comparisons flipped, of how many that were shown in both orders."""
        sql = (
            f"SELECT a.role, total(a.choice = b.choice) AS flipped, count(*) AS count {_OF_MADE_PAIRS} "
            "JOIN judgements b ON b.task_id = a.task_id AND b.recipe = a.recipe AND b.role = a.role AND b.round = a.round "
            "AND b.shown_first = 2 "
            "WHERE a.recipe = ? AND a.shown_first = 1 AND a.choice IS NOT NULL AND b.choice IS NOT NULL GROUP BY a.role"
        )
        return {row["role"]: (int(row["flipped"]), row["count"]) for row in await self._reader.rows(sql, (recipe,))}


def judgement_rows(outcome: Pair | Undecided) -> list[Statement]:
    """The statements that replace the judgements on a task's answers in a recipe."""
    sql = (
        "INSERT OR REPLACE INTO judgements (task_id, recipe, role, round, key, shown_first, shown_second, choice, status, "
        "reasoning, parser_version) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
    )
    return [
        ("DELETE FROM judgements WHERE task_id = ? AND recipe = ?", (outcome.task_id, outcome.recipe)),
        *(
            (
                sql,
                (
                    outcome.task_id, outcome.recipe, one.role, one.round, one.key, one.shown_first, one.shown_second,
                    one.choice, one.status.value, one.reasoning, one.parser_version,
                ),
            )
            for one in outcome.judgements
        ),
    ]  # fmt: skip
