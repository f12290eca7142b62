"""Searching the index of a run's pairs: ids in order, a page at a time, and how many there are.

SQLite does not know how frequent a word or a verdict is, so the order of every join is forced here. If any condition is rare,
the few pairs that meet it are looked at, in order; else all are walked through in order, since a page of them is met soon.
"""

import json
import math
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from clairgen.errors import InputError
from clairgen.store.chosen_pairs import PairChoice
from clairgen.store.connection import store_errors
from clairgen.store.pair_index import RECIPE_BITS, facet_number, open_index
from clairgen.store.reader import Reader
from clairgen.store.search_words import SearchWords

_RARE: Final = 4_000
_RARE_BESIDE_WORDS: Final = 500
"""So few pairs are looked up in the full text one by one; each costs as much as walking past fifty of its documents."""
_LOOK_UP_COST: Final = 25
"""How many documents are sorted while one is looked up in the full text."""
_PAGE: Final = 26
_SAMPLED: Final = 6_000
_WINDOWS: Final = 24


class SortKey(StrEnum):
    """What pairs can be in order of."""

    JACCARD = "jaccard"
    LEVENSHTEIN = "levenshtein"
    LENGTH_RATIO = "length_ratio"
    SCORE_DIFFERENCE = "score_difference"
    CHARACTER_DIFFERENCE = "character_difference"
    MADE = "made"


@dataclass(frozen=True, slots=True)
class MetricRange:
    """Pairs whose metric is at least `lowest` and below `below`, where these are given."""

    metric: SortKey
    lowest: float | None
    below: float | None


@dataclass(frozen=True, slots=True)
class PairSearch:
    """Pairs of a choice that also have these words and metrics, in the order of `sort`; in that of their tasks without one.

    Pairs without the metric that they are sorted by come last, whether the order goes up or down.
    """

    choice: PairChoice
    words: SearchWords | None = None
    ranges: tuple[MetricRange, ...] = ()
    sort: SortKey | None = None
    descending: bool = False

    @property
    def needs_index(self) -> bool:
        """Whether the run alone cannot answer it."""
        return self.words is not None or bool(self.ranges) or self.sort is not None


class Certainty(StrEnum):
    """How exact a count is."""

    EXACT = "exact"
    ABOUT = "about"
    """Estimated from a sample."""
    AT_LEAST = "at least"
    """Counting went no further."""


@dataclass(frozen=True, slots=True)
class PairCount:
    """How many pairs are found; estimated, or not counted to the end, where that would take long."""

    pairs: int
    certainty: Certainty = Certainty.EXACT


@dataclass(frozen=True, slots=True)
class _Part:
    """A part of all pairs in order, within a range of documents: those with a metric, which they are sorted `by`, or without it.

    In order of their tasks the pairs of each recipe are a part.
    """

    first: int = 0
    last: int = (1 << 63) - 1
    condition: str = ""
    parameters: tuple[Any, ...] = ()
    by: SortKey | None = None

    def after(self, doc: int, *, down: bool) -> "_Part":
        """What of it comes after a document, on the way up or down."""
        return replace(self, last=min(self.last, doc - 1)) if down else replace(self, first=max(self.first, doc + 1))


@dataclass(frozen=True, slots=True)
class _Plan:
    """Where a query begins: with `source`, an SQL expression that joins documents `d`; it is `rare` if few pairs are in it.

    `doc` is the column of it that has the document. With `has_words` it is the full text, so that only documents with the words
    come from it.
    """

    source: str
    parameters: tuple[Any, ...] = ()
    doc: str = "d.doc"
    has_words: bool = False
    is_rare: bool = False


@asynccontextmanager
async def reading_index(path: Path) -> AsyncIterator["IndexSearch"]:
    """The index at `path` as it is at this moment, to be searched. Raises StoreError."""
    connection = await open_index(path)
    try:
        with store_errors(path):
            await connection.execute("BEGIN")
        yield IndexSearch(Reader(connection, path))
    finally:
        await connection.close()


_WORDS_ALONE: Final = "search s WHERE s.search MATCH ?"
_WORDS_FIRST: Final = "search s CROSS JOIN docs d ON d.doc = s.rowid AND s.search MATCH ?"


