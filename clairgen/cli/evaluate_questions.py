"""`clairgen evaluate questions`: a model's answers to questions, checked by rules against references."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clairgen.cli.evaluation_options import (
    BudgetOption,
    CheckpointsOption,
    CheckpointSource,
    ConfigOption,
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
from clairgen.reporting.sanitize import plain_line
from clairgen.wording import counted

if TYPE_CHECKING:
    from clairgen.evaluation.planned_evaluation import Evaluation
    from clairgen.evaluation.question_file import QuestionFile


def evaluate_questions_command(
    file: Annotated[
        Path, typer.Argument(help="Questions with their right answers (.jsonl, .csv, .parquet).", show_default=False)
    ],
    run: RunOption,
    config: ConfigOption = None,
    model: ModelOption = None,
    endpoint: EndpointOption = None,
    revision: RevisionOption = None,
    api_key_env: KeyOption = None,
    checkpoints: CheckpointsOption = None,
    vllm: VllmOption = None,
    vllm_options: VllmOptionsOption = "",
    temperature: TemperatureOption = None,
    max_tokens: MaxTokensOption = None,
    label: LabelOption = None,
    rule: Annotated[
        str | None,
        typer.Option(help="How to check answers of rows without a rule: exact, numeric, regex, choice, classroom."),
    ] = None,
    tolerance: Annotated[
        float | None,
        typer.Option(min=0, help="For numeric: how far off a number may be; a millionth of it if left out."),
    ] = None,
    column: Annotated[
        str | None, typer.Option(help="The column with the prompt, if it is not prompt or messages.")
    ] = None,
    reference_column: Annotated[
        str | None, typer.Option(help="The column with the right answer, if it is not reference or answer.")
    ] = None,
    part_column: Annotated[
        str | None, typer.Option(help="The column that shares are split by, if it is not part, benchmark or kind.")
    ] = None,
    samples: Annotated[int, typer.Option(min=1, max=1000, help="Answers a question; needs a temperature above 0.")] = 1,
    limit: LimitOption = None,
    skip_bad_lines: Annotated[
        bool, typer.Option("--skip-bad-lines", help="Leave out rows that cannot be checked, and count them.")
    ] = False,
    dry_run: DryRunOption = False,
    retry_failed: RetryOption = False,
    detach: DetachOption = False,
    budget_usd: BudgetOption = None,
    no_budget: NoBudgetOption = False,
    as_json: JsonOption = False,
) -> None:
    """Ask a model questions and check its answers by rules; shares of right answers with their intervals.

    Rules: exact, the whole answer; numeric, its last number; regex, a pattern that is found in it; choice, the letter that it
    chooses; classroom, the result of a classroom question. A row may name its own in a column rule. Nothing is executed.

    Example: clairgen evaluate questions questions.jsonl --run evals/first --endpoint classroom:student --rule classroom
    """
    from clairgen.evaluation.checkable_questions import questions_evaluation
    from clairgen.evaluation.planned_evaluation import EvaluateOptions
    from clairgen.evaluation.question_file import QuestionColumns, read_questions

    source = CheckpointSource.named(checkpoints, vllm, vllm_options)
    models = evaluated_models(
        config,
        model,
        endpoint,
        checkpoints=checkpoints,
        revision=revision,
        api_key_env=api_key_env,
        temperature=temperature,
        max_tokens=max_tokens,
    )
    columns = QuestionColumns(column, reference_column, part_column, rule, tolerance)
    found = read_questions(file, columns, skip_bad_rows=skip_bad_lines)
    _print_bad_rows(found)
    options = EvaluateOptions(
        limit=None if limit is None else limit * samples,
        retry_failed=retry_failed,
        budget_usd=budget_usd,
        no_budget=no_budget,
        configured_usd=models.configured_usd,
        detach=detach,
    )

    def plan(models: EvaluatedModels, label: str) -> "Evaluation":
        target = models.roles["target"]
        return questions_evaluation(
            found.questions, target, label=label, data=file.name, samples=samples, seed=models.seed
        )

    run_evaluations(plan, models, run, options, checkpoints=source, label=label, dry_run=dry_run, as_json=as_json)


def _print_bad_rows(found: "QuestionFile") -> None:
    if found.bad_rows:
        first = found.bad_rows[0]
        typer.echo(
            f"{counted(len(found.bad_rows), 'row')} left out, the first at {plain_line(first.where)}: {plain_line(first.why)}.",
            err=True,
        )
