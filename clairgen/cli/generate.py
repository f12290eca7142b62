"""`clairgen generate`: make the missing pairs of a run, or estimate what they would cost."""

import asyncio
import shlex
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from clairgen.cli.display import pairs_table, showing, spent_line
from clairgen.cli.output import FAILED, progress_stream
from clairgen.cli.signals import SECONDS_TO_DRAIN, run_coroutine, run_drainable
from clairgen.errors import BudgetError
from clairgen.pipeline.progress import Progress
from clairgen.reporting.sanitize import plain_line, plain_text, safe_line, shortened
from clairgen.wording import counted

if TYPE_CHECKING:
    from clairgen.config.models import RunConfig
    from clairgen.pipeline.estimate import CostEstimate, RoleEstimate
    from clairgen.pipeline.generate import Options, Summary


def generate_command(
    config: Annotated[Path, typer.Argument(help="The configuration (YAML).", show_default=False)],
    run: Annotated[
        Path, typer.Option("--run", help="The run directory: created if new, else continued.", show_default=False)
    ],
    limit: Annotated[int | None, typer.Option(min=1, max=2**53, help="Only the first LIMIT tasks of the run.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be requested and its cost; request nothing.")
    ] = False,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Try failed tasks again.")] = False,
    budget_usd: Annotated[
        float | None,
        typer.Option(help="Most that the run may cost, over all its sessions; the run remembers it."),
    ] = None,
    no_budget: Annotated[bool, typer.Option("--no-budget", help="Lift the run's budget.")] = False,
    reuse: Annotated[
        list[Path] | None,
        typer.Option(help="Another run whose answers to equal requests are reused; may be repeated."),
    ] = None,
    skip_bad_lines: Annotated[bool, typer.Option("--skip-bad-lines", help="Skip rows that hold no task.")] = False,
    accept_changes: Annotated[
        bool, typer.Option("--accept-changes", help="Continue with a configuration that changes the requests.")
    ] = False,
    log_texts: Annotated[
        bool, typer.Option("--log-texts", help="Write prompts and answers into run.log as well.")
    ] = False,
    drain_seconds: Annotated[
        float, typer.Option(min=0, max=86_400, help="After Ctrl-C: how long requests in flight may take to finish.")
    ] = SECONDS_TO_DRAIN,
) -> None:
    """Make preference pairs. Run it again at any time: only missing answers are requested.

    Example: clairgen generate config.yaml --run runs/first --limit 100
    """
    from clairgen.config.file import load_config
    from clairgen.pipeline.generate import Options

    loaded = load_config(config)
    options = Options(
        limit=limit,
        retry_failed=retry_failed,
        skip_bad_lines=skip_bad_lines,
        accept_changes=accept_changes,
        reuse=tuple(reuse or ()),
        log_texts=log_texts,
        drain_seconds=drain_seconds,
        budget_usd=budget_usd,
        no_budget=no_budget,
    )
    if dry_run:
        print_estimate(loaded, run, options)
        return
    summary = generate_with_progress(loaded, run, options)
    print_summary(summary, again=_again(config, run, options, summary))
    if summary.stopped_by is not None:
        raise summary.stopped_by
    if summary.failed:
        raise typer.Exit(FAILED)


def generate_with_progress(config: "RunConfig", run: Path, options: "Options") -> "Summary":
    """Generate with progress on stderr; Ctrl-C drains."""
    from clairgen.pipeline.generate import generate

    async def work(stop: asyncio.Event) -> "Summary":
        progress = Progress()
        async with showing(progress, Console(file=progress_stream()), stop):
            return await generate(config, run, options, progress=progress, stop=stop)

    return run_drainable(work, options.drain_seconds)


