"""Checkpoints of a training run, evaluated one after the other: each is served in turn, and one table shows all.

The weights of a checkpoint are named by their hash, so one that is evaluated already is neither served nor asked again.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from clairgen.cli.checkpoint_servers import CheckpointServer
from clairgen.cli.evaluation_options import EvaluatedModels
from clairgen.cli.evaluation_tables import print_results
from clairgen.cli.signals import run_coroutine
from clairgen.errors import FAILED, ConfigError, InputError
from clairgen.reporting.sanitize import plain_line

if TYPE_CHECKING:
    from clairgen.evaluation.evaluate import EvaluationSummary
    from clairgen.evaluation.planned_evaluation import EvaluateOptions, Evaluation
    from clairgen.evaluation.results import EvaluationResult

_HASHED = ("config.json", "adapter_config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
_PREFIX = "checkpoint-"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The folder of a model, what tables call it, and the hash of its weights and its tokenizer."""

    path: Path
    label: str
    revision: str


def checkpoints_in(folder: Path, label: str | None = None) -> list[Checkpoint]:
    """The checkpoints of a training run in the order of their steps, then its final model, unless that is one of them.

    Adapters are among them, which vLLM serves and the embedded server does not before they are merged. Raises InputError for a
    folder without any.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; name the output folder of `clairgen train` for --checkpoints")
    steps = [path for path in folder.glob(f"{_PREFIX}*") if path.name.removeprefix(_PREFIX).isdigit() and path.is_dir()]
    steps.sort(key=lambda path: int(path.name.removeprefix(_PREFIX)))
    name = label or folder.resolve().name
    found = [Checkpoint(path, f"{name}/{path.name}", model_revision(path)) for path in steps]
    if any(folder.glob("*.safetensors")):
        final = Checkpoint(folder, name, model_revision(folder))
        same = next((one for one in found if one.revision == final.revision), None)
        if same is None:
            found.append(final)
        else:
            typer.echo(f"The final model is {plain_line(same.label)}.", err=True)
    if not found:
        raise InputError(f"{folder} holds no {_PREFIX}N and no model; name the output folder of `clairgen train`")
    return found


def evaluate_checkpoints(
    checkpoints: Sequence[Checkpoint],
    models: EvaluatedModels,
    plan: Callable[[EvaluatedModels, str], "Evaluation"],
    run: Path,
    options: "EvaluateOptions",
    *,
    server: CheckpointServer,
    evaluate: Callable[["Evaluation", Path, "EvaluateOptions"], "EvaluationSummary"],
) -> "list[EvaluationResult]":
    """Evaluate each checkpoint in the role target of `models`; `plan` makes the evaluation of a model under a label,
    which `evaluate` runs.

    One that cannot be served is one sentence on stderr, and the others go on. Raises what stops an evaluation.
    """
    run_coroutine(_ready(run))
    results = []
    for checkpoint in checkpoints:
        known = plan(models.with_target_at(f"gguf:{checkpoint.path}", checkpoint.revision), checkpoint.label)
        if (result := run_coroutine(_finished(known, run, options))) is not None:
            typer.echo(f"{plain_line(checkpoint.label)} is evaluated already.", err=True)
            results.append(result)
            continue
        try:
            with server.serving(checkpoint.path, checkpoint.revision, models.roles["target"].model) as endpoint:
                served = models.with_target_at(endpoint, checkpoint.revision)
                summary = evaluate(plan(served, checkpoint.label), run, options)
        except (ConfigError, InputError) as error:
            typer.echo(f"{plain_line(checkpoint.label)} is left out: {plain_line(str(error))}", err=True)
            continue
        if summary.stopped_by is not None:
            raise summary.stopped_by
        results.append(summary.result)
    return results


def print_checkpoints(results: "Sequence[EvaluationResult]", count: int, *, as_json: bool) -> None:
    """Print one table of all; leave with FAILED where one of `count` checkpoints is not there, or an item failed."""
    if as_json:
        typer.echo(json.dumps([result.to_json() for result in results], indent=2))
    else:
        print_results(results)
    require_complete(results, count)


def require_complete(results: "Sequence[EvaluationResult]", count: int) -> None:
    """Leave with FAILED where one of `count` checkpoints is not there, or an item failed."""
    from clairgen.evaluation.evaluator import ItemStatus

    if len(results) < count or any(result.count(ItemStatus.FAILED) for result in results):
        raise typer.Exit(FAILED)


async def _ready(run: Path) -> None:
    """Make the run directory, so that files may be put into it."""
    from clairgen.store import RunDirectory, writing

    directory = RunDirectory(run)
    directory.create()
    with directory.locked():
        async with writing(directory):
            pass


async def _finished(evaluation: "Evaluation", run: Path, options: "EvaluateOptions") -> "EvaluationResult | None":
    """The result of an evaluation of which nothing is left to do; None if something is."""
    from clairgen.evaluation.evaluate import stored_result
    from clairgen.store import RunDirectory, reading

    async with reading(RunDirectory(run)) as store:
        result = await stored_result(evaluation, store)
    if result is None:
        return None
    done = sum(item.status in options.finished for item in result.items)
    wanted = result.record.items if options.limit is None else min(options.limit, result.record.items)
    return result if done >= wanted else None


def model_revision(model: Path) -> str:
    """`sha256:` and the hash of the weights and the tokenizer in a folder. Raises InputError where they cannot be read."""
    digest = hashlib.sha256()
    try:
        for path in [
            *sorted(model.glob("*.safetensors")),
            *(model / name for name in _HASHED if (model / name).is_file()),
        ]:
            digest.update(path.name.encode())
            with path.open("rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
    except OSError as error:
        raise InputError(f"{model} cannot be read: {error.strerror}") from error
    return f"sha256:{digest.hexdigest()}"
