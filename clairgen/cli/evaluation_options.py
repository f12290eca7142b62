"""What the subcommands of `evaluate` share: options that name a model, running an evaluation, and printing its result."""

import asyncio
import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from clairgen.cli.display import showing, spent_line
from clairgen.cli.estimate_table import print_requests
from clairgen.cli.judged_sentences import pair_sentences
from clairgen.cli.output import FAILED, progress_stream
from clairgen.cli.signals import run_coroutine, run_drainable
from clairgen.config.role import Role
from clairgen.errors import ConfigError
from clairgen.pipeline.progress import Progress
from clairgen.reporting.sanitize import plain_line, safe_line, shortened
from clairgen.wording import counted

if TYPE_CHECKING:
    from clairgen.evaluation.evaluate import EvaluateOptions, Evaluation, EvaluationSummary
    from clairgen.evaluation.results import EvaluationResult
    from clairgen.evaluation.shares import Share

RunOption = Annotated[
    Path,
    typer.Option("--run", help="The directory of evaluations: created if new, else continued.", show_default=False),
]
ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", help="A configuration whose models.target is evaluated; that of a run serves."),
]
ModelOption = Annotated[
    str | None, typer.Option("--model", help="The model's name at --endpoint, in place of --config.")
]
EndpointOption = Annotated[
    str | None, typer.Option("--endpoint", help="A base URL up to /v1, gguf:PATH, or classroom:student.")
]
RevisionOption = Annotated[
    str | None, typer.Option("--revision", help="Names the weights, where they change under one model name.")
]
KeyOption = Annotated[
    str | None, typer.Option("--api-key-env", help="The environment variable with the API key of --endpoint.")
]
TemperatureOption = Annotated[
    float | None, typer.Option("--temperature", min=0, help="Sampling temperature; with --endpoint 0 if left out.")
]
MaxTokensOption = Annotated[
    int | None,
    typer.Option("--max-tokens", min=1, max=10**8, help="Most tokens of an answer; with --endpoint 2048 if left out."),
]
LabelOption = Annotated[str | None, typer.Option("--label", help="What tables call the model; its name if left out.")]
LimitOption = Annotated[int | None, typer.Option("--limit", min=1, max=2**53, help="Only the first LIMIT questions.")]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Print what would be requested and its cost; request nothing.")
]
RetryOption = Annotated[bool, typer.Option("--retry-failed", help="Try failed items again.")]
BudgetOption = Annotated[
    float | None,
    typer.Option("--budget-usd", help="Most that the directory may cost, over all its sessions; it remembers that."),
]
NoBudgetOption = Annotated[bool, typer.Option("--no-budget", help="Lift the directory's budget.")]
JsonOption = Annotated[bool, typer.Option("--json", help="A JSON object, for scripts.")]


@dataclass(frozen=True, slots=True)
class EvaluatedModels:
    """The models of an evaluation by role, the seed of their requests, and the budget that a configuration names."""

    roles: Mapping[str, Role]
    seed: int = 0
    configured_usd: float | None = None

    def __post_init__(self) -> None:
        if "target" not in self.roles:
            raise ConfigError("the configuration has no model to evaluate; add models.target")


def evaluated_models(
    config: Path | None,
    model: str | None,
    endpoint: str | None,
    *,
    revision: str | None = None,
    api_key_env: str | None = None,
    temperature: float | None = None,
    max_tokens: int | None = None,
) -> EvaluatedModels:
    """The models of `config`, or the one at `endpoint`; sampling that is named overrides that of the target.

    Raises ConfigError where both or neither are given.
    """
    from clairgen.config.evaluated import load_evaluate_config, named_model
    from clairgen.config.strict_yaml import validated

    if (config is None) == (endpoint is None):
        raise ConfigError("name the model to evaluate with --config FILE, or with --endpoint URL and --model NAME")
    if endpoint is not None:
        role = named_model(
            endpoint,
            model,
            revision=revision,
            api_key_env=api_key_env,
            temperature=0.0 if temperature is None else temperature,
            max_tokens=max_tokens or 2048,
        )
        return EvaluatedModels({"target": role})
    if model is not None or api_key_env is not None:
        raise ConfigError("--model and --api-key-env go with --endpoint; with --config, give both in the file")
    assert config is not None  # noqa: S101 - exactly one is given
    loaded = load_evaluate_config(config)
    found = EvaluatedModels(loaded.models, loaded.seed, loaded.budget_usd)
    changes = {"revision": revision, "temperature": temperature, "max_tokens": max_tokens}
    given = {name: value for name, value in changes.items() if value is not None}
    target = validated(found.roles["target"].model_dump() | given, Role, "models.target")
    return EvaluatedModels({**found.roles, "target": target}, found.seed, found.configured_usd)


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
    from clairgen.evaluation.results import MEASURES

    record = result.record
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


def remarks(result: "EvaluationResult") -> list[str]:
    """What a reader has to know besides the shares: items without a score, answers in which nothing could be read."""
    from clairgen.evaluation.judged_pairs import PAIR_KINDS

    sentences = []
    for (status, why), count in sorted(result.unscored.items(), key=lambda entry: -entry[1]):
        first = next(item for item in result.items if (item.status, item.reason or "") == (status, why))
        said = str(first.detail.get("error", ""))
        sentences.append(
            f"Not counted: {count:,} {status}: {plain_line(why)}{f': {shortened(said, 120)}' if said else ''}"
        )
    if result.record.kind in PAIR_KINDS:
        return [*sentences, *pair_sentences(result)]
    if result.noted:
        reasons = ", ".join(f"{count:,} {plain_line(why)}" for why, count in result.noted.items())
        sentences.append(f"Scored 0, since nothing could be read in the answer: {reasons}")
    return sentences


def _own_arguments() -> list[str]:
    """The arguments of this command, without those that only hold for one session."""
    return [one for one in sys.argv[1:] if one != "--retry-failed"]
