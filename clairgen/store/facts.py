"""Facts of the whole run: its id and versions, how far the tasks were read in, configurations, templates and plans."""

import json
import uuid
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import aiosqlite

from clairgen.keys import canonical_json
from clairgen.store.completions import now
from clairgen.store.writer import Statement
from clairgen.templates import Template


@dataclass(frozen=True, slots=True)
class Plan:
    """What the asks of a recipe are made of, as canonical facts by name; equal facts mean equal asks."""

    recipe: str
    facts: Mapping[str, Any]
    revises: bool


class Facts:
    """Small facts of one run."""

    def __init__(self, reader: aiosqlite.Connection, write: Callable[..., Awaitable[None]]) -> None:
        self._reader = reader
        self._write = write

    async def get(self, key: str) -> str | None:
        """A fact by name."""
        async with self._reader.execute("SELECT value FROM meta WHERE key = ?", (key,)) as cursor:
            row = await cursor.fetchone()
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
        async with self._reader.execute("SELECT yaml FROM configurations ORDER BY id DESC LIMIT 1") as cursor:
            row = await cursor.fetchone()
        return None if row is None else str(row[0])

    async def record_templates(self, templates: Iterable[Template]) -> None:
        """Commit the templates that asks refer to by hash."""
        sql = "INSERT OR IGNORE INTO templates (hash, name, text) VALUES (?, ?, ?)"
        await self._write(*((sql, (template.content_hash, template.name, template.text)) for template in templates))

    async def templates(self) -> list[tuple[str, str]]:
        """Names and hashes of the templates that were used."""
        async with self._reader.execute("SELECT name, hash FROM templates ORDER BY name") as cursor:
            return [(row[0], row[1]) async for row in cursor]

    async def plans(self) -> dict[str, Plan]:
        """Plans by recipe."""
        async with self._reader.execute("SELECT recipe, plan, revises FROM plans ORDER BY recipe") as cursor:
            return {row[0]: Plan(row[0], json.loads(row[1]), bool(row[2])) async for row in cursor}

    async def record_plan(self, plan: Plan) -> None:
        """Commit a recipe's plan."""
        sql = "INSERT OR REPLACE INTO plans (recipe, plan, revises, created_at) VALUES (?, ?, ?, ?)"
        await self._write((sql, (plan.recipe, canonical_json(dict(plan.facts)), plan.revises, now())))


def fact_row(key: str, value: str) -> Statement:
    """The statement that stores a fact."""
    return "INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", (key, value)
