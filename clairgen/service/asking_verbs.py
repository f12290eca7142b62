"""The verbs that ask models, as jobs: by the functions that the command line calls too."""

import asyncio
from collections.abc import Mapping
from typing import Final

from clairgen.config.file import parse_config
from clairgen.config.models import RunConfig
from clairgen.errors import DetachedError
from clairgen.pipeline.advise import AdviseOptions, advise
from clairgen.pipeline.generate import generate, pairs_in_words
from clairgen.service.evaluation_verbs import EVALUATION_VERBS
from clairgen.service.job_output import noted
from clairgen.service.job_worker import Outcome, Verb, Work
from clairgen.service.request_models import AdviseRequest, GenerateRequest
from clairgen.whole_files import write_whole


async def generate_job(work: Work) -> Outcome:
    """Make the missing pairs of a run."""
    request = await asyncio.to_thread(work.request.prepared, work.policy)
    assert isinstance(request, GenerateRequest)  # noqa: S101 - of this verb
    config = _config(work, request.configuration)
    assert config is not None  # noqa: S101 - it was prepared
    root = work.policy.root
    options = request.session_options(root, work.drain_seconds)
    run = root.run_to_write(request.run).path
    async with noted(work.output) as progress:
        summary = await generate(config, run, options, progress=progress, stop=work.stop, runtime=work.runtime)
    for recipe, reason, count, detail in summary.failures:
        work.output.line(f"{count:,} of {recipe} failed: {reason}: {detail}")
    made = "; ".join(pairs_in_words(summary.statuses, summary.dropped)) or "no recipe"
    if summary.batches:
        made += f"; {summary.batches}: resume this job to collect what they have answered by then"
    is_left = request.detach and isinstance(summary.stopped_by, DetachedError)
    return Outcome.of(made, None if is_left else summary.stopped_by, some_failed=bool(summary.failed))


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
        detach="if-batches",
    )
    async with noted(work.output) as progress:
        run = work.policy.root.path / request.run
        summary = await advise(run, options, config=config, progress=progress, stop=work.stop, runtime=work.runtime)
    fitting = "; ".join(f"{one.recipe}: {one.rate.recommendation or 'not clear'}" for one in summary.recipes)
    return Outcome.of(fitting or "nothing to compare", summary.stopped_by, some_failed=bool(summary.failed))


ASKING_VERBS: Final[Mapping[str, Verb]] = {
    "generate": generate_job,
    "advise": advise_job,
    **EVALUATION_VERBS,
}


def _config(work: Work, text: object) -> RunConfig | None:
    """The configuration of a prepared request, which is written into the job's folder for people and for its command line."""
    if not isinstance(text, str):
        return None
    write_whole(work.folder.config, text)
    return parse_config(text)
