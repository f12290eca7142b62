"""The report on one recipe's pairs: counts, drop reasons, and how much chosen and rejected differ.

`RecipeReport.to_json()` is a stable interface for scripts (`clairgen report --json` prints a list of them):

    {"run": "runs/a", "recipe": "clair",
     "assessment": {"kept": 395, "of": 406, "cost_usd": null, "cost_per_kept_usd": null, "cues": true,
                    "judges": {"judge": "neither position"}, "next": "Cues tell chosen from rejected: ..."},
     "n": 406, "kept": 395, "dropped": {"identical": 11}, "marked": {},
     "failed": 0, "pending": 0, "cost_usd": null, "cost_per_kept_usd": null,
     "contrast": {"all":  {"jaccard":      {"mean": 43.1, "se": 0.4, "n": 406},
                           "levenshtein":  {"mean": 1108.2, "se": 21.0, "n": 406},
                           "length_ratio": {"mean": 1.3, "se": 0.01, "n": 406}},
                  "kept": {"jaccard": ...}},
     "metrics": {"politeness": {"summary": "...", "all": {"mean": 0.4, "se": 0.01, "n": 406}, "kept": {...}}},
     "tokenizer": "treebank",
     "retried": 0, "failed_checks": {},
     "judges": [{"role": "judge", "verdicts": 400, "ties": 2, "unreadable": 3,
                 "first_position": {"mean": 0.5, "se": 0.025, "n": 400},
                 "interval_95": [0.45, 0.55], "leaning": "neither position", "flips": {...}}],
     "scores": [{"scorer": "judge", "criterion": "overall", "n": 1500, "mean": 0.6, "chosen": 0.8, "rejected": 0.4,
                 "unreadable": {"missing-criterion": 3}}],
     "audit": {"n": 395, "auc": 0.62, "interval_95": [0.55, 0.68],
               "features": [{"feature": "bold", "shift": {"mean": 1.3, "se": 0.2, "n": 395}, "clear": true,
                             "univariate_auc": 0.61, "importance": 0.04}]},
     "lengths": {"unit": "characters",
                 "made": {"n": 406, "difference": {"mean": 120.5, "se": 9.1, "n": 406},
                          "difference_interval_95": [102.6, 138.4], "chosen_longer": 290, "chosen_shorter": 110, "auc": 0.7,
                          "auc_interval_95": [0.65, 0.75]},
                 "kept": {...}, "balanced": {...}},
     "votes": {"voters": 2, "keep": 8, "swap": 1, "disputed": 1},
     "agreement": {"pairs": 10, "voters": 2, "votes": 14,
                   "alpha": {"value": 0.6, "interval_95": [0.1, 1.0], "pairs": 4, "votes": 8}, "no_alpha": null,
                   "preference": {"chosen": 11, "rejected": 2, "ties": 1, "drops": 0, "share": 0.85,
                                  "interval_95": [0.58, 0.96]},
                   "judges": [{"role": "judge", "pairs": 9, "agreed": 8, "interval_95": [0.57, 0.98], "kappa": 0.77,
                               "table": {"first answer": {"first answer": 4, "second answer": 1, "tie": 0}}}],
                   "blind": {"votes": 9, "first": 5, "second": 4, "first_share": 0.56, "first_interval_95": [0.27, 0.81],
                             "preference": {...}, "judges": [...]}},
     "imported_from": null, "matched_tasks": null,
     "groups": [{"value": "math", "n": 40, "kept": 38, "contrast": {"jaccard": ...}}]}

`assessment` is the report in short: `cues` is whether surface features tell chosen from rejected (null without an audit),
`judges` the position that each judge leans to, and `next` what to do next, in a sentence. `n` counts the pairs that were
made; `kept` and `dropped` add up to it. A pair without a chosen answer counts as dropped and has no contrast, so the `n` of an
estimate can be smaller. Jaccard is x100, as in Table 1 of the paper. `metrics` are those of installed plugins. `scores` has what
scorers gave the answers to all tasks, by criterion, with the means of all answers, of the chosen and of the rejected ones;
`unreadable` counts answers without a score, by reason. `audit` is null with too few pairs or without the `report` extra.
`lengths` is by how much chosen is the longer answer, in the pairs that were made, in those that are kept, and in those that
`export --balance-lengths` would select of them, over at most as many pairs as are audited; null without a pair.
`votes` counts the pairs that people voted on by what most said, and `agreement` says how far they agree (see
`clairgen.reporting.agreement`); both are null without votes. `blind` counts the votes of people who did not know which answer is
chosen, and those of them for the answer shown first; its `preference` and `judges` are null and empty unless only some are blind.
`imported_from` is the source of imported pairs, null for others; `matched_tasks` is to how many tasks `--matched` limited the
report, null without it. `groups` has the pairs by the value of the column named with `--by`, with the contrast of the kept ones.
Keys of earlier versions are still there, and `deprecated` names their new ones.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from clairgen.config.renamed import with_former_names
from clairgen.import_source import KEPT_RUN
from clairgen.records import Contrast, FilterAction, Pair, StoredPair
from clairgen.reporting.agreement import Agreement
from clairgen.reporting.assessment import Assessment, next_step
from clairgen.reporting.groups import GroupFigures
from clairgen.reporting.length_figures import LengthFigures
from clairgen.reporting.pair_metrics import (
    TABLE_1,
    ContrastEstimates,
    ContrastMeans,
    Histogram,
    Histograms,
    MetricEstimates,
    PaperContrast,
    contrast_under,
)
from clairgen.reporting.position_bias import JudgeReport
from clairgen.reporting.shortcut_audit import Audit
from clairgen.store import OutcomeFigures, ScoreNumbers, VoteNumbers
from clairgen.wording import one_line_repr


@dataclass(frozen=True, slots=True)
class RecipeReport:
    """The figures of one run and recipe.

    `n` pairs were made; a dropped one counts once, under its first reason, and a marked one under each of its reasons,
    dropped or not. `failed` and `pending` count tasks without a pair. `retried` revisions failed their check and were
    requested once more; `failed_checks` counts those that still fail, by what they miss. `cost_usd` is None when not known.
    `votes` counts people's votes and `agreement` compares them, both None without any. `imported_from` is the source of imported
    pairs; `groups` are the pairs by the value of a column, where one was named.
    `matched_tasks` is how many tasks it was limited to, without judges, votes and the cost, which are of all tasks;
    None for no limit. `keep_with` is the command that keeps the pairs, where the run was a temporary one.
    """

    run: str
    recipe: str
    n: int
    kept: int
    dropped: Mapping[str, int]
    marked: Mapping[str, int]
    failed: int
    pending: int
    cost_usd: float | None
    contrast_of_all: ContrastEstimates
    contrast_of_kept: ContrastEstimates
    tokenizer: str
    judges: tuple[JudgeReport, ...] = ()
    retried: int = 0
    failed_checks: Mapping[str, int] = field(default_factory=dict)
    audit: Audit | None = None
    histograms: tuple[Histogram, ...] = ()
    metrics: Mapping[str, MetricEstimates] = field(default_factory=dict)
    votes: VoteNumbers | None = None
    agreement: Agreement | None = None
    imported_from: str | None = None
    groups: tuple[GroupFigures, ...] = ()
    matched_tasks: int | None = None
    keep_with: str | None = None
    lengths: LengthFigures | None = None
    scores: tuple[ScoreNumbers, ...] = ()

    @property
    def published(self) -> PaperContrast | None:
        """The paper's figures for pairs of this recipe; None for imported pairs, whatever they are called."""
        return None if self.imported_from is not None else TABLE_1.get(self.recipe)

    @property
    def cost_per_kept_usd(self) -> float | None:
        """The cost of one pair that passes the filters; None without prices or without such a pair."""
        return self.cost_usd / self.kept if self.cost_usd is not None and self.kept else None

    @property
    def assessment(self) -> Assessment:
        """What the figures come to, and what to do next."""
        step = next_step(
            self.run if self.keep_with is None else KEPT_RUN,
            self.recipe,
            n=self.n,
            kept=self.kept,
            failed=self.failed,
            pending=self.pending,
            dropped=self.dropped,
            audit=self.audit,
            judges=self.judges,
            length_ratio=self.contrast_of_kept.length_ratio.mean,
            imported=self.imported_from is not None,
        )
        if self.keep_with is not None:
            step = f"To go on, keep the pairs: {self.keep_with}. {step}"
        return Assessment(self.kept, self.n, self.cost_usd, self.audit, self.judges, step)

    def recipe_in_run(self, *, several: bool) -> str:
        """The recipe as a sentence names it: with its run if there are `several`."""
        return f"{self.recipe} in {self.run}" if several else self.recipe

    def __repr__(self) -> str:
        audited = [] if self.audit is None else [f"AUC {self.audit.auc:.3f} (n {self.audit.n:,})"]
        kept = self.contrast_of_kept
        return one_line_repr(
            self, f"{self.recipe} in {self.run}", f"{self.kept:,} kept of {self.n:,}", *kept.phrases, *audited
        )

    def to_json(self) -> dict[str, Any]:
        """The stable object shown in this module's docstring."""
        content = {
            "run": self.run,
            "recipe": self.recipe,
            "assessment": self.assessment.to_json(),
            "n": self.n,
            "kept": self.kept,
            "dropped": dict(self.dropped),
            "marked": dict(self.marked),
            "failed": self.failed,
            "pending": self.pending,
            "cost_usd": self.cost_usd,
            "cost_per_kept_usd": self.cost_per_kept_usd,
            "contrast": {"all": self.contrast_of_all.to_json(), "kept": self.contrast_of_kept.to_json()},
            "metrics": {name: metric.to_json() for name, metric in self.metrics.items()},
            "tokenizer": self.tokenizer,
            "judges": [judge.to_json() for judge in self.judges],
            "scores": [_scores_json(numbers) for numbers in self.scores],
            "retried": self.retried,
            "failed_checks": dict(self.failed_checks),
            "audit": None if self.audit is None else self.audit.to_json(),
            "lengths": None if self.lengths is None else self.lengths.to_json(),
            "votes": None if self.votes is None else self.votes.to_json(),
            "agreement": None if self.agreement is None else self.agreement.to_json(),
            "imported_from": self.imported_from,
            "matched_tasks": self.matched_tasks,
            "groups": [group.to_json() for group in self.groups],
        }
        return with_former_names(content, {"tokeniser": "tokenizer", "reasked": "retried", "missed": "failed_checks"})


