"""`clairgen filter`: other filters over the pairs that are there."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clairgen.errors import ConfigError

if TYPE_CHECKING:
    from clairgen.filters.settings import FilterSettings

_BOUNDS = "Lowest and highest value that is kept, as LOW:HIGH; leave an end out to leave it open."


def filter_command(
    run: Annotated[Path, typer.Argument(help="The run directory.", show_default=False)],
    length_ratio: Annotated[str | None, typer.Option(help=f"Characters of chosen / rejected. {_BOUNDS}")] = None,
    jaccard: Annotated[str | None, typer.Option(help=f"Token Jaccard x100. {_BOUNDS}")] = None,
    levenshtein: Annotated[str | None, typer.Option(help=f"Character edits. {_BOUNDS}")] = None,
    evaluation: Annotated[
        list[Path] | None,
        typer.Option(help="A file of evaluation items that no prompt should overlap with; may be given again."),
    ] = None,
    drop: Annotated[list[str] | None, typer.Option(help="Let this filter drop pairs; may be given again.")] = None,
    mark: Annotated[list[str] | None, typer.Option(help="Let this filter only mark pairs; may be given again.")] = None,
    off: Annotated[list[str] | None, typer.Option(help="Switch this filter off; may be given again.")] = None,
) -> None:
    """Change the filters in force and apply all pairs anew; no model is asked, nothing is deleted.

    Filters: truncated, format, empty, identical, length_ratio, jaccard, levenshtein, allusion, lost_answer, refusal, language,
    contamination, near_duplicate.

    Example: clairgen filter runs/first --length-ratio 0.5:2 --jaccard 10: --mark truncated
    """
    from clairgen import api
    from clairgen.cli.signals import run as run_coroutine
    from clairgen.pipeline.refilter import filter_pairs

    bounds = {"length_ratio": length_ratio, "jaccard": jaccard, "levenshtein": levenshtein}
    actions = {name: action for action, names in (("drop", drop), ("mark", mark), ("off", off)) for name in names or ()}
    before = run_coroutine(api.status(run)).filters
    settings = _changed(
        before,
        evaluation or [],
        {name: _bounds(name, text) for name, text in bounds.items() if text is not None},
        actions,
    )
    run_coroutine(filter_pairs(run, settings))
    after = run_coroutine(api.status(run))
    typer.echo(f"In force: {settings.description}")
    for recipe, counts in after.statuses.items():
        dropped = after.dropped.get(recipe, {})
        reasons = f" ({', '.join(f'{count:,} {reason}' for reason, count in dropped.items())})" if dropped else ""
        made = counts.get("made", 0)
        typer.echo(
            f"{recipe}: {made - sum(dropped.values()):,} of {made:,} pairs kept, {sum(dropped.values()):,} dropped{reasons}"
        )


def _changed(
    before: "FilterSettings | None",
    evaluations: list[Path],
    bounds: dict[str, list[float | None]],
    actions: dict[str, str],
) -> "FilterSettings":
    from pydantic import ValidationError

    from clairgen.config.strict_yaml import validation_sentence
    from clairgen.filters.settings import FILTERS, FilterSettings

    values: dict[str, Any] = (before or FilterSettings()).model_dump(mode="json")
    for name in actions:
        if name.replace("-", "_") not in FILTERS:
            raise ConfigError(f"there is no filter {name!r}; there are {', '.join(FILTERS)}")
    for name, limits in bounds.items():
        values[name] = values[name] | {"bounds": limits}
        if values[name]["action"] == "off":
            values[name] |= {"action": None}
    if evaluations:
        values["contamination"] |= {"files": [str(file.resolve()) for file in evaluations]}
    for name, action in actions.items():
        values[name.replace("-", "_")] |= {"action": action}
    try:
        return FilterSettings.model_validate(values)
    except ValidationError as error:
        raise ConfigError(validation_sentence(error, FilterSettings)) from error


def _bounds(name: str, text: str) -> list[float | None]:
    low, colon, high = text.partition(":")
    try:
        if not colon:
            raise ValueError("no colon")
        return [float(low) if low else None, float(high) if high else None]
    except ValueError as error:
        option = f"--{name.replace('_', '-')}"
        raise ConfigError(f"{option} takes LOW:HIGH, such as 0.5:2, 10: or :3000, not {text!r}") from error
