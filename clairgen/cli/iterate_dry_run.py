"""What `clairgen iterate --dry-run` prints: the rounds to come, their requests by role, and what those may cost."""

from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.table import Table

from clairgen.cli.iterate_steps import CommandSteps, IterateOptions
from clairgen.cli.signals import run_coroutine
from clairgen.config.models import RunConfig
from clairgen.config.prices import dollars
from clairgen.iteration.held_out import HeldOutPrompts, HeldOutQuestions
from clairgen.iteration.lineage import Lineage, Model, read_lineage, require_same
from clairgen.iteration.round_config import as_target, with_target
from clairgen.iteration.round_forecast import RoleForecast, forecast_rounds, rounds_left
from clairgen.iteration.rounds import Plan
from clairgen.pipeline.generate import Options
from clairgen.reporting.sanitize import safe_line
from clairgen.wording import counted


def print_forecast(
    config: RunConfig, steps: CommandSteps, options: IterateOptions, plan: Plan, facts: dict[str, Any]
) -> None:
    """Print what the rounds that are missing would request; nothing is requested and nothing is written."""
    lineage = read_lineage(plan.folder)
    if lineage is not None:
        require_same(lineage, facts, plan.folder)
        if plan.is_over(lineage):
            typer.echo(f"Nothing is left to do: {counted(len(lineage.rounds), 'round')} made.")
            return
    is_next, later = rounds_left(lineage, plan.rounds)
    newest = _newest(lineage, plan.folder)
    number = newest[0] + 1
    next_config = _next_config(config, newest) if is_next else None
    generating = Options(skip_bad_lines=options.skip_bad_lines, reuse=steps.reused(number))
    run = plan.folder / f"round-{number}" / "run"
    found = run_coroutine(forecast_rounds(next_config, run, generating, config, later))
    made = 0 if lineage is None else len(lineage.models) - 1
    stops = ", fewer if one shows no gain" if plan.stops and plan.rounds > made + 1 else ""
    typer.echo(f"{counted(plan.rounds - made, 'round')} to make{stops}. Requests:")
    Console().print(_table(found, number if is_next else None, later))
    _print_evaluation(options, lineage, plan)
    _print_cost(found, config.budget_usd)
    typer.echo(f"Training: {counted(plan.rounds - made, 'run')}, on this machine.")


def _print_evaluation(options: IterateOptions, lineage: Lineage | None, plan: Plan) -> None:
    if options.held_out is None:
        return
    scored = 0 if lineage is None else sum(each.score is not None for each in lineage.models)
    left = counted(plan.rounds + 1 - scored, "model")
    prompts = counted(len(options.held_out.conversations), "held-out prompt")
    if isinstance(options.held_out, HeldOutPrompts):
        typer.echo(
            f"Evaluation: answers to {prompts} of {left}, and two judgements of each but those of the first model."
        )
    else:
        samples = (
            counted(options.held_out.samples, "answer") if isinstance(options.held_out, HeldOutQuestions) else "answers"
        )
        typer.echo(f"Evaluation: {samples} to each of {prompts}, of {left}.")


def _newest(lineage: Lineage | None, folder: Path) -> tuple[int, Model | None]:
    """The newest model with the number of its round; None for the first one."""
    if lineage is None or len(lineage.models) == 1:
        return 0, None
    return len(lineage.models) - 1, lineage.models[-1]


def _next_config(config: RunConfig, newest: tuple[int, Model | None]) -> RunConfig:
    number, model = newest
    if model is None:
        return config
    return with_target(config, as_target(config.models["target"], model, f"gguf:round-{number}/model.gguf"))


def _table(found: list[RoleForecast], number: int | None, later: int) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("role")
    table.add_column("model", overflow="fold", min_width=10)
    titles = [*([f"round {number}"] if number is not None else []), *(["each later, at most"] if later else [])]
    for title in (*titles, "in all, at most"):
        table.add_column(title, justify="right", no_wrap=True)
    for role in found:
        counts = [*([role.next_round] if number is not None else []), *([role.each_later] if later else [])]
        total = role.next_round + later * role.each_later
        table.add_row(role.role, safe_line(role.model), *(f"{count:,}" for count in (*counts, total)))
    return table


def _print_cost(found: list[RoleForecast], budget_usd: float | None) -> None:
    priced = [role for role in found if role.expected_usd is not None]
    unpriced = [f"models.{role.role}" for role in found if role.expected_usd is None]
    expected = sum(role.expected_usd or 0.0 for role in priced)
    without_limit = [f"models.{role.role}" for role in priced if role.most_usd is None]
    most = sum(role.most_usd or 0.0 for role in priced)
    if priced:
        bound = f"; at most {dollars(most)}" if not without_limit else ""
        typer.echo(f"Expected, if nothing of later rounds is reused: {dollars(expected)}{bound}")
    if without_limit:
        typer.echo(f"No upper bound: max_tokens is missing in {', '.join(without_limit)}.")
    if unpriced:
        typer.echo(f"Not counted, since no price is known: {', '.join(unpriced)}.")
    if budget_usd is not None:
        typer.echo(f"Budget for all rounds together: {dollars(budget_usd)}")
