"""`clairgen lint`: what is wrong with preference data, before anybody trains on it."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from clairgen.cli.import_pairs import named_columns
from clairgen.cli.signals import run_coroutine
from clairgen.errors import FAILED, ConfigError
from clairgen.reporting.sanitize import plain_line, safe_line


def lint_command(
    sources: Annotated[
        list[str],
        typer.Argument(
            help="A .jsonl, .json, .csv or .parquet file, a folder of `datasets`, hub:owner/name, a run directory, or a "
            "folder of shards; several are the splits of one data set, the first of which is trained on.",
            show_default=False,
        ),
    ],
    column: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ROLE=NAME", help="Which column has which role, such as prompt=instruction; may be repeated."
        ),
    ] = None,
    subset: Annotated[str | None, typer.Option(help="The subset of a folder or a hub data set.")] = None,
    split: Annotated[
        list[str] | None,
        typer.Option(help="A split; may be repeated. By default train, and what is held out from it."),
    ] = None,
    recipe: Annotated[str | None, typer.Option(help="The recipe of a run, where it has several.")] = None,
    against: Annotated[
        list[Path] | None,
        typer.Option(
            help="A file of an evaluation (.jsonl, .csv, .txt) that no prompt may overlap with; may be repeated."
        ),
    ] = None,
    ngram: Annotated[int, typer.Option(min=3, help="Words in a row that make such an overlap.")] = 13,
    model: Annotated[
        str | None,
        typer.Option(
            help="A model's folder or name on the hub, whose chat template renders the first pairs.", show_default=False
        ),
    ] = None,
    chat_template: Annotated[
        Path | None, typer.Option(help="A Jinja file in place of that model's chat template.", show_default=False)
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 for warnings too.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, for scripts.")] = False,
    html: Annotated[Path | None, typer.Option(help="Also write the findings as a page.", show_default=False)] = None,
) -> None:
    """Look for what is wrong with preference data: duplicates, leaks, cut or empty answers, cues, length bias and more.

    Nothing is changed and no model is asked. Exits with 1 if there is an error among the findings (with --strict, or a warning),
    with 0 if not.

    Example: clairgen lint train.jsonl test.jsonl --against evaluation.jsonl --html lint.html
    """
    from clairgen.installed import require_results_extra
    from clairgen.reporting.lint.lint_pairs import lint
    from clairgen.reporting.lint.lint_table import print_lint
    from clairgen.reporting.lint.rules import Severity

    if html is not None:
        require_results_extra()
    if chat_template is not None and model is None:
        raise ConfigError("--chat-template is in place of a model's; name the model with --model")
    template_check = None
    if model is not None:
        from clairgen.cli.template_check import template_check_of

        template_check = template_check_of(model, chat_template)
    report = run_coroutine(
        lint(
            *sources,
            subset=subset,
            splits=split or (),
            columns=named_columns(column or ()),
            recipe=recipe,
            against=against or (),
            ngram=ngram,
            template_check=template_check,
            tell=lambda line: typer.echo(plain_line(line), err=True),
        )
    )
    console = Console()
    if as_json:
        typer.echo(json.dumps(report.to_json(), indent=2))
    else:
        print_lint(console, report)
    if html is not None:
        from clairgen.reporting.lint.lint_page import write_lint_page

        write_lint_page(html, report)
        if not as_json:
            console.print(safe_line(f"Page: {html}"), soft_wrap=True)
    if report.count(Severity.ERROR) or (strict and report.count(Severity.WARNING)):
        raise typer.Exit(FAILED)
