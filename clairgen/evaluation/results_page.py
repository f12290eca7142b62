"""The page of a directory's evaluations: a table and a plot of each group, differences, and answers side by side.

Plots are drawn as SVG beside labels that are text, since labels come from the user: nothing but numbers gets into a drawing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from markupsafe import Markup

from clairgen.evaluation.judged_pairs import PAIR_KINDS
from clairgen.evaluation.judged_sentences import pair_sentences
from clairgen.evaluation.mixeval import MIXEVAL_HARD
from clairgen.evaluation.mixeval_table import mixeval_sentences
from clairgen.evaluation.results import MEASURES, Comparison, EvaluationResult, compared, grouped
from clairgen.evaluation.shares import Share
from clairgen.evaluation.shown_items import ShownItem, shown
from clairgen.keys import digest
from clairgen.reporting.html.frame import asset, rendered, write_html
from clairgen.store import ItemRecord, RunDirectory, Store, reading

MOST_SHOWN: Final = 60
"""Items of a group on the page; those in which evaluations differ come first."""
_WIDTH, _HEIGHT, _EDGE = 400, 22, 16


@dataclass(frozen=True, slots=True)
class SideBySide:
    """An item as each evaluation of a group answered it; None where one has nothing of it yet."""

    first: ShownItem
    answers: Sequence[ShownItem | None]
    differs: bool


@dataclass(frozen=True, slots=True)
class Group:
    """Evaluations whose scores may stand in one column, each after the first compared with it, and a sample of their items."""

    results: Sequence[EvaluationResult]
    comparisons: Sequence[Comparison]
    items: Sequence[SideBySide]
    differing: int

    @property
    def measure(self) -> str:
        """What the mean score is called."""
        return MEASURES.get(self.results[0].record.kind, "score")

    @property
    def parts(self) -> Mapping[str, Sequence[Share | None]]:
        """The shares of each part, one for each evaluation."""
        names = dict.fromkeys(name for result in self.results for name in result.parts)
        return {name: [result.parts.get(name) for result in self.results] for name in names}

    @property
    def is_of_pairs(self) -> bool:
        """Whether the items are pairs of answers that a judge compared."""
        return self.results[0].record.kind in PAIR_KINDS

    @property
    def remarks(self) -> Sequence[tuple[EvaluationResult, Sequence[str]]]:
        """What is said of each evaluation besides its share, where a judge has scored."""
        if self.results[0].record.kind == MIXEVAL_HARD:
            return [(result, mixeval_sentences(result)) for result in self.results]
        return [(result, pair_sentences(result)) for result in self.results] if self.is_of_pairs else []

    @property
    def judges(self) -> Sequence[str]:
        """The models that scores rest on besides the one that is evaluated."""
        first = self.results[0]
        models = [f"{role} {facts['model']}" for role, facts in first.other_models.items()]
        return [*models, *(f"snapshot {name}" for name in first.judge_snapshots)]


async def write_results_page(path: Path, run: Path, results: Sequence[EvaluationResult]) -> None:
    """Write the page of these evaluations of a directory. Raises InputError if that is not possible."""
    async with reading(RunDirectory(run), snapshot=True) as store:
        groups = [await _group(store, one) for one in grouped(results)]
    write_html(path, results_page(str(run), groups))


def results_page(run: str, groups: Sequence[Group]) -> str:
    """The whole page."""
    return rendered(
        "results.html",
        {"run": run, "groups": groups, "interval_svg": interval_svg, "scale_svg": _scale_svg()},
        package=__package__,
        style=asset("page.css") + asset("results.css", __package__),
        filters={
            "percent": lambda share: f"{share:.1%}",
            "points": lambda difference: f"{100 * difference:+.1f}",
            "count": lambda number: f"{number:,}",
        },
    )


def interval_svg(share: Share) -> Markup:
    """A share and its interval on a scale from 0 to 1, with lines at every quarter."""
    if share.mean is None or share.low is None or share.high is None:
        return Markup("")

    middle = _HEIGHT / 2
    grid = "".join(
        f'<line class="grid" x1="{_at(quarter / 4)}" x2="{_at(quarter / 4)}" y1="0" y2="{_HEIGHT}"/>'
        for quarter in range(5)
    )
    drawn = (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{share.mean:.1%}, interval {share.low:.1%} to '
        f'{share.high:.1%}">{grid}<line class="interval" x1="{_at(share.low)}" x2="{_at(share.high)}" y1="{middle:g}" '
        f'y2="{middle:g}"/><circle cx="{_at(share.mean)}" cy="{middle:g}" r="5"/></svg>'
    )
    return Markup(drawn)  # noqa: S704 - numbers only


def _at(value: float) -> str:
    """Where a share is on the scale."""
    return f"{_EDGE + value * (_WIDTH - 2 * _EDGE):.1f}"


def _scale_svg() -> Markup:
    titles = "".join(f'<text x="{_at(quarter / 4)}" y="12">{25 * quarter}%</text>' for quarter in range(5))
    return Markup(f'<svg viewBox="0 0 {_WIDTH} 16" aria-hidden="true">{titles}</svg>')  # noqa: S704 - numbers only


async def _group(store: Store, results: Sequence[EvaluationResult]) -> Group:
    by_id = [{item.item_id: item for item in result.items} for result in results]
    names = dict.fromkeys(name for of_one in by_id for name in of_one)
    differing = [name for name in names if len({_outcome(of_one.get(name)) for of_one in by_id}) > 1]
    among = set(differing)
    chosen = _sample(differing) + _sample([name for name in names if name not in among])
    items = []
    for name in chosen[:MOST_SHOWN]:
        answers = [await shown(store, item) if (item := of_one.get(name)) is not None else None for of_one in by_id]
        first = next(one for one in answers if one is not None)
        items.append(SideBySide(first, answers, name in among))
    return Group(results, [compared(results[0], other) for other in results[1:]], items, len(differing))


def _sample(names: Sequence[str]) -> list[str]:
    """Names in an order by their hash, so that the first ones are a sample."""
    return sorted(names, key=lambda name: digest(ascii(name)))


def _outcome(item: ItemRecord | None) -> tuple[str, float | None] | None:
    return None if item is None else (item.status, item.score)
