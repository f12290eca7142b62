"""How far the imports of a run have come: what was understood of each source, and what became of its rows."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from clairgen.row_pairs import RowsLeftOut
from clairgen.store import Statement, Store, metadata_row
from clairgen.wording import counted, one_line_repr

_KEY: Final = "import:"  # in the run's metadata, with the name of the pairs
_INTEGERS_BELOW: Final = 2**63
"""Of larger numbers no column of an export can be made."""


@dataclass(frozen=True, slots=True)
class ImportState:
    """How far pairs were imported: what was understood of the source, and how many of its `rows` became `pairs`.

    `facts` are equal for equal sources. `left_out` counts rows by the reason why they hold no pair, `doubts` those of which a
    score was not used. `kinds` says what each further column holds: boolean, integer, number, text or json.
    """

    source: str
    facts: dict[str, str]
    columns: dict[str, str]
    sentence: str
    rows: int = 0
    pairs: int = 0
    left_out: dict[str, RowsLeftOut] = field(default_factory=dict)
    doubts: int = 0
    first_doubt: str | None = None
    kinds: dict[str, str] = field(default_factory=dict)
    complete: bool = False

    @property
    def rows_left_out(self) -> int:
        """Rows without a pair."""
        return sum(one.count for one in self.left_out.values())

    def __repr__(self) -> str:
        return one_line_repr(self, self.source, counted(self.rows, "row"), counted(self.pairs, "pair"))


async def import_state(store: Store, name: str) -> ImportState | None:
    """How far the pairs called `name` were imported; None for none."""
    record = await store.metadata.get(f"{_KEY}{name}")
    if record is None:
        return None
    content = json.loads(record)
    return ImportState(**content | {"left_out": {why: RowsLeftOut(**one) for why, one in content["left_out"].items()}})


async def import_states(store: Store) -> dict[str, ImportState]:
    """The state of each import of a run, by the name of its pairs."""
    plans = (await store.metadata.plans()).items()
    found = {name: await import_state(store, name) for name, plan in plans if plan.imported_from is not None}
    return {name: state for name, state in found.items() if state is not None}


def state_row(name: str, state: ImportState) -> Statement:
    """The statement that stores how far the pairs called `name` were imported."""
    return metadata_row(f"{_KEY}{name}", json.dumps(asdict(state)))


def kinds_with(before: Mapping[str, str], rows: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """What the further columns hold, with those of more rows."""
    return merged_kinds([before, *({column: _kind(value) for column, value in row.items()} for row in rows)])


def merged_kinds(several: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """What columns hold of which each of `several` says it: integers and numbers are numbers, all other mixtures JSON."""
    kinds: dict[str, str] = {}
    for one in several:
        for column, kind in one.items():
            if (known := kinds.setdefault(column, kind)) != kind:
                kinds[column] = "number" if {known, kind} == {"integer", "number"} else "json"
    return kinds


def _kind(value: object) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, str):
        return "text"
    if isinstance(value, int):
        return "integer" if abs(value) < _INTEGERS_BELOW else "json"
    return "number" if isinstance(value, float) else "json"
