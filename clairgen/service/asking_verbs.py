"""The verbs that ask models, as jobs: by the functions that the command line calls too."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from clairgen.config.evaluated import load_evaluate_config
from clairgen.config.file import parse_config
from clairgen.config.models import RunConfig
from clairgen.errors import ClairgenError, ConfigError, DrainedError
from clairgen.evaluation.checkable_questions import questions_evaluation
from clairgen.evaluation.evaluate import evaluate
from clairgen.evaluation.evaluator import ItemStatus
from clairgen.evaluation.planned_evaluation import EvaluateOptions
from clairgen.evaluation.question_file import QuestionColumns, read_questions
from clairgen.pipeline.advise import AdviseOptions, advise
from clairgen.pipeline.generate import Options, generate, pairs_in_words
from clairgen.pipeline.progress import Progress
from clairgen.service.job_worker import Outcome, Verb, Work
from clairgen.service.request_models import AdviseRequest, GenerateRequest, QuestionsRequest
from clairgen.whole_files import write_whole

_NOTE_SECONDS: Final = 1.0


async def generate_job(work: Work) -> Outcome:
    """Make the missing pairs of a run."""
    request = await asyncio.to_thread(work.request.prepared, work.policy)
    assert isinstance(request, GenerateRequest)  # noqa: S101 - of this verb
    config = _config(work, request.configuration)
    assert config is not None  # noqa: S101 - it was prepared
    root = work.policy.root
    options = Options(
        limit=request.limit,
        retry_failed=request.retry_failed,
        skip_bad_lines=request.skip_bad_lines,
        accept_changes=request.accept_changes,
        reuse=tuple(root.path / one for one in request.reuse),
        drain_seconds=work.drain_seconds,
        budget_usd=request.budget_usd,
        no_budget=request.no_budget,
    )
    run = root.run_to_write(request.run).path
    async with _noted(work) as progress:
        summary = await generate(config, run, options, progress=progress, stop=work.stop, runtime=work.runtime)
    for recipe, reason, count, detail in summary.failures:
        work.output.line(f"{count:,} of {recipe} failed: {reason}: {detail}")
    made = "; ".join(pairs_in_words(summary.statuses, summary.dropped))
    return _outcome(made or "no recipe", summary.stopped_by, some_failed=bool(summary.failed))


async def advise_job(work: Work) -> Outcome:
    """Compare winners with fresh answers of the target."""
    request = await asyncio.to_thread(work.request.prepared, work.policy)
    assert isinstance(request, AdviseRequest)  # noqa: S101 - of this verb
    config = _config(work, request.configuration)
    options = AdviseOptions(
        tuple(request.recipe),
        request.samples,
        request.limit,
        request.per_pair,
        request.budget_usd,
        request.no_budget,
    )
    async with _noted(work) as progress:
        run = work.policy.root.path / request.run
        summary = await advise(run, options, config=config, progress=progress, stop=work.stop, runtime=work.runtime)
    fitting = "; ".join(f"{one.recipe}: {one.rate.recommendation or 'not clear'}" for one in summary.recipes)
    return _outcome(fitting or "nothing to compare", summary.stopped_by, some_failed=bool(summary.failed))


async def questions_job(work: Work) -> Outcome:
    """Ask a model questions and check its answers."""
    request = await asyncio.to_thread(work.request.prepared, work.policy)
    assert isinstance(request, QuestionsRequest) and isinstance(request.configuration, str)  # noqa: S101 - of this verb
    write_whole(work.folder.config, request.configuration)
    models = await asyncio.to_thread(load_evaluate_config, work.folder.config)
    file = Path(request.questions)
    columns = QuestionColumns(rule=request.rule)
    found = await asyncio.to_thread(read_questions, file, columns, skip_bad_rows=request.skip_bad_lines)
    target = models.models.get("target")
    if target is None:
        raise ConfigError("the configuration has no model to evaluate; add models.target")
    evaluation = questions_evaluation(
        found.questions,
        target,
        label=request.label or target.model,
        data=file.name,
        samples=request.samples,
        seed=models.seed,
    )
    options = EvaluateOptions(
        limit=None if request.limit is None else request.limit * request.samples,
        retry_failed=request.retry_failed,
        budget_usd=request.budget_usd,
        no_budget=request.no_budget,
        configured_usd=models.budget_usd,
        drain_seconds=work.drain_seconds,
    )
    async with _noted(work) as progress:
        run = work.policy.root.run_to_write(request.run).path
        summary = await evaluate(evaluation, run, options, progress=progress, stop=work.stop, runtime=work.runtime)
    result = summary.result
    sentence = f"{result.record.label}: {result.overall.words}"
    return _outcome(sentence, summary.stopped_by, some_failed=bool(result.count(ItemStatus.FAILED)))


ASKING_VERBS: Final[Mapping[str, Verb]] = {
    "generate": generate_job,
    "advise": advise_job,
    "evaluate questions": questions_job,
}


def _config(work: Work, text: object) -> RunConfig | None:
    """The configuration of a prepared request, which is written into the job's folder for people and for its command line."""
    if not isinstance(text, str):
        return None
    write_whole(work.folder.config, text)
    return parse_config(text)


def _outcome(sentence: str, stopped_by: ClairgenError | None, *, some_failed: bool) -> Outcome:
    """An outcome that says both what was done and what stopped it."""
    if stopped_by is None:
        return Outcome(sentence, None, some_failed)
    said = sentence if isinstance(stopped_by, DrainedError) else f"{stopped_by} ({sentence})"
    return Outcome(said, stopped_by, some_failed)


@asynccontextmanager
async def _noted(work: Work) -> AsyncIterator[Progress]:
    """Progress whose notes go into the output while work goes on."""
    progress, written = Progress(), 0

    def write() -> None:
        nonlocal written
        for note in progress.notes[written:]:
            work.output.line(note)
        written = len(progress.notes)

    async def write_regularly() -> None:
        while True:
            await asyncio.sleep(_NOTE_SECONDS)
            write()

    writing = asyncio.create_task(write_regularly(), name="notes")
    try:
        yield progress
    finally:
        writing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await writing
        write()
