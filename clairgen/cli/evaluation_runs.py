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
from rich.table import Table

from clairgen.cli.display import showing, spent_line
from clairgen.cli.estimate_table import print_requests
from clairgen.cli.evaluation_options import EvaluatedModels
from clairgen.cli.harness_printing import harness_sentences
from clairgen.cli.mixeval_printing import print_mixeval
from clairgen.cli.output import FAILED, progress_stream
from clairgen.cli.signals import run_coroutine, run_drainable
from clairgen.errors import ConfigError
from clairgen.pipeline.progress import Progress
from clairgen.reporting.sanitize import plain_line, safe_line, shortened
from clairgen.wording import counted

if TYPE_CHECKING:
    from clairgen.evaluation.evaluate import EvaluationSummary
    from clairgen.evaluation.planned_evaluation import EvaluateOptions, Evaluation
    from clairgen.evaluation.results import EvaluationResult
    from clairgen.evaluation.shares import Share


def run_evaluations(
    plan: "Callable[[EvaluatedModels, str], Evaluation]",
    models: EvaluatedModels,
    run: Path,
    options: "EvaluateOptions",
    *,
    checkpoints: Path | None,
    label: str | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Evaluate a model, or each checkpoint, by the evaluation that `plan` makes of models and a label; print what came of it."""
    if dry_run and (as_json or checkpoints is not None):
        raise ConfigError("--dry-run prints a table of one model; leave --json and --checkpoints out")
    if checkpoints is None:
        evaluation = plan(models, label or models.roles["target"].model)
        run_single(evaluation, run, options, dry_run=dry_run, as_json=as_json)
        return
    from clairgen.cli.checkpoints import checkpoints_in, evaluate_checkpoints, print_checkpoints

    found = checkpoints_in(checkpoints, label)
    print_checkpoints(evaluate_checkpoints(found, models, plan, run, options), len(found), as_json=as_json)


def run_single(
    evaluation: "Evaluation", run: Path, options: "EvaluateOptions", *, dry_run: bool, as_json: bool
) -> None:
    """Evaluate, or estimate with `dry_run`, and print what came of it."""
    if dry_run and as_json:
        raise ConfigError("--dry-run prints a table; leave --json out")
    if dry_run:
        print_dry_run(evaluation, run, options)
    else:
        print_summary(evaluate_with_progress(evaluation, run, options), as_json=as_json)


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
        if summary.stopped_by is not None or result.count(ItemStatus.FAILED):
            again = ["--retry-failed"] if summary.stopped_by is None else []
            typer.echo(f"Continue with: {plain_line(shlex.join(['clairgen', *_own_arguments(), *again]))}")
        else:
            typer.echo(f"Next: clairgen evaluate show {plain_line(shlex.quote(str(summary.run)))}")
    if summary.stopped_by is not None:
        raise summary.stopped_by
    if result.count(ItemStatus.FAILED):
        raise typer.Exit(FAILED)


def print_result(result: "EvaluationResult") -> None:
    """Print the shares of an evaluation by part and overall, and what has no score, by reason."""
    from clairgen.evaluation.mixeval import MIXEVAL_HARD
    from clairgen.evaluation.results import MEASURES

    record = result.record
    if record.kind == MIXEVAL_HARD:
        print_mixeval(result)
        return
    left = "" if result.complete else f"; {len(result.items):,} of {record.items:,} so far"
    typer.echo(
        f"{plain_line(record.label)}: {plain_line(record.kind)} on {plain_line(record.data)}{left}. Intervals are 95%:"
    )
    table = Table(box=None, pad_edge=False)
    table.add_column("part", overflow="fold")
    for title in ("n", MEASURES.get(record.kind, "score"), "interval"):
        table.add_column(title, justify="right", no_wrap=True)
    for name, share in result.parts.items():
        table.add_row(safe_line(name or "(none)"), *share_cells(share))
    table.add_row("all", *share_cells(result.overall))
    Console().print(table)
    overall = result.overall
    if overall.clusters < overall.n:
        typer.echo(
            f"Intervals count {counted(overall.clusters, 'distinct prompt')}, whose scores depend on each other."
        )
    for sentence in remarks(result):
        typer.echo(sentence)


def share_cells(share: "Share") -> Sequence[str]:
    """n, the share and its interval, in percent."""
    if share.mean is None or share.low is None or share.high is None:
        return ("0", "–", "–")
    return (f"{share.n:,}", f"{100 * share.mean:.1f}%", f"{100 * share.low:.1f}-{100 * share.high:.1f}")


def remarks(result: "EvaluationResult", *, brief: bool = False) -> list[str]:
    """What a reader has to know besides the shares: items without a score, answers in which nothing could be read.

    `brief` is for a table of several evaluations.
    """
    from clairgen.evaluation.harness import HARNESS
    from clairgen.evaluation.judged_pairs import PAIR_KINDS
    from clairgen.evaluation.judged_sentences import pair_sentences
    from clairgen.evaluation.mixeval import MIXEVAL_HARD
    from clairgen.evaluation.mixeval_table import mixeval_sentences

    if result.record.kind == MIXEVAL_HARD:
        return list(map(plain_line, mixeval_sentences(result, brief=brief)))
    if result.record.kind == HARNESS:
        return harness_sentences(result)
    sentences = []
    for (status, why), count in sorted(result.unscored.items(), key=lambda entry: -entry[1]):
        first = next(item for item in result.items if (item.status, item.reason or "") == (status, why))
        said = str(first.detail.get("error", ""))
        sentences.append(
            f"Not counted: {count:,} {status}: {plain_line(why)}{f': {shortened(said, 120)}' if said else ''}"
        )
    if result.record.kind in PAIR_KINDS:
        return [*sentences, *map(plain_line, pair_sentences(result, brief=brief))]
    if result.noted:
        reasons = ", ".join(f"{count:,} {plain_line(why)}" for why, count in result.noted.items())
        sentences.append(f"Scored 0, since nothing could be read in the answer: {reasons}")
    return sentences


def _own_arguments() -> list[str]:
    """The arguments of this command, without those that only hold for one session."""
    return [one for one in sys.argv[1:] if one != "--retry-failed"]
