"""`clairgen advise`: which variant of APO fits the pairs of a run?"""

import asyncio
import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from clairgen.cli.display import showing, spent_line
from clairgen.cli.evaluation_options import DetachOption
from clairgen.cli.output import progress_stream
from clairgen.cli.signals import run_drainable
from clairgen.errors import FAILED, DetachedError
from clairgen.pipeline.progress import Progress
from clairgen.reporting.sanitize import plain_line, safe_line, shortened
from clairgen.stats import FEWEST_TASKS
from clairgen.wording import counted

if TYPE_CHECKING:
    from clairgen.config.models import RunConfig
    from clairgen.inference.local_rewards import RewardModel
    from clairgen.pipeline.advise import AdviseOptions, AdviseSummary, RecipeAdvice


_MANY = 0.1  # the share of comparisons left out from which a remark says so


def advise_command(
    run: Annotated[Path, typer.Argument(help="The run directory.", show_default=False)],
    recipe: Annotated[
        list[str] | None, typer.Option(help="Only this recipe; may be repeated. All if left out.")
    ] = None,
    samples: Annotated[int, typer.Option(min=1, max=1000, help="Fresh answers that each winner is compared with.")] = 1,
    limit: Annotated[
        int | None, typer.Option(min=1, max=2**40, help="Only LIMIT kept pairs a recipe, drawn uniformly.")
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(help="A configuration whose roles, such as a judge, override those saved with the run."),
    ] = None,
    reward_model: Annotated[
        str | None, typer.Option(help="Score with this sequence classifier (folder or hub id) instead of a judge.")
    ] = None,
    per_pair: Annotated[
        bool, typer.Option("--per-pair", help="Keep the choice for each pair, which export writes as `objective`.")
    ] = False,
    budget_usd: Annotated[
        float | None,
        typer.Option(help="Most that the run may cost, over all its sessions; the run remembers it."),
    ] = None,
    no_budget: Annotated[bool, typer.Option("--no-budget", help="Lift the run's budget.")] = False,
    detach: DetachOption = False,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON list, one object a recipe, for scripts.")] = False,
) -> None:
    """Compare winners with fresh answers of the target: apo-zero fits where winners are better, apo-down where they are worse.

    Each winner is judged in both orders; a judge whose verdicts disagree declares a tie, which counts half. Run it again at any
    time: only missing answers are requested.

    Example: clairgen advise runs/first --recipe clair --limit 200
    """
    from clairgen.config.file import load_config
    from clairgen.config.renamed import current_recipe
    from clairgen.pipeline.advise import AdviseOptions
    from clairgen.pipeline.budget_limit import NamedBudget
    from clairgen_train.reward_model import load_reward_model

    NamedBudget(budget_usd, no_budget, None).check()
    given = load_config(config) if config is not None else None
    options = AdviseOptions(
        tuple(current_recipe(name, partial(typer.echo, err=True)) for name in recipe or ()),
        samples,
        limit,
        per_pair,
        budget_usd,
        no_budget,
        detach,
    )
    scorer = load_reward_model(reward_model) if reward_model is not None else None
    found = advise_with_progress(run, options, given, scorer)
    if as_json:
        typer.echo(advised_json(found))
    else:
        print_advised(found)
    if isinstance(found.stopped_by, DetachedError):
        typer.echo(plain_line(str(found.stopped_by)), err=as_json)
        return
    if found.stopped_by is not None:
        raise found.stopped_by
    if found.failed:
        raise typer.Exit(FAILED)


def print_advised(found: "AdviseSummary") -> None:
    """Print the table and a few sentences for each recipe."""
    if not found.recipes:
        return
    by = plain_line(found.recipes[0].by)
    so_far = ", so far" if found.stopped_by is not None else ""
    typer.echo(f"Winners against fresh answers of the target, by {by}{so_far}; ties count half, intervals are 95%:")
    Console().print(_table(found))
    for entry in found.recipes:
        name = plain_line(entry.recipe)
        if found.stopped_by is None:
            typer.echo(f"{name}: {reason(entry)}")
        for remark in _remarks(entry):
            typer.echo(f"  {remark}")
        for warning in entry.warnings:
            typer.echo(f"  Warning: {plain_line(warning.sentence)}")
        for why, count, detail in entry.failed:
            typer.echo(f"  {counted(count, 'comparison')} failed: {plain_line(why)}: {shortened(detail)}")
        if entry.advised is not None:
            counts = ", ".join(
                f"{objective.value if objective else 'no advice'} for {count:,}"
                for objective, count in entry.advised.items()
                if count
            )
            typer.echo(f"  Kept for each pair: {counts}; export writes it as the column `objective`.")
    if found.progress.money.has_calls:
        typer.echo(spent_line(found.progress.money))


def advised_json(found: "AdviseSummary") -> str:
    """What was found as a JSON list, an object a recipe."""
    return json.dumps([_object(found, entry) for entry in found.recipes], indent=2)