class IndexSearch:
    """Searches in one index, on one connection. So many pairs are `rare`, and so many of those beside words."""

    def __init__(self, reader: Reader, rare: int = _RARE, rare_beside_words: int = _RARE_BESIDE_WORDS) -> None:
        self._reader = reader
        self._rare = rare
        self._rare_beside_words = rare_beside_words

    async def ids(self, search: PairSearch, start: str | None, most: int, *, backward: bool = False) -> list[str]:
        """The ids of at most `most` pairs after the pair `start`, or before it, nearest first. Raises InputError."""
        plan = await self._plan(search)
        down = search.descending is not backward
        found: list[str] = []
        for part in await self._parts(search, start, backward=backward):
            sql, parameters = _query(search, plan, part, "d.pair_id", down=down)
            rows = await self._reader.rows(f"{sql} LIMIT ?", [*parameters, most - len(found)])
            found += [row[0] for row in rows]
            if len(found) == most:
                break
        return found

    async def count(self, search: PairSearch) -> PairCount | None:
        """How many pairs are found; None if that would take long to say."""
        facets = _facets(search.choice)
        if search.words is None and not search.ranges and len(facets) < 2 and search.choice.column is None:
            return PairCount(await self._counted(search.choice.recipe, facets))
        if search.words is not None:
            return None if search.words.has_beginning else await self._count_of_words(search)
        plan = await self._plan(search)
        if plan.is_rare:
            return PairCount(await self._value(search, plan))
        return await self._estimated(search)

    async def _count_of_words(self, search: PairSearch) -> PairCount:
        """The same for a search for words: exact for few; of many the first ones are counted."""
        among = await self._number(_WORDS_ALONE, _words(search), self._rare)
        if among <= self._rare:
            return PairCount(await self._value(search, _words_first(search)))
        if (plan := await self._plan(replace(search, sort=None))).is_rare:
            return PairCount(await self._value(search, plan))
        if search.choice == PairChoice() and not search.ranges:
            return PairCount(self._rare, Certainty.AT_LEAST)
        first = f"(SELECT rowid FROM {_WORDS_ALONE} LIMIT {self._rare}) s CROSS JOIN docs d ON d.doc = s.rowid"
        return PairCount(
            await self._value(search, _Plan(first, _words(search), "s.rowid", has_words=True)), Certainty.AT_LEAST
        )

    async def _value(self, search: PairSearch, plan: _Plan) -> int:
        """The number of pairs from where a plan begins."""
        sql, parameters = _query(search, plan, await self._all_of(search), "count(*)", down=None)
        return int(await self._reader.value(sql, parameters))

    async def verdicts(self) -> dict[str, dict[str, int]]:
        """By `dropped` and `mark`, how many pairs of all recipes are so for each reason, the most frequent first."""
        sql = (
            "SELECT q.kind, q.name, sum(c.pairs) AS pairs FROM counts c JOIN reasons q USING (facet) WHERE q.kind <> 'kept' "
            "GROUP BY q.kind, q.name ORDER BY pairs DESC, q.name"
        )
        found: dict[str, dict[str, int]] = {"dropped": {}, "mark": {}}
        for row in await self._reader.rows(sql):
            found[row["kind"]][row["name"]] = row["pairs"]
        return found

    async def has(self, pair: str) -> bool:
        """Whether the index has a pair."""
        return bool(await self._reader.value("SELECT EXISTS (SELECT 1 FROM docs WHERE pair_id = ?)", (pair,)))

    async def _parts(self, search: PairSearch, start: str | None, *, backward: bool) -> list[_Part]:
        """The parts in the order in which they are read, from the pair `start` on."""
        at = None if start is None else await self._start(start)
        down = search.descending is not backward
        if search.sort is not None:
            return await self._parts_by(search, search.sort, at, down=down, backward=backward)
        parts = []
        for name, number in sorted((await self._recipes(search)).items(), reverse=down):
            if at is None or name == at["recipe"]:
                parts.append(_of_recipe(number) if at is None else _of_recipe(number).after(at["doc"], down=down))
            elif (name < at["recipe"]) is down:
                parts.append(_of_recipe(number))
        return parts

    async def _parts_by(
        self, search: PairSearch, by: SortKey, at: sqlite3.Row | None, *, down: bool, backward: bool
    ) -> list[_Part]:
        """The same in order of a metric: first those that have it, whether the order goes up or down."""
        own = await self._all_of(search)
        having = replace(own, condition=f"d.{by} IS NOT NULL", by=by)
        lacking = replace(own, condition=f"d.{by} IS NULL", by=by)
        if at is None:
            return [lacking, having] if backward else [having, lacking]
        if at[by] is None:
            rest = lacking.after(at["doc"], down=down)
            return [rest, having] if backward else [rest]
        beyond = f"(d.{by}, d.doc) {'<' if down else '>'} (?, ?)"
        rest = replace(own, condition=beyond, parameters=(at[by], at["doc"]), by=by)
        return [rest] if backward else [rest, lacking]

    async def _start(self, pair: str) -> sqlite3.Row:
        """Where a pair is. Raises InputError."""
        sql = f"SELECT d.*, r.name AS recipe FROM docs d JOIN recipes r ON r.number = d.doc >> {RECIPE_BITS} WHERE d.pair_id = ?"
        row = await self._reader.row(sql, (pair,))
        if row is None:
            raise InputError(
                f"the index of the run has no pair {pair} yet, so no page can begin there; ask again in a moment"
            )
        return row

    async def _recipes(self, search: PairSearch) -> dict[str, int]:
        sql = "SELECT name, number FROM recipes WHERE ? IN (name, '')"
        return {row["name"]: row["number"] for row in await self._reader.rows(sql, (search.choice.recipe or "",))}

    async def _all_of(self, search: PairSearch) -> _Part:
        """All pairs of the recipe that is searched in."""
        if search.choice.recipe is None:
            return _Part()
        return _of_recipe(next(iter((await self._recipes(search)).values()), -1))

    async def _plan(self, search: PairSearch) -> _Plan:
        """Where to begin: with a rare verdict or metric, with the words, or, if this is None of them, in order."""
        most = self._rare_beside_words if search.words is not None and search.sort is None else self._rare
        for facet in _facets(search.choice):
            source = "facets v CROSS JOIN docs d ON d.doc = v.doc AND v.facet = ?"
            if not await self._more("facets v WHERE v.facet = ?", (facet,), most):
                return _Plan(source, (facet,), "v.doc", is_rare=True)
        for one in search.ranges:
            conditions, parameters = _limits(one)
            source = f"docs d INDEXED BY docs_by_{one.metric}"
            if not await self._more(f"{source} WHERE {' AND '.join(conditions)}", parameters, most):
                return _Plan(source, is_rare=True)
        if search.words is not None and search.sort is None:
            return _words_first(search)
        if search.words is not None:
            # With a share s of n pairs, s * n are sorted, or page / s looked up: which is less?
            pairs = int(await self._reader.value("SELECT value FROM state WHERE key = 'pairs'"))
            if not await self._more(_WORDS_ALONE, _words(search), math.isqrt(_PAGE * _LOOK_UP_COST * pairs)):
                return _words_first(search)
        return _Plan("docs d NOT INDEXED" if search.sort is None else f"docs d INDEXED BY docs_by_{search.sort}")

    async def _more(self, source: str, parameters: Sequence[Any], most: int) -> bool:
        """Whether more than `most` rows come from `source`."""
        return await self._number(source, parameters, most) > most

    async def _number(self, source: str, parameters: Sequence[Any], most: int) -> int:
        """How many rows come from `source`; it is not counted further than one beyond `most`."""
        sql = f"SELECT count(*) FROM (SELECT 1 FROM {source} LIMIT ?)"
        return int(await self._reader.value(sql, [*parameters, most + 1]))

    async def _counted(self, recipe: str | None, facets: Sequence[int]) -> int:
        """The pairs of a verdict, or those of all verdicts that a pair has just one of."""
        which = "c.facet = ?" if facets else "q.kind IN ('kept', 'dropped')"
        sql = (
            "SELECT coalesce(sum(c.pairs), 0) FROM counts c JOIN reasons q USING (facet) JOIN recipes r ON r.number = c.recipe "
            f"WHERE {which} AND ? IN (r.name, '')"
        )
        return int(await self._reader.value(sql, [*facets, recipe or ""]))

    async def _estimated(self, search: PairSearch) -> PairCount:
        """The count from windows of neighboring documents, evenly spread over all; exact where they cover all."""
        sampled = hits = total = 0
        for name, number in (await self._recipes(search)).items():
            size = await self._counted(name, ())
            low, high = number << RECIPE_BITS, ((number + 1) << RECIPE_BITS) - 1
            last = await self._reader.value("SELECT max(doc) FROM docs WHERE doc BETWEEN ? AND ?", (low, high)) or low
            windows = _windows(low, last, size)
            within = "json_each(?) w CROSS JOIN"
            bounds = "BETWEEN json_extract(w.value, '$[0]') AND json_extract(w.value, '$[1]')"
            sql = f"SELECT count(*) FROM {within} docs d ON d.doc {bounds}"
            sampled += int(await self._reader.value(sql, (windows,)))
            plan = _Plan(f"{within} docs d NOT INDEXED ON d.doc {bounds}", (windows,))
            sql, parameters = _query(search, plan, _Part(), "count(*)", down=None)
            hits += int(await self._reader.value(sql, parameters))
            total += size
        if sampled >= total:
            return PairCount(hits)
        return PairCount(_rounded(total * hits / max(sampled, 1)), Certainty.ABOUT)


