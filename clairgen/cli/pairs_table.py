"""Where a run's pairs stand, and its money: what `status` shows at once and `status --watch` again and again."""

from collections.abc import Mapping

from rich.table import Table

from clairgen.config.prices import PICODOLLARS, dollars
from clairgen.reporting.sanitize import safe_line
from clairgen.store import Spent


def pairs_table(
    statuses: Mapping[str, Mapping[str, int]], dropped: Mapping[str, Mapping[str, int]] | None = None
) -> Table:
    """A row a recipe; without the counts of `dropped` pairs it does not tell what is kept."""
    pairs = Table(box=None, pad_edge=False)
    pairs.add_column("recipe")
    sifted = ("kept", "dropped") if dropped is not None else ()
    for title in ("made", *sifted, "failed", "to be made"):
        pairs.add_column(title, justify="right", no_wrap=True)
    for recipe, counts in statuses.items():
        made, lost = counts.get("made", 0), sum((dropped or {}).get(recipe, {}).values())
        sifted_figures = (made - lost, lost) if dropped is not None else ()
        figures = (made, *sifted_figures, counts.get("failed", 0), counts.get("pending", 0))
        pairs.add_row(safe_line(recipe), *(f"{figure:,}" for figure in figures))
    return pairs


def spent_line(spent: Spent) -> str:
    """What a run has cost, and may have."""
    unknown = (
        f", and at most {dollars(spent.unsettled / PICODOLLARS)} for {spent.open_calls:,} calls in flight or of unknown outcome"
        if spent.open_calls
        else ""
    )
    return f"Spent: {dollars(spent.settled / PICODOLLARS)}{unknown}, failed tries included"
