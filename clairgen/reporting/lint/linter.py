"""What the rules of lint count while rows pass by, and the findings that these counts come to."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from importlib.util import find_spec
from typing import Final

from clairgen.filters.contamination import Evaluations
from clairgen.filters.text import prompt_text
from clairgen.reporting.lint.findings import MOST_EXAMPLES, Example, Finding, LintedPart, Measured
from clairgen.reporting.lint.linted_rows import Part, Tens
from clairgen.reporting.lint.pair_checks import Hit, pair_hits
from clairgen.reporting.lint.repeats import PairHashes, PromptSketches, Repeat
from clairgen.reporting.lint.rules import RULES, Severity
from clairgen.reporting.shortcut_audit import FEWEST_PAIRS, MOST_PAIRS, Audit, FeatureDifferences, auc_interval
from clairgen.row_pairs import RowPair, RowsLeftOut, count_left_out
from clairgen.stats import Mean
from clairgen.tasks import task_id_of
from clairgen.wording import counted

MOST_RENDERED: Final = 1000
"""At most so many pairs, the first ones, are rendered by a model's chat template."""
ROWS_BETWEEN_TURNS: Final = 500
QUOTED: Final = 160
"""An example shows at most so many characters."""
TemplateCheck = Callable[[RowPair], Iterable[Hit]]
"""What finds the faults of a model's chat template in a pair."""
_SMALL: Final = 0.05
"""A share or AUC closer to one half than this is a note."""
_CHANCE: Final = 0.5
_NO_PAIR: Final = "rows-without-a-pair"
_ROWS_BETWEEN_LINES: Final = 100_000
_OF_PAIRS: Final = ("repeated-pairs", "swapped-pairs", "repeated-prompts")
_OF_SPLITS: Final = ("prompt-in-several-splits", "near-duplicates-across-splits")
_OF_TEMPLATE: Final = tuple(name for name in RULES if name.startswith(("template-", "special-")))


