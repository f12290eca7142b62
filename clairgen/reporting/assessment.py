"""A recipe's pairs in short: how many are kept, at what cost, with which cues, how its judges lean, and what to do next."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from clairgen.config.prices import dollars
from clairgen.records import ParseStatus
from clairgen.reporting.position_bias import JudgeReport
from clairgen.reporting.shortcut_audit import FEWEST_PAIRS, Audit, FeatureShift
from clairgen.wording import counted

MANY_DROPPED: Final = 0.1
"""From this share of the pairs on, replies that could not be used are what to look into first."""
MOST_LENGTH_RATIO: Final = 1.5
"""Where chosen answers are longer than this on average, few pairs of like length are left to keep."""
MOST_SHOWN: Final = 6
_UNDECIDED_BY_NATURE = {ParseStatus.DECLARED_TIE, ParseStatus.TIE_BETWEEN_ORDERS, ParseStatus.TIE_BETWEEN_JUDGES}
_UNUSABLE = {status.value for status in ParseStatus} - {status.value for status in _UNDECIDED_BY_NATURE}
_LENGTHS = {"characters", "words", "paragraphs"}


@dataclass(frozen=True, slots=True)
class Assessment:
    """What a report comes to, as facts (`to_json`) and in the words of tables; `next_step` is one sentence."""

    kept: int
    n: int
    cost_usd: float | None
    audit: Audit | None
    judges: tuple[JudgeReport, ...]
    next_step: str

    @property
    def kept_words(self) -> str:
        """How many pairs are kept of those that were made."""
        return f"{self.kept:,} of {self.n:,}" + (f" ({self.kept / self.n:.0%})" if self.n else "")

    @property
    def cost_words(self) -> str:
        """What the pairs' answers cost, in all and for each kept pair."""
        if not self.cost_usd:
            return "not known" if self.cost_usd is None else "free"
        return dollars(self.cost_usd) + (f" ({dollars(self.cost_usd / self.kept)} a pair kept)" if self.kept else "")

    @property
    def cue_words(self) -> str:
        """Whether surface features tell chosen from rejected."""
        if self.audit is None:
            return "too few pairs to tell" if self.kept < FEWEST_PAIRS else "not audited"
        features = ", ".join(shift.feature for shift in telling(self.audit)[:2])
        found = f": {features}" if features and self.audit.tells_apart else ""
        return f"{'yes' if self.audit.tells_apart else 'none seen'}, AUC {self.audit.auc:.3f}{found}"

    @property
    def cue_interval_words(self) -> str:
        """The 95% interval of the AUC, and over how many pairs; empty without an audit."""
        if self.audit is None:
            return ""
        low, high = self.audit.interval
        return f"95% interval {low:.3f} to {high:.3f}, n {self.audit.n:,}"

    @property
    def judge_words(self) -> str:
        """To which position each judge leans, with its share of verdicts for the first one."""
        return "; ".join(
            f"{f'{judge.role}: ' if len(self.judges) > 1 else ''}{judge.leaning} ({judge.first_position.mean:.1%} first)"
            for judge in self.judges
            if judge.first_position.mean is not None
        ) or ("no verdict" if self.judges else "no judge")

    def to_json(self) -> dict[str, Any]:
        """The stable object of `report --json`."""
        return {
            "kept": self.kept,
            "of": self.n,
            "cost_usd": self.cost_usd,
            "cost_per_kept_usd": self.cost_usd / self.kept if self.cost_usd is not None and self.kept else None,
            "cues": None if self.audit is None else self.audit.tells_apart,
            "judges": {judge.role: judge.leaning for judge in self.judges},
            "next": self.next_step,
        }


def telling(audit: Audit) -> list[FeatureShift]:
    """The features worth showing: the most important ones first, then those with a clear shift."""
    found = [shift for shift in audit.shifts if shift.clear or (audit.tells_apart and shift.importance > 0.005)]
    return found[:MOST_SHOWN]


def next_step(
    run: str,
    recipe: str,
    *,
    n: int,
    kept: int,
    failed: int,
    pending: int,
    dropped: Mapping[str, int],
    audit: Audit | None,
    judges: Sequence[JudgeReport],
    length_ratio: float | None,
    imported: bool = False,
) -> str:
    """What to do next about a recipe's pairs: the first that applies, from what is missing to the export.

    `imported` pairs cannot be made otherwise, only chosen among.
    """
    run = shlex.quote(run)
    look = f"clairgen show {run} --recipe {shlex.quote(recipe)}"
    if pending:
        are = "is" if pending == 1 else "are"
        return f"{counted(pending, 'pair')} {are} still to be made: run clairgen generate again."
    if not n:
        return f"No pair was made: see why with clairgen status {run}."
    reason = max(dropped, key=lambda name: dropped[name], default="")
    if not kept:
        return f"No pair is kept: look at what is dropped with {look} --dropped {shlex.quote(reason)}."
    lost = [name for name, count in dropped.items() if _is_unusable(name) and count >= MANY_DROPPED * n]
    if lost:
        some = f"look at some with {look} --dropped {shlex.quote(lost[0])}"
        raise_it = ", and raise max_tokens" if "truncated" in lost[0] else ""
        return f"{dropped[lost[0]] / n:.0%} are dropped for {lost[0]}: {some}{raise_it}."
    if any(judge.leaning != "neither position" and not judge.flips.n for judge in judges):
        both = f"{{name: {recipe}, order: both}}"
        return f"The judge leans to a position: write the recipe as {both}, so that only agreement counts."
    if audit is not None and audit.tells_apart:
        return f"Cues tell chosen from rejected: {_against_cues(run, look, audit, length_ratio, imported=imported)}"
    if kept < FEWEST_PAIRS:
        more = "import more" if imported else "add tasks"
        return f"These are few pairs to judge by: {more}, or export them as they are: clairgen export {run} path/to/dataset."
    if failed:
        return f"{counted(failed, 'task')} failed: see why with clairgen status {run}, then export."
    return f"Export the pairs: clairgen export {run} path/to/dataset."


def _is_unusable(reason: str) -> bool:
    return reason in _UNUSABLE or "truncated" in reason


def _against_cues(run: str, look: str, audit: Audit, length_ratio: float | None, *, imported: bool) -> str:
    """What to do about cues; a filter by length helps only where pairs of like length are left."""
    if length_ratio is not None and not 1 / MOST_LENGTH_RATIO < length_ratio < MOST_LENGTH_RATIO:
        balance = (
            f"select pairs that length does not give away with clairgen export {run} path/to/dataset --balance-lengths (the "
            "table of lengths says how many are left), or train with --objective dpo-norm"
        )
        remedy = balance if imported else "the recipe clair keeps their length"
        return f"chosen answers are {length_ratio:.2g} times as long as rejected ones; {remedy}."
    features = telling(audit)
    if features and features[0].feature in _LENGTHS:
        return (
            f"keep pairs of like length with clairgen filter {run} --length-ratio 0.8:1.25 --drop length_ratio, or as many "
            f"longer as shorter winners with clairgen export {run} path/to/dataset --balance-lengths."
        )
    return f"look at some pairs with {look} --random."
