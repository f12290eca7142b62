"""`clairgen import`: pairs of any data set into a run."""

import asyncio
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from clairgen.cli.signals import run_drainable
from clairgen.errors import ConfigError
from clairgen.reporting.sanitize import plain_line, shortened
from clairgen.wording import counted

if TYPE_CHECKING:
    from clairgen.pipeline.import_pairs import ImportOptions, ImportSummary
    from clairgen.pipeline.import_state import ImportState


def import_pairs_command(
    source: Annotated[
        str,
        typer.Argument(
            help="A .jsonl, .json, .csv or .parquet file, a folder of `datasets`, or hub:owner/name.",
            show_default=False,
        ),
    ],
    run: Annotated[
        Path, typer.Option("--run", help="The run directory: created if new, else added to.", show_default=False)
    ],
    name: Annotated[
        str,
        typer.Option("--as", help="What the pairs are called in the run, as if a recipe of that name had made them."),
    ] = "imported",
    column: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ROLE=NAME", help="Which column has which role, such as prompt=instruction; may be repeated."
        ),
    ] = None,
    subset: Annotated[str | None, typer.Option(help="The subset of a folder or a hub data set.")] = None,
    split: Annotated[str | None, typer.Option(help="The split; by default train, or the only one.")] = None,
    jobs: Annotated[
        int | None,
        typer.Option(min=1, max=64, help="How many processes measure pairs at once; by default one for each core."),
    ] = None,
) -> None:
    """Import pairs of any data set into a run, to report on, filter, export and train on them. No model is asked.

    What is understood of the source is said before anything is written. Run it again at any time: it continues.

    Roles of columns: prompt, system, chosen, rejected, answers, scores, first, second, preference, response, score, id.

    Example: clairgen import pairs.jsonl --run runs/mine --column prompt=instruction
    """
    from clairgen.pipeline.import_pairs import ImportOptions

    options = ImportOptions(name, subset, split, named_columns(column or ()), jobs)
    summary = import_with_progress(source, run, options)
    print_import(summary)
    typer.echo(f"Next: clairgen report {plain_line(shlex.quote(str(run)))}")


def named_columns(given: Sequence[str]) -> dict[str, str]:
    """Columns by their role, from ROLE=NAME. Raises ConfigError for another form."""
    columns: dict[str, str] = {}
    for one in given:
        role, equals, name = one.partition("=")
        if not equals or not name or role in columns:
            raise ConfigError(f"--column takes ROLE=NAME, each role once, such as prompt=instruction, not {one!r}")
        columns[role] = name
    return columns


def import_with_progress(source: str, run: Path, options: "ImportOptions") -> "ImportSummary":
    """Import with what is understood, and how far it is, on stderr; Ctrl-C stops after the batch."""
    from clairgen.pipeline.import_pairs import import_pairs

    async def work(stop: asyncio.Event) -> "ImportSummary":
        return await import_pairs(
            source, run, options, tell=lambda line: typer.echo(plain_line(line), err=True), stop=stop
        )

    return run_drainable(work)


def print_import(summary: "ImportSummary") -> None:
    """Print what an import came to: pairs, and rows left out by their reason."""
    from clairgen.cli.display import pairs_table

    state = summary.state
    if not summary.rows_read:
        typer.echo(
            f"{plain_line(state.source)} is imported as {plain_line(summary.name)} already; nothing was written."
        )
    dropped = state.pairs - summary.kept
    Console().print(pairs_table({summary.name: {"made": state.pairs}}, {summary.name: {"by the filters": dropped}}))
    for line in left_out_lines(state):
        typer.echo(line)


def left_out_lines(state: "ImportState") -> list[str]:
    """The rows that hold no pair by their reason, most frequent first, and those with a score that is not used, as sentences."""
    lines = [
        f"{counted(left.count, 'row')} left out, the first at {plain_line(left.first)}: {shortened(left.why)}"
        for left in sorted(state.left_out.values(), key=lambda one: -one.count)
    ]
    if state.doubts:
        unused = f"{counted(state.doubts, 'row')} with an answer or a score that is not used"
        lines.append(f"{unused}, the first at {plain_line(state.first_doubt or '')}.")
    return lines
