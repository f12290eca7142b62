"""Running an evaluation from the command line: dry run, progress, and what is printed of the result."""

import asyncio
import json
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Console

from clairgen.cli.display import showing, spent_line
from clairgen.cli.estimate_table import print_requests
from clairgen.cli.evaluation_options import CheckpointSource, EvaluatedModels
from clairgen.cli.evaluation_tables import print_result
from clairgen.cli.output import progress_stream
from clairgen.cli.signals import run_coroutine, run_drainable
from clairgen.errors import FAILED, ConfigError, DetachedError
from clairgen.pipeline.progress import Progress
from clairgen.reporting.sanitize import plain_line
from clairgen.wording import counted

if TYPE_CHECKING:
    from clairgen.evaluation.evaluate import EvaluationSummary
    from clairgen.evaluation.planned_evaluation import EvaluateOptions, Evaluation
    from clairgen.evaluation.results import EvaluationResult


def run_evaluations(
    plan: "Callable[[EvaluatedModels, str], Evaluation]",
    models: EvaluatedModels,
    run: Path,
    options: "EvaluateOptions",
    *,
    checkpoints: CheckpointSource | None,
    label: str | None,
    dry_run: bool,
    as_json: bool,
    evaluate: "Callable[[Evaluation, Path, EvaluateOptions], EvaluationSummary] | None" = None,
    print_all: "Callable[[Sequence[EvaluationResult], int], None] | None" = None,
) -> None:
    """Evaluate a model, or each checkpoint, by the evaluation that `plan` makes of models and a label; print what came of it.

    `evaluate` does it, with progress if left out; `print_all` is given the results of checkpoints and how many there should be,
    and prints one table if left out.
    """
    if checkpoints is None:
        evaluation = plan(models, label or models.roles["target"].model)
        run_single(evaluation, run, options, dry_run=dry_run, as_json=as_json, evaluate=evaluate)
        return
    if dry_run:
        raise ConfigError("--dry-run prints a table of one model; leave --checkpoints out")
    if options.detach:
        raise ConfigError(
            "--detach is for one model; leave --checkpoints out, which are served only while they are evaluated"
        )
    from clairgen.cli.checkpoint_servers import checkpoint_server
    from clairgen.cli.checkpoints import checkpoints_in, evaluate_checkpoints, print_checkpoints

    found = checkpoints_in(checkpoints.folder, label)
    server = checkpoint_server(checkpoints, run)
    results = evaluate_checkpoints(
        found, models, plan, run, options, server=server, evaluate=evaluate or evaluate_with_progress
    )
    if print_all is not None:
        print_all(results, len(found))
    else:
        print_checkpoints(results, len(found), as_json=as_json)


def run_single(
    evaluation: "Evaluation",
    run: Path,
    options: "EvaluateOptions",
    *,
    dry_run: bool,
    as_json: bool,
    evaluate: "Callable[[Evaluation, Path, EvaluateOptions], EvaluationSummary] | None" = None,
) -> None:
    """Evaluate, or estimate with `dry_run`, and print what came of it."""
    if dry_run and as_json:
        raise ConfigError("--dry-run prints a table; leave --json out")
    if dry_run:
        print_dry_run(evaluation, run, options)
    else:
        print_summary((evaluate or evaluate_with_progress)(evaluation, run, options), as_json=as_json)


def evaluate_with_progress(evaluation: "Evaluation", run: Path, options: "EvaluateOptions") -> "EvaluationSummary":
    """Evaluate with progress on stderr; Ctrl-C drains."""
    from clairgen.evaluation.evaluate import evaluate

    async def work(stop: asyncio.Event) -> "EvaluationSummary":
        progress = Progress()
        async with showing(progress, Console(file=progress_stream()), stop):
            return await evaluate(evaluation, run, options, progress=progress, stop=stop)

    return run_drainable(work, options.drain_seconds)


def print_dry_run(evaluation: "Evaluation", run: Path, options: "EvaluateOptions") -> None:
    """Estimate an evaluation and print it; nothing is requested and nothing is written."""
    from clairgen.evaluation.dry_run import estimate_evaluation

    found = run_coroutine(estimate_evaluation(evaluation, run, options))
    noun = evaluation.evaluator.noun
    typer.echo(f"{counted(found.items, noun)}, {found.done:,} done already. Still to be requested:")
    print_requests(found.roles, found.answers_found, found.spent, found.budget_usd, what="the others")


def print_summary(summary: "EvaluationSummary", *, as_json: bool) -> None:
    """Print how a session left its evaluation; then raise what stopped it, or leave with FAILED where items failed."""
    from clairgen.evaluation.evaluator import ItemStatus
    from clairgen.evaluation.judged_figures import result_json

    result = summary.result
    if as_json:
        typer.echo(json.dumps(result_json(result), indent=2))
    else:
        print_result(result)
        if summary.progress.money.has_calls:
            typer.echo(spent_line(summary.progress.money))
        if summary.stopped_by is None and not result.count(ItemStatus.FAILED):
            typer.echo(f"Next: clairgen evaluate show {plain_line(shlex.quote(str(summary.run)))}")
        elif not isinstance(summary.stopped_by, DetachedError):
            again = ["--retry-failed"] if summary.stopped_by is None else []
            typer.echo(f"Continue with: {_own_command(*again)}")
    if isinstance(summary.stopped_by, DetachedError):
        typer.echo(f"{plain_line(str(summary.stopped_by))}: {_own_command()}", err=as_json)
        return
    if summary.stopped_by is not None:
        raise summary.stopped_by
    if result.count(ItemStatus.FAILED):
        raise typer.Exit(FAILED)


def _own_command(*further: str) -> str:
    """This command, without what only holds for one session."""
    arguments = [one for one in sys.argv[1:] if one != "--retry-failed"]
    return plain_line(shlex.join(["clairgen", *arguments, *further]))
