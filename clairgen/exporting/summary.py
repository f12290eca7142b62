"""What an export came to."""

from collections.abc import Mapping
from dataclasses import dataclass

from clairgen.exporting.rows import ExportFormat


@dataclass(frozen=True, slots=True)
class ExportSummary:
    """Rows by recipe and split ("train", "test"), and the pairs that were left out, by reason.

    `content_hashes` has the hash of each recipe's files. `test_fraction` and `seed` decided on the split.
    `replaced_characters` counts lone surrogates, which no file can hold and which became U+FFFD.
    """

    export_format: ExportFormat
    rows: Mapping[str, Mapping[str, int]]
    skipped: Mapping[str, int]
    content_hashes: Mapping[str, str]
    test_fraction: float = 0.0
    seed: int = 0
    replaced_characters: int = 0

    @property
    def row_count(self) -> int:
        """Rows in all files together."""
        return sum(sum(splits.values()) for splits in self.rows.values())
