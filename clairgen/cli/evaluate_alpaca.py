"""`clairgen evaluate alpaca`: a model on AlpacaEval's instructions against their reference outputs."""

from pathlib import Path
from typing import Annotated

import typer

from clairgen.cli.evaluate_pairwise import AnswersOption
from clairgen.cli.evaluation_options import (
    BudgetOption,
    DryRunOption,
    EndpointOption,
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
)
from clairgen.cli.evaluation_runs import evaluate_with_progress, print_summary, run_single
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
from clairgen.reporting.sanitize import plain_line
from clairgen.wording import counted


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
    budget_usd: BudgetOption = None,
    no_budget: NoBudgetOption = False,
    as_json: JsonOption = False,
) -> None:
    """Compare a model with AlpacaEval's reference outputs, which you give, and write its answers in the official form.

    A column instruction_difficulty, if there is one, is part of the length-controlled figure. Another judge than the official
    one, with another prompt, gives other win rates: never put them beside those of the leaderboard.

    Example: clairgen evaluate alpaca alpaca_eval_gpt4_baseline.json --run evals/first --config pairwise.yaml
    """
    from clairgen.evaluation.judged_pairs import Opponent, comparison, given_difficulties
    from clairgen.evaluation.model_outputs import outputs_path, write_model_outputs
    from clairgen.evaluation.planned_evaluation import EvaluateOptions
    from clairgen.evaluation.recorded_outputs import read_outputs, read_prompts

    models = compared_models(
        config, model, endpoint, answers, (judge, judge_model, judge_endpoint, judge_api_key_env),
        revision=revision, api_key_env=api_key_env, temperature=temperature, max_tokens=max_tokens,
    )  # fmt: skip
    rows = read_prompts(file, "instructions")
    reference = read_outputs(file)
    subject = models.model(models.asked)
    name = label or subject.model
    evaluation = comparison(
        "alpaca",
        rows,
        subject,
        Opponent(reference.model, answers=reference.to(rows)),
        models.judge,
        label=name,
        data=file.name,
        seed=models.seed,
        difficulties=given_difficulties(rows),
        template=template,
    )
    options = EvaluateOptions(limit, retry_failed, budget_usd, no_budget, models.configured_usd)
    if dry_run:
        run_single(evaluation, run, options, dry_run=True, as_json=as_json)
        return
    summary = evaluate_with_progress(evaluation, run, options)
    target = outputs or outputs_path(run, name)
    written = run_coroutine(write_model_outputs(target, summary, rows, name))
    if not as_json:
        of = counted(len(rows), "instruction")
        typer.echo(f"{target.name} has the answers to {written:,} of {of}: {plain_line(str(target))}")
    print_summary(summary, as_json=as_json)
