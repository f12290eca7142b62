"""Facts of the whole run: its id and versions, how far the tasks were read in, configurations, templates and plans."""

import json
import uuid
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from clairgen.keys import canonical_json
from clairgen.store.completions import now
from clairgen.store.reader import Reader
from clairgen.store.schema import Statement
from clairgen.templates import Template


@dataclass(frozen=True, slots=True)
class Plan:
    """What the asks of a recipe are made of, as canonical facts by name; equal facts mean equal asks."""

    recipe: str
    facts: Mapping[str, Any]
    revises: bool


class Facts:
    """Small facts of one run."""

    def __init__(self, reader: Reader, write: Callable[..., Awaitable[None]]) -> None:
        self._reader = reader
        self._write = write

    async def get(self, key: str) -> str | None:
        """A fact by name."""
        row = await self._reader.row("SELECT value FROM meta WHERE key = ?", (key,))
        return None if row is None else str(row[0])

    async def put(self, key: str, value: str) -> None:
        """Commit a fact."""
        await self._write(fact_row(key, value))

    async def found_run(self, version: str) -> None:
        """Give a new run its id and note the version that made it; nothing for a run that has them."""
        if await self.get("run_id") is None:
            facts = {"run_id": str(uuid.uuid4()), "created_at": now(), "clairgen_version": version}
            await self._write(*(fact_row(key, value) for key, value in facts.items()))

    async def record_configuration(self, yaml: str) -> None:
        """Commit the configuration that is generated with, if it is not the last one."""
        if await self.configuration() != yaml:
            await self._write(("INSERT INTO configurations (created_at, yaml) VALUES (?, ?)", (now(), yaml)))

    async def configuration(self) -> str | None:
        """YAML of the configuration that was last generated with."""
        row = await self._reader.row("SELECT yaml FROM configurations ORDER BY id DESC LIMIT 1")
        return None if row is None else str(row[0])

    async def record_templates(self, templates: Iterable[Template]) -> None:
        """Commit the templates that asks refer to by hash."""
        sql = "INSERT OR IGNORE INTO templates (hash, name, text) VALUES (?, ?, ?)"
        await self._write(*((sql, (template.content_hash, template.name, template.text)) for template in templates))

    async def templates(self) -> list[tuple[str, str]]:
        """Names and hashes of the templates that were used."""
        return [(row[0], row[1]) for row in await self._reader.rows("SELECT name, hash FROM templates ORDER BY name")]

    async def plans(self) -> dict[str, Plan]:
        """Plans by recipe."""
        rows = await self._reader.rows("SELECT recipe, plan, revises FROM plans ORDER BY recipe")
        return {recipe: Plan(recipe, json.loads(plan), bool(revises)) for recipe, plan, revises in rows}

    async def record_plan(self, plan: Plan, *, changed: bool) -> None:
        """Commit a recipe's plan; if its asks have `changed`, all its pairs are to be made again. Their completions stay."""
        sql = "INSERT OR REPLACE INTO plans (recipe, plan, revises, created_at) VALUES (?, ?, ?, ?)"
        statements: list[Statement] = [(sql, (plan.recipe, canonical_json(dict(plan.facts)), plan.revises, now()))]
        if changed:
            statements.append(("UPDATE pairs SET status = 'pending' WHERE recipe = ?", (plan.recipe,)))
        await self._write(*statements)


def fact_row(key: str, value: str) -> Statement:
    """The statement that stores a fact."""
    return "INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", (key, value)
