"""`clairgen export`: pairs as a Hugging Face data set."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from clairgen.cli.signals import run_coroutine
from clairgen.exporting.columns import ExportFormat, ExportSummary
from clairgen.exporting.shards import FileFormat
from clairgen.exporting.thoughts import Thinking, ThinkingField
from clairgen.reporting.sanitize import plain_line
from clairgen.wording import counted


def export_command(
    run: Annotated[Path, typer.Argument(help="The run directory, or a folder of shards.", show_default=False)],
    out: Annotated[Path, typer.Argument(help="A new folder for the data set.", show_default=False)],
    export_format: Annotated[
        ExportFormat,
        typer.Option(
            "--format",
            help="For DPO and APO, KTO, SFT, a reward model, TPO, or self-distillation with the chosen answer (sdft) or the "
            "reviser's reasoning (sdpo).",
        ),
    ] = ExportFormat.PREFERENCE,
    recipe: Annotated[
        list[str] | None, typer.Option(help="Only this recipe; may be repeated. All if left out.")
    ] = None,
    test_fraction: Annotated[
        float, typer.Option(min=0.0, max=0.999, help="Share of the tasks held out as `test`.")
    ] = 0.0,
    seed: Annotated[int, typer.Option(help="Draws the tasks that are held out.")] = 0,
    matched: Annotated[
        bool, typer.Option("--matched", help="Only tasks whose pairs pass in all these recipes.")
    ] = False,
    keep_identical: Annotated[
        bool,
        typer.Option("--keep-identical", help="Also pairs in which the reviser changed nothing, marked `confirmed`."),
    ] = False,
    balance_lengths: Annotated[
        bool,
        typer.Option("--balance-lengths", help="Leave pairs out, so that length does not tell which answer is chosen."),
    ] = False,
    length_tokenizer: Annotated[
        str | None,
        typer.Option(
            help="Count these lengths in tokens of this tokenizer (a folder, a tokenizer.json, or owner/name on the hub), not in "
            "characters.",
        ),
    ] = None,
    thinking: Annotated[
        Thinking | None,
        typer.Option(
            help="Whether answers keep the thoughts before them, in a field of their own; else as `thinking` in the run's "
            "configuration, or drop.",
        ),
    ] = None,
    thinking_field: Annotated[
        ThinkingField, typer.Option(help="That field: the one that the chat template of the model reads.")
    ] = ThinkingField.REASONING_CONTENT,
    reference: Annotated[
        str | None,
        typer.Option(
            help="For tpo: whose answer to the same task is the reference: a recipe of the run, `recorded` (in the tasks' "
            "source), or a column of imported pairs."
        ),
    ] = None,
    files: Annotated[
        FileFormat, typer.Option(help="What the files are; in csv, lists are JSON text.")
    ] = FileFormat.PARQUET,
    votes: Annotated[
        bool,
        typer.Option(
            "--votes",
            help="Also files with all votes, notes and edits of people, with their names: votes.jsonl, revisions.jsonl.",
        ),
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier export.")] = False,
    push_to_hub: Annotated[
        str | None, typer.Option(help="Also upload it to the Hugging Face hub as owner/name (token in HF_TOKEN).")
    ] = None,
    private: Annotated[bool, typer.Option("--private", help="Make the data set on the hub private.")] = False,
) -> None:
    """Write the kept pairs as a data set with a card, one subset a recipe; `datasets.load_dataset` reads the folder.

    Example: clairgen export runs/first datasets/first --test-fraction 0.05
    """
    from clairgen.api.run_export import export
    from clairgen.config.renamed import current_recipe
    from clairgen.exporting.hub import push

    summary = run_coroutine(
        export(
            run,
            out,
            export_format=export_format,
            recipes=[current_recipe(name, partial(typer.echo, err=True)) for name in recipe or ()],
            test_fraction=test_fraction,
            seed=seed,
            overwrite=overwrite,
            matched=matched,
            keep_identical=keep_identical,
            balance_lengths=balance_lengths,
            length_tokenizer=length_tokenizer,
            thinking=thinking,
            thinking_field=thinking_field,
            reference=reference,
            file_format=files,
            source=push_to_hub,
            votes=votes,
        )
    )
    print_export(summary, out)
    if push_to_hub is not None:
        typer.echo(push(out, push_to_hub, private=private))


def print_export(summary: ExportSummary, out: Path) -> None:
    """Print what an export holds and what it left out."""
    for name, splits in summary.rows.items():
        rows = ", ".join(f"{counted(count, 'row')} in {split}" for split, count in splits.items())
        typer.echo(f"{plain_line(name)}: {rows}")
    for name, count in (summary.confirmed or {}).items():
        typer.echo(
            f"{plain_line(name)}: {counted(count, 'pair')} of them with two equal answers, which the reviser confirmed (column "
            "`confirmed`)"
        )
    for name, count in (summary.with_thoughts or {}).items():
        typer.echo(
            f"{plain_line(name)}: {counted(count, 'pair')} with thoughts beside the answers (field `{summary.thinking}`)"
        )
    if summary.skipped:
        typer.echo(
            "left out: " + ", ".join(f"{count:,} {plain_line(reason)}" for reason, count in summary.skipped.items())
        )
    _print_lengths(summary)
    if summary.files:
        typer.echo(f"also written: {', '.join(summary.files)}")
    for recipe, split in summary.missing_splits.items():
        ways = "a larger --test-fraction" if split == "test" else "a smaller --test-fraction"
        typer.echo(
            f"{plain_line(recipe)} has no row in {split}: with --test-fraction {summary.test_fraction:g} and --seed "
            f"{summary.seed}, none of its tasks falls there; give {ways}, or another --seed"
        )
    if summary.pending:
        counts = ", ".join(f"{count:,} of {plain_line(recipe)}" for recipe, count in summary.pending.items())
        typer.echo(
            f"The run is not finished; pairs still to be made: {counts}. Run clairgen generate again, then export with "
            "--overwrite"
        )
    if summary.rows_read is not None:
        typer.echo(
            f"Only {counted(summary.rows_read, 'row')} of the tasks' source {'was' if summary.rows_read == 1 else 'were'} read "
            "when the run was stopped, so it lacks tasks. Run clairgen generate again, then export with --overwrite"
        )
    if summary.missing_shards:
        typer.echo(
            f"Not in the folder: shard {', '.join(summary.missing_shards)}, whose pairs are lacking. When they are there, export "
            "again with --overwrite"
        )
    typer.echo(f"Load it with: datasets.load_dataset({str(out)!r}, {next(iter(summary.rows))!r})")


def _print_lengths(summary: ExportSummary) -> None:
    """Print the lengths of each recipe before and after they were balanced, and which recipes have no pair left."""
    for recipe, (before, after) in (summary.lengths or {}).items():
        for state, shift in (("before", before), ("after", after)):
            pairs, difference, longer, auc = shift.cells
            typer.echo(
                f"{plain_line(recipe)}: {state} lengths were balanced, {pairs} pairs: chosen minus rejected {difference} "
                f"{plain_line(summary.length_unit)}, chosen longer in {longer}, AUC of length alone {auc}"
            )
        if recipe not in summary.rows:
            typer.echo(f"{plain_line(recipe)}: no pair is left, so the export has no such subset")
