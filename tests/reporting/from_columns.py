"""Reports on runs, or shards as one run, whose figures come from columns, however few pairs they have."""

from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from clairgen.records import StoredPair
from clairgen.reporting.recipe_report import ReportedPart, recipe_report
from clairgen.reporting.report import RecipeReport
from clairgen.store import RunDirectory, reading, summed_counts


async def reports_from_columns(
    runs: Sequence[Path],
    rows: int = 7,
    also: Callable[[StoredPair], None] | None = None,
    sampled_tasks: int | None = None,
) -> list[RecipeReport]:
    """The reports on all recipes of the runs together; a segment has at most so many rows."""
    async with AsyncExitStack() as stack:
        parts = []
        for run in map(RunDirectory, runs):
            store = await stack.enter_async_context(reading(run, snapshot=True))
            columns = await stack.enter_async_context(store.segments.updated(run, store.pairs.cost_usd, rows))
            assert columns is not None
            parts.append(ReportedPart(store, columns))
        statuses = summed_counts([await part.store.pairs.statuses() for part in parts])
        plans = await parts[0].store.metadata.plans()
        return [
            await recipe_report(
                parts, "", name, "treebank", statuses[name], also, revises=plan.revises, sampled_tasks=sampled_tasks
            )
            for name, plan in plans.items()
        ]


def nearly(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """The same, equal to what differs by rounding alone."""
    if isinstance(value, dict):
        return {key: nearly(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [nearly(entry) for entry in value]
    return pytest.approx(value, rel=1e-9, abs=1e-12) if isinstance(value, float) else value
