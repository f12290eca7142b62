"""The steps of `clairgen iterate`: rounds as `generate`, `export`, `train`, `to-gguf` and `evaluate` make them."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clairgen import api
from clairgen.cli.checkpoints import model_revision
from clairgen.cli.evaluation_runs import evaluate_with_progress
from clairgen.cli.generate import generate_with_progress, print_summary
from clairgen.cli.signals import run_coroutine
from clairgen.cli.to_gguf import MatrixType, write_gguf
from clairgen.cli.train import missing_packages, train
from clairgen.config.models import RunConfig
from clairgen.config.prices import PICODOLLARS, dollars
from clairgen.config.role import Role
from clairgen.errors import BudgetError
from clairgen.evaluation.planned_evaluation import EvaluateOptions
from clairgen.evaluation.results import named_result, stored_results
from clairgen.iteration.held_out import HeldOut
from clairgen.iteration.lineage import DataSet, Gain, Model, PairCounts, Round, Score
from clairgen.iteration.round_config import as_target, with_target
from clairgen.iteration.served_command import served_by
from clairgen.pipeline.generate import Options
from clairgen.store import RunDirectory, reading

if TYPE_CHECKING:
    from clairgen.evaluation.results import EvaluationResult
    from clairgen_train.settings import TrainingSettings


@dataclass(frozen=True, slots=True)
class IterateOptions:
    """How rounds are made, besides the configuration; see the flags of `clairgen iterate`.

    `serve` is the command of a model server; without one, `dtype` is that of the GGUF files that are served.
    `training` is a file of training settings or the name of a shipped one, `given` are those that override it. `again` is the
    command that continues the rounds.
    """

    folder: Path
    training: Path | None
    given: Mapping[str, Any]
    held_out: HeldOut | None
    serve: str | None
    dtype: MatrixType
    reuse: tuple[Path, ...]
    skip_bad_lines: bool
    again: str


class CommandSteps:
    """Steps over a configuration with one recipe; see `clairgen.iteration.rounds.Steps`."""

    def __init__(self, config: RunConfig, options: IterateOptions) -> None:
        self._config, self._options = config, options
        self._recipe = config.recipes[0].called

    @contextmanager
    def serving(self, number: int, model: Model) -> Iterator[Role]:
        """The first model as the configuration says, unless there is a command to serve it; others by that, or as GGUF."""
        target, command = self._config.models["target"], self._options.serve
        if command is not None:
            log = self._options.folder / "serve.log"
            with served_by(command, model=model.weights, name=target.model, log=log) as url:
                served = as_target(target, model, url)
                yield served if number else served.model_copy(update={"revision": target.revision})
        elif number == 0:
            yield target
        else:
            yield as_target(target, model, f"gguf:{self._gguf(number, model)}")

    def evaluate(self, number: int, target: Role, parent: Score | None) -> Score:
        """See `Steps`."""
        run = self._options.folder / "evaluation"
        label = f"round {number}" if number else "first model"
        before = None if parent is None else self._result(parent)
        evaluation = self._held_out.evaluation(target, label, self._config.seed, before)
        summary = evaluate_with_progress(evaluation, run, EvaluateOptions(budget_usd=self._budget_left(run)))
        if summary.stopped_by is not None:
            raise summary.stopped_by
        return self._held_out.score(summary.result, before)

    def gain(self, score: Score, parent: Score) -> Gain:
        """See `Steps`."""
        return self._held_out.gain(self._result(score), self._result(parent))

    def generate(self, one: Round, target: Role) -> PairCounts:
        """See `Steps`. Answers of earlier rounds to equal requests are reused."""
        run = self._run(one.number)
        options = Options(
            skip_bad_lines=self._options.skip_bad_lines,
            reuse=self.reused(one.number),
            budget_usd=self._budget_left(run),
        )
        summary = generate_with_progress(with_target(self._config, target), run, options)
        print_summary(summary, again=self._options.again)
        if summary.stopped_by is not None:
            raise summary.stopped_by
        counts = summary.statuses[self._recipe]
        dropped = sum(summary.dropped.get(self._recipe, {}).values())
        made = counts.get("made", 0)
        roles = run_coroutine(api.status(run)).roles
        return PairCounts(
            str(run),
            made,
            made - dropped,
            counts.get("failed", 0),
            {role.role: role.completions - role.reused for role in roles},
            {role.role: role.reused for role in roles},
        )

    def export(self, one: Round) -> DataSet:
        """See `Steps`."""
        out = self._folder(one.number) / "dataset"
        summary = run_coroutine(
            api.export(
                self._run(one.number),
                out,
                recipes=[self._recipe],
                overwrite=True,
                keep_identical=self.training_settings(one.number, one.reference, one.reference).keep_identical,
            )
        )
        return DataSet(str(out), summary.content_hashes[self._recipe], sum(summary.rows[self._recipe].values()))

    def train(self, one: Round, parent: Model) -> Model:
        """See `Steps`. An adapter is merged into its base, so that it can be served and trained on."""
        from clairgen_train import loading_libraries

        out = self._folder(one.number) / "training"
        assert one.data_set is not None  # noqa: S101 - exported before
        train(one.data_set.path, out, self.training_settings(one.number, parent.weights, one.reference))
        weights = self._merged(out) if (out / "adapter_config.json").is_file() else out
        with loading_libraries():  # which training has done
            from clairgen_train.run import free_memory
        free_memory()
        return Model(str(weights), model_revision(weights), str(out))

    def training_settings(self, number: int, parent: str, reference: str) -> "TrainingSettings":
        """The settings of a round's training. Raises ConfigError."""
        from clairgen_train.settings import load_settings

        given = {**self._options.given, "model": parent, "subset": self._recipe}
        given["reference_model"] = None if reference == parent else reference
        if number > 1:
            given["revision"] = None  # which is the first model's
        return load_settings(self._options.training, given)

    def reused(self, number: int) -> tuple[Path, ...]:
        """The runs whose answers a round reuses, the newest first."""
        return (*(self._run(earlier) for earlier in range(number - 1, 0, -1)), *self._options.reuse)

    @property
    def _held_out(self) -> HeldOut:
        if self._options.held_out is None:
            raise ValueError("nothing is held out to evaluate on")
        return self._options.held_out

    def _result(self, score: Score) -> "EvaluationResult":
        run = self._options.folder / "evaluation"
        return named_result(run_coroutine(_results(run)), score.evaluation, run)

    def _merged(self, adapter: Path) -> Path:
        from clairgen_train.merging import merge_adapter

        out = adapter.with_name("merged")
        if not out.exists():  # it is put in place whole
            merge_adapter(str(adapter), out)
        return out

    def _gguf(self, number: int, model: Model) -> Path:
        """The model of a round as a file for the embedded server, which is written and checked unless it is there."""
        file = self._folder(number) / "model.gguf"
        if not file.is_file():
            draft = file.with_name("unchecked.gguf")
            draft.unlink(missing_ok=True)  # of a process that was killed
            write_gguf(Path(model.weights), draft, self._options.dtype)
            draft.rename(file)
        return file

    def _budget_left(self, run: Path) -> float | None:
        """What of the configuration's budget, which holds for all rounds and evaluations together, a run may cost."""
        total = self._config.budget_usd
        if total is None:
            return None
        spent = sum(_spent_usd(other) for other in self._runs() if other != run)
        if spent >= total:
            raise BudgetError(
                f"the budget of {dollars(total)} for all rounds is spent; raise budget_usd in the configuration and run the same "
                "command again",
                2 * total,
            )
        return total - spent

    def _runs(self) -> list[Path]:
        folder = self._options.folder
        return [path.parent for path in (*folder.glob("round-*/run/run.db"), *folder.glob("evaluation/run.db"))]

    def _folder(self, number: int) -> Path:
        return self._options.folder / f"round-{number}"

    def _run(self, number: int) -> Path:
        return self._folder(number) / "run"


def require_training(*, serves_itself: bool) -> None:
    """Raise MissingExtraError where packages are missing that rounds need, before anything is asked."""
    from importlib.util import find_spec

    from clairgen.errors import MissingExtraError

    if missing_packages():
        raise MissingExtraError("Training", "train")
    if serves_itself and find_spec("xllamacpp") is None:
        raise MissingExtraError("The embedded server", "local")


def _spent_usd(run: Path) -> float:
    return run_coroutine(api.snapshot(run)).spent.total / PICODOLLARS


async def _results(run: Path) -> "list[EvaluationResult]":
    async with reading(RunDirectory(run)) as store:
        return await stored_results(store)