def _query(search: PairSearch, plan: _Plan, part: _Part, columns: str, *, down: bool | None) -> tuple[str, list[Any]]:
    """A query for the pairs of a part, in order unless `down` is None."""
    conditions, parameters = [f"{plan.doc} BETWEEN ? AND ?"], [*plan.parameters, part.first, part.last]
    if part.condition:
        conditions.append(part.condition)
        parameters += part.parameters
    for one in search.ranges:
        limits, values = _limits(one)
        conditions += limits
        parameters += values
    for facet in _facets(search.choice):
        conditions.append("EXISTS (SELECT 1 FROM facets f WHERE f.facet = ? AND f.doc = d.doc)")
        parameters.append(facet)
    where = f" WHERE {' AND '.join(conditions)}"
    by_doc = plan.doc if part.by is None else "d.doc"
    direction = " DESC" if down else ""
    order = "" if down is None else f" ORDER BY {f'd.{part.by}{direction}, ' if part.by else ''}{by_doc}{direction}"
    if search.words is None or plan.has_words:
        return f"SELECT {columns} FROM {plan.source}{where}{order}", parameters
    # Few pairs, or all in order: the words of each are looked up, until there are enough.
    inner = f"SELECT d.doc, d.pair_id FROM {plan.source}{where}{order} LIMIT -1"
    has_words = "EXISTS (SELECT 1 FROM search WHERE search MATCH ? AND rowid = d.doc)"
    return f"SELECT {columns} FROM ({inner}) d WHERE {has_words}", [*parameters, *_words(search)]


