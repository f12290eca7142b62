"""What reports, filters, exports and merges of many pairs cost: processor seconds and memory, as the number of pairs grows.

python -m tests.bench.analysis --pairs 100000 --pairs 1000000
python -m tests.bench.analysis --pairs 100000 --pairs 1000000 --pairs 10000000 --folder /big/disk
"""

import asyncio
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer

from clairgen.reporting.pair_metrics import SCALES
from clairgen.store import RunDirectory, SegmentFigures, figures_connection, reading
from tests.bench.scale import processor_seconds
from tests.bench.synthetic_shards import RECIPE, make_shards

BARE_SCAN = """
SELECT lost_by, sum(retried), sum(jaccard), sum(levenshtein), sum(length_ratio), count(failed_check), count(marks)
FROM read_parquet($files) GROUP BY lost_by
"""


def main(
    pairs: Annotated[list[int], typer.Option(help="Numbers of pairs over all shards.")],
    shards: Annotated[int, typer.Option(help="Into how many shards they are split.")] = 16,
    folder: Annotated[
        Path | None, typer.Option(help="Where there is room: 0.6 KB a pair, three times that to merge.")
    ] = None,
    requests: Annotated[bool, typer.Option("--requests", help="With an answer and its cost for each pair.")] = False,
    merge: Annotated[bool, typer.Option(help="Also merge the shards, and report on the merged run.")] = True,
    without_columns: Annotated[bool, typer.Option(help="Also report as without the extra `analysis`.")] = True,
    changed: Annotated[
        int | None, typer.Option(help="Filter and export so many of the shards; all if left out.")
    ] = None,
) -> None:
    """Measure synthetic shards with short texts, and say what a pair costs at each number of pairs."""
    costs = Costs()
    for count in pairs:
        with tempfile.TemporaryDirectory(dir=folder) as name:
            start = time.monotonic()
            make_shards(Path(name) / "shards", count, shards, requests=requests)
            runs = sorted((Path(name) / "shards").iterdir(), key=lambda path: int(path.name))
            size = sum((run / "run.db").stat().st_size for run in runs)
            typer.echo(
                f"{count:,} pairs in {shards} shards: {size / 1e9:.2f} GB, made in {time.monotonic() - start:.0f} s"
            )
            measure(costs, Path(name), runs, count, without_columns=without_columns, changed=runs[:changed])
            if merge:
                run = str(Path(name) / "run")
                costs.measure(count, "merge", [("merge", str(Path(name) / "shards"), "--run", run)])
                costs.measure(count, "report on the merged run, the first", [("report", run)])
                costs.measure(count, "report on the merged run, again", [("report", run)])
    costs.print_growth()


def measure(
    costs: "Costs", folder: Path, runs: list[Path], count: int, *, without_columns: bool, changed: list[Path]
) -> None:
    """Report on all shards, filter those that are `changed` by a bound, and export them."""
    shards, say = str(folder / "shards"), costs.measure
    if without_columns:
        say(count, "report without columns", [("report", shards)], prefix=WITHOUT_COLUMNS)
    say(count, "report, the first", [("report", shards)])
    say(count, "report again", [("report", shards)])
    compare_scans(runs, count)
    columns = sum(path.stat().st_size for run in runs for path in run.glob("metrics/*.parquet"))
    typer.echo(f"{count:,} pairs: columns take {columns / 1e6:,.0f} MB, {columns / count:.0f} bytes a pair")
    in_changed = count * len(changed) // len(runs)
    filtered = [shards] if len(changed) == len(runs) else list(map(str, changed))
    say(in_changed, "filter, another bound", [("filter", one, "--levenshtein", ":1200") for one in filtered])
    if len(changed) == len(runs):
        say(count, "report after it", [("report", shards)])
    say(in_changed, "export", [("export", str(run), str(folder / "out" / run.name)) for run in changed])
    written = sum(path.stat().st_size for path in (folder / "out").rglob("*.parquet"))
    typer.echo(f"{count:,} pairs: exports take {written / 1e6:,.0f} MB")
    shutil.rmtree(folder / "out")


WITHOUT_COLUMNS = (
    "import sys, clairgen.api.reported_parts as parts; parts.has_analysis_extra = lambda: False; "
    "from clairgen.cli.app import main; main()"
)


class Costs:
    """What was measured: by what was done, the microseconds of a pair at each number of pairs."""

    def __init__(self) -> None:
        self._microseconds: dict[str, dict[int, float]] = {}

    def measure(self, count: int, what: str, commands: list[tuple[str, ...]], prefix: str | None = None) -> None:
        """Run commands one after another, and print what they take together."""
        start = time.monotonic()
        taken = [
            processor_seconds(sys.executable, *(("-m", "clairgen") if prefix is None else ("-c", prefix)), *command)
            for command in commands
        ]
        seconds, peak = sum(one for one, _ in taken), max(peak for _, peak in taken)
        self._microseconds.setdefault(what, {})[count] = 1e6 * seconds / count
        typer.echo(
            f"{count:,} pairs: {what} {seconds:.1f} s of processor time, {1e6 * seconds / count:,.1f} us a pair, peak "
            f"{peak:.0f} MB ({time.monotonic() - start:.0f} s on the clock)"
        )

    def print_growth(self) -> None:
        """Print what a pair costs at the largest number of pairs, over what it costs at the smallest."""
        for what, costs in self._microseconds.items():
            if len(costs) > 1:
                words = ", ".join(f"{cost:,.1f} us at {count:,}" for count, cost in sorted(costs.items()))
                typer.echo(f"{what}, a pair: {words}; growth {costs[max(costs)] / costs[min(costs)]:.2f} x")


def compare_scans(runs: list[Path], count: int) -> None:
    """The processor time of a report's scan of all columns, and of one that only adds the same columns up."""
    files = asyncio.run(columns_of(runs))
    bins = {scale.metric: scale.bins for scale in SCALES}
    seconds: dict[str, list[float]] = {"figures": [], "bare": []}
    with figures_connection() as connection:
        figures = SegmentFigures(connection, files)
        for _ in range(5):
            start = time.process_time()
            figures.outcomes(bins)
            figures.failed_checks()
            figures.marks()
            seconds["figures"].append(time.process_time() - start)
            start = time.process_time()
            connection.execute(BARE_SCAN, {"files": files}).fetchall()
            seconds["bare"].append(time.process_time() - start)
    figures_took, bare = min(seconds["figures"]), min(seconds["bare"])
    typer.echo(
        f"{count:,} pairs: figures from columns {figures_took:.2f} s, a bare scan of the same columns {bare:.2f} s: "
        f"{figures_took / bare:.1f} x"
    )


async def columns_of(runs: list[Path]) -> list[str]:
    """The files of all runs, brought up to date."""
    found: list[str] = []
    for run in map(RunDirectory, runs):
        async with (
            reading(run, snapshot=True) as store,
            store.segments.updated(run, store.pairs.cost_usd) as columns,
        ):
            assert columns is not None
            found += columns.files(RECIPE)
    return found


if __name__ == "__main__":
    typer.run(main)
