"""What each filter finds fault with: the reason by name, and the measured value where there is one."""

from clairgen.filters.settings_fields import Range
from clairgen.records import Contrast, FilterAction, Finding, Pair, ParseStatus, StoredPair


def broken_format(pair: Pair, action: FilterAction) -> Finding | None:
    """No chosen answer could be parsed; the parser's status is the reason."""
    if pair.parse_status is not ParseStatus.OK:
        return Finding("format", action, pair.parse_status.value, None)
    return Finding("format", action, "no-chosen-answer", None) if pair.chosen is None else None


def truncated(pair: Pair, action: FilterAction) -> Finding | None:
    """An answer ended because it reached its limit of tokens."""
    chosen = pair.chosen or pair.unparsed
    if chosen is not None and chosen.finish_reason == "length":
        return Finding("truncated", action, "chosen-truncated", None)
    if pair.rejected.finish_reason == "length":
        return Finding("truncated", action, "rejected-truncated", None)
    return None


def empty(pair: Pair, action: FilterAction) -> Finding | None:
    """An answer is blank."""
    if pair.chosen is not None and not pair.chosen.text.strip():
        return Finding("empty", action, "chosen-empty", None)
    return None if pair.rejected.text.strip() else Finding("empty", action, "rejected-empty", None)


def identical(pair: Pair, action: FilterAction) -> Finding | None:
    """Both answers are the same."""
    return Finding("identical", action, "identical", None) if is_identical(pair) else None


def is_identical(pair: Pair) -> bool:
    """Whether both answers are equal but for outer whitespace: such a pair teaches nothing and is never exported."""
    return pair.chosen is not None and pair.chosen.text.strip() == pair.rejected.text.strip()


def reason_to_skip(stored: StoredPair) -> str | None:
    """Why a pair is not exported: a filter dropped it, or it has no two different answers to learn from."""
    finding, chosen = stored.dropped_by, stored.pair.chosen
    if finding is not None:
        return finding.reason
    if chosen is None:
        return stored.pair.parse_status.value
    # An identical pair gives APO-zero a constant loss and makes APO-down push the answer down: never export it.
    return "identical" if is_identical(stored.pair) else None


def length_ratio(contrast: Contrast, bounds: Range, action: FilterAction) -> Finding | None:
    """The chosen answer is much shorter or longer than the rejected one (A.2); an empty rejected answer has no ratio."""
    return _outside("length_ratio", contrast.length_ratio, bounds, action)


def jaccard(contrast: Contrast, bounds: Range, action: FilterAction) -> Finding | None:
    """The answers share too few or too many tokens; the value is the index times 100, as the bounds are."""
    # Rounded, because 0.29 * 100 is a hair below 29.
    return _outside("jaccard", round(contrast.jaccard * 100, 9), bounds, action)


def levenshtein(contrast: Contrast, bounds: Range, action: FilterAction) -> Finding | None:
    """The answers lie too few or too many character edits apart."""
    return _outside("levenshtein", float(contrast.levenshtein), bounds, action)


def _outside(name: str, value: float | None, bounds: Range, action: FilterAction) -> Finding | None:
    low, high = bounds
    reason = name.replace("_", "-")
    if value is not None and low is not None and value < low:
        return Finding(name, action, f"{reason}-below", value)
    if value is not None and high is not None and value > high:
        return Finding(name, action, f"{reason}-above", value)
    return None
