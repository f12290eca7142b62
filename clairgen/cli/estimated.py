"""What `generate --dry-run` prints: calls, tokens and dollars to expect, and where the prices are from."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from clairgen.config.models import RunConfig
    from clairgen.pipeline.estimate import Estimate, RoleEstimate


def print_estimate(config: "RunConfig", run: Path, limit: int | None, *, retry_failed: bool) -> None:
    """Estimate a session and print it; nothing is asked and nothing is written."""
    from rich.console import Console

    from clairgen.cli.signals import run as run_coroutine
    from clairgen.pipeline.estimate import ASSUMED_ANSWER_TOKENS, CHARACTERS_PER_TOKEN, estimate

    found = run_coroutine(estimate(config, run, limit, retry_failed=retry_failed))
    typer.echo(
        f"{found.tasks:,} tasks ({found.duplicates:,} repeated prompts merged, {found.bad_rows:,} bad rows), "
        f"{found.pairs_made:,} pairs made already. Still to ask:"
    )
    if not found.roles:
        typer.echo("Nothing: these recipes take what the data set brings.")
        return
    Console().print(_table(found.roles))
    if not all(role.measured for role in found.roles):
        typer.echo(
            f"Tokens are guessed: {CHARACTERS_PER_TOKEN} characters a token and {ASSUMED_ANSWER_TOKENS} tokens an answer "
            "(max_tokens if lower). Generate a few with --limit 50 first, and they are measured, with low and high ends."
        )
    _tell_prices(found.roles)
    _tell_sum(found, config.budget_usd)


def _table(roles: "Sequence[RoleEstimate]") -> "Table":
    from rich.table import Table

    from clairgen.reporting.sanitize import safe_line

    table = Table(box=None, pad_edge=False)
    for title in ("role", "model"):
        table.add_column(title)
    for title in ("calls", "tokens in", "tokens out", "low", "expected", "high", "at most"):
        table.add_column(title, justify="right", no_wrap=True)
    for role in roles:
        counts = (role.calls, role.prompt_tokens, role.answer_tokens)
        money = (role.low_usd, role.expected_usd, role.high_usd, role.most_usd)
        table.add_row(
            role.role, safe_line(role.model), *(f"{count:,}" for count in counts), *(_dollars(part) for part in money)
        )
    return table


def _tell_prices(roles: "Sequence[RoleEstimate]") -> None:
    from clairgen.reporting.sanitize import plain_line

    for role in roles:
        named = f"{role.role} ({plain_line(role.model)})"
        if role.tariff is None:
            typer.echo(f"No price is known for {named}, so its dollars are not counted; give it price_per_million.")
        elif role.tariff.source != "price_per_million":
            price = role.tariff.price
            typer.echo(
                f"Price of {named}: ${price.input:g} in, ${price.output:g} out per million tokens ({role.tariff.source})"
            )


def _tell_sum(found: "Estimate", budget_usd: float | None) -> None:
    from clairgen.config.prices import dollars

    priced = [role for role in found.roles if role.expected_usd is not None]
    expected = sum(role.expected_usd or 0 for role in priced)
    if priced:
        low = sum(role.low_usd if role.low_usd is not None else role.expected_usd or 0 for role in priced)
        high = sum(role.high_usd if role.high_usd is not None else role.expected_usd or 0 for role in priced)
        between = f", between {_dollars(low)} and {_dollars(high)}" if all(role.measured for role in priced) else ""
        typer.echo(f"Expected: {_dollars(expected)}{between}")
    if budget_usd is not None:
        left = budget_usd - found.spent_usd
        enough = "" if expected <= left else ": not enough for what is expected"
        typer.echo(f"Budget: {dollars(budget_usd)}, of which {dollars(found.spent_usd)} are spent{enough}")


def _dollars(amount: float | None) -> str:
    return "–" if amount is None else f"${amount:,.2f}"
