"""`clairgen status`: where a run stands."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from clairgen import api


def status(
    run: Annotated[Path, typer.Argument(help="The run directory.", show_default=False)],
    json: Annotated[bool, typer.Option("--json", help="One JSON object, for scripts.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Follow the run until it ends, or Ctrl-C.")] = False,
) -> None:
    """Show where a run stands: pairs, failures, answers, tokens and dollars. Works while the run goes on.

    Example: clairgen status runs/first
    """
    from clairgen import api
    from clairgen.cli.signals import run as run_coroutine

    if watch:
        _watch(run)
        return
    found = run_coroutine(api.status(run))
    if json:
        typer.echo(_json(found))
    else:
        _print(found)


def _watch(run: Path) -> None:
    import contextlib

    from rich.console import Console

    from clairgen.cli.signals import run as run_coroutine
    from clairgen.cli.watch import watch

    with contextlib.suppress(KeyboardInterrupt):
        run_coroutine(watch(run, Console()))


def _json(found: "api.Status") -> str:
    import json
    from dataclasses import asdict

    from clairgen.config.prices import PICODOLLARS

    return json.dumps(
        {
            "run": str(found.run),
            "run_id": found.run_id,
            "tasks": found.tasks,
            "duplicates": found.source.duplicates if found.source else 0,
            "bad_rows": found.source.bad_rows if found.source else 0,
            "pairs": found.statuses,
            "dropped": found.dropped,
            "failures": [
                {"recipe": recipe, "reason": reason, "count": count, "detail": detail}
                for recipe, reason, count, detail in found.failures
            ],
            "roles": {
                role.role: {key: value for key, value in asdict(role).items() if key != "role"} for role in found.roles
            },
            "spent_usd": found.spent.settled / PICODOLLARS,
            "unsettled_usd": found.spent.unsettled / PICODOLLARS,
            "unsettled_calls": found.spent.open_calls,
            "filters": found.filters.model_dump(mode="json") if found.filters else None,
        },
        indent=2,
    )


def _print(found: "api.Status") -> None:
    from rich.console import Console
    from rich.table import Table

    from clairgen.cli.pairs_table import pairs_table, spent_line
    from clairgen.reporting.sanitize import plain_line, safe_line, shortened

    console = Console()
    console.print(safe_line(f"{found.run}: {found.tasks:,} tasks"))
    console.print(pairs_table(found.statuses, found.dropped))
    roles = Table(box=None, pad_edge=False)
    roles.add_column("role")
    for title in ("answers", "reused", "tokens in", "tokens out", "dollars"):
        roles.add_column(title, justify="right", no_wrap=True)
    for role in found.roles:
        dollars = "–" if role.cost_usd is None else f"{role.cost_usd:,.2f}"
        counts_of_role = (role.completions, role.reused, role.prompt_tokens, role.completion_tokens)
        roles.add_row(safe_line(role.role), *(f"{count:,}" for count in counts_of_role), dollars)
    console.print()
    console.print(roles)
    if found.spent.calls:
        typer.echo(f"\n{spent_line(found.spent)}")
    for recipe, reason, count, detail in found.failures:
        typer.echo(f"{count:,} of {recipe} failed: {plain_line(reason)}: {shortened(detail)}")
