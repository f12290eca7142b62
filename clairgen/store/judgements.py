"""Judgements in the store, counted; they are written with the pairs that they made."""

from dataclasses import dataclass

from clairgen.records import ParseStatus
from clairgen.store.reader import Reader

_OF_MADE = "FROM judgements a JOIN pairs p ON p.task_id = a.task_id AND p.recipe = a.recipe AND p.status = 'made'"


@dataclass(frozen=True, slots=True)
class JudgementNumbers:
    """Verdicts of a judge: for the first place, the second, ties, not readable; and of those in both orders, how many flipped."""

    role: str
    first: int
    second: int
    ties: int
    refused: int
    flipped: int
    in_both_orders: int


class Judgements:
    """The judgements of one run, of pairs that are made."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def numbers(self, recipe: str) -> list[JudgementNumbers]:
        """Counts of a recipe's judgements, a judge each."""
        sql = f"SELECT a.role, a.choice, a.status, count(*) {_OF_MADE} WHERE a.recipe = ? GROUP BY 1, 2, 3 ORDER BY 1"
        counts: dict[str, dict[str, int]] = {}
        for role, choice, status, count in await self._reader.rows(sql, (recipe,)):
            kind = str(choice) if choice is not None else "tie" if status == ParseStatus.DECLARED_TIE else "refused"
            of_role = counts.setdefault(role, {})
            of_role[kind] = of_role.get(kind, 0) + count
        sql = (
            f"SELECT a.role, count(*), total(a.choice = b.choice) {_OF_MADE} JOIN judgements b ON b.task_id = a.task_id "
            "AND b.recipe = a.recipe AND b.role = a.role AND b.round = a.round AND b.shown_first = 2 "
            "WHERE a.recipe = ? AND a.shown_first = 1 AND a.choice IS NOT NULL AND b.choice IS NOT NULL GROUP BY a.role"
        )
        both = {role: (int(flipped), count) for role, count, flipped in await self._reader.rows(sql, (recipe,))}
        return [
            JudgementNumbers(
                role,
                of_role.get("1", 0),
                of_role.get("2", 0),
                of_role.get("tie", 0),
                of_role.get("refused", 0),
                *both.get(role, (0, 0)),
            )
            for role, of_role in counts.items()
        ]
