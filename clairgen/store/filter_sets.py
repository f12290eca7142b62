"""Filter sets: which one is in force, and how a new one is put in force, with what it finds in all pairs, in one transaction.

Where findings follow from what is stored of a pair besides its texts, SQLite takes them of all pairs at once.
"""

import json
from collections.abc import AsyncIterable, AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from clairgen.filters.bounds import outside_reasons
from clairgen.filters.pipeline import StoredCheck
from clairgen.records import Contrast, FilterAction, Finding, ParseStatus
from clairgen.store.completions import now
from clairgen.store.connection import PERCENTAGE
from clairgen.store.metadata import Metadata, metadata_row
from clairgen.store.pair_rows import contrast_row, drop_reason, finding_rows
from clairgen.store.reader import Reader
from clairgen.store.statements import Statement
from clairgen.store.writer import Writer

_IN_FORCE: Final = "filter_set"
_VERSION: Final = "filters_version"
_GROUP: Final = 5000
_KEPT_AGAIN: Final = f"""
UPDATE pairs SET drop_reason = NULL WHERE recipe = ? AND status = 'made' AND drop_reason IS NOT NULL AND NOT EXISTS (
    SELECT 1 FROM filter_results f WHERE f.filter_set = ? AND f.pair_id = pairs.id AND f.action = '{FilterAction.DROP.value}')
"""
BOUNDED_VALUES: Final = {
    "jaccard": f"{PERCENTAGE}(jaccard)",
    "levenshtein": "CAST(levenshtein AS REAL)",
    "length_ratio": "length_ratio",
}
"""By the filter's name, the value of a measured pair that its bounds are of, in SQL; it is null where there is none."""
_MADE: Final = "recipe = ?1 AND status = 'made'"
_DECIDED: Final = f"parse_status = '{ParseStatus.OK.value}'"
_FOUND: Final = """
INSERT INTO filter_results (filter_set, pair_id, position, filter, action, reason, value)
SELECT ?2, id, row_number() OVER (PARTITION BY id ORDER BY rank) - 1, filter, action, reason, value
FROM (%s) WHERE id NOT IN (SELECT value FROM json_each(?4)) ORDER BY id, rank
"""
_JUDGED: Final = f"""
UPDATE pairs SET filter_set = ?2, drop_reason = (SELECT f.reason FROM filter_results f WHERE f.filter_set = ?2
    AND f.pair_id = pairs.id AND f.action = '{FilterAction.DROP.value}' ORDER BY f.position LIMIT 1) WHERE {_MADE}
"""


@dataclass(frozen=True, slots=True)
class FilterResult:
    """What a filter set found in a pair; `measured` is its contrast if that had to be measured again."""

    pair_id: str
    findings: tuple[Finding, ...]
    measured: Contrast | None


class FilterSets:
    """The filter sets of one run; `writer` is None in a store that was opened for reading."""

    def __init__(self, reader: Reader, writer: Writer | None, metadata: Metadata) -> None:
        self._reader = reader
        self._writer = writer
        self._metadata = metadata

    async def in_force(self) -> tuple[int, str] | None:
        """Id and settings (JSON) of the set in force; None before the first."""
        current = await self._metadata.get(_IN_FORCE)
        if current is None:
            return None
        row = await self._reader.row("SELECT id, settings FROM filter_sets WHERE id = ?", (int(current),))
        return None if row is None else (row["id"], row["settings"])

    async def version(self, number: int) -> int | None:
        """The version of the filters that a set was applied with; None if it is not known."""
        recorded = (await self._metadata.get(_VERSION) or "").partition(":")
        return int(recorded[2]) if recorded[0] == str(number) else None

    async def replace(
        self,
        settings: str,
        version: int,
        recipes: Sequence[str],
        filtered: AsyncIterable[FilterResult],
        checks: Mapping[str, Sequence[StoredCheck]] = MappingProxyType({}),
        apart: Sequence[str] = (),
    ) -> int:
        """Put a new set in force, with its findings in all pairs of these recipes, in one transaction; returns its id.

        `version` is that of the filters. The pairs of the recipes in `checks` are filtered by those, but for the ones whose ids
        are in `apart`: they come in `filtered`, as all pairs of the other recipes do.
        """
        assert self._writer is not None, "the store was opened for reading"  # noqa: S101 - a caller's fault
        number = int(await self._reader.value("SELECT coalesce(max(id), 0) + 1 FROM filter_sets"))
        before = await self.in_force()
        first = [
            ("INSERT INTO filter_sets (id, created_at, settings) VALUES (?, ?, ?)", (number, now(), settings)),
            metadata_row(_IN_FORCE, str(number)),
            metadata_row(_VERSION, f"{number}:{version}"),
        ]
        for recipe in recipes:
            if (of_recipe := checks.get(recipe)) is not None and before is not None:
                first += _rows_by_checks(recipe, number, before[0], of_recipe, apart)
            else:
                first.append((f"UPDATE pairs SET filter_set = ?2 WHERE {_MADE}", (recipe, number)))
        last = [(_KEPT_AGAIN, (recipe, number)) for recipe in recipes if recipe not in checks]
        await self._writer.exclusively(_statements(number, first, filtered, last))
        return number


