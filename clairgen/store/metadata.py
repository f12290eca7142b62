"""Metadata of the whole run: id, versions, how far tasks were read, configurations, templates, plans and filter sets."""

import json
import uuid
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from clairgen.keys import canonical_json
from clairgen.records import Contrast, Finding
from clairgen.store.completions import now
from clairgen.store.pair_rows import contrast_row, drop_reason, finding_rows
from clairgen.store.reader import Reader
from clairgen.store.statements import Statement, Write
from clairgen.store.writer import Writer
from clairgen.templates import Template

_IN_FORCE = "filter_set"
_VERSION = "filters_version"
_GROUP = 5000
_KEPT_AGAIN = """
UPDATE pairs SET drop_reason = NULL WHERE recipe = ? AND status = 'made' AND drop_reason IS NOT NULL
    AND NOT EXISTS (SELECT 1 FROM filter_results f WHERE f.filter_set = ? AND f.pair_id = pairs.id AND f.action = 'drop')
"""
SHARD = "shard"
"""The key of which shard a run is, as i/N."""
SOURCE = "source"
"""The key of how far the run's source of tasks was read, as JSON."""
TOKENIZER = "tokenizer"
"""The key of the tokenizer of a run's contrasts."""
IMPORTED = "imported from"
"""The key of a plan's only fact where its pairs were imported: the name of their source."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What the requests of a recipe are made of, as canonical JSON values by name; equal facts mean equal requests."""

    recipe: str
    facts: Mapping[str, Any]
    revises: bool

    @property
    def imported_from(self) -> str | None:
        """The source that the pairs were imported from; None for those that a recipe made."""
        found = self.facts.get(IMPORTED)
        return None if found is None else str(found)

    @property
    def made_by(self) -> str:
        """The recipe that made the pairs, which is not `recipe` where the configuration gives that one's pairs a name (`as`)."""
        return str(self.facts.get(f"recipes.{self.recipe}", self.recipe))


class Metadata:
    """Single values of one run by key, and what its pairs were made with."""

    def __init__(self, reader: Reader, write: Write) -> None:
        self._reader = reader
        self._write = write

    async def get(self, key: str) -> str | None:
        """The value of a key; None if it was never set."""
        value = await self._reader.value("SELECT value FROM meta WHERE key = ?", (key,))
        return None if value is None else str(value)

    async def with_prefix(self, start: str) -> dict[str, str]:
        """The values of all keys that begin with `start`, by the rest of the key."""
        sql = "SELECT key, value FROM meta WHERE substr(key, 1, ?) = ? ORDER BY key"
        rows = await self._reader.rows(sql, (len(start), start))
        return {row["key"][len(start) :]: row["value"] for row in rows}

    async def put(self, key: str, value: str) -> None:
        """Commit the value of a key."""
        await self._write(metadata_row(key, value))

    async def settle(self, key: str, value: str | None) -> None:
        """Commit that the value of a key is empty, unless it is no longer `value`."""
        await self._write(("UPDATE meta SET value = '' WHERE key = ? AND value = ?", (key, value)))

    async def initialize(self, version: str) -> None:
        """Give a new run its id and record the version that made it; nothing for a run that has them."""
        if await self.get("run_id") is None:
            values = {"run_id": str(uuid.uuid4()), "created_at": now(), "clairgen_version": version}
            await self._write(*(metadata_row(key, value) for key, value in values.items()))

    async def record_configuration(self, yaml: str) -> None:
        """Commit the configuration that pairs are generated with, if it is not the last one."""
        if await self.configuration() != yaml:
            await self._write(("INSERT INTO configurations (created_at, yaml) VALUES (?, ?)", (now(), yaml)))

    async def configuration(self) -> str | None:
        """YAML of the configuration that pairs were last generated with."""
        yaml = await self._reader.value("SELECT yaml FROM configurations ORDER BY id DESC LIMIT 1")
        return None if yaml is None else str(yaml)

    async def record_templates(self, templates: Iterable[Template]) -> None:
        """Commit the templates that completions refer to by hash."""
        sql = "INSERT OR IGNORE INTO templates (hash, name, text) VALUES (?, ?, ?)"
        await self._write(*((sql, (template.content_hash, template.name, template.text)) for template in templates))

    async def templates(self) -> list[tuple[str, str]]:
        """Names and hashes of the templates that were used."""
        rows = await self._reader.rows("SELECT name, hash FROM templates ORDER BY name")
        return [(row["name"], row["hash"]) for row in rows]

    async def plans(self) -> dict[str, Plan]:
        """Plans by recipe."""
        rows = await self._reader.rows("SELECT recipe, plan, revises FROM plans ORDER BY recipe")
        return {row["recipe"]: Plan(row["recipe"], json.loads(row["plan"]), bool(row["revises"])) for row in rows}

    async def record_plan(self, plan: Plan, *, changed: bool) -> None:
        """Commit a recipe's plan; if its requests have `changed`, its pairs are pending again. Their completions stay."""
        sql = "INSERT OR REPLACE INTO plans (recipe, plan, revises, created_at) VALUES (?, ?, ?, ?)"
        statements: list[Statement] = [(sql, (plan.recipe, canonical_json(dict(plan.facts)), plan.revises, now()))]
        if changed:
            statements.append(("UPDATE pairs SET status = 'pending' WHERE recipe = ?", (plan.recipe,)))
        await self._write(*statements)


def same_source(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two sources of tasks, by what identifies their rows, have the same; a file that was only touched or moved has."""
    return {**one, "touched": None} == {**other, "touched": None}


def metadata_row(key: str, value: str) -> Statement:
    """The statement that stores a value."""
    return "INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", (key, value)


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
        self, settings: str, version: int, recipes: Sequence[str], filtered: AsyncIterable[FilterResult]
    ) -> int:
        """Put a new set in force, with its findings in all pairs of these recipes, in one transaction; returns its id.

        `version` is that of the filters.
        """
        assert self._writer is not None, "the store was opened for reading"  # noqa: S101 - a caller's fault
        number = int(await self._reader.value("SELECT coalesce(max(id), 0) + 1 FROM filter_sets"))
        first = [
            ("INSERT INTO filter_sets (id, created_at, settings) VALUES (?, ?, ?)", (number, now(), settings)),
            metadata_row(_IN_FORCE, str(number)),
            metadata_row(_VERSION, f"{number}:{version}"),
            *(
                ("UPDATE pairs SET filter_set = ? WHERE recipe = ? AND status = 'made'", (number, name))
                for name in recipes
            ),
        ]
        last = [(_KEPT_AGAIN, (name, number)) for name in recipes]
        await self._writer.exclusively(_statements(number, first, filtered, last))
        return number


async def _statements(
    number: int, first: Sequence[Statement], filtered: AsyncIterable[FilterResult], last: Sequence[Statement]
) -> AsyncIterator[Sequence[Statement]]:
    """The statements `first`, those that write what was found, and the statements `last`.

    A pair's row has its texts, which are written again with a reason of another length: so only what changes is written.
    """
    yield first
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
