"""What each filter finds fault with: the reason by name, and the measured value where there is one."""

from clairgen.filters.settings_fields import Range
from clairgen.records import Answer, Contrast, FilterAction, Finding, Pair, StoredPair, Undecided


def broken_format(outcome: Pair | Undecided, action: FilterAction) -> Finding | None:
    """Nothing could be chosen: a reply could not be parsed, or judges or scores did not decide."""
    return Finding("format", action, outcome.reason.value, None) if isinstance(outcome, Undecided) else None


def truncated(outcome: Pair | Undecided, action: FilterAction) -> Finding | None:
    """An answer ended because it reached its limit of tokens."""
    rejected, chosen = _sides(outcome)
    if chosen is not None and chosen.finish_reason == "length":
        return Finding("truncated", action, "chosen-truncated", None)
    if rejected.finish_reason == "length":
        return Finding("truncated", action, "rejected-truncated", None)
    return None


def empty(outcome: Pair | Undecided, action: FilterAction) -> Finding | None:
    """An answer is blank."""
    if isinstance(outcome, Pair) and not outcome.chosen.text.strip():
        return Finding("empty", action, "chosen-empty", None)
    rejected, _ = _sides(outcome)
    return None if rejected.text.strip() else Finding("empty", action, "rejected-empty", None)


def identical(outcome: Pair | Undecided, action: FilterAction) -> Finding | None:
    """Both answers are the same."""
    same = isinstance(outcome, Pair) and is_identical(outcome)
    return Finding("identical", action, "identical", None) if same else None


def is_identical(pair: Pair) -> bool:
    """Whether both answers are equal but for outer whitespace: such a pair teaches nothing and is never exported."""
    return pair.chosen.text.strip() == pair.rejected.text.strip()


def reason_to_skip(stored: StoredPair) -> str | None:
    """Why a pair is not exported: a filter dropped it, or it has no two different answers to learn from."""
    if stored.dropped_by is not None:
        return stored.dropped_by.reason
    match stored.outcome:
        case Undecided(reason=reason):
            return reason.value
        case Pair() as pair:
            # An identical pair gives APO-zero a constant loss and makes APO-down push the answer down: never export it.
            return "identical" if is_identical(pair) else None


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


def _sides(outcome: Pair | Undecided) -> tuple[Answer, Answer | None]:
    """What reasons call the rejected and the chosen answer; where nothing was decided, the first reply and the last."""
    if isinstance(outcome, Pair):
        return outcome.rejected, outcome.chosen
    first, *rest = outcome.replies
    return first, rest[-1] if rest else None


def _outside(name: str, value: float | None, bounds: Range, action: FilterAction) -> Finding | None:
    low, high = bounds
    reason = name.replace("_", "-")
    if value is not None and low is not None and value < low:
        return Finding(name, action, f"{reason}-below", value)
    if value is not None and high is not None and value > high:
        return Finding(name, action, f"{reason}-above", value)
    return None