class RecipeNumbers:
    """Accumulates the figures of one run and recipe, one pair at a time; it holds only counts and sums."""

    def __init__(self, run: str, recipe: str, tokenizer: str) -> None:
        self.run = run
        self.recipe = recipe
        self.tokenizer = tokenizer
        self._n = 0
        self._dropped: Counter[str] = Counter()
        self._marked: Counter[str] = Counter()
        self._retried = 0
        self._failed_checks: Counter[str] = Counter()
        self._all = ContrastMeans()
        self._kept = ContrastMeans()
        self._histograms = Histograms()

    def add(self, stored: StoredPair) -> None:
        """Count a pair that was made, and its contrast if it has a chosen answer."""
        outcome = stored.outcome
        if stored.findings:
            self._marked.update({finding.reason for finding in stored.findings if finding.action is FilterAction.MARK})
        contrast = contrast_under(self.tokenizer, stored)
        self.count(reason_for_dropping(stored), contrast, retried=outcome.retried, failed_check=outcome.failed_check)

    def count(
        self, lost_by: str | None, contrast: Contrast | None, *, retried: bool | int, failed_check: str | None
    ) -> None:
        """Count a pair that is kept, or not for a reason, but not its marks."""
        self._n += 1
        self._retried += retried
        if failed_check:
            self._failed_checks[failed_check] += 1
        if lost_by is not None:
            self._dropped[lost_by] += 1
        if contrast is None:
            return
        self._all.add(contrast)
        self._histograms.add(contrast, kept=lost_by is None)
        if lost_by is None:
            self._kept.add(contrast)

    def count_marks(self, counts: Mapping[str, int]) -> None:
        """Count how many pairs are marked for which reason."""
        self._marked.update(counts)

    def add_columns(self, outcomes: Iterable[OutcomeFigures], failed_checks: Mapping[str, int]) -> None:
        """Count pairs by figures that were taken over many of them, but for their marks."""
        self._failed_checks.update(failed_checks)
        for one in outcomes:
            self._n += one.pairs
            self._retried += one.retried
            if one.lost_by is not None:
                self._dropped[one.lost_by] += one.pairs
            for means in (self._all, self._kept) if one.lost_by is None else (self._all,):
                means.add_sums(one.metrics)
            self._histograms.add_counts(one.metrics, kept=one.lost_by is None)

    def report(
        self,
        *,
        failed: int = 0,
        pending: int = 0,
        cost_usd: float | None = None,
        judges: Sequence[JudgeReport] = (),
        audit: Audit | None = None,
        metrics: Mapping[str, MetricEstimates] | None = None,
        votes: VoteNumbers | None = None,
        agreement: Agreement | None = None,
        imported_from: str | None = None,
        groups: Sequence[GroupFigures] = (),
        matched_tasks: int | None = None,
        lengths: LengthFigures | None = None,
        scores: Sequence[ScoreNumbers] = (),
    ) -> RecipeReport:
        """The report so far; the caller adds which tasks have no pair, what the answers cost, and what judges and scorers say."""
        return RecipeReport(
            run=self.run,
            recipe=self.recipe,
            n=self._n,
            kept=self._n - self._dropped.total(),
            dropped=_most_frequent_first(self._dropped),
            marked=_most_frequent_first(self._marked),
            failed=failed,
            pending=pending,
            cost_usd=cost_usd,
            contrast_of_all=self._all.estimates(),
            contrast_of_kept=self._kept.estimates(),
            tokenizer=self.tokenizer,
            judges=tuple(judges),
            retried=self._retried,
            failed_checks=_most_frequent_first(self._failed_checks),
            audit=audit,
            histograms=self._histograms.histograms(),
            metrics=metrics or {},
            votes=votes,
            agreement=agreement,
            imported_from=imported_from,
            groups=tuple(groups),
            matched_tasks=matched_tasks,
            lengths=lengths,
            scores=tuple(scores),
        )


def _scores_json(numbers: ScoreNumbers) -> dict[str, Any]:
    return {
        "scorer": numbers.scorer,
        "criterion": numbers.criterion,
        "n": numbers.scores,
        "mean": numbers.mean,
        "chosen": numbers.chosen,
        "rejected": numbers.rejected,
        "unreadable": dict(numbers.unreadable),
    }


def reason_for_dropping(stored: StoredPair) -> str | None:
    """Why the pair is not kept; what was not decided never is, whatever the filters are set to."""
    if stored.dropped_by is not None:
        return stored.dropped_by.reason
    return None if isinstance(stored.outcome, Pair) else stored.outcome.reason.value


def _most_frequent_first(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
