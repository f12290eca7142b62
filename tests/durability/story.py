"""What is lived through under kills: a run from its first task to its data set, and the migration of an old one."""

import shutil
import sqlite3
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import yaml

from clairgen.store import RunDirectory
from tests.durability.invariants import contents, differences, dump, files, is_whole, lost, snapshot
from tests.durability.provider import config_text, write_tasks
from tests.durability.trial import PICODOLLARS, Durations, Trial

_FILTERS: Final = (("--length-ratio", "0.9:1.2"), ("--length-ratio", "0.5:", "--mark", "near_duplicate"))
_WIDE_USD: Final = 50.0
_OLD_RUN: Final = Path(__file__).parents[1] / "store" / "schema_2"
_COPIES: Final = 3000
"""Rows that an old run is given, so that its migration takes a while."""

Files = Mapping[str, str]
"""A data set: the hashes of its files."""


@dataclass(frozen=True, slots=True)
class Undisturbed:
    """The run without a kill: what it holds at the end, its data set before and after each change of filters, and its bill."""

    contents: dict[str, set[tuple[Any, ...]]]
    data_sets: tuple[Files, ...]
    picodollars: int
    durations: Durations


async def undisturbed_run(trial: Trial, tasks: int) -> Undisturbed:
    """Live a run of so many tasks without a kill."""
    data_sets: list[Files] = []
    work: dict[str, float] = {}
    async with trial.serving() as url:
        generate = _prepared(trial, url, tasks)
        start = time.monotonic()
        await trial.watched("migrate", trial.folder, codes=(2,))
        startup = time.monotonic() - start
        trial.budget_usd = _WIDE_USD
        await trial.watched(*generate, "--budget-usd", str(_WIDE_USD), codes=(1,))
        trial.provider.lenient = True
        await trial.watched(*generate, "--retry-failed")
        for command in (*_filters(trial), ("reparse", trial.run, "--all"), ("export", trial.run, trial.out)):
            if command[0] != "export":
                data_sets.append(await _data_set(trial))
            start = time.monotonic()
            await trial.watched(*command)
            work[str(command[0])] = max(0.05, time.monotonic() - start - startup)
    if files(trial.out) != data_sets[-1] or data_sets[0] == data_sets[1] or data_sets[1] == data_sets[2]:
        trial.violated(["the data sets are not as they should be"], "undisturbed")
    return Undisturbed(
        contents(trial.run / "run.db"), tuple(data_sets), trial.provider.picodollars, Durations(startup, work)
    )


async def killed_run(trial: Trial, tasks: int, kills: int, undisturbed: Undisturbed) -> None:
    """Live the same run with so many kills, and compare it with the undisturbed one."""
    trial.provider.faults, trial.provider.seconds = 0.04, (0.01, 0.15)
    before, narrower, last = undisturbed.data_sets
    async with trial.serving() as url:
        generate = _prepared(trial, url, tasks)
        trial.budget_usd = 0.5 * undisturbed.picodollars / PICODOLLARS
        await trial.through(0.25 * kills, *generate, "--budget-usd", f"{trial.budget_usd:.9f}", codes=(2,))
        trial.budget_usd = _WIDE_USD
        await trial.through(0.2 * kills, *generate, "--budget-usd", str(_WIDE_USD), codes=(1,))
        trial.provider.lenient = True
        await trial.through(0.1 * kills, *generate, "--retry-failed")
        for command, data_sets in zip(_filters(trial), ((before, narrower), (narrower, last)), strict=True):
            await trial.through(0.1 * kills, *command, check=partial(trial.export_is_one_of, data_sets))
        check = partial(trial.export_is_one_of, (last,))
        await trial.through(0.1 * kills, "reparse", trial.run, "--all", check=check)

        async def whole() -> Iterable[str]:
            return is_whole(trial.out, last)

        await trial.through(0.15 * kills, "export", trial.run, trial.out, "--overwrite", check=whole)
    _compare(trial, undisturbed)


