"""Judgements in the store, counted; they are written with the pairs that they made."""

from dataclasses import dataclass

from clairgen.store.reader import Reader


@dataclass(frozen=True, slots=True)
class JudgementNumbers:
    """Verdicts of a recipe: for the first place, for the second, not readable; and of those in both orders, how many flipped."""

    first: int
    second: int
    refused: int
    flipped: int
    in_both_orders: int


class Judgements:
    """The judgements of one run."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def numbers(self, recipe: str) -> JudgementNumbers | None:
        """Counts of a recipe's judgements; None if nobody judged for it."""
        sql = "SELECT choice, count(*) FROM judgements WHERE recipe = ? GROUP BY choice"
        counts = {row[0]: row[1] for row in await self._reader.rows(sql, (recipe,))}
        if not counts:
            return None
        sql = (
            "SELECT count(*), total(a.choice = b.choice) FROM judgements a JOIN judgements b ON b.task_id = a.task_id "
            "AND b.recipe = a.recipe AND b.role = a.role AND b.round = a.round AND b.shown_first = 2 "
            "WHERE a.recipe = ? AND a.shown_first = 1 AND a.choice IS NOT NULL AND b.choice IS NOT NULL"
        )
        both, flipped = (await self._reader.rows(sql, (recipe,)))[0]
        return JudgementNumbers(counts.get(1, 0), counts.get(2, 0), counts.get(None, 0), int(flipped), both)
