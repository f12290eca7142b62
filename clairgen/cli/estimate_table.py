"""What commands print of `--dry-run`: requests, tokens and dollars by role, where prices come from, and what a budget leaves."""

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.table import Table

from clairgen.cli.display import spent_line
from clairgen.reporting.sanitize import plain_line, safe_line
from clairgen.wording import counted

if TYPE_CHECKING:
    from clairgen.pipeline.estimate import RoleEstimate
    from clairgen.store import Spent


def print_requests(
    roles: "Sequence[RoleEstimate]", answers_found: int, spent: "Spent", budget_usd: float | None, *, what: str
) -> None:
    """Print what would be requested of each role; `what` is what needs the answers, such as `these pairs`."""
    from clairgen.pipeline.estimate import ASSUMED_ANSWER_TOKENS, CHARACTERS_PER_TOKEN

    Console().print(_estimate_table(roles))
    if answers_found:
        typer.echo(f"Stored already, and not requested again: {counted(answers_found, 'answer')} that {what} need.")
    if any(role.calls and not role.measured for role in roles):
        typer.echo(
            f"Tokens are guessed: {CHARACTERS_PER_TOKEN} characters a token and {ASSUMED_ANSWER_TOKENS} tokens an answer "
            "(max_tokens if lower). Run a few with --limit 50 first, and they are measured, with low and high ends."
        )
    _print_prices(roles)
    _print_tiers(roles)
    _print_deliveries(roles)
    _print_sum(roles, spent, budget_usd)


def _estimate_table(roles: "Sequence[RoleEstimate]") -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("role")
    table.add_column("model", overflow="fold", min_width=10)
    for title in ("calls", "tokens in", "tokens out", "low", "expected", "high", "at most"):
        table.add_column(title, justify="right", no_wrap=True)
    for role in roles:
        counts = (role.calls, role.prompt_tokens, role.answer_tokens)
        money = (role.low_usd, role.expected_usd, role.high_usd, role.most_usd)
        table.add_row(
            role.role, safe_line(role.model), *(f"{count:,}" for count in counts), *(_cents(part) for part in money)
        )
    return table


def _print_prices(roles: "Sequence[RoleEstimate]") -> None:
    """Print the prices that come from the shipped table, and for which models none is known."""
    from clairgen.config.prices import unpriced_sentence

    unpriced = {role.role: role.model for role in roles if role.price_quote is None}
    if unpriced:
        sentence = plain_line(unpriced_sentence(unpriced))
        typer.echo(f"{sentence[0].upper()}{sentence[1:]}.")
    by_price = defaultdict[str, list[str]](list)
    for role in roles:
        if role.price_quote is not None and role.price_quote.source != "price_per_million":
            price = role.price_quote.price
            quoted = f"${price.input:g} in, ${price.output:g} out per million tokens ({role.price_quote.source})"
            by_price[quoted].append(f"{role.role} ({plain_line(role.model)})")
    for quoted, named in by_price.items():
        typer.echo(f"Price of {', '.join(named)}: {quoted}")


def _print_tiers(roles: "Sequence[RoleEstimate]") -> None:
    """Print what is expected by service tier, for roles whose tiers have different prices."""
    for role in roles:
        if role.calls and role.tiers_usd:
            requested = "standard" if role.service_tier is None else role.service_tier
            tiers = ", ".join(
                f"{tier} {_cents(usd)}{' (configured)' if tier == requested else ''}"
                for tier, usd in sorted(role.tiers_usd.items(), key=lambda one: one[1])
            )
            typer.echo(f"{role.role} by service tier, where the model has it: {tiers} ({role.tiers_source})")


def _print_deliveries(roles: "Sequence[RoleEstimate]") -> None:
    """Print what is expected by the other delivery, for roles of which that is known."""
    for role in roles:
        if not role.calls or role.other_usd is None:
            continue
        expected, other = _cents(role.expected_usd), _cents(role.other_usd)
        if role.delivery == "direct":
            typer.echo(f"In batches (delivery: batch) {role.role} would cost {other} in place of {expected}")
        else:
            typer.echo(f"{role.role} goes in batches, for {expected} in place of {other} directly")


def _print_sum(roles: "Sequence[RoleEstimate]", spent: "Spent", budget_usd: float | None) -> None:
    from clairgen.config.prices import PICODOLLARS, dollars

    priced = [role for role in roles if role.expected_usd is not None]
    expected = sum(role.expected_usd or 0 for role in priced)
    if priced:
        low = sum(role.low_usd if role.low_usd is not None else role.expected_usd or 0 for role in priced)
        high = sum(role.high_usd if role.high_usd is not None else role.expected_usd or 0 for role in priced)
        between = f", between {_cents(low)} and {_cents(high)}" if all(role.measured for role in priced) else ""
        of_what = " of the roles with a price" if len(priced) < len(roles) else ""
        typer.echo(f"Expected{of_what}: {_cents(expected)}{between}")
    if spent.calls:
        typer.echo(spent_line(spent))
    if budget_usd is not None:
        spent_usd = spent.total / PICODOLLARS
        left = budget_usd - spent_usd
        enough = "" if expected <= max(left, 0.0) else ": not enough for what is expected"
        typer.echo(f"Budget: {dollars(budget_usd)}, of which {dollars(spent_usd)} are spent{enough}")


def _cents(amount: float | None) -> str:
    return "–" if amount is None else f"${amount:,.2f}"