async def killed_migration(trial: Trial, kills: int) -> None:
    """Bring an old run up to date with so many kills, and retry what had failed in it; nothing else may be requested."""
    whole, copy = trial.folder / "whole", trial.folder / "old"
    _old_run(copy, _COPIES)
    shutil.copytree(copy, whole)
    async with trial.serving() as url:
        await trial.watched("migrate", whole)
        expected = dump(whole / "run.db")
        while trial.tally.kills.total() < 0.6 * kills:
            _afresh(copy, trial.run)
            await trial.through(2, "migrate", trial.run)
            if dump(trial.run / "run.db") != expected:
                trial.violated(["the migrated run is not that of the undisturbed migration"], "migrate")
        _old_run(copy, 0)
        while trial.tally.kills.total() < kills:
            _afresh(copy, trial.run)
            before = snapshot(trial.run / "run.db")
            _write_old_configuration(trial, url)
            await trial.through(2, "generate", trial.folder / "config.yaml", "--run", trial.run, "--retry-failed")
            after = snapshot(trial.run / "run.db")
            trial.violated(lost(before, after), "generate of an old run")
            if (len(after.made), len(after.texts) - len(before.texts)) != (25, 2):
                trial.violated([f"{len(after.made)} pairs and {len(after.texts)} answers"], "generate of an old run")


def _compare(trial: Trial, undisturbed: Undisturbed) -> None:
    """Hold a run and its data set against the undisturbed ones, and what was paid for against what is stored."""
    try:
        trial.violated(differences(contents(trial.run / "run.db"), undisturbed.contents), "at the end")
    except sqlite3.OperationalError as error:
        trial.violated([f"the database lacks something: {error}"], "at the end")
    if files(trial.out) != undisturbed.data_sets[-1]:
        trial.violated(["the data set is not that of the undisturbed run"], "at the end")
    if unstored := trial.answered.keys() - snapshot(trial.run / "run.db").seeds.keys():
        trial.violated([f"{len(unstored)} answers that were paid for are not in the store"], "at the end")
    trial.tally.answers += len(trial.answered)
    trial.tally.paid_twice += trial.answered.total() - len(trial.answered)


def _prepared(trial: Trial, url: str, tasks: int) -> tuple[str | Path, ...]:
    """The command that generates."""
    config = trial.folder / "config.yaml"
    config.write_text(config_text(url, write_tasks(trial.folder / "tasks.jsonl", tasks)))
    return "generate", config, "--run", trial.run


def _filters(trial: Trial) -> Sequence[tuple[str | Path, ...]]:
    return [("filter", trial.run, *options) for options in _FILTERS]


async def _data_set(trial: Trial) -> Files:
    """What an export of the run as it is now consists of."""
    await trial.export_is_one_of(())
    return files(trial.folder / "now")


def _afresh(source: Path, run: Path) -> None:
    shutil.rmtree(run, ignore_errors=True)
    shutil.copytree(source, run)


def _old_run(folder: Path, copies: int) -> None:
    """A run of schema 2, with so many more rows that have to be renamed or must stay."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    with closing(sqlite3.connect(RunDirectory(folder).database)) as database:
        database.executescript((_OLD_RUN / "run.sql").read_text(encoding="utf-8"))
        for number in range(copies // 5):
            database.execute(
                "INSERT INTO pairs (id, position, task_id, recipe) "
                "SELECT id || ?1, position, task_id || ?1, recipe FROM pairs WHERE recipe = 'worsened' AND length(id) = 32",
                (f"-{number}",),
            )
            database.execute(
                "INSERT INTO pair_asks SELECT pair_id || ?1, part, key FROM pair_asks WHERE length(pair_id) = 32",
                (f"-{number}",),
            )
        database.commit()


def _write_old_configuration(trial: Trial, url: str) -> None:
    """The old run's own configuration, served at `url`."""
    with closing(sqlite3.connect(RunDirectory(trial.run).database)) as database:
        [[text]] = database.execute("SELECT yaml FROM configurations ORDER BY id DESC LIMIT 1")
    content = yaml.safe_load(text)
    for role in content["models"].values():
        role["endpoints"] = [url]
    content["tasks"]["path"] = str(_OLD_RUN / "tasks.jsonl")
    (trial.folder / "config.yaml").write_text(yaml.safe_dump(content))
