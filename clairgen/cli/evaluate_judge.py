"""`clairgen evaluate judge`: how right and how biased a judge is, on pairs of which it is known which answer is better."""

from pathlib import Path
from typing import Annotated

import typer

from clairgen.cli.evaluation_options import (
    BudgetOption,
    DryRunOption,
    JsonOption,
    LabelOption,
    LimitOption,
    NoBudgetOption,
    RetryOption,
    RunOption,
    evaluate_with_progress,
    print_dry_run,
    print_summary,
)
from clairgen.cli.judging_options import (
    JudgeEndpointOption,
    JudgeKeyOption,
    JudgeModelOption,
    JudgeOption,
    JudgingConfigOption,
    named_judge,
)
from clairgen.errors import ConfigError


def evaluate_judge_command(
    file: Annotated[Path, typer.Argument(help="Labelled pairs (.jsonl, .csv, .parquet, .json).", show_default=False)],
    run: RunOption,
    config: JudgingConfigOption = None,
    judge: JudgeOption = "judge",
    judge_model: JudgeModelOption = None,
    judge_endpoint: JudgeEndpointOption = None,
    judge_api_key_env: JudgeKeyOption = None,
    label: LabelOption = None,
    limit: LimitOption = None,
    dry_run: DryRunOption = False,
    retry_failed: RetryOption = False,
    budget_usd: BudgetOption = None,
    no_budget: NoBudgetOption = False,
    as_json: JsonOption = False,
) -> None:
    """Measure a judge on labelled pairs: accuracy, position bias and length bias, each with n and interval.

    Files: RewardBench 2 and pairs exported by clairgen (prompt, chosen, rejected), JudgeBench (question, response_A,
    response_B, label), AlpacaEval's annotations (instruction, output_1, output_2, preference).

    Example: clairgen evaluate judge labelled.jsonl --run evals/first --config pairwise.yaml
    """
    from clairgen.config.evaluated import load_evaluate_config
    from clairgen.evaluation.evaluate import EvaluateOptions
    from clairgen.evaluation.judged_pairs import judge_evaluation
    from clairgen.evaluation.labelled_pairs import read_labelled_pairs

    if dry_run and as_json:
        raise ConfigError("--dry-run prints a table; leave --json out")
    loaded = load_evaluate_config(config) if config is not None else None
    role = named_judge(loaded, judge, judge_model, judge_endpoint, judge_api_key_env)
    evaluation = judge_evaluation(
        read_labelled_pairs(file),
        role,
        label=label or role.model,
        data=file.name,
        seed=loaded.seed if loaded is not None else 0,
    )
    configured = loaded.budget_usd if loaded is not None else None
    options = EvaluateOptions(limit, retry_failed, budget_usd, no_budget, configured)
    if dry_run:
        print_dry_run(evaluation, run, options)
        return
    print_summary(evaluate_with_progress(evaluation, run, options), as_json=as_json)
