"""Scores in the store: what scorers gave the answers to a task, criterion by criterion, and what reports count of them."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from clairgen.records import Pair, ParseStatus, Score, Undecided
from clairgen.store.reader import Reader
from clairgen.store.statements import Statement

_OF_MADE_PAIRS = "FROM scores s JOIN pairs p ON p.id = s.pair_id WHERE p.recipe = ? AND p.status = 'made'"


@dataclass(frozen=True, slots=True)
class ScoreNumbers:
    """A scorer's scores for one criterion over the pairs of a recipe.

    `scores` counts those that could be read, of all answers; `mean` is their mean. `chosen` and `rejected` are the means over
    the answers on those sides, None where there is none, and `of_chosen` and `of_rejected` say how many those are. `unreadable`
    counts answers without a score, by reason.
    """

    scorer: str
    criterion: str
    scores: int
    mean: float | None
    chosen: float | None
    rejected: float | None
    unreadable: Mapping[str, int]
    of_chosen: int = field(default=0, compare=False)
    of_rejected: int = field(default=0, compare=False)

    def __add__(self, other: "ScoreNumbers") -> "ScoreNumbers":
        """The same scorer's scores for the criterion in two runs together."""
        return ScoreNumbers(
            self.scorer,
            self.criterion,
            self.scores + other.scores,
            _mean_together((self.mean, self.scores), (other.mean, other.scores)),
            _mean_together((self.chosen, self.of_chosen), (other.chosen, other.of_chosen)),
            _mean_together((self.rejected, self.of_rejected), (other.rejected, other.of_rejected)),
            dict(Counter(self.unreadable) + Counter(other.unreadable)),
            self.of_chosen + other.of_chosen,
            self.of_rejected + other.of_rejected,
        )


@dataclass(frozen=True, slots=True)
class ScoreReply:
    """What a scorer wrote about an answer, by the answer's `identity`, and whether scores could be read in it."""

    scorer: str
    answer: str
    status: str
    text: str


class Scores:
    """The scores of one run, of pairs that are made."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def numbers(self, recipe: str) -> list[ScoreNumbers]:
        """A recipe's scores, one entry for each scorer and criterion, in the order in which they were first given."""
        means = (
            "SELECT s.scorer, s.criterion, count(s.value) AS count, avg(s.value) AS mean, "
            "avg(iif(s.side = 'chosen', s.value, NULL)) AS chosen, avg(iif(s.side = 'rejected', s.value, NULL)) AS rejected, "
            "count(iif(s.side = 'chosen', s.value, NULL)) AS of_chosen, "
            "count(iif(s.side = 'rejected', s.value, NULL)) AS of_rejected, "
            f"min(s.position) AS first {_OF_MADE_PAIRS} GROUP BY 1, 2 ORDER BY first"
        )
        reasons = f"SELECT s.scorer, s.criterion, s.status, count(*) AS count {_OF_MADE_PAIRS} AND s.status <> ? GROUP BY 1, 2, 3"
        unreadable = defaultdict[tuple[str, str], dict[str, int]](dict)
        for row in await self._reader.rows(reasons, (recipe, ParseStatus.OK.value)):
            unreadable[row["scorer"], row["criterion"]][row["status"]] = row["count"]
        return [
            ScoreNumbers(
                row["scorer"], row["criterion"], row["count"], row["mean"], row["chosen"], row["rejected"],
                unreadable[row["scorer"], row["criterion"]], row["of_chosen"], row["of_rejected"],
            )
            for row in await self._reader.rows(means, (recipe,))
        ]  # fmt: skip

    async def criteria(self, recipe: str) -> list[str]:
        """The criteria by which answers to the tasks of a recipe's pairs have scores."""
        rows = await self._reader.rows(f"SELECT DISTINCT s.criterion {_OF_MADE_PAIRS}", (recipe,))
        return [row["criterion"] for row in rows]

    async def replies(self, pair_id: str) -> list[ScoreReply]:
        """The replies of all scorers about the answers to a pair's task, in the order in which they were asked."""
        sql = (
            "SELECT s.scorer, s.answer, s.status, c.text, min(s.position) AS first FROM scores s "
            "JOIN completions c ON c.key = s.key WHERE s.pair_id = ? GROUP BY s.scorer, s.answer ORDER BY first"
        )
        rows = await self._reader.rows(sql, (pair_id,))
        return [ScoreReply(row["scorer"], row["answer"], row["status"], row["text"]) for row in rows]


def _mean_together(*means: tuple[float | None, int]) -> float | None:
    """The mean over several parts, of each its mean and how many values it has; None without a value."""
    known = [(mean, count) for mean, count in means if mean is not None]
    return sum(mean * count for mean, count in known) / sum(count for _, count in known) if known else None


async def scores_of_pairs(reader: Reader, ids: Sequence[str]) -> Mapping[str, tuple[Score, ...]]:
    """The scores of the answers to the tasks of pairs, by the pair's id, in the order in which a recipe gave them."""
    marks = ", ".join("?" * len(ids))
    sql = (
        "SELECT pair_id, answer, criterion, value, scorer, key, status, parser_version, reasoning FROM scores "
        f"WHERE pair_id IN ({marks}) ORDER BY pair_id, position"
    )
    found = defaultdict[str, list[Score]](list)
    for identity, answer, criterion, value, scorer, key, status, version, reasoning in await reader.rows(sql, ids):
        found[identity].append(Score(answer, criterion, value, scorer, key, ParseStatus(status), version, reasoning))
    return {identity: tuple(scores) for identity, scores in found.items()}


def score_rows(identity: str, outcome: Pair | Undecided) -> list[Statement]:
    """The statements that replace the scores of a pair."""
    sides = {}
    if isinstance(outcome, Pair):
        sides = {outcome.rejected.identity: "rejected", outcome.chosen.identity: "chosen"}
    sql = (
        "INSERT INTO scores (pair_id, position, answer, side, criterion, scorer, key, value, status, parser_version, reasoning) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
    )
    return [
        ("DELETE FROM scores WHERE pair_id = ?", (identity,)),
        *(
            (
                sql,
                (
                    identity, position, one.answer, sides.get(one.answer), one.criterion, one.scorer, one.key, one.value,
                    one.status.value, one.parser_version, one.reasoning,
                ),
            )
            for position, one in enumerate(outcome.scores)
        ),
    ]  # fmt: skip
