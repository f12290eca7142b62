"""`clairgen filter`: other filters over the pairs of a run."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clairgen.cli.signals import run_coroutine
from clairgen.errors import ConfigError
from clairgen.reporting.sanitize import plain_line
from clairgen.wording import counted

if TYPE_CHECKING:
    from clairgen.filters.filter_settings import FilterSettings


_BOUNDS = "Lowest and highest value that is kept, as LOW:HIGH; leave an end out to leave it open."


def filter_command(
    run: Annotated[Path, typer.Argument(help="The run directory, or a folder of shards.", show_default=False)],
    length_ratio: Annotated[str | None, typer.Option(help=f"Characters of chosen / rejected. {_BOUNDS}")] = None,
    length_difference: Annotated[str | None, typer.Option(help=f"Length of chosen - rejected. {_BOUNDS}")] = None,
    length_tokenizer: Annotated[
        str | None,
        typer.Option(
            help="Count --length-difference in tokens of this tokenizer (a folder, a tokenizer.json, or owner/name on the hub), "
            "not in characters.",
        ),
    ] = None,
    jaccard: Annotated[str | None, typer.Option(help=f"Token Jaccard x100. {_BOUNDS}")] = None,
    levenshtein: Annotated[str | None, typer.Option(help=f"Character edits. {_BOUNDS}")] = None,
    evaluation: Annotated[
        list[Path] | None,
        typer.Option(help="A file of evaluation items that no prompt should overlap with; may be repeated."),
    ] = None,
    votes: Annotated[
        str | None,
        typer.Option(
            help="What most people say of a pair that is not to be kept: drop, swap, tie, disputed; with commas."
        ),
    ] = None,
    fewest_votes: Annotated[
        int | None, typer.Option(help="Pairs with fewer votes than this are not to be kept.")
    ] = None,
    drop: Annotated[list[str] | None, typer.Option(help="Let this filter drop pairs; may be repeated.")] = None,
    mark: Annotated[list[str] | None, typer.Option(help="Let this filter only mark pairs; may be repeated.")] = None,
    off: Annotated[list[str] | None, typer.Option(help="Switch this filter off; may be repeated.")] = None,
    recipe: Annotated[
        list[str] | None,
        typer.Option(help="Change the filters for the pairs of this recipe alone; may be repeated."),
    ] = None,
) -> None:
    """Change the filters of a run and apply them to all pairs again; no model is asked, nothing is deleted.

    Filters: truncated, format, cut_prompt, empty, identical, embedded_markup, length_ratio, length_difference,
    jaccard, levenshtein, revision_mention, lost_answer, refusal, language, removed_markup, removed_space, unknown_finish_reason,
    contamination, votes, near_duplicate; and those of plugins.

    A folder of shards is filtered shard by shard, and refused where a filter has to compare the pairs of all with each other.

    Example: clairgen filter runs/first --length-ratio 0.5:2 --jaccard 10: --mark truncated
    """
    from clairgen import api
    from clairgen.filters.filter_settings import FilterSettings
    from clairgen.pipeline.filter_shards import filter_shards
    from clairgen.pipeline.refilter import filter_pairs
    from clairgen.store import runs_inside, shard_folder

    ranges = {
        "length_ratio": length_ratio,
        "length_difference": length_difference,
        "jaccard": jaccard,
        "levenshtein": levenshtein,
    }
    bounds = {name: _bounds(name, text) for name, text in ranges.items() if text is not None}
    actions = {
        _filter_name(name): action
        for action, names in (("drop", drop), ("mark", mark), ("off", off))
        for name in names or ()
    }
    folder = run_coroutine(shard_folder(run)) if runs_inside(run) else None
    first = run if folder is None else next(iter(folder.shards.values()))
    before = run_coroutine(api.filters_in_force(first))
    alone = run_coroutine(api.recipes_of(first, recipe or ()))
    by_votes: dict[str, Any] = {} if votes is None else {"found": [one.strip() for one in votes.split(",")]}
    by_votes |= {} if fewest_votes is None else {"fewest": fewest_votes}
    settings = _changed(
        before or FilterSettings(), bounds, length_tokenizer, evaluation or [], actions, alone, by_votes
    )
    if folder is None:
        run_coroutine(filter_pairs(run, settings))
    else:
        run_coroutine(filter_shards(folder, settings, tell=lambda line: typer.echo(plain_line(line), err=True)))
        typer.echo(f"Filtered the pairs of {counted(len(folder.shards), 'shard')}, each by itself.")
    after = run_coroutine(api.filtered(run))
    typer.echo(f"In force: {settings.description}")
    for name, counts in after.statuses.items():
        dropped = after.dropped.get(name, {})
        lost, made = sum(dropped.values()), counts.get("made", 0)
        reasons = f" ({', '.join(f'{count:,} {reason}' for reason, count in dropped.items())})" if dropped else ""
        marked = ", ".join(f"{count:,} {reason}" for reason, count in after.marked.get(name, {}).items())
        marked = f"; marked: {marked}" if marked else ""
        typer.echo(f"{name}: {made - lost:,} of {counted(made, 'pair')} kept, {lost:,} dropped{reasons}{marked}")
        for bounded in sorted(bounds.keys() - actions.keys()):
            if any(reason.startswith(bounded.replace("_", "-")) for reason in after.marked.get(name, {})):
                typer.echo(f"  {bounded} only marks pairs of {name}; to leave them out, add --drop {bounded}")


def _changed(
    before: "FilterSettings",
    bounds: Mapping[str, list[float | None]],
    length_tokenizer: str | None,
    evaluations: Sequence[Path],
    actions: Mapping[str, str],
    recipes: Sequence[str],
    by_votes: Mapping[str, Any],
) -> "FilterSettings":
    """The settings with other bounds (which switch a filter on), another tokenizer, other evaluation files and other actions.

    So do options of the filter `votes`, which drops unless an action is given.

    They are changed for `recipes` alone, if there are any.
    """
    from pydantic import ValidationError

    from clairgen.config.strict_yaml import validation_sentence
    from clairgen.filters.filter_settings import FilterSettings
    from clairgen.metrics.answer_lengths import absolute

    off = {name for name in bounds if any(before.of(recipe)[name].action == "off" for recipe in recipes or ("",))}
    changes: dict[str, dict[str, Any]] = {
        name: {"bounds": limits} | ({"action": None} if name in off else {}) for name, limits in bounds.items()
    }
    if length_tokenizer is not None:
        changes.setdefault("length_difference", {})["tokenizer"] = absolute(length_tokenizer, Path.cwd())
    if evaluations:
        changes["contamination"] = {"files": [str(file.resolve()) for file in evaluations]}
    if by_votes:
        off_now = any(before.of(recipe)["votes"].action == "off" for recipe in recipes or ("",))
        changes["votes"] = {**by_votes, **({"action": "drop"} if off_now else {})}
    for name, action in actions.items():
        changes.setdefault(name, {})["action"] = action
    try:
        return before.changed(changes, recipes)
    except ValidationError as error:
        raise ConfigError(validation_sentence(error, FilterSettings)) from error


def _filter_name(given: str) -> str:
    """The name of a filter, which may be spelled with - or _, or be an old one."""
    from clairgen.config.renamed import note
    from clairgen.filters.registry import current_name

    written = given.replace("-", "_")
    if (name := current_name(given)) != written:
        typer.echo(note("filter", written, name), err=True)
    return name


def _bounds(name: str, text: str) -> list[float | None]:
    low, colon, high = text.partition(":")
    try:
        if not colon:
            raise ValueError("no colon")
        return [float(low) if low else None, float(high) if high else None]
    except ValueError as error:
        option = f"--{name.replace('_', '-')}"
        raise ConfigError(f"{option} takes LOW:HIGH, such as 0.5:2, 10: or :3000, not {text!r}") from error
