"""`clairgen evaluate judge`: how right and how biased a judge is, on pairs of which it is known which answer is better."""

from pathlib import Path
from typing import Annotated

import typer

from clairgen.cli.evaluation_options import (
    BudgetOption,
    DetachOption,
    DryRunOption,
    JsonOption,
    LabelOption,
    LimitOption,
    NoBudgetOption,
    RetryOption,
    RunOption,
)
from clairgen.cli.evaluation_runs import run_single
from clairgen.cli.judging_options import (
    JudgeEndpointOption,
    JudgeKeyOption,
    JudgeModelOption,
    JudgeOption,
    JudgingConfigOption,
    TemplateOption,
    named_judge,
)
from clairgen.cli.signals import run_coroutine
from clairgen.errors import ConfigError


def evaluate_judge_command(
    run: RunOption,
    file: Annotated[
        Path | None, typer.Argument(help="Labelled pairs (.jsonl, .csv, .parquet, .json).", show_default=False)
    ] = None,
    votes: Annotated[
        Path | None,
        typer.Option(
            help="A run whose pairs people voted on with `clairgen vote`, in place of a file.", show_default=False
        ),
    ] = None,
    config: JudgingConfigOption = None,
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
    """Measure a judge on labelled pairs: accuracy, position bias and length bias, each with n and interval.

    Files: RewardBench 2 and pairs exported by clairgen (prompt, chosen, rejected), JudgeBench (question, response_A,
    response_B, label), AlpacaEval's annotations (instruction, output_1, output_2, preference). With --votes, the pairs of a run
    that people voted on.

    Example: clairgen evaluate judge labelled.jsonl --run evals/first --config pairwise.yaml
    """
    from clairgen.config.evaluated import load_evaluate_config
    from clairgen.evaluation.judged_pairs import judge_evaluation
    from clairgen.evaluation.labelled_pairs import read_labelled_pairs, voted_pairs
    from clairgen.evaluation.planned_evaluation import EvaluateOptions

    if (file is None) == (votes is None):
        raise ConfigError("name what the judge is measured on: a FILE with labelled pairs, or --votes RUN")
    loaded = load_evaluate_config(config) if config is not None else None
    role = named_judge(loaded, judge, judge_model, judge_endpoint, judge_api_key_env)
    if votes is not None:
        labelled, data = run_coroutine(voted_pairs(votes)), f"votes of {votes.resolve().name}"
    else:
        assert file is not None  # noqa: S101 - one of both is given
        labelled, data = read_labelled_pairs(file), file.name
    evaluation = judge_evaluation(
        labelled,
        role,
        label=label or role.model,
        data=data,
        seed=loaded.seed if loaded is not None else 0,
        template=template,
    )
    configured = loaded.budget_usd if loaded is not None else None
    options = EvaluateOptions(limit, retry_failed, budget_usd, no_budget, configured, detach=detach)
    run_single(evaluation, run, options, dry_run=dry_run, as_json=as_json)
