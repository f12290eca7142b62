"""`clairgen advise`: which variant of APO fits the pairs of a run?"""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from clairgen.config.models import RunConfig
    from clairgen.pipeline.advise import Advised, AdviseOptions
    from clairgen.pipeline.reward_model import RewardModel


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
    from clairgen.cli.advised import advised_json, print_advised
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