def _words_first(search: PairSearch) -> _Plan:
    return _Plan(_WORDS_FIRST, _words(search), "s.rowid", has_words=True)


def _words(search: PairSearch) -> tuple[str, ...]:
    return () if search.words is None else (search.words.expression,)


def _facets(choice: PairChoice) -> list[int]:
    """What the pairs of a choice have, besides a recipe."""
    chosen = [
        facet_number("kept", "") if choice.kept else None,
        None if choice.dropped is None else facet_number("dropped", choice.dropped),
        None if choice.mark is None else facet_number("mark", choice.mark),
        None if choice.column is None else facet_number("column", *choice.column),
    ]
    return [facet for facet in chosen if facet is not None]


def _limits(one: MetricRange) -> tuple[list[str], list[float]]:
    """The conditions of a range and their parameters."""
    limits = [(f"d.{one.metric} >= ?", one.lowest), (f"d.{one.metric} < ?", one.below)]
    return [sql for sql, value in limits if value is not None], [value for _, value in limits if value is not None]


def _of_recipe(number: int) -> _Part:
    """All documents of a recipe."""
    return _Part(number << RECIPE_BITS, ((number + 1) << RECIPE_BITS) - 1)


def _windows(low: int, last: int, size: int) -> str:
    """Ranges of documents from `low` to `last`, of which there are `size`, as JSON."""
    if size <= _SAMPLED:
        return json.dumps([[low, last]])
    step = (last - low) // _WINDOWS
    width = step * _SAMPLED // size
    return json.dumps([[start, start + width] for start in range(low, last, step)])


def _rounded(number: float) -> int:
    """A number to two digits that count."""
    power = int(f"1{'0' * max(len(str(int(number))) - 2, 0)}")
    return round(number / power) * power
