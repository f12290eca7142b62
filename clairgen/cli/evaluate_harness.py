"""`clairgen evaluate harness`: tasks of lm-evaluation-harness and Inspect, run in an environment of theirs."""

import asyncio
import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from clairgen.cli.display import showing
from clairgen.cli.evaluation_options import (
    ConfigOption,
    EndpointOption,
    JsonOption,
    KeyOption,
    LabelOption,
    ModelOption,
    RevisionOption,
    RunOption,
    evaluated_models,
)
from clairgen.cli.harness_printing import outcomes_json, print_outcomes
from clairgen.cli.output import progress_stream
from clairgen.cli.signals import run_drainable
from clairgen.errors import FAILED
from clairgen.pipeline.progress import Progress
from clairgen.reporting.sanitize import plain_line

if TYPE_CHECKING:
    from clairgen.evaluation.harness import TaskOutcome


def evaluate_harness_command(
    run: RunOption,
    tasks: Annotated[
        str,
        typer.Option(help="Names such as gsm8k,ifeval; inspect:NAME for a task of Inspect.", show_default=False),
    ],
    python: Annotated[
        Path, typer.Option(help="The python of an environment with lm_eval or inspect_ai.", show_default=False)
    ],
    config: ConfigOption = None,
    model: ModelOption = None,
    endpoint: EndpointOption = None,
    revision: RevisionOption = None,
    api_key_env: KeyOption = None,
    label: LabelOption = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first LIMIT questions of each task.")] = None,
    include_path: Annotated[
        Path | None, typer.Option(exists=True, file_okay=False, help="A folder with lm_eval tasks of your own.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Run tasks of lm-evaluation-harness or Inspect in an environment of theirs, and keep what they report.

    The tools ask the model themselves, by their own prompts and sampling; a budget does not count what they spend. A task that
    has ended is not run again.

    Example: clairgen evaluate harness --run evals/basket --tasks gsm8k,ifeval --python harness/bin/python --config models.yaml
    """
    from clairgen.evaluation.harness import run_harness
    from clairgen.evaluation.harness_tools import HarnessOptions, harness_tasks

    models = evaluated_models(
        config, model, endpoint, checkpoints=None, revision=revision, api_key_env=api_key_env, temperature=None
    )
    role = models.roles["target"]
    if config is None:
        role = role.model_copy(update={"temperature": None, "max_tokens": None})
    named = label or role.model
    chosen, options = harness_tasks(tasks), HarnessOptions(python, limit, include_path)

    async def work(stop: asyncio.Event) -> "list[TaskOutcome]":
        progress = Progress()
        async with showing(progress, Console(file=progress_stream()), stop):
            return await run_harness(role, chosen, options, run, label=named, progress=progress, stop=stop)

    outcomes = run_drainable(work)
    if as_json:
        typer.echo(json.dumps(outcomes_json(named, outcomes), indent=2))
    else:
        print_outcomes(named, outcomes)
        typer.echo(f"Next: clairgen evaluate show {plain_line(shlex.quote(str(run)))}")
    if any(outcome.failure is not None for outcome in outcomes):
        raise typer.Exit(FAILED)
