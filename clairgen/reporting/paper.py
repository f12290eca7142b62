"""The paper's published figures, shown next to a run's own."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

SOURCE = "Table 1 of arXiv 2408.06266"


@dataclass(frozen=True, slots=True)
class PaperContrast:
    """One row of Table 1: mean token Jaccard x100, mean character Levenshtein; `n` is rounded as Section 5.1 states it.

    The paper does not name the tokenizer of its Jaccard; a Treebank-like one comes closest to its figures.
    """

    jaccard: float
    levenshtein: float
    n: int

    @property
    def words(self) -> tuple[str, str, str, str]:
        """n, Jaccard, Levenshtein and length ratio as they stand in a table; the last one is not published."""
        return f"{self.n:,}", f"{self.jaccard:.2f}", f"{self.levenshtein:,.0f}", ""

    @property
    def means(self) -> tuple[float, float, None]:
        """Jaccard, Levenshtein and length ratio as numbers; the last one is not published."""
        return self.jaccard, self.levenshtein, None


TABLE_1: Mapping[str, PaperContrast] = MappingProxyType(
    {
        "clair": PaperContrast(jaccard=43.11, levenshtein=1108, n=29_000),
        "judge-on-policy": PaperContrast(jaccard=39.06, levenshtein=1258, n=32_000),
        "judge-off-policy": PaperContrast(jaccard=18.05, levenshtein=1203, n=29_000),
        "stronger-preferred": PaperContrast(jaccard=24.35, levenshtein=1607, n=29_000),
    }
)
