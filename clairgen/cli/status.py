"""`clairgen status`: where a run stands."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from clairgen import verbs
    from clairgen.store import Spent


def status(
    run: Annotated[Path, typer.Argument(help="The run directory.", show_default=False)],
    json: Annotated[bool, typer.Option("--json", help="One JSON object, for scripts.")] = False,
) -> None:
    """Show where a run stands: pairs, failures, answers, tokens and dollars. Works while the run goes on.

    Example: clairgen status runs/first
    """
    from clairgen import verbs
    from clairgen.cli.running import run as run_coroutine

    found = run_coroutine(verbs.status(run))
    if json:
        typer.echo(_json(found))
    else:
        _print(found)


def _json(found: "verbs.Status") -> str:
    import json
    from dataclasses import asdict

    from clairgen.prices import PICODOLLARS

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


def _spent(spent: "Spent") -> str:
    from clairgen.prices import PICODOLLARS, dollars

    unknown = (
        f", and at most {dollars(spent.unsettled / PICODOLLARS)} for {spent.open_calls:,} calls in flight or of unknown outcome"
        if spent.open_calls
        else ""
    )
    return f"Spent: {dollars(spent.settled / PICODOLLARS)}{unknown}, failed tries included"


def _print(found: "verbs.Status") -> None:
    from rich.console import Console
    from rich.table import Table

    from clairgen.reporting.plain import plain_line, safe_line, shortened

    console = Console()
    console.print(safe_line(f"{found.run}: {found.tasks:,} tasks"))
    pairs = Table(box=None, pad_edge=False)
    pairs.add_column("recipe")
    for title in ("made", "kept", "dropped", "failed", "to be made"):
        pairs.add_column(title, justify="right", no_wrap=True)
    for recipe, counts in found.statuses.items():
        made, dropped = counts.get("made", 0), sum(found.dropped.get(recipe, {}).values())
        figures = (made, made - dropped, dropped, counts.get("failed", 0), counts.get("pending", 0))
        pairs.add_row(safe_line(recipe), *(f"{figure:,}" for figure in figures))
    console.print(pairs)
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
        typer.echo(f"\n{_spent(found.spent)}")
    for recipe, reason, count, detail in found.failures:
        typer.echo(f"{count:,} of {recipe} failed: {plain_line(reason)}: {shortened(detail)}")