def reason(entry: "RecipeAdvice") -> str:
    """The objective that fits, or that it is not clear, and why."""
    rate = entry.rate
    if rate.recommendation is not None:
        better = "winners are better than" if rate.recommendation == "apo-zero" else "winners are worse than"
        return f"{rate.recommendation} fits: {better} what the model says"
    if entry.kept < FEWEST_TASKS:
        return (
            f"not clear: of at least {FEWEST_TASKS} pairs that are needed, {entry.kept} passed the filters; make more"
        )
    if not rate.tasks:
        return "not clear: no comparison came to a verdict"
    if rate.is_small:
        return "not clear: winners and fresh answers are about as good, and more comparisons will hardly change that"
    if rate.more_tasks is None:
        return "not clear: as many were won as lost"
    short = rate.tasks + rate.more_tasks > entry.kept
    beyond = f"; only {counted(entry.kept, 'pair')} passed the filters, so try --samples or make more" if short else ""
    return (
        f"not clear: about {counted(rate.more_tasks, 'more task')} would decide if the win rate stays as it is{beyond}"
    )


def advise_with_progress(
    run: Path, options: "AdviseOptions", config: "RunConfig | None", scorer: "RewardModel | None"
) -> "AdviseSummary":
    """Advise with progress on stderr; Ctrl-C drains."""
    from clairgen.pipeline.advise import advise

    async def work(stop: asyncio.Event) -> "AdviseSummary":
        progress = Progress()
        async with showing(progress, Console(file=progress_stream()), stop):
            return await advise(run, options, config=config, reward_model=scorer, progress=progress, stop=stop)

    return run_drainable(work)


def _table(found: "AdviseSummary") -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("recipe")
    for title in ("pairs", "won-tied-lost", "win rate", "interval"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("objective", no_wrap=True)
    for entry in found.recipes:
        rate = entry.rate
        objective = rate.recommendation if found.stopped_by is None else None
        table.add_row(
            safe_line(entry.recipe),
            f"{entry.pairs:,} of {entry.kept:,}",
            "-".join(f"{count:,}" for count in _won_tied_lost(entry)),
            "–" if rate.mean is None else f"{rate.mean:.3f}",
            "–" if rate.mean is None else f"{rate.low:.3f}-{rate.high:.3f}",
            objective or "not clear",
        )
    return table


def _won_tied_lost(entry: "RecipeAdvice") -> tuple[int, int, int]:
    from clairgen.recipes.compare import Outcome

    ties = sum(count for outcome, count in entry.outcomes.items() if outcome.is_tie)
    return entry.outcomes.get(Outcome.WON, 0), ties, entry.outcomes.get(Outcome.LOST, 0)


def _remarks(entry: "RecipeAdvice") -> list[str]:
    """What a reader should know about the comparisons: ties, those left out, a judge with a position bias."""
    from clairgen.recipes.compare import Outcome

    total = sum(entry.outcomes.values())
    left_out = sum(count for outcome, count in entry.outcomes.items() if outcome.is_left_out)
    flipped = entry.outcomes.get(Outcome.TIE_BETWEEN_ORDERS, 0)
    judged = total - left_out - entry.outcomes.get(Outcome.SAME_TEXT, 0)
    ties = [f"{n:,} {outcome}" for outcome, n in sorted(entry.outcomes.items()) if outcome.is_tie]
    remarks = [f"Ties: {', '.join(ties)}."] if ties else []
    if left_out > _MANY * total:
        reasons = ", ".join(f"{n:,} {outcome}" for outcome, n in entry.outcomes.items() if outcome.is_left_out)
        remarks.append(
            f"Left out: {left_out:,} of {counted(total, 'comparison')} ({reasons}); the win rate is that of the rest."
        )
    if flipped > judged / 2:
        remarks.append(
            f"In {flipped:,} of {counted(judged, 'comparison')} the verdict changed with the order: the judge follows the "
            "position rather than the answer; name another judge with --config."
        )
    return remarks


def _object(found: "AdviseSummary", entry: "RecipeAdvice") -> dict[str, Any]:
    rate = entry.rate
    done = found.stopped_by is None
    return {
        "run": str(found.run),
        "recipe": entry.recipe,
        "by": entry.by,
        "complete": done,
        "kept": entry.kept,
        "compared": entry.pairs,
        "outcomes": dict(sorted(entry.outcomes.items())),
        "failed": {why: count for why, count, _ in entry.failed},
        "win_rate": {"mean": rate.mean, "low": rate.low, "high": rate.high, "tasks": rate.tasks},
        "recommendation": rate.recommendation if done else None,
        "more_tasks": rate.more_tasks if done and rate.recommendation is None and not rate.is_small else None,
        "reason": reason(entry) if done else None,
        "warnings": [warning.to_json() for warning in entry.warnings],
        "advised": None
        if entry.advised is None
        else {objective or "none": count for objective, count in entry.advised.items()},
    }
