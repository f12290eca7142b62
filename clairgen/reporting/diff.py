"""The word-level diff between the rejected and the chosen answer."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import takewhile

from rapidfuzz.distance import Indel

from clairgen.patterns import lazy_pattern


class DiffOp(StrEnum):
    """Whether a segment is in both answers, only in the rejected one, or only in the chosen one."""

    KEPT = "kept"
    REMOVED = "removed"
    ADDED = "added"


@dataclass(frozen=True, slots=True)
class DiffSegment:
    """A piece of text and what happened to it."""

    change: DiffOp
    text: str


_WORDS = lazy_pattern(r"\s+|\w+|[^\w\s]")
_LINES = lazy_pattern(r"[^\n]*\n|[^\n]+")
_WHOLE = lazy_pattern(r".+", re.DOTALL)

# The alignment takes one bit for each pair of tokens: 64 MB for about 22,000 tokens on either side.
MOST_TOKEN_PAIRS = 512_000_000


def word_diff(rejected: str, chosen: str, *, most_token_pairs: int = MOST_TOKEN_PAIRS) -> list[DiffSegment]:
    """How `rejected` becomes `chosen`, in reading order.

    Kept and removed segments joined are exactly `rejected`, kept and added ones exactly `chosen`. Tokens are words, single
    punctuation marks and runs of whitespace; answers too long for that are compared by lines. Spaces between
    two changes in a line count as changed, so that a reworded phrase reads as one change.
    """
    before, after = _tokens(rejected, chosen, most_token_pairs)
    segments: list[DiffSegment] = []
    for removed, added, kept in _changes(before, after):
        lead, removed, added, tail = _without_shared_space(removed, added)
        for change, text in (
            (DiffOp.KEPT, lead),
            (DiffOp.REMOVED, removed),
            (DiffOp.ADDED, added),
            (DiffOp.KEPT, tail + kept),
        ):
            _append(segments, change, text)
    return segments


def _tokens(rejected: str, chosen: str, most_token_pairs: int) -> tuple[list[str], list[str]]:
    for token in (_WORDS, _LINES):
        before, after = token.findall(rejected), token.findall(chosen)
        if len(before) * len(after) <= most_token_pairs:
            return before, after
    return _WHOLE.findall(rejected), _WHOLE.findall(chosen)


def _changes(before: Sequence[str], after: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """Each edit as the text it removed, the text it added, and the kept text up to the next edit."""
    removed: list[str] = []
    added: list[str] = []
    kept = ""
    for step in Indel.opcodes(*_numbered(before, after)):
        if step.tag == "equal":
            kept = "".join(before[step.src_start : step.src_end])
            continue
        if kept.isspace() and "\n" not in kept and (removed or added):
            removed.append(kept)
            added.append(kept)
        elif kept:
            yield "".join(removed), "".join(added), kept
            removed, added = [], []
        kept = ""
        removed += before[step.src_start : step.src_end]
        added += after[step.dest_start : step.dest_end]
    yield "".join(removed), "".join(added), kept


def _without_shared_space(removed: str, added: str) -> tuple[str, str, str, str]:
    """A change without the whitespace that both its sides start and end with: lead, removed, added, tail."""
    lead = _shared_space(removed, added)
    removed, added = removed[len(lead) :], added[len(lead) :]
    tail = _shared_space(reversed(removed), reversed(added))[::-1]
    return lead, removed.removesuffix(tail), added.removesuffix(tail), tail


def _shared_space(first: Iterable[str], second: Iterable[str]) -> str:
    both = zip(first, second, strict=False)
    return "".join(a for a, _ in takewhile(lambda pair: pair[0] == pair[1] and pair[0].isspace(), both))


def _append(segments: list[DiffSegment], change: DiffOp, text: str) -> None:
    if text and segments and segments[-1].change is change:
        segments[-1] = DiffSegment(change, segments[-1].text + text)
    elif text:
        segments.append(DiffSegment(change, text))


def _numbered(*sequences: Sequence[str]) -> list[list[int]]:
    """Tokens as numbers: rapidfuzz compares hashes, and two words can have the same hash."""
    numbers: dict[str, int] = {}
    return [[numbers.setdefault(token, len(numbers)) for token in tokens] for tokens in sequences]
