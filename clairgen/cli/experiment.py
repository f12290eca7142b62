"""`clairgen experiment`: the paper's Table 2 in miniature, resumable cell by cell."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from clairgen.cli.generate import generate_with_progress, print_summary
from clairgen.cli.output import progress_stream
from clairgen.cli.signals import run_coroutine
from clairgen.errors import DrainedError, MissingExtraError, RunStoppedError
from clairgen.wording import counted

if TYPE_CHECKING:
    from clairgen.experiment.experiment_config import ExperimentConfig
    from clairgen.experiment.experiment_folder import ExperimentFolder

_PACKAGES: Final = {
    "train": ("torch", "transformers", "trl"),
    "local": ("xllamacpp",),
    "report": ("jinja2", "scipy", "vl_convert"),
}
_SECONDS_BETWEEN_LOOKS: Final = 2.0


def experiment_command(
    config: Annotated[
        Path, typer.Argument(help="The configuration (YAML), or paper, which ships with clairgen.", show_default=False)
    ],
    out: Annotated[
        Path, typer.Option("--out", help="The experiment's folder: created if new, else continued.", show_default=False)
    ],
    jobs: Annotated[int, typer.Option(min=1, help="Processes that train and test, each on `--threads` CPUs.")] = 2,
    threads: Annotated[int, typer.Option(min=1, help="Threads of each process.")] = 1,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print how many trainings and answers there are, and how long they take.")
    ] = False,
) -> None:
    """Compare data sets and objectives as the paper's Table 2 does, on models small enough for a CPU.

    Run it again at any time: what is done is kept. The table, a page and a JSON file are in the folder.

    Example: clairgen experiment paper --out paper --jobs 2
    """
    from clairgen.experiment.experiment_config import load_experiment
    from clairgen.experiment.experiment_folder import ExperimentFolder

    for extra, packages in _PACKAGES.items():
        if any(find_spec(package) is None for package in packages):
            raise MissingExtraError("An experiment", extra)
    loaded, folder = load_experiment(_config_file(config)), ExperimentFolder(out)
    _check_training(loaded, folder)
    if dry_run:
        from clairgen.experiment.duration import duration_lines

        folder.require_usable(loaded)
        for line in duration_lines(loaded, folder, jobs):
            typer.echo(line)
        return
    folder.open(loaded)
    with folder.locked():
        _make_pairs(loaded, folder)
        _train_and_test(loaded, folder, jobs, threads)
        _report(loaded, folder)


def _config_file(given: Path) -> Path:
    """The path, or the shipped configuration of that name."""
    from importlib import resources

    if given == Path("paper") and not given.is_file():
        return Path(str(resources.files("clairgen.data"))) / "examples" / "experiment.yaml"
    return given


def _check_training(config: "ExperimentConfig", folder: "ExperimentFolder") -> None:
    """Raise ConfigError now for a setting of training that there is not, rather than in the first cell."""
    from clairgen.cli.experiment_worker import training_settings
    from clairgen.experiment.cells import tuning_cells

    for cell in tuning_cells(config):
        training_settings(config, folder, cell, config.pairs)


def _make_pairs(config: "ExperimentConfig", folder: "ExperimentFolder") -> None:
    """Make the pairs that are missing, and write the data sets once all are there."""
    from clairgen.experiment.pair_sets import run_configs, write_sets
    from clairgen.pipeline.generate import Options

    if folder.sets.is_file():
        return
    for name, run_config in run_configs(config, folder).items():
        summary = generate_with_progress(run_config, folder.run(name), Options())
        print_summary(summary, again="the same command")
        if summary.stopped_by is not None:
            raise summary.stopped_by
    run_coroutine(write_sets(config, folder))


def _train_and_test(config: "ExperimentConfig", folder: "ExperimentFolder", jobs: int, threads: int) -> None:
    """Run the stages: the trainings for the choice, the choice, and what was chosen."""
    from clairgen.experiment.cells import chosen_cells, combinations, tuning_cells
    from clairgen.experiment.experiment_folder import STUDENT
    from clairgen.experiment.learning_rates import chosen_rates, remove_beaten

    rates = folder.choices()
    if rates is None:
        records = [folder.result(cell) for cell in tuning_cells(config)]
        _work(folder, records, "trainings for the choice of learning rates", jobs, threads)
        for combination in combinations(config):
            remove_beaten(config, folder, combination)
        rates = chosen_rates(config, folder)
        folder.save_choices(rates)
    records = [folder.test(STUDENT), *(folder.test(cell.name) for cell in chosen_cells(config, rates))]
    _work(folder, records, "tests of what was chosen", jobs, threads)


def _work(folder: "ExperimentFolder", records: Sequence[Path], what: str, jobs: int, threads: int) -> None:
    """Run workers until all records are there. Raises RunStoppedError when a worker fails, DrainedError on Ctrl-C."""
    left = [record for record in records if not record.is_file()]
    if not left:
        return
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "passive"}
    command = [sys.executable, "-P", "-m", "clairgen.cli.experiment_worker", str(folder.path)]
    with ExitStack() as stack:
        workers = []
        for number in range(min(jobs, len(left))):
            log = stack.enter_context(folder.log(number).open("ab"))
            workers.append(
                stack.enter_context(
                    subprocess.Popen(  # noqa: S603 - our own module, arguments as a list
                        command, stdin=subprocess.PIPE, stdout=log, stderr=log, env=environment, start_new_session=True
                    )
                )
            )
        try:
            _wait(workers, _progress(records, what))
        except KeyboardInterrupt as error:
            raise DrainedError("Stopped; what is done is kept, run the same command to continue.") from error
        finally:
            for worker in workers:
                worker.kill()
    if any(not record.is_file() for record in records):
        raise RunStoppedError(
            f"a worker failed; {folder.log(0)} or its neighbours say why; what is done is kept, run the same command again"
        )


def _wait(workers: "Sequence[subprocess.Popen[bytes]]", show: Callable[[], None]) -> None:
    """Wait for the workers to end, or for the first one that fails, since the others would meet the same."""
    while any(worker.poll() is None for worker in workers) and not any(worker.returncode for worker in workers):
        show()
        time.sleep(_SECONDS_BETWEEN_LOOKS)
    show()


def _progress(records: Sequence[Path], what: str) -> Callable[[], None]:
    """Shows on stderr how many records are there, whenever that changes."""
    stream, seen = progress_stream(), [-1, 0]
    started = time.monotonic()

    def show() -> None:
        done = sum(record.is_file() for record in records)
        if done == seen[0]:
            return
        if seen[0] < 0:
            seen[1] = done
        seen[0] = done
        made = done - seen[1]
        left = (
            f"; about {(time.monotonic() - started) / made * (len(records) - done) / 60:.0f} min left" if made else ""
        )
        stream.write(f"{done:,} of {len(records):,} {what}{left if done < len(records) else ''}\n")
        stream.flush()

    return show


def _report(config: "ExperimentConfig", folder: "ExperimentFolder") -> None:
    from clairgen.experiment.findings import findings_of
    from clairgen.experiment.result_files import write_results

    found = findings_of(config, folder)
    text, files = write_results(folder, found)
    typer.echo(text)
    typer.echo(f"{counted(len(files), 'file')}: " + ", ".join(str(file) for file in files))
