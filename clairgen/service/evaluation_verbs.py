"""Evaluations as jobs: by the functions that the command line calls too."""

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, TypeVar

from clairgen.config.evaluated import OPPONENT, EvaluateConfig, load_evaluate_config
from clairgen.config.role import Role
from clairgen.errors import ConfigError
from clairgen.evaluation.checkable_questions import questions_evaluation
from clairgen.evaluation.evaluate import EvaluationSummary, evaluate
from clairgen.evaluation.evaluator import ItemStatus
from clairgen.evaluation.judged_pairs import Opponent, comparison, given_difficulties, judge_evaluation
from clairgen.evaluation.labelled_pairs import read_labelled_pairs, voted_pairs
from clairgen.evaluation.mixeval import mixeval_evaluation, mixeval_templates
from clairgen.evaluation.mixeval_questions import read_questions as read_mixeval
from clairgen.evaluation.model_outputs import write_model_outputs
from clairgen.evaluation.planned_evaluation import EvaluateOptions, Evaluation
from clairgen.evaluation.question_file import QuestionColumns, read_questions
from clairgen.evaluation.recorded_outputs import RecordedOutputs, read_outputs, read_prompts
from clairgen.service.evaluation_requests import (
    AlpacaRequest,
    EvaluationRequest,
    JudgeRequest,
    MixEvalHardRequest,
    PairwiseRequest,
    QuestionsRequest,
)
from clairgen.service.job_output import noted
from clairgen.service.job_worker import Outcome, Verb, Work
from clairgen.whole_files import write_whole

_Request = TypeVar("_Request", bound=EvaluationRequest)


async def questions_job(work: Work) -> Outcome:
    """Ask a model questions and check its answers."""
    request = await _prepared(work, QuestionsRequest)

    def plan(models: EvaluateConfig) -> Evaluation:
        file, target = Path(request.questions), _role(models, "target")
        found = read_questions(file, QuestionColumns(rule=request.rule), skip_bad_rows=request.skip_bad_lines)
        label = request.label or target.model
        return questions_evaluation(
            found.questions, target, label=label, data=file.name, samples=request.samples, seed=models.seed
        )

    return _outcome(await _evaluated(work, request, plan, request.samples))


async def pairwise_job(work: Work) -> Outcome:
    """Compare answers with those of an opponent."""
    request = await _prepared(work, PairwiseRequest)

    def plan(models: EvaluateConfig) -> Evaluation:
        prompts = read_prompts(Path(request.prompts))
        if request.opponent is not None:
            recorded = read_outputs(Path(request.opponent))
            against = Opponent(recorded.model, answers=recorded.to(prompts))
        else:
            role = _role(models, OPPONENT)
            against = Opponent(role.model, role=role)
        model, name = _compared(models, request.answers)
        return comparison(
            "pairwise",
            prompts,
            model,
            against,
            _role(models, request.judge),
            label=request.label or name,
            data=Path(request.prompts).name,
            seed=models.seed,
            template=request.template,
        )

    return _outcome(await _evaluated(work, request, plan))


async def alpaca_job(work: Work) -> Outcome:
    """Compare a model with AlpacaEval's reference outputs, and write its answers for the official tool."""
    request = await _prepared(work, AlpacaRequest)
    file = Path(request.instructions)
    prompts = await asyncio.to_thread(read_prompts, file, "instructions")

    def plan(models: EvaluateConfig) -> Evaluation:
        reference = read_outputs(file)
        model, name = _compared(models, request.answers)
        return comparison(
            "alpaca",
            prompts,
            model,
            Opponent(reference.model, answers=reference.to(prompts)),
            _role(models, request.judge),
            label=request.label or name,
            data=file.name,
            seed=models.seed,
            difficulties=given_difficulties(prompts),
            template=request.template,
        )

    summary = await _evaluated(work, request, plan)
    label = summary.result.record.label
    target = work.folder.files / "model_outputs.json"
    await write_model_outputs(target, Path(summary.run), summary.result, prompts, label)
    return _outcome(summary)


