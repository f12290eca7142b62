"""Pairs in groups by the value of a column of their source, such as `source` or `category`: counts and contrast of each."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from clairgen.errors import InputError
from clairgen.records import StoredPair
from clairgen.reporting.pair_metrics import ContrastEstimates, ContrastMeans, contrast_under

MOST_GROUPS: Final = 1000
"""A column with more values than this is no grouping, and would not fit into memory or on a page."""
NO_VALUE: Final = "(none)"


@dataclass(frozen=True, slots=True)
class GroupFigures:
    """The pairs with one `value` of a column: `n` in all, those `kept`, and the contrast of the kept ones."""

    value: str
    n: int
    kept: int
    contrast: ContrastEstimates

    def to_json(self) -> dict[str, Any]:
        """The group as an object."""
        return {"value": self.value, "n": self.n, "kept": self.kept, "contrast": self.contrast.to_json()}


class Groups:
    """Accumulates groups by a column, one pair at a time. Raises InputError for a column with too many values."""

    def __init__(self, column: str, tokenizer: str) -> None:
        self._column = column
        self._tokenizer = tokenizer
        self._n: Counter[str] = Counter()
        self._kept: dict[str, ContrastMeans] = {}
        self._kept_n: Counter[str] = Counter()

    def add(self, stored: StoredPair, *, kept: bool) -> None:
        """Count a pair."""
        value = _shown(stored.source_columns, self._column)
        self._n[value] += 1
        if len(self._n) > MOST_GROUPS:
            raise InputError(
                f"the column {self._column!r} has more than {MOST_GROUPS:,} values; name one with fewer for --by"
            )
        if kept and (contrast := contrast_under(self._tokenizer, stored)) is not None:
            self._kept_n[value] += 1
            self._kept.setdefault(value, ContrastMeans()).add(contrast)

    def figures(self) -> tuple[GroupFigures, ...]:
        """The groups, the largest first."""
        return tuple(
            GroupFigures(value, n, self._kept_n[value], self._kept.get(value, ContrastMeans()).estimates())
            for value, n in sorted(self._n.items(), key=lambda item: (-item[1], item[0]))
        )


def _shown(columns: Mapping[str, Any], column: str) -> str:
    value = columns.get(column)
    if value is None:
        return NO_VALUE
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
