"""Advice in the store: the objective that fits each pair, with what the choice rests on."""

from collections.abc import Sequence
from dataclasses import dataclass

from clairgen.records import Variant
from clairgen.store.completions import now
from clairgen.store.reader import Reader
from clairgen.store.statements import Statement, Write


@dataclass(frozen=True, slots=True)
class PairAdvice:
    """The objective that fits a pair.

    `confidence` is the share of its comparisons that speak for it, with ties counted half: above 0.5 where the pair's own
    comparisons decided, 0.5 where it is the data set's recommendation. `by` names the judges or the reward model.
    """

    pair_id: str
    objective: Variant
    confidence: float
    wins: int
    losses: int
    ties: int
    by: str


@dataclass(frozen=True, slots=True)
class AdviceNumbers:
    """How many pairs of a recipe have an objective as advice; `by` names the judges or the reward model that compared."""

    recipe: str
    objective: Variant
    by: str
    pairs: int


class Advice:
    """The advice of one run."""

    def __init__(self, reader: Reader, write: Write) -> None:
        self._reader = reader
        self._write = write

    async def replace(self, recipe: str, advice: Sequence[PairAdvice]) -> None:
        """Replace the advice on a recipe's pairs, in one transaction."""
        gone = "DELETE FROM advice WHERE pair_id IN (SELECT id FROM pairs WHERE recipe = ?)"
        sql = (
            "INSERT INTO advice (pair_id, objective, confidence, wins, losses, ties, judged_by, advised_at) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
        )
        moment = now()
        rows = (
            (one.pair_id, one.objective.value, one.confidence, one.wins, one.losses, one.ties, one.by, moment)
            for one in advice
        )
        await self._write((gone, (recipe,)), *((sql, row) for row in rows))

    async def numbers(self) -> list[AdviceNumbers]:
        """Counts of pairs with advice that pass the filters in force, by recipe, objective and who compared."""
        sql = (
            "SELECT p.recipe, a.objective, a.judged_by, count(*) AS pairs FROM advice a JOIN pairs p ON p.id = a.pair_id "
            "WHERE p.status = 'made' AND p.drop_reason IS NULL GROUP BY 1, 2, 3 ORDER BY 1, 2 DESC, 3"
        )
        return [
            AdviceNumbers(row["recipe"], Variant(row["objective"]), row["judged_by"], row["pairs"])
            for row in await self._reader.rows(sql)
        ]

    async def of_pair(self, pair_id: str) -> PairAdvice | None:
        """The advice on a pair, if there is any."""
        sql = "SELECT pair_id, objective, confidence, wins, losses, ties, judged_by FROM advice WHERE pair_id = ?"
        row = await self._reader.row(sql, (pair_id,))
        if row is None:
            return None
        return PairAdvice(
            row["pair_id"],
            Variant(row["objective"]),
            row["confidence"],
            row["wins"],
            row["losses"],
            row["ties"],
            row["judged_by"],
        )


def outdated_row(pair_id: str, chosen: str | None) -> Statement:
    """The statement that deletes the advice on a pair that is about to get another chosen answer."""
    sql = (
        "DELETE FROM advice WHERE pair_id = ? AND NOT EXISTS ("
        "SELECT 1 FROM pairs p JOIN pair_texts t ON t.pair = p.number WHERE p.id = ? AND t.chosen IS ?)"
    )
    return sql, (pair_id, pair_id, chosen)
