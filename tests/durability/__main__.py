"""`kill -9` at random and at chosen moments, over everything that writes a run: nothing is lost, nothing is paid for twice.

python -m tests.durability --kills 1000 --results build/kills.jsonl
python -m tests.durability --kills 30 --fault late-commits     (a planted fault, which must be found)

Each round is one run of clairgen's own processes against a provider that keeps a ledger: generate under a budget that does not
suffice and one that does, --retry-failed, filter twice, reparse, export, and the migration of an old run. After every kill the
database, the ledger and the budget are compared; at the end the run and its data set equal those of an undisturbed run.
"""

import asyncio
import json
import shutil
import sys
import tempfile
import time
from dataclasses import fields
from pathlib import Path
from typing import Annotated

import typer

from tests.durability.planted import FAULTS
from tests.durability.story import killed_migration, killed_run, undisturbed_run
from tests.durability.trial import Tally, Trial

_MIGRATION = 0.2
"""Share of the kills that hit a migration."""


def main(
    kills: Annotated[int, typer.Option(help="Processes to kill.")] = 1000,
    per_run: Annotated[int, typer.Option(help="Kills of one run.")] = 50,
    tasks: Annotated[int, typer.Option(help="Tasks of one run.")] = 300,
    seed: Annotated[int, typer.Option(help="Seed of the first round; the next ones follow it.")] = 0,
    fault: Annotated[str | None, typer.Option(help=f"Plant a fault: {', '.join(FAULTS)}.")] = None,
    results: Annotated[Path | None, typer.Option(help="A file to append the result of each round to.")] = None,
) -> None:
    """Kill, go on, compare; the exit code is 1 if anything was violated."""
    if fault is not None and fault not in FAULTS:
        raise typer.BadParameter(f"no fault {fault!r}; there are {', '.join(FAULTS)}")
    found = asyncio.run(_rounds(kills, per_run, tasks, seed, fault, results))
    typer.echo(f"{sum(found.kills.values())} kills, {len(found.violations)} violations")
    sys.exit(bool(found.violations))


async def _rounds(kills: int, per_run: int, tasks: int, seed: int, fault: str | None, results: Path | None) -> Tally:
    whole = Tally()
    with tempfile.TemporaryDirectory() as name:
        undisturbed = await undisturbed_run(Trial(Path(name) / "undisturbed", seed, whole), tasks)
        typer.echo(f"undisturbed: {undisturbed.durations}; ${undisturbed.picodollars / 1e12:.4f}")
        while sum(whole.kills.values()) < kills and not (fault and whole.violations):
            start, tally = time.monotonic(), Tally()
            now = min(per_run, kills - sum(whole.kills.values()))
            for part in ("migration", "run"):
                folder = Path(name) / f"{part}-{seed}"
                trial = Trial(folder, seed, tally, undisturbed.durations, fault)
                if part == "migration":
                    await killed_migration(trial, round(_MIGRATION * now))
                else:
                    await killed_run(trial, tasks, round((1 - _MIGRATION) * now), undisturbed)
                shutil.rmtree(folder)
            _report(seed, tally, time.monotonic() - start, results)
            _add(whole, tally)
            seed += 1
    return whole


def _report(seed: int, tally: Tally, seconds: float, results: Path | None) -> None:
    for violation in tally.violations:
        typer.echo(f"VIOLATED: {violation}")
    facts = {
        "seed": seed,
        "seconds": round(seconds),
        **{field.name: getattr(tally, field.name) for field in fields(tally)},
    }
    typer.echo(json.dumps({name: value for name, value in facts.items() if name != "violations"}))
    if results is not None:
        with results.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(facts) + "\n")


def _add(whole: Tally, tally: Tally) -> None:
    whole.kills += tally.kills
    whole.aims += tally.aims
    whole.answers += tally.answers
    whole.paid_twice += tally.paid_twice
    whole.most_unanswered = max(whole.most_unanswered, tally.most_unanswered)
    whole.most_uncommitted = max(whole.most_uncommitted, tally.most_uncommitted)
    whole.violations += tally.violations


if __name__ == "__main__":
    typer.run(main)
