"""Metadata of the whole run: id, versions, how far tasks were read, configurations, templates and plans."""

import json
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from clairgen.keys import canonical_json
from clairgen.store.completions import now
from clairgen.store.reader import Reader
from clairgen.store.statements import Statement, Write
from clairgen.templates import Template

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
    """Whether two sources of tasks have the same rows, by what identifies these; a file that was only touched or moved has."""
    return {**one, "touched": None} == {**other, "touched": None}


def metadata_row(key: str, value: str) -> Statement:
    """The statement that stores a value."""
    return "INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", (key, value)