class Linter:
    """Counts what the rules find in rows, one part after the other."""

    def __init__(self, evaluations: Evaluations | None, template_check: TemplateCheck | None, tens: Tens) -> None:
        self._evaluations = evaluations
        self._template_check = template_check
        self._tens = tens
        self._hashes = PairHashes()
        self._sketches = PromptSketches(self._hashes)
        self._cues = FeatureDifferences(most=MOST_PAIRS)
        self._lengths = {"chosen": Mean(), "rejected": Mean()}
        self._rows = 0
        self._counts = Counter[str]()
        self._sides: dict[str, Counter[str]] = {}
        self._examples: dict[str, list[Example]] = {}
        self._left_out: dict[str, RowsLeftOut] = {}

    async def read(self, part: Part, tell: Callable[[str], None]) -> LintedPart:
        """Look at the rows of a part."""
        self._hashes.begin_split()
        before, rows, read = len(self._hashes), 0, 0
        async for row in part.rows():
            read += 1
            if read % ROWS_BETWEEN_TURNS == 0:
                await asyncio.sleep(0)  # so that others have their turn, and Ctrl-C its effect
            if (rows + row.rows) // _ROWS_BETWEEN_LINES > rows // _ROWS_BETWEEN_LINES:
                tell(f"{counted(rows + row.rows, 'row')} read")
            rows += row.rows
            if isinstance(row.found, str):
                count_left_out(self._left_out, row.found, row)
                if not part.is_run:
                    self._count(Hit(_NO_PAIR, row.found), row.where, row.rows)
            else:
                self._look(row.where, row.found)
        self._rows += rows
        return LintedPart(part.name, part.understood, rows, len(self._hashes) - before)

    def _look(self, where: str, pair: RowPair) -> None:
        number = len(self._hashes)
        self._hashes.add(pair)
        self._sketches.add(number, pair.messages)
        for mean, answer in zip(self._lengths.values(), (pair.chosen, pair.rejected), strict=True):
            mean.add(len(answer))
        self._cues.add_texts(task_id_of(pair.messages), pair.chosen, pair.rejected)
        for hit in pair_hits(pair):
            self._count(hit, where)
        if self._evaluations is not None:
            asked = prompt_text(pair.messages)
            if overlap := self._evaluations.overlap(asked):
                self._count(
                    Hit("evaluation-overlap", f"{overlap[0]} ({overlap[1]:.0%} of its runs of words): {asked}"), where
                )
        if self._template_check is not None and number < MOST_RENDERED:
            for hit in self._template_check(pair):
                self._count(hit, where)

    def _count(self, hit: Hit, where: str, rows: int = 1) -> None:
        self._counts[hit.rule] += rows
        if hit.sides:
            self._sides.setdefault(hit.rule, Counter()).update(hit.sides)
        examples = self._examples.setdefault(hit.rule, [])
        if len(examples) < MOST_EXAMPLES:
            examples.append(Example(where, hit.shown[:QUOTED]))

    @property
    def left_out(self) -> tuple[RowsLeftOut, ...]:
        """The rows without a pair, the most frequent reason first."""
        return tuple(sorted(self._left_out.values(), key=lambda one: -one.count))

    def of_pairs(self) -> list[Finding]:
        """What was found in pairs and rows by themselves."""
        found = []
        for rule, count in self._counts.items():
            sides = {side: self._sides[rule][side] for side in ("chosen", "rejected")} if rule in self._sides else {}
            severity = RULES[rule].severity
            n = min(len(self._hashes), MOST_RENDERED) if rule in _OF_TEMPLATE else len(self._hashes)
            if rule == _NO_PAIR:
                severity, n = (severity if n else Severity.ERROR), self._rows
            found.append(Finding(rule, severity, count, n, sides, examples=tuple(self._examples[rule])))
        return found + [
            Finding(rule, RULES[rule].severity, count, self._tens.rows, examples=tuple(self._tens.examples[rule]))
            for rule, count in self._tens.counts.items()
            if count
        ]

    def of_all(self) -> list[Finding]:
        """What was found about all pairs together: length and surface cues, each with its interval."""
        if not len(self._hashes):
            return []
        longer, shorter, share, low, high = self._hashes.chosen_longer()
        found = []
        if low > _CHANCE or high < _CHANCE:
            means = {side: (mean.mean or 0.0) for side, mean in self._lengths.items()}
            details = tuple(f"{side}: {mean:,.0f} characters on average" for side, mean in means.items())
            measured = Measured(
                "Share of pairs with the longer answer chosen, equal lengths counted half", share, low, high, details
            )
            sides = {"chosen longer": longer, "rejected longer": shorter}
            count = longer if share > _CHANCE else shorter
            found.append(Finding("length-bias", _severity(share), count, len(self._hashes), sides, measured))
        audit = self._cues.audit() if self._cues.tasks >= FEWEST_PAIRS else None
        if audit is not None:
            low, high = audit.interval
            if low > _CHANCE:
                measured = Measured("AUC of surface features", audit.auc, low, high, _cues(audit, self._cues.tasks))
                found.append(Finding("surface-cues", _severity(audit.auc), None, audit.n, measured=measured))
        return found

    def repeats(self) -> dict[str, list[Repeat]]:
        """Rows that repeat an earlier one, by the rule that finds them."""
        again, swapped = self._hashes.repeated_pairs()
        within, across = self._hashes.repeated_prompts()
        near: dict[bool, list[Repeat]] = {True: [], False: []}
        for one in self._sketches.near_duplicates():
            near[self._hashes.split_of(one.row) == self._hashes.split_of(one.earlier)].append(one)
        return {
            "repeated-pairs": again,
            "swapped-pairs": swapped,
            "repeated-prompts": within,
            "prompt-in-several-splits": across,
            "near-duplicate-prompts": near[True],
            "near-duplicates-across-splits": near[False],
        }

    def looked_at(self, rule: str) -> int:
        """Of how many pairs or prompts the repeats of a rule are."""
        if rule in _OF_PAIRS:
            return len(self._hashes)
        first_split = self._hashes.starts[1] if len(self._hashes.starts) > 1 else 0
        return len(self._hashes) - first_split if rule == "prompt-in-several-splits" else len(self._sketches)

    def not_looked(self, parts: int, splits_left_out: Sequence[str]) -> dict[str, str]:
        """Why rules did not look, by their names."""
        if not len(self._hashes):
            return {rule: "no row holds a pair" for rule in RULES if rule != _NO_PAIR}
        reasons: dict[str, str] = {}
        if parts < 2:
            others = f"; others are {', '.join(splits_left_out)}: name them with --split" if splits_left_out else ""
            reasons |= dict.fromkeys(_OF_SPLITS, f"there is one split{others}")
        if self._evaluations is None:
            reasons["evaluation-overlap"] = "no evaluation file is named with --against"
        if not self._tens.rows:
            reasons |= dict.fromkeys(self._tens.counts, "the rows have no such scores")
        if self._template_check is None:
            reasons |= dict.fromkeys(_OF_TEMPLATE, "no model is named with --model")
        if find_spec("sklearn") is None:
            reasons["surface-cues"] = "scikit-learn is not installed: pip install 'clairgen[report]'"
        elif self._cues.tasks < FEWEST_PAIRS:
            reasons["surface-cues"] = f"the pairs are of fewer than {FEWEST_PAIRS} prompts"
        return reasons


def _severity(value: float) -> Severity:
    """That of a share or AUC whose interval excludes one half, of which a large sample shows the smallest difference."""
    return Severity.NOTE if abs(value - _CHANCE) < _SMALL else Severity.WARNING


def _cues(audit: Audit, tasks: int) -> tuple[str, ...]:
    """The features that are clearly shifted, the strongest alone first, each with the interval of its AUC alone."""
    clear = [one for one in audit.shifts if one.clear]
    clear.sort(key=lambda one: -abs(one.univariate_auc - _CHANCE))
    words = []
    for one in clear[:MOST_EXAMPLES]:
        low, high = auc_interval(one.univariate_auc, tasks)
        more = "more" if one.univariate_auc > _CHANCE else "less"
        words.append(f"{one.feature}, {more} in chosen: AUC alone {one.univariate_auc:.3f} ({low:.3f} to {high:.3f})")
    return tuple(words)