async def _statements(
    number: int, first: Sequence[Statement], filtered: AsyncIterable[FilterResult], last: Sequence[Statement]
) -> AsyncIterator[Sequence[Statement]]:
    """The statements `first`, in their order, those that write what was found, and the statements `last`.

    An update costs more than a look at what is there: so only what changes is written.
    """
    for statement in first:
        yield [statement]
    group: list[Statement] = []
    async for entry in filtered:
        group += finding_rows(entry.pair_id, number, entry.findings)
        if (reason := drop_reason(entry.findings)) is not None:
            group.append(
                (
                    "UPDATE pairs SET drop_reason = ? WHERE id = ? AND drop_reason IS NOT ?",
                    (reason, entry.pair_id, reason),
                )
            )
        if entry.measured is not None:
            group.append(contrast_row(entry.pair_id, entry.measured))
        if len(group) >= _GROUP:
            yield group
            group = []
    yield group
    yield last


def _rows_by_checks(
    recipe: str, number: int, before: int, checks: Sequence[StoredCheck], apart: Sequence[str]
) -> list[Statement]:
    """The statements that store what checks find in the made pairs of a recipe, and give the pairs their set and reason.

    `before` is the set that was in force, `apart` are ids of pairs that are left out.
    """
    parameters: list[Any] = [recipe, number, before, json.dumps(list(apart))]

    def mark(value: Any) -> str:  # noqa: ANN401 - any value of SQLite
        parameters.append(value)
        return f"?{len(parameters)}"

    found, known = [], []
    for rank, check in enumerate(checks):
        written = f"{rank} AS rank, {mark(check.filter)} AS filter, {mark(check.action.value)} AS action"
        if check.bounds is not None:
            low, high = map(mark, check.bounds)
            below, above = map(mark, outside_reasons(check.filter))
            value = f"SELECT id, {BOUNDED_VALUES[check.filter]} AS value FROM pairs WHERE {_MADE} AND {_DECIDED}"
            reason = f"iif(value < {low}, {below}, {above}) AS reason"
            found.append(f"SELECT id, {written}, {reason}, value FROM ({value}) WHERE value < {low} OR value > {high}")
        elif check.fault is not None:
            fault = f"{mark(check.fault.reason)} AS reason, {mark(check.fault.value)} AS value"
            found.append(f"SELECT id, {written}, {fault} FROM pairs WHERE {_MADE} AND {_DECIDED}")
        else:
            known.append(f"SELECT {written}")
    if known:
        # A cross join is SQLite's way to go through the findings, whatever it expects.
        found.append(
            f"SELECT f.pair_id AS id, k.rank, k.filter, k.action, f.reason, f.value FROM filter_results f "
            f"CROSS JOIN ({' UNION ALL '.join(known)}) k ON k.filter = f.filter CROSS JOIN pairs p ON p.id = f.pair_id "
            f"WHERE f.filter_set = ?3 AND p.{_MADE}"
        )
    judged = (_JUDGED, (recipe, number))
    return [(_FOUND % " UNION ALL ".join(found), parameters), judged] if found else [judged]
