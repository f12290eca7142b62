"""The Python API without `await`, for scripts and notebooks: each call waits for its end and shows its progress.

    from clairgen import sync

    summary = sync.generate(config, "runs/first")

The work runs in a thread with an event loop of its own, so that a notebook, whose loop is running already, can wait for it too.
An interrupt (Ctrl-C, or the notebook's stop button) lets requests in flight finish and be kept; a second one cancels them.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from clairgen import api
from clairgen.api.waiting import LoopThread, waited, waiting
from clairgen.cli.display import showing
from clairgen.config.models import RunConfig
from clairgen.errors import MissingExtraError
from clairgen.evaluation.checkable_questions import evaluate_questions as _evaluate_questions
from clairgen.inference.local_rewards import RewardModel
from clairgen.pipeline.advise import AdviseOptions, AdviseSummary
from clairgen.pipeline.advise import advise as _advise
from clairgen.pipeline.estimate import CostEstimate
from clairgen.pipeline.estimate import estimate as _estimate
from clairgen.pipeline.generate import Options, Summary
from clairgen.pipeline.generate import generate as _generate
from clairgen.pipeline.import_pairs import ImportOptions, ImportSummary
from clairgen.pipeline.import_pairs import import_pairs as _import_pairs
from clairgen.pipeline.progress import Progress
from clairgen.pipeline.refilter import filter_pairs as _filter_pairs
from clairgen.records import StoredPair
from clairgen.reporting.lint.lint_pairs import lint as _lint
from clairgen.reporting.sanitize import plain_line
from clairgen.wording import counted, one_line_repr

__all__ = [
    "TrainedModel",
    "advise",
    "estimate",
    "evaluate_questions",
    "export",
    "filter_pairs",
    "filters_in_force",
    "generate",
    "import_pairs",
    "lint",
    "pairs",
    "report",
    "status",
    "train",
]

_PAIRS_AT_ONCE = 200


def generate(
    config: RunConfig,
    run: Path | str,
    options: Options | None = None,
    *,
    tasks: Iterable[Any] | None = None,
    show_progress: bool = True,
) -> Summary:
    """Make all pairs of `config` in the run directory `run` that are not made yet, as `clairgen.generate` does.

    `tasks` are given in place of those of the configuration; see `clairgen.with_tasks`.
    """
    given = config if tasks is None else api.with_tasks(config, tasks, run)

    async def work(stop: asyncio.Event) -> Summary:
        async with _shown(stop, show_progress=show_progress) as progress:
            return await _generate(given, run, options, progress=progress, stop=stop)

    return waited(work)


def estimate(
    config: RunConfig, run: Path | str, options: Options | None = None, *, tasks: Iterable[Any] | None = None
) -> CostEstimate:
    """What `generate` would request with the same arguments, and what that would cost, as `clairgen.estimate` says."""
    given = config if tasks is None else api.with_tasks(config, tasks, run)
    return waited(lambda _stop: _estimate(given, run, options))


def advise(
    run: Path | str,
    options: AdviseOptions | None = None,
    *,
    config: RunConfig | None = None,
    reward_model: RewardModel | None = None,
    show_progress: bool = True,
) -> AdviseSummary:
    """Compare the winners of a run with fresh answers of its target, and say which variant of APO fits."""

    async def work(stop: asyncio.Event) -> AdviseSummary:
        async with _shown(stop, show_progress=show_progress) as progress:
            return await _advise(run, options, config=config, reward_model=reward_model, progress=progress, stop=stop)

    return waited(work)


def import_pairs(
    source: Path | str, run: Path | str, options: ImportOptions | None = None, *, show_progress: bool = True
) -> ImportSummary:
    """Import the pairs of a file, folder or hub data set (`hub:owner/name`) into a run, as `clairgen.import_pairs` does.

    What is understood of the source is printed before anything is written.
    """

    def tell(sentence: str) -> None:
        if show_progress:
            print(plain_line(sentence), file=sys.stderr)  # noqa: T201 - it is what is shown

    return waited(lambda stop: _import_pairs(str(source), run, options, tell=tell, stop=stop))


def pairs(run: Path | str, recipe: str | None = None, *, kept: bool = True) -> Iterator[StoredPair]:
    """The made pairs of a run one after another, as `clairgen.pairs` has them; few of them are in memory at a time."""
    with LoopThread() as loop:
        found = api.pairs(run, recipe, kept=kept)
        try:
            while page := loop.wait(_next(found)):
                yield from page
        finally:
            loop.wait(found.aclose())


def train(data: Path | str, out: Path | str, *, config: Path | str | None = None, **settings: Any) -> "TrainedModel":  # noqa: ANN401 - settings are checked by name
    """Train a model on exported pairs under an anchored objective, as `clairgen train` does; call it again to continue.

    `data` is a folder of `export`, a file, owner/name on the hub, or a mixture. `config` is a file of settings, or the name of
    shipped ones such as `laptop`; `settings`, such as `model`, `objective` and `epochs`, go over those. Raises MissingExtraError
    without the packages for training, ConfigError for settings that are wrong.
    """
    from clairgen.cli.train import missing_packages
    from clairgen.cli.train import train as trained
    from clairgen_train.run_folder import RunFolder, read_record
    from clairgen_train.settings import load_settings

    given = {name: str(value) if isinstance(value, Path) else value for name, value in settings.items()}
    loaded = load_settings(None if config is None else Path(config), given)
    if missing_packages():
        raise MissingExtraError("Training", "train")
    trained(str(data), Path(out), loaded)
    figures = read_record(RunFolder(Path(out)).result)
    return TrainedModel(Path(out), loaded.objective.value, figures)


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """A trained model: its folder, the `objective` that it was trained under, and the `figures` of its last step by name."""

    path: Path
    objective: str
    figures: Mapping[str, Any]

    def __repr__(self) -> str:
        return one_line_repr(self, self.path, self.objective, counted(self.figures["steps"], "step"))


evaluate_questions = waiting(_evaluate_questions)
export = waiting(api.export)
filter_pairs = waiting(_filter_pairs)
filters_in_force = waiting(api.filters_in_force)
lint = waiting(_lint)
report = waiting(api.report)
status = waiting(api.status)


async def _next(found: AsyncIterator[StoredPair]) -> list[StoredPair]:
    """The next few pairs; none after the last."""
    page: list[StoredPair] = []
    async for stored in found:
        page.append(stored)
        if len(page) == _PAIRS_AT_ONCE:
            break
    return page


@asynccontextmanager
async def _shown(stop: asyncio.Event, *, show_progress: bool) -> AsyncIterator[Progress]:
    progress = Progress()
    if not show_progress:
        yield progress
        return
    async with showing(progress, Console(stderr=True), stop):
        yield progress
