"""The table of a run's pairs: a row for each recipe."""

from collections.abc import Mapping

from rich.table import Table

from clairgen.reporting.sanitize import safe_line


def pairs_table(
    statuses: Mapping[str, Mapping[str, int]], dropped: Mapping[str, Mapping[str, int]] | None = None
) -> Table:
    """A row for each recipe; without the counts of `dropped` pairs the columns kept and dropped are left out."""
    pairs = Table(box=None, pad_edge=False)
    pairs.add_column("recipe")
    filtered = ("kept", "dropped") if dropped is not None else ()
    for title in ("made", *filtered, "failed", "to be made"):
        pairs.add_column(title, justify="right", no_wrap=True)
    for recipe, counts in statuses.items():
        made, lost = counts.get("made", 0), sum((dropped or {}).get(recipe, {}).values())
        kept_and_dropped = (made - lost, lost) if dropped is not None else ()
        figures = (made, *kept_and_dropped, counts.get("failed", 0), counts.get("pending", 0))
        pairs.add_row(safe_line(recipe), *(f"{figure:,}" for figure in figures))
    return pairs