def print_summary(summary: "Summary", again: str) -> None:
    """Print how a session left its run; `again` is the command that continues it."""
    from clairgen.pipeline.failures import retry_sentences

    tasks = summary.tasks
    if tasks.duplicates:
        typer.echo(f"{counted(tasks.duplicates, 'row')} that repeated a prompt of the run: merged with it.")
    if tasks.bad_rows:
        typer.echo(
            f"{counted(tasks.bad_rows, 'row')} without a task: skipped, the first at {plain_line(tasks.first_bad or '')}."
        )
    if tasks.doubts:
        typer.echo(
            f"{counted(tasks.doubts, 'row')} with a recorded score that is not used, the first at "
            f"{plain_line(tasks.first_doubt or '')}; name another with `scores` under `tasks` if the data set has one."
        )
    Console().print(pairs_table(summary.statuses, summary.dropped))
    for recipe, dropped in summary.dropped.items():
        reasons = ", ".join(f"{count:,} {plain_line(reason)}" for reason, count in dropped.items())
        typer.echo(f"Dropped of {plain_line(recipe)}: {reasons}")
    if summary.progress.money.has_calls:
        typer.echo(spent_line(summary.progress.money))
    for recipe, reason, count, detail in summary.failures:
        typer.echo(f"{count:,} of {plain_line(recipe)} failed: {plain_line(reason)}: {shortened(detail)}")
    by_reason = Counter[str]()
    for _, reason, count, _ in summary.failures:
        by_reason[reason] += count
    for sentence in retry_sentences(by_reason, again):
        typer.echo(plain_line(sentence))
    if summary.stopped_by is not None:
        typer.echo(f"Continue with: {plain_line(again)}")
    else:
        typer.echo(f"Next: clairgen report {plain_line(shlex.quote(str(summary.run)))}")


def print_estimate(config: "RunConfig", run: Path, options: "Options") -> None:
    """Estimate a session and print it; nothing is requested and nothing is written."""
    from clairgen.pipeline.estimate import ASSUMED_ANSWER_TOKENS, CHARACTERS_PER_TOKEN, estimate

    found = run_coroutine(estimate(config, run, options))
    for note in found.notes:
        typer.echo(f"Note: {plain_text(note)}", err=True)
    typer.echo(
        f"{counted(found.tasks, 'task')} ({counted(found.duplicates, 'repeated prompt')} merged, "
        f"{counted(found.bad_rows, 'bad row')}), {counted(found.pairs_made, 'pair')} made already. Still to be requested:"
    )
    if not found.roles:
        typer.echo("Nothing: these recipes use the answers that the data set contains.")
        return
    Console().print(_estimate_table(found.roles))
    if found.answers_found:
        typer.echo(
            f"Stored already, and not requested again: {counted(found.answers_found, 'answer')} that these pairs need."
        )
    if any(role.calls and not role.measured for role in found.roles):
        typer.echo(
            f"Tokens are guessed: {CHARACTERS_PER_TOKEN} characters a token and {ASSUMED_ANSWER_TOKENS} tokens an answer "
            "(max_tokens if lower). Generate a few with --limit 50 first, and they are measured, with low and high ends."
        )
    _print_prices(found.roles)
    _print_sum(found)


def _again(config: Path, run: Path, options: "Options", summary: "Summary") -> str:
    """The command that continues a run, quoted for a shell; with a budget that can go on, if the budget stopped it."""
    from clairgen.config.prices import plain_figure

    stopped_by = summary.stopped_by
    budget_usd = stopped_by.enough_usd if isinstance(stopped_by, BudgetError) else options.budget_usd
    command = ["clairgen", "generate", str(config), "--run", str(run)]
    command += ["--limit", str(options.limit)] if options.limit is not None else []
    command += ["--budget-usd", plain_figure(budget_usd)] if budget_usd is not None else []
    command += ["--drain-seconds", f"{options.drain_seconds:g}"] if options.drain_seconds != SECONDS_TO_DRAIN else []
    command += ["--skip-bad-lines"] if options.skip_bad_lines else []
    for other in options.reuse:
        command += ["--reuse", str(other)]
    return shlex.join(command)


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


def _print_sum(found: "CostEstimate") -> None:
    from clairgen.config.prices import dollars

    priced = [role for role in found.roles if role.expected_usd is not None]
    expected = sum(role.expected_usd or 0 for role in priced)
    if priced:
        low = sum(role.low_usd if role.low_usd is not None else role.expected_usd or 0 for role in priced)
        high = sum(role.high_usd if role.high_usd is not None else role.expected_usd or 0 for role in priced)
        between = f", between {_cents(low)} and {_cents(high)}" if all(role.measured for role in priced) else ""
        of_what = " of the roles with a price" if len(priced) < len(found.roles) else ""
        typer.echo(f"Expected{of_what}: {_cents(expected)}{between}")
    if found.spent.calls:
        typer.echo(spent_line(found.spent))
    if found.budget_usd is not None:
        left = found.budget_usd - found.spent_usd
        enough = "" if expected <= max(left, 0.0) else ": not enough for what is expected"
        typer.echo(f"Budget: {dollars(found.budget_usd)}, of which {dollars(found.spent_usd)} are spent{enough}")


def _cents(amount: float | None) -> str:
    return "–" if amount is None else f"${amount:,.2f}"
