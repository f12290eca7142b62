"""`clairgen evaluate pairwise`: a model or recorded answers against another, by a judge that is shown both orders."""

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
)
from clairgen.cli.evaluation_runs import run_evaluations, run_single
from clairgen.cli.judging_options import (
    JudgeEndpointOption,
    JudgeKeyOption,
    JudgeModelOption,
    JudgeOption,
    JudgingConfigOption,
    TemplateOption,
    compared_models,
)
from clairgen.errors import ConfigError

if TYPE_CHECKING:
    from clairgen.cli.judging_options import ComparedModels
    from clairgen.evaluation.judged_pairs import Opponent
    from clairgen.evaluation.planned_evaluation import Evaluation
    from clairgen.evaluation.recorded_outputs import PromptRow

AnswersOption = Annotated[
    Path | None,
    typer.Option("--answers", help="Recorded answers of the model (prompt and output), in place of asking it."),
]


def evaluate_pairwise_command(
    prompts: Annotated[Path, typer.Argument(help="Prompts (.jsonl, .csv, .parquet, .json).", show_default=False)],
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
    opponent: Annotated[
        Path | None,
        typer.Option("--opponent", help="Recorded answers of the opponent, in place of models.opponent of --config."),
    ] = None,
    judge: JudgeOption = "judge",
    judge_model: JudgeModelOption = None,
    judge_endpoint: JudgeEndpointOption = None,
    judge_api_key_env: JudgeKeyOption = None,
    template: TemplateOption = "judge",
    label: LabelOption = None,
    limit: LimitOption = None,
    dry_run: DryRunOption = False,
    retry_failed: RetryOption = False,
    detach: DetachOption = False,
    budget_usd: BudgetOption = None,
    no_budget: NoBudgetOption = False,
    as_json: JsonOption = False,
) -> None:
    """Compare a model's answers, or recorded ones, with an opponent's: win rate, raw and length-controlled, by one judge.

    The judge is shown both orders. Where lengths or verdicts do not support a length-controlled figure, the reason is printed
    in its place. Measure the judge first, with evaluate judge.

    Example: clairgen evaluate pairwise prompts.jsonl --run evals/first --config pairwise.yaml
    """
    from clairgen.evaluation.judged_pairs import comparison
    from clairgen.evaluation.planned_evaluation import EvaluateOptions
    from clairgen.evaluation.recorded_outputs import read_prompts

    source = CheckpointSource.named(checkpoints, vllm, vllm_options)
    models = compared_models(
        config, model, endpoint, answers, (judge, judge_model, judge_endpoint, judge_api_key_env),
        checkpoints=checkpoints, revision=revision, api_key_env=api_key_env, temperature=temperature, max_tokens=max_tokens,
    )  # fmt: skip
    rows = read_prompts(prompts)
    against = _opponent(opponent, models, rows)
    options = EvaluateOptions(limit, retry_failed, budget_usd, no_budget, models.configured_usd, detach=detach)

    def plan(asked: EvaluatedModels | None, name: str) -> "Evaluation":
        return comparison(
            "pairwise",
            rows,
            models.model(asked),
            against,
            models.judge,
            label=name,
            data=prompts.name,
            seed=models.seed,
            template=template,
        )

    if models.recorded is not None:
        evaluation = plan(None, label or models.recorded.model)
        run_single(evaluation, run, options, dry_run=dry_run, as_json=as_json)
        return
    assert models.asked is not None  # noqa: S101 - without recorded answers
    run_evaluations(plan, models.asked, run, options, checkpoints=source, label=label, dry_run=dry_run, as_json=as_json)


def _opponent(recorded: Path | None, models: "ComparedModels", rows: "list[PromptRow]") -> "Opponent":
    from clairgen.evaluation.judged_pairs import Opponent
    from clairgen.evaluation.recorded_outputs import read_outputs

    if recorded is not None:
        found = read_outputs(recorded)
        return Opponent(found.model, answers=found.to(rows))
    if models.opponent is None:
        raise ConfigError(
            "name what the answers are compared with: --opponent FILE with recorded answers, or models.opponent in --config"
        )
    return Opponent(models.opponent.model, role=models.opponent)