async def mixeval_hard_job(work: Work) -> Outcome:
    """Evaluate a model on MixEval-Hard."""
    request = await _prepared(work, MixEvalHardRequest)

    def plan(models: EvaluateConfig) -> Evaluation:
        files = [Path(one) for one in request.questions]
        target = _role(models, "target")
        return mixeval_evaluation(
            read_mixeval(files),
            {"target": target, "judge": _role(models, request.judge)},
            label=request.label or target.model,
            data=", ".join(one.name for one in files),
            templates=mixeval_templates(),
            attempts=request.judge_attempts,
            seed=models.seed,
        )

    return _outcome(await _evaluated(work, request, plan))


async def judge_job(work: Work) -> Outcome:
    """Measure a judge on labelled pairs."""
    request = await _prepared(work, JudgeRequest)
    if request.votes is not None:
        labelled, data = await voted_pairs(work.policy.root.path / request.votes), f"votes of {request.votes}"
    else:
        file = Path(request.labelled or "")
        labelled, data = await asyncio.to_thread(read_labelled_pairs, file), file.name

    def plan(models: EvaluateConfig) -> Evaluation:
        judge, template = _role(models, request.judge), request.template
        label = request.label or judge.model
        return judge_evaluation(labelled, judge, label=label, data=data, seed=models.seed, template=template)

    return _outcome(await _evaluated(work, request, plan))


EVALUATION_VERBS: Final[Mapping[str, Verb]] = {
    "evaluate questions": questions_job,
    "evaluate pairwise": pairwise_job,
    "evaluate judge": judge_job,
    "evaluate alpaca": alpaca_job,
    "evaluate mixeval-hard": mixeval_hard_job,
}


async def _prepared(work: Work, kind: type[_Request]) -> _Request:
    request = await asyncio.to_thread(work.request.prepared, work.policy)
    assert isinstance(request, kind) and isinstance(request.configuration, str)  # noqa: S101 - of this verb, and prepared
    write_whole(work.folder.config, request.configuration)
    return request


async def _evaluated(
    work: Work, request: EvaluationRequest, plan: Callable[[EvaluateConfig], Evaluation], samples: int = 1
) -> EvaluationSummary:
    """Do the evaluation that `plan` makes of the models of the configuration, with `samples` items for each question."""
    models = await asyncio.to_thread(load_evaluate_config, work.folder.config)
    evaluation = await asyncio.to_thread(plan, models)
    options = EvaluateOptions(
        limit=None if request.limit is None else request.limit * samples,
        retry_failed=request.retry_failed,
        budget_usd=request.budget_usd,
        no_budget=request.no_budget,
        configured_usd=models.budget_usd,
        drain_seconds=work.drain_seconds,
        detach="if-batches",
    )
    run = work.policy.root.run_to_write(request.run).path
    async with noted(work.output) as progress:
        return await evaluate(evaluation, run, options, progress=progress, stop=work.stop, runtime=work.runtime)


def _role(models: EvaluateConfig, name: str) -> Role:
    if (found := models.models.get(name)) is None:
        known = ", ".join(sorted(models.models)) or "none"
        raise ConfigError(f"the configuration has no model {name!r}; add models.{name}. Its models: {known}")
    return found


def _compared(models: EvaluateConfig, answers: str | None) -> tuple[Role | RecordedOutputs, str]:
    """The recorded answers, or the model that is asked for them, and its name."""
    if answers is None:
        target = _role(models, "target")
        return target, target.model
    recorded = read_outputs(Path(answers))
    return recorded, recorded.model


def _outcome(summary: EvaluationSummary) -> Outcome:
    result = summary.result
    sentence = f"{result.record.label}: {result.overall.words}"
    return Outcome.of(sentence, summary.stopped_by, some_failed=bool(result.count(ItemStatus.FAILED)))
