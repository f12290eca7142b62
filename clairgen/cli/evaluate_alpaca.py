"""`clairgen evaluate alpaca`: a model on AlpacaEval's instructions against their reference outputs."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clairgen.cli.evaluate_pairwise import AnswersOption
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
)
from clairgen.cli.evaluation_runs import evaluate_with_progress, run_evaluations, run_single
from clairgen.cli.judging_options import (
    JudgeEndpointOption,
    JudgeKeyOption,
    JudgeModelOption,
    JudgeOption,
    JudgingConfigOption,
    TemplateOption,
    compared_models,
)
from clairgen.cli.signals import run_coroutine
from clairgen.errors import ConfigError
from clairgen.reporting.sanitize import plain_line
from clairgen.wording import counted

if TYPE_CHECKING:
    from clairgen.evaluation.evaluate import EvaluationSummary
    from clairgen.evaluation.planned_evaluation import Evaluation
    from clairgen.evaluation.recorded_outputs import PromptRow
    from clairgen.evaluation.results import EvaluationResult


def evaluate_alpaca_command(
    file: Annotated[
        Path,
        typer.Argument(
            help="Instructions with reference outputs (instruction, output, generator).", show_default=False
        ),
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
    temperature: TemperatureOption = None,
    max_tokens: MaxTokensOption = None,
    answers: AnswersOption = None,
    judge: JudgeOption = "judge",
    judge_model: JudgeModelOption = None,
    judge_endpoint: JudgeEndpointOption = None,
    judge_api_key_env: JudgeKeyOption = None,
    template: TemplateOption = "judge",
    outputs: Annotated[
        Path | None,
        typer.Option(
            help="Where to write the answers for the official tool; RUN/LABEL/model_outputs.json if left out."
        ),
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
    """Compare a model with AlpacaEval's reference outputs, which you give, and write its answers in the official form.

    A column instruction_difficulty, if there is one, is part of the length-controlled figure. Another judge than the official
    one, with another prompt, gives other win rates: never put them beside those of the leaderboard.

    Example: clairgen evaluate alpaca alpaca_eval_gpt4_baseline.json --run evals/first --config pairwise.yaml
    """
    from clairgen.cli.checkpoints import print_checkpoints
    from clairgen.evaluation.judged_pairs import Opponent, comparison, given_difficulties
    from clairgen.evaluation.planned_evaluation import EvaluateOptions
    from clairgen.evaluation.recorded_outputs import read_outputs, read_prompts

    source = CheckpointSource.named(checkpoints, vllm, vllm_options)
    if outputs is not None and source is not None:
        raise ConfigError(
            "--outputs is one file; with --checkpoints each one has its own, RUN/LABEL/model_outputs.json"
        )
    models = compared_models(
        config, model, endpoint, answers, (judge, judge_model, judge_endpoint, judge_api_key_env),
        checkpoints=checkpoints, revision=revision, api_key_env=api_key_env, temperature=temperature, max_tokens=max_tokens,
    )  # fmt: skip
    rows = read_prompts(file, "instructions")
    reference = read_outputs(file)
    opponent = Opponent(reference.model, answers=reference.to(rows))

    def plan(asked: EvaluatedModels | None, name: str) -> "Evaluation":
        return comparison(
            "alpaca",
            rows,
            models.model(asked),
            opponent,
            models.judge,
            label=name,
            data=file.name,
            seed=models.seed,
            difficulties=given_difficulties(rows),
            template=template,
        )

    def evaluate(evaluation: "Evaluation", run: Path, options: EvaluateOptions) -> "EvaluationSummary":
        summary = evaluate_with_progress(evaluation, run, options)
        _write_outputs(outputs, run, summary.result, rows, evaluation.label, as_json=as_json)
        return summary

    def print_all(results: "Sequence[EvaluationResult]", count: int) -> None:
        for result in results:
            _write_outputs(None, run, result, rows, result.record.label, as_json=as_json)
        print_checkpoints(results, count, as_json=as_json)

    options = EvaluateOptions(limit, retry_failed, budget_usd, no_budget, models.configured_usd, detach=detach)
    if models.asked is None:
        assert models.recorded is not None  # noqa: S101 - one of both is there
        evaluation = plan(None, label or models.recorded.model)
        run_single(evaluation, run, options, dry_run=dry_run, as_json=as_json, evaluate=evaluate)
    else:
        run_evaluations(
            plan, models.asked, run, options, checkpoints=source, label=label, dry_run=dry_run, as_json=as_json,
            evaluate=evaluate if source is None else None, print_all=print_all,
        )  # fmt: skip


def _write_outputs(
    file: Path | None, run: Path, result: "EvaluationResult", rows: "list[PromptRow]", label: str, *, as_json: bool
) -> None:
    """Write the answers for the official tool, and say where, unless that would stand before JSON."""
    from clairgen.evaluation.model_outputs import outputs_path, write_model_outputs

    target = file or outputs_path(run, label)
    written = run_coroutine(write_model_outputs(target, run, result, rows, label))
    if not as_json:
        of = counted(len(rows), "instruction")
        typer.echo(f"{target.name} has the answers to {written:,} of {of}: {plain_line(str(target))}")
