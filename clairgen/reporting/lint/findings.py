"""What lint found in preference data: findings with counts, intervals and examples; and what it could not look at."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from clairgen.reporting.lint.rules import RULES, Severity
from clairgen.row_pairs import RowsLeftOut
from clairgen.wording import counted, one_line_repr

MOST_EXAMPLES = 3


@dataclass(frozen=True, slots=True)
class Example:
    """One case of a finding: `where` its row is, and of it what `shown` quotes; `other` is where the row is that it repeats."""

    where: str
    shown: str
    other: str | None = None


@dataclass(frozen=True, slots=True)
class Measured:
    """A figure with its 95% interval: `what` it is, and in `details` the figures that it comes with, in words."""

    what: str
    value: float
    low: float
    high: float
    details: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """The figure and its interval."""
        return f"{self.what}: {self.value:.3f} (95% interval {self.low:.3f} to {self.high:.3f})"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a rule found: in `count` of the `n` pairs, rows or prompts that it looked at.

    `sides` counts them by what is at fault, where that may be chosen, rejected or both. `measured` is the figure of a rule about
    all pairs together, and `count` is None where that is a figure of no single ones.
    """

    rule: str
    severity: Severity
    count: int | None
    n: int
    sides: Mapping[str, int] = field(default_factory=dict)
    measured: Measured | None = None
    examples: tuple[Example, ...] = ()

    @property
    def share(self) -> float | None:
        """The count's share of n; None without a count."""
        return None if self.count is None else self.count / self.n

    @property
    def count_in_words(self) -> str:
        """Such as `43 of 406 (10.6%): chosen 3, rejected 40`, or the n alone."""
        if self.count is None:
            return f"n {self.n:,}"
        by_side = ", ".join(f"{side} {count:,}" for side, count in self.sides.items())
        return f"{self.count:,} of {self.n:,} ({self.share:.1%})" + (f": {by_side}" if by_side else "")

    @property
    def counts(self) -> str:
        """Which pairs the rule finds."""
        return RULES[self.rule].counts

    @property
    def advice(self) -> str:
        """What they do to training, and what to do about them."""
        return RULES[self.rule].advice

    def __repr__(self) -> str:
        return one_line_repr(self, self.rule, self.severity.value, self.count_in_words)

    def to_json(self) -> dict[str, Any]:
        """The finding as an object; its keys are stable."""
        return {
            "rule": self.rule,
            "severity": self.severity.value,
            "count": self.count,
            "n": self.n,
            "share": self.share,
            "sides": dict(self.sides),
            "measured": None
            if self.measured is None
            else {
                "what": self.measured.what,
                "value": self.measured.value,
                "interval_95": [self.measured.low, self.measured.high],
                "details": list(self.measured.details),
            },
            "counts": self.counts,
            "advice": self.advice,
            "examples": [asdict(example) for example in self.examples],
        }


@dataclass(frozen=True, slots=True)
class LintedPart:
    """A source or a split of one: how its rows were `understood`, how many rows it has, and how many hold a pair."""

    name: str
    understood: str
    rows: int
    pairs: int


@dataclass(frozen=True, slots=True)
class LintReport:
    """What lint found in `parts`: `findings`, errors first, and the names of rules that looked and found nothing (`passed`).

    `not_looked` says by the name of a rule why it did not look. `left_out` counts the rows without a pair; `other_splits` are the
    names of splits that were not read.
    """

    parts: tuple[LintedPart, ...]
    findings: tuple[Finding, ...]
    passed: tuple[str, ...]
    not_looked: Mapping[str, str]
    left_out: tuple[RowsLeftOut, ...]
    other_splits: tuple[str, ...] = ()

    @property
    def pairs(self) -> int:
        """How many pairs were looked at."""
        return sum(part.pairs for part in self.parts)

    @property
    def rows(self) -> int:
        """How many rows were read."""
        return sum(part.rows for part in self.parts)

    def count(self, severity: Severity) -> int:
        """How many findings are so severe."""
        return sum(finding.severity is severity for finding in self.findings)

    @property
    def in_words(self) -> str:
        """Such as `2 errors, 1 warning, 0 notes`."""
        return ", ".join(counted(self.count(severity), severity.value) for severity in Severity)

    def __getitem__(self, rule: str) -> Finding:
        """The finding of a rule. Raises KeyError where it found nothing."""
        found = next((finding for finding in self.findings if finding.rule == rule), None)
        if found is None:
            raise KeyError(rule)
        return found

    def __repr__(self) -> str:
        of = ", ".join(part.name for part in self.parts)
        return one_line_repr(self, of, counted(self.pairs, "pair"), self.in_words)

    def to_json(self) -> dict[str, Any]:
        """The report as an object; its keys are stable."""
        return {
            "parts": [asdict(part) for part in self.parts],
            "rows": self.rows,
            "pairs": self.pairs,
            "counts": {severity.value: self.count(severity) for severity in Severity},
            "findings": [finding.to_json() for finding in self.findings],
            "passed": list(self.passed),
            "not_looked": dict(self.not_looked),
            "left_out": [asdict(one) for one in self.left_out],
            "other_splits": list(self.other_splits),
        }
