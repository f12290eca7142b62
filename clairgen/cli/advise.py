"""`clairgen advise`: which variant of APO fits the pairs of a run?"""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from clairgen.config.models import RunConfig
    from clairgen.pipeline.advise import Advised, AdviseOptions
    from clairgen.pipeline.reward_model import RewardModel

if TYPE_CHECKING:
    from rich.table import Table

    from clairgen.pipeline.advise import Advised, RecipeAdvice
    from clairgen.recipes.compare import Outcome


def advise(
    run: Annotated[Path, typer.Argument(help="The run directory.", show_default=False)],
    recipe: Annotated[
        list[str] | None, typer.Option(help="Only this recipe; may be given again. All if left out.")
    ] = None,
    samples: Annotated[int, typer.Option(min=1, max=1000, help="Fresh answers that each winner is compared with.")] = 1,
    limit: Annotated[
        int | None, typer.Option(min=1, max=2**53, help="Only so many kept pairs a recipe, drawn uniformly.")
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(help="A configuration whose roles go before those saved with the run, such as a judge."),
    ] = None,
    reward_model: Annotated[
        str | None, typer.Option(help="Score with this sequence classifier (folder or hub id) instead of a judge.")
    ] = None,
    per_pair: Annotated[
        bool, typer.Option("--per-pair", help="Keep the choice for each pair, which export writes as `objective`.")
    ] = False,
    budget_usd: Annotated[
        float | None, typer.Option(help="What the run may cost at most, ever; goes before the configuration's.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="A JSON list, one object a recipe, for scripts.")] = False,
) -> None:
    """Compare winners with fresh answers of the target: apo-zero fits where winners are better, apo-down where they are worse.

    Each winner is judged in both orders; a judge whose verdicts disagree calls a tie, which counts half. Run it again after
    anything: only what is missing is asked.

    Example: clairgen advise runs/first --recipe clair --limit 200
    """
    from clairgen.cli.generate import FAILED, check_budget_flag
    from clairgen.config.file import load_config
    from clairgen.pipeline.advise import AdviseOptions

    check_budget_flag(budget_usd)
    brought = load_config(config) if config is not None else None
    options = AdviseOptions(tuple(recipe or ()), samples, limit, per_pair, budget_usd)
    scorer = _loaded(reward_model) if reward_model is not None else None
    found = _shown(run, options, brought, scorer)
    if json:
        typer.echo(advised_json(found))
    else:
        print_advised(found)
    if found.stopped_by is not None:
        raise found.stopped_by
    if found.failed:
        raise typer.Exit(FAILED)


def _loaded(name: str) -> "RewardModel":
    from clairgen_train.reward_model import load_reward_model

    return load_reward_model(name)


def _shown(run: Path, options: "AdviseOptions", brought: "RunConfig | None", scorer: "RewardModel | None") -> "Advised":
    """Advise with progress on stderr; Ctrl-C drains."""
    from rich.console import Console

    from clairgen.cli.progress import shown
    from clairgen.cli.signals import run_drainable
    from clairgen.pipeline.advise import advise as compare_pairs
    from clairgen.pipeline.progress import Progress

    async def work(stop: asyncio.Event) -> "Advised":
        progress = Progress()
        async with shown(progress, Console(stderr=True)):
            return await compare_pairs(run, options, config=brought, reward_model=scorer, progress=progress, stop=stop)

    return run_drainable(work)


_ENDED: "tuple[Callable[[Outcome], bool], ...]" = (
    lambda outcome: outcome == "won",
    lambda outcome: outcome.is_tie,
    lambda outcome: outcome == "lost",
)
_MANY = 0.1  # of the comparisons left out, or half of them flipped with the order: then it is said


def print_advised(found: "Advised") -> None:
    """Print the table and a few sentences for each recipe."""
    from rich.console import Console

    from clairgen.config.prices import dollars
    from clairgen.reporting.sanitize import plain_line, shortened

    if not found.recipes:
        return
    by = plain_line(found.recipes[0].by)
    so_far = ", so far" if found.stopped_by is not None else ""
    typer.echo(f"Winners against fresh answers of the target, by {by}{so_far}; ties count half, intervals are of 95%:")
    Console().print(_table(found))
    for entry in found.recipes:
        name = plain_line(entry.recipe)
        if found.stopped_by is None:
            typer.echo(f"{name}: {reason(entry)}")
        for remark in _remarks(entry):
            typer.echo(f"  {remark}")
        for why, count, detail in entry.failed:
            typer.echo(f"  {count:,} comparisons failed: {plain_line(why)}: {shortened(detail)}")
        if entry.advised is not None:
            counts = ", ".join(
                f"{objective.value if objective else 'no advice'} for {count:,}"
                for objective, count in entry.advised.items()
                if count
            )
            typer.echo(f"  Kept for each pair: {counts}; export writes it as the column `objective`.")
    if money := found.progress.money.spent_usd:
        typer.echo(f"Spent: {dollars(money)}, failed tries included")


def advised_json(found: "Advised") -> str:
    """What was found as a JSON list, an object a recipe."""
    return json.dumps([_object(found, entry) for entry in found.recipes], indent=2)


def reason(entry: "RecipeAdvice") -> str:
    """The objective that fits, or that it is not clear, and why."""
    from clairgen.stats import FEWEST_TASKS

    rate = entry.rate
    if rate.recommendation is not None:
        better = "winners are better than" if rate.recommendation == "apo-zero" else "winners are worse than"
        return f"{rate.recommendation} fits: {better} what the model says"
    if entry.kept < FEWEST_TASKS:
        return f"not clear: {entry.kept} pairs are kept, and {FEWEST_TASKS} are needed to tell; make more"
    if not rate.tasks:
        return "not clear: no comparison came to a verdict"
    if rate.is_small:
        return "not clear: winners and fresh answers are about as good, and more comparisons will hardly tell"
    if rate.more_tasks is None:
        return "not clear: as many were won as lost"
    short = rate.tasks + rate.more_tasks > entry.kept
    beyond = f"; {entry.kept:,} pairs are kept, so try --samples or make more" if short else ""
    return f"not clear: about {rate.more_tasks:,} more tasks would tell if the win rate stays as it is{beyond}"


def _remarks(entry: "RecipeAdvice") -> list[str]:
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
            f"{left_out:,} of {total:,} comparisons are left out ({reasons}): the win rate is that of the rest."
        )
    if flipped > judged / 2:
        remarks.append(
            f"In {flipped:,} of {judged:,} comparisons the verdict changed with the order: the judge goes by the place rather "
            "than the answer; name another one with --config."
        )
    return remarks


def _table(found: "Advised") -> "Table":
    from rich.table import Table

    from clairgen.reporting.sanitize import safe_line

    table = Table(box=None, pad_edge=False)
    table.add_column("recipe")
    for title in ("pairs", "won-tied-lost", "win rate", "interval"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("objective", no_wrap=True)
    for entry in found.recipes:
        rate = entry.rate
        objective = rate.recommendation if found.stopped_by is None else None
        counts = [sum(n for outcome, n in entry.outcomes.items() if wanted(outcome)) for wanted in _ENDED]
        table.add_row(
            safe_line(entry.recipe),
            f"{entry.pairs:,} of {entry.kept:,}",
            "-".join(f"{count:,}" for count in counts),
            "–" if rate.mean is None else f"{rate.mean:.3f}",
            "–" if rate.mean is None else f"{rate.low:.3f}-{rate.high:.3f}",
            objective or "not clear",
        )
    return table


def _object(found: "Advised", entry: "RecipeAdvice") -> dict[str, Any]:
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
        "advised": None
        if entry.advised is None
        else {objective or "none": count for objective, count in entry.advised.items()},
    }
