"""The pairs that a page shows: all of them, or as many as it can hold, drawn by a hash of their task."""

import hashlib
import heapq
from typing import Any

from clairgen.records import StoredPair
from clairgen.reporting.diff import Change, word_diff
from clairgen.reporting.sanitize import plain_text

_LONGEST = 20_000
_CODES = {Change.KEPT: 0, Change.REMOVED: 1, Change.ADDED: 2}


class DrawnPairs:
    """Takes in the pairs of one run and recipe and keeps `most` of them: those whose task's hash is smallest.

    So the same tasks are drawn in every recipe, and again next time.
    """

    def __init__(self, run: str, recipe: str, most: int) -> None:
        self.run = run
        self.recipe = recipe
        self.seen = 0
        self._most = most
        self._drawn: list[tuple[int, int, StoredPair]] = []

    def add(self, stored: StoredPair) -> None:
        """Take in a pair; it stays if its hash is among the smallest."""
        self.seen += 1
        digest = hashlib.sha256(stored.task.id.encode("utf-8", "surrogatepass")).digest()
        entry = (-int.from_bytes(digest[:8]), -self.seen, stored)
        if len(self._drawn) < self._most:
            heapq.heappush(self._drawn, entry)
        elif self._most and entry > self._drawn[0]:
            heapq.heapreplace(self._drawn, entry)

    def rows(self) -> list[dict[str, Any]]:
        """The drawn pairs in the order of their tasks, as the page's script reads them."""
        ordered = sorted(self._drawn, key=lambda entry: -entry[1])
        return [_row(self.run, number, stored) for number, (_, _, stored) in enumerate(ordered)]


def _row(run: str, number: int, stored: StoredPair) -> dict[str, Any]:
    pair, contrast, dropped = stored.pair, stored.contrast, stored.dropped_by
    if pair.chosen is not None:
        stretches = word_diff(pair.rejected.text[:_LONGEST], pair.chosen.text[:_LONGEST])
        diff = [[_CODES[stretch.change], plain_text(stretch.text)] for stretch in stretches]
        longest = max(len(pair.chosen.text), len(pair.rejected.text))
    else:
        diff = [[0, _shown(pair.rejected.text)]]
        longest = len(pair.rejected.text)
    undecided = None if pair.chosen is not None else pair.parse_status.value
    return {
        "run": plain_text(run),
        "number": number,
        "id": plain_text(stored.id),
        "task": plain_text(stored.task.id),
        "recipe": plain_text(pair.recipe),
        "outcome": plain_text(dropped.reason if dropped else undecided or "kept"),
        "prompt": [[plain_text(message.role), _shown(message.content)] for message in stored.task.messages],
        "reasoning": None if pair.reasoning is None else _shown(pair.reasoning),
        "diff": diff,
        "other": _shown(pair.unparsed.text) if pair.unparsed else None,
        "cut": longest > _LONGEST,
        "chosen": plain_text(stored.chosen_model or ""),
        "rejected": plain_text(stored.rejected_model),
        "jaccard": None if contrast is None else round(100 * contrast.jaccard, 2),
        "levenshtein": None if contrast is None else contrast.levenshtein,
        "ratio": None if contrast is None or contrast.length_ratio is None else round(contrast.length_ratio, 3),
        "findings": [
            plain_text(f"{found.action.value}: {found.reason}" + ("" if found.value is None else f" ({found.value})"))
            for found in stored.findings
        ],
    }


def _shown(text: str) -> str:
    """The plain text, its end cut off where it is too long for a page."""
    return plain_text(text) if len(text) <= _LONGEST else f"{plain_text(text[:_LONGEST])} …"
