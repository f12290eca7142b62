"""Advice in the store: the objective that fits each pair, with what the choice rests on."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from clairgen.records import Variant
from clairgen.store.completions import now
from clairgen.store.reader import Reader
from clairgen.store.schema import Statement


@dataclass(frozen=True, slots=True)
class PairAdvice:
    """The objective that fits a pair.

    `confidence` is the share of its comparisons that speak for it, a tie half: above 0.5 where the pair decided itself, 0.5
    where it is the data set's recommendation. `by` names who compared.
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
    """How many pairs of a recipe are advised which objective, by whose comparisons."""

    recipe: str
    objective: Variant
    by: str
    pairs: int


class Advice:
    """The advice of one run."""

    def __init__(self, reader: Reader, write: Callable[..., Awaitable[None]]) -> None:
        self._reader = reader
        self._write = write

    async def replace(self, recipe: str, advice: Sequence[PairAdvice]) -> None:
        """Commit the advice on a recipe's pairs instead of what there was; all of it or none."""
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
        """Counts of advised pairs that pass the filters in force, by recipe, objective and who compared."""
        sql = (
            "SELECT p.recipe, a.objective, a.judged_by, count(*) FROM advice a JOIN pairs p ON p.id = a.pair_id "
            "WHERE p.status = 'made' AND p.drop_reason IS NULL GROUP BY 1, 2, 3 ORDER BY 1, 2 DESC, 3"
        )
        return [AdviceNumbers(row[0], Variant(row[1]), row[2], row[3]) for row in await self._reader.rows(sql)]

    async def of_pair(self, pair_id: str) -> PairAdvice | None:
        """The advice on a pair, if there is any."""
        sql = "SELECT pair_id, objective, confidence, wins, losses, ties, judged_by FROM advice WHERE pair_id = ?"
        row = await self._reader.row(sql, (pair_id,))
        return None if row is None else PairAdvice(row[0], Variant(row[1]), *row[2:])


def outdated_row(pair_id: str, chosen: str | None) -> Statement:
    """The statement that forgets the advice on a pair that is about to get another chosen answer."""
    sql = "DELETE FROM advice WHERE pair_id = ?1 AND NOT EXISTS (SELECT 1 FROM pairs WHERE id = ?1 AND chosen IS ?2)"
    return sql, (pair_id, chosen)
