"""Made pairs that somebody chose by recipe, drop reason, mark or column: counted, by number, and a page at a time.

They are in the order of their recipes' names, and of their tasks within a recipe. A page begins after a pair (keyset paging),
so that a deep page is read as fast as the first one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from clairgen.records import FilterAction, StoredPair
from clairgen.store.pair_rows import LOST_BY
from clairgen.store.pairs import Pairs
from clairgen.store.reader import Reader


@dataclass(frozen=True, slots=True)
class PairChoice:
    """Made pairs: of a recipe, dropped for a reason, with any mark, with a mark for a reason, or kept; all if nothing is named.

    What was not decided is dropped for the reason why. `column` is the name of a further column of imported pairs, and its value
    as text.
    """

    recipe: str | None = None
    dropped: str | None = None
    marked: bool = False
    mark: str | None = None
    kept: bool = False
    column: tuple[str, str] | None = None

    @property
    def condition(self) -> tuple[str, list[str]]:
        """A condition on pairs `p` and its parameters."""
        conditions, parameters = ["p.status = 'made'"], list[str]()
        for sql, value in (("p.recipe = ?", self.recipe), (f"{LOST_BY} = ?", self.dropped)):
            if value is not None:
                conditions.append(sql)
                parameters.append(value)
        if self.kept:
            conditions.append(f"{LOST_BY} IS NULL")
        if self.marked or self.mark is not None:
            conditions.append(
                "EXISTS (SELECT 1 FROM filter_results f WHERE f.filter_set = p.filter_set AND f.pair_id = p.id "
                f"AND f.action = '{FilterAction.MARK.value}'{'' if self.mark is None else ' AND f.reason = ?'})"
            )
            parameters += [] if self.mark is None else [self.mark]
        if self.column is not None:
            conditions.append(
                "EXISTS (SELECT 1 FROM json_each(p.source_columns) c WHERE c.key = ? "
                "AND iif(c.type IN ('true', 'false'), c.type, CAST(c.value AS TEXT)) = ?)"
            )
            parameters += self.column
        return " AND ".join(conditions), parameters


@dataclass(frozen=True, slots=True)
class Place:
    """Where a pair is in the order of pairs: its recipe and its position in it."""

    recipe: str
    position: int


class ChosenPairs:
    """The chosen pairs of one run."""

    def __init__(self, reader: Reader, pairs: Pairs) -> None:
        self._reader = reader
        self._pairs = pairs

    async def count(self, choice: PairChoice) -> int:
        """How many pairs are chosen."""
        condition, parameters = choice.condition
        return int(await self._reader.value(f"SELECT count(*) FROM pairs p WHERE {condition}", parameters))

    async def nth(self, choice: PairChoice, number: int) -> StoredPair | None:
        """One of the chosen pairs, counted from 1; None beyond the last."""
        condition, parameters = choice.condition
        sql = f"SELECT p.id FROM pairs p WHERE {condition} ORDER BY p.recipe, p.position LIMIT 1 OFFSET ?"
        identity = await self._reader.value(sql, [*parameters, number - 1])
        return None if identity is None else await self.pair(identity)

    async def pair(self, identity: str) -> StoredPair | None:
        """The made pair with this id."""
        async for stored in self._pairs.made_with_ids([identity]):
            return stored
        return None

    async def place(self, identity: str) -> Place | None:
        """Where the made pair with this id is."""
        sql = "SELECT recipe, position FROM pairs WHERE id = ? AND status = 'made'"
        row = await self._reader.row(sql, (identity,))
        return None if row is None else Place(row["recipe"], row["position"])

    async def ids(
        self, choice: PairChoice, recipes: Sequence[str], start: Place | None, most: int, *, backward: bool = False
    ) -> list[str]:
        """The ids of at most `most` chosen pairs after `start`, or before it, nearest first; `recipes` are all of the run.

        Each recipe is a query of its own, which the index on recipe, status and position answers in order.
        """
        found: list[str] = []
        for recipe in sorted(recipes if choice.recipe is None else [choice.recipe], reverse=backward):
            if start is not None and (recipe > start.recipe if backward else recipe < start.recipe):
                continue
            condition, parameters = replace(choice, recipe=recipe).condition
            if start is not None and recipe == start.recipe:
                condition += f" AND p.position {'<' if backward else '>'} {start.position:d}"
            order = "DESC" if backward else "ASC"
            sql = f"SELECT p.id FROM pairs p WHERE {condition} ORDER BY p.position {order} LIMIT ?"
            found += [row["id"] for row in await self._reader.rows(sql, [*parameters, most - len(found)])]
            if len(found) == most:
                break
        return found

    async def with_ids(self, ids: Sequence[str]) -> list[StoredPair]:
        """The made pairs with these ids, in the same order."""
        found = {stored.id: stored async for stored in self._pairs.made_with_ids(ids)}
        return [found[identity] for identity in ids if identity in found]
