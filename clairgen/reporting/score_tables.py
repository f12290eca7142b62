"""Scores in a terminal: those of the answers to one task, and what they come to over the pairs of a recipe."""

from collections import Counter
from collections.abc import Iterator, Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from clairgen.records import OVERALL, Pair, ParseStatus, Score, Undecided, overall_score
from clairgen.reporting.sanitize import safe_line
from clairgen.store import ScoreNumbers


def table_of_pair(outcome: Pair | Undecided) -> Table:
    """One row for each answer and scorer, one column for each criterion; in place of scores why there are none."""
    criteria = list(dict.fromkeys(score.criterion for score in outcome.scores))
    table = _table()
    table.add_column("answer", no_wrap=True)
    table.add_column("scored by", overflow="fold")
    for criterion in criteria:
        table.add_column(safe_line(criterion), justify="right", overflow="fold")
    for answer, name in _named(outcome):
        for scorer in dict.fromkeys(score.scorer for score in outcome.scores if score.answer == answer):
            found = {one.criterion: one for one in outcome.scores if (one.answer, one.scorer) == (answer, scorer)}
            cells = [_cell(found.get(criterion)) for criterion in criteria]
            table.add_row(name, safe_line(scorer), *cells)
    return table


def table_of_recipe(numbers: Sequence[ScoreNumbers]) -> Table:
    """One row for each scorer and criterion: how many answers have a score, the means, and how many could not be read."""
    table = _table()
    table.add_column("scores of", overflow="fold", min_width=10)
    table.add_column("scored by", overflow="fold")
    for title in ("answers", "mean", "chosen", "rejected", "unreadable"):
        table.add_column(title, justify="right", no_wrap=True)
    for one in numbers:
        figures = (number_words(value) for value in (one.mean, one.chosen, one.rejected))
        unreadable = sum(one.unreadable.values())
        table.add_row(safe_line(one.criterion), safe_line(one.scorer), f"{one.scores:,}", *figures, f"{unreadable:,}")
    return table


def unreadable_words(numbers: Sequence[ScoreNumbers]) -> str:
    """Why answers have no score, by reason and over all scorers; empty where all have one."""
    counts = Counter[str]()
    for one in numbers:
        counts.update(one.unreadable if one.criterion == OVERALL else {})
    return ", ".join(
        f"{count:,} {reason}" for reason, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    )


def number_words(value: float | None) -> str:
    """A score or a mean of scores, with two decimals at most; a dash for none."""
    return "–" if value is None else f"{value:.2f}".rstrip("0").rstrip(".")


def score_words(outcome: Pair | Undecided) -> str:
    """The overall scores of the answers of a pair, or of an undecided outcome; empty without any."""
    named = [(name, identity) for identity, name in _named(outcome) if name != "another"]
    answers = (outcome.chosen, outcome.rejected) if isinstance(outcome, Pair) else outcome.answers
    overall = {answer.identity: overall_score(answer, outcome.scores) for answer in answers}
    return ", ".join(f"{name} {number_words(overall[identity])}" for name, identity in named)


def _named(outcome: Pair | Undecided) -> Iterator[tuple[str, str]]:
    """What identifies each scored answer, and its name: those of the pair first, then the others."""
    names: dict[str, str] = {}
    if isinstance(outcome, Pair):
        names = {outcome.chosen.identity: "chosen", outcome.rejected.identity: "rejected"}
    else:
        for number, answer in enumerate(outcome.answers, start=1):
            names.setdefault(answer.identity, f"answer {number}")
    scored = dict.fromkeys(score.answer for score in outcome.scores)
    yield from ((identity, name) for identity, name in names.items() if identity in scored)
    yield from ((identity, "another") for identity in scored if identity not in names)


def _cell(score: Score | None) -> Text:
    if score is None:
        return Text("–")
    if score.status is not ParseStatus.OK:
        return safe_line(score.status.value, "dim")
    return Text(number_words(score.value))


def _table() -> Table:
    return Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), header_style="bold")
