"""`clairgen evaluate mixeval-hard`: a model, or each checkpoint of a training run, on the user's files of MixEval-Hard."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clairgen.cli.evaluation_options import (
    BudgetOption,
    CheckpointsOption,
    CheckpointSource,
    DetachOption,
    DryRunOption,
    EndpointOption,
    EvaluatedModels,
    JsonOption,
    KeyOption,
    LabelOption,
    LimitOption,
    MaxTokensOption,
    ModelOption,
    NoBudgetOption,
    RetryOption,
    RevisionOption,
    RunOption,
    TemperatureOption,
    VllmOption,
    VllmOptionsOption,
    evaluated_models,
)
from clairgen.cli.evaluation_runs import run_evaluations
from clairgen.cli.judging_options import (
    JudgeEndpointOption,
    JudgeKeyOption,
    JudgeModelOption,
    JudgeOption,
    JudgingConfigOption,
    named_judge,
)
from clairgen.cli.signals import run_coroutine
from clairgen.errors import ConfigError

if TYPE_CHECKING:
    from clairgen.evaluation.planned_evaluation import Evaluation
    from clairgen.evaluation.results import EvaluationResult


def evaluate_mixeval_hard_command(
    files: Annotated[
        list[Path],
        typer.Argument(help="free-form.json and multiple-choice.json of one version, or .jsonl.", show_default=False),
    ],
    run: RunOption,
    config: JudgingConfigOption = None,
    model: ModelOption = None,
    endpoint: EndpointOption = None,
    revision: RevisionOption = None,
    api_key_env: KeyOption = None,
    checkpoints: CheckpointsOption = None,
    vllm: VllmOption = None,
    vllm_options: VllmOptionsOption = "",
    base: Annotated[
        str | None,
        typer.Option("--base", help="With --checkpoints: an evaluation of the directory, whose change is shown."),
    ] = None,
    temperature: TemperatureOption = None,
    max_tokens: MaxTokensOption = None,
    judge: JudgeOption = "judge",
    judge_model: JudgeModelOption = None,
    judge_endpoint: JudgeEndpointOption = None,
    judge_api_key_env: JudgeKeyOption = None,
    judge_attempts: Annotated[
        int, typer.Option(min=1, max=100, help="How often an unreadable judge is asked; once at temperature 0.")
    ] = 3,
    templates: Annotated[
        Path | None, typer.Option(help="A folder with prompts of your own in place of the shipped ones.")
    ] = None,
    label: LabelOption = None,
    limit: LimitOption = None,
    dry_run: DryRunOption = False,
    retry_failed: RetryOption = False,
    detach: DetachOption = False,
    budget_usd: BudgetOption = None,
    no_budget: NoBudgetOption = False,
    as_json: JsonOption = False,
) -> None:
    """Evaluate a model on MixEval-Hard, both splits, with a judge: overall, by split and by benchmark.

    The files are those of the MixEval project, which you have to get there. Judge replies that cannot be read are counted and
    bounded, not guessed. With --checkpoints, the best one is shown with the bias of choosing it.

    Example: clairgen evaluate mixeval-hard free-form.json multiple-choice.json --run evals/mixeval --config models.yaml
    """
    from clairgen.config.evaluated import load_evaluate_config
    from clairgen.evaluation.mixeval import mixeval_evaluation, mixeval_templates
    from clairgen.evaluation.mixeval_questions import read_questions
    from clairgen.evaluation.planned_evaluation import EvaluateOptions

    if base is not None and checkpoints is None:
        raise ConfigError("--base is what the change of --checkpoints is from; name their folder as well")
    source = CheckpointSource.named(checkpoints, vllm, vllm_options)
    loaded = load_evaluate_config(config) if config is not None else None
    of_judge = named_judge(loaded, judge, judge_model, judge_endpoint, judge_api_key_env)
    has_target = loaded is not None and "target" in loaded.models
    asked = evaluated_models(
        config if endpoint is None and (has_target or checkpoints is None) else None, model, endpoint,
        checkpoints=checkpoints, revision=revision, api_key_env=api_key_env, temperature=temperature, max_tokens=max_tokens,
    )  # fmt: skip
    models = EvaluatedModels(
        {"target": asked.roles["target"], "judge": of_judge},
        loaded.seed if loaded is not None else 0,
        loaded.budget_usd if loaded is not None else None,
    )
    questions, prompts = read_questions(files), mixeval_templates(templates)

    def plan(models: EvaluatedModels, label: str) -> "Evaluation":
        data = ", ".join(path.name for path in files)
        return mixeval_evaluation(
            questions,
            models.roles,
            label=label,
            data=data,
            templates=prompts,
            attempts=judge_attempts,
            seed=models.seed,
        )

    options = EvaluateOptions(limit, retry_failed, budget_usd, no_budget, models.configured_usd, detach=detach)
    run_evaluations(
        plan, models, run, options, checkpoints=source, label=label, dry_run=dry_run, as_json=as_json,
        print_all=lambda results, count: _print_checkpoints(results, count, run, base, as_json=as_json),
    )  # fmt: skip


def _print_checkpoints(
    results: "Sequence[EvaluationResult]", count: int, run: Path, base: str | None, *, as_json: bool
) -> None:
    """Print a table of all checkpoints and the best one; leave with FAILED where one is not there, or an item failed."""
    from clairgen.cli.checkpoints import require_complete
    from clairgen.cli.evaluation_tables import print_results
    from clairgen.cli.mixeval_printing import print_best
    from clairgen.evaluation.best_checkpoint import best_checkpoint
    from clairgen.evaluation.mixeval_table import mixeval_json
    from clairgen.evaluation.results import load_results, named_result

    before = named_result(run_coroutine(load_results(run)), base, run) if base is not None else None
    if not as_json:
        print_results(results)
    if results:
        best = best_checkpoint(results, before)
        if as_json:
            found = {"checkpoints": [mixeval_json(result) for result in results], "best": best.to_json()}
            typer.echo(json.dumps(found | {"base": None if before is None else mixeval_json(before)}, indent=2))
        else:
            print_best(best, before)
    require_complete(results, count)
