"""Filter sets in the store: the settings that pairs were filtered with, and which set is in force."""

from collections.abc import AsyncIterable, AsyncIterator, Sequence
from dataclasses import dataclass

from clairgen.records import Contrast, Finding
from clairgen.store.completions import now
from clairgen.store.metadata import Metadata, metadata_row
from clairgen.store.pair_rows import contrast_row, drop_reason, finding_rows
from clairgen.store.reader import Reader
from clairgen.store.statement import Statement
from clairgen.store.writer import Writer

_IN_FORCE = "filter_set"
_GROUP = 500


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

    async def replace(self, settings: str, filtered: AsyncIterable[FilterResult]) -> int:
        """Put a new set in force, with its findings in all pairs, in one transaction; returns its id."""
        assert self._writer is not None, "the store was opened for reading"  # noqa: S101 - a caller's fault
        number = int(await self._reader.value("SELECT coalesce(max(id), 0) + 1 FROM filter_sets"))
        await self._writer.exclusively(_statements(number, settings, filtered))
        return number


async def _statements(
    number: int, settings: str, filtered: AsyncIterable[FilterResult]
) -> AsyncIterator[Sequence[Statement]]:
    yield [
        ("INSERT INTO filter_sets (id, created_at, settings) VALUES (?, ?, ?)", (number, now(), settings)),
        metadata_row(_IN_FORCE, str(number)),
    ]
    group: list[Statement] = []
    async for entry in filtered:
        sql = "UPDATE pairs SET filter_set = ?, drop_reason = ? WHERE id = ?"
        group.append((sql, (number, drop_reason(entry.findings), entry.pair_id)))
        group += finding_rows(entry.pair_id, number, entry.findings)
        if entry.measured is not None:
            group.append(contrast_row(entry.pair_id, entry.measured))
        if len(group) >= _GROUP:
            yield group
            group = []
    yield group
