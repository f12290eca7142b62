"""How much the two answers of a pair differ: token Jaccard, character Levenshtein and length ratio (Section 3, Table 1).

The paper does not say what a token is, so the tokenizer is a named choice, and every number is stated with its name. On
the published pairs of one of the paper's kinds, Penn Treebank words come closest to its figures.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from types import MappingProxyType
from typing import Final

from rapidfuzz.distance import Levenshtein
from rapidfuzz.process import cpdist

from clairgen.errors import ConfigError, RequestFailedError
from clairgen.long_texts import TOO_LONG
from clairgen.metrics.metric import Metric
from clairgen.metrics.treebank import treebank_set
from clairgen.records import Contrast
from clairgen.text import lazy_pattern

DEFAULT_TOKENIZER: Final = "treebank"

MOST_CHARACTER_PAIRS: Final = 250_000_000_000
"""Two texts of half a million characters: Levenshtein takes time for each pair of characters, here about 20 seconds."""

METRICS_VERSION: int = 1
"""Raised with every change that can give another number, so that stored pairs are measured again."""

_WORD = lazy_pattern(r"\w+")

TOKENIZERS: Mapping[str, Callable[[str], set[str]]] = MappingProxyType(
    {
        "treebank": treebank_set,
        "whitespace": lambda text: set(text.split()),
        "word": lambda text: set(_WORD.findall(text)),
    }
)
"""The named ways to split a text into tokens: Penn Treebank words, at whitespace, and runs of `\\w`; case is kept."""


def token_jaccard(chosen: str, rejected: str, tokenizer: str = DEFAULT_TOKENIZER) -> float:
    """Tokens in both answers over tokens in either, as sets: from 0 to 1, and 1 for two answers without a token."""
    tokens = _tokens(tokenizer)
    ours, theirs = tokens(chosen), tokens(rejected)
    common = len(ours & theirs)
    either = len(ours) + len(theirs) - common
    return common / either if either else 1.0


def character_levenshtein(chosen: str, rejected: str) -> int:
    """The fewest insertions, deletions and substitutions of a Unicode code point that turn one answer into the other."""
    return Levenshtein.distance(chosen, rejected)


def check_length(chosen: str, rejected: str) -> None:
    """Raise RequestFailedError for answers of more than `MOST_CHARACTER_PAIRS`, whose edits would take minutes to count."""
    if len(chosen) * len(rejected) > MOST_CHARACTER_PAIRS:
        sizes = f"{len(chosen):,} and {len(rejected):,} characters"
        raise RequestFailedError(TOO_LONG, f"the answers have {sizes}; lower max_tokens or leave the task out")


def length_ratio(chosen: str, rejected: str) -> float | None:
    """Code points of chosen over those of rejected; None when rejected is empty."""
    return len(chosen) / len(rejected) if rejected else None


JACCARD = Metric(
    "jaccard",
    lambda chosen, rejected: 100 * token_jaccard(chosen, rejected),
    "Token Jaccard index times 100, under Penn Treebank words",
)
LEVENSHTEIN = Metric("levenshtein", character_levenshtein, "Character edits between the two answers")
LENGTH_RATIO = Metric("length_ratio", length_ratio, "Characters of chosen over characters of rejected")


def contrast(chosen: str, rejected: str, tokenizer: str = DEFAULT_TOKENIZER) -> Contrast:
    """All measures of one pair. Raises RequestFailedError where `check_length` does."""
    check_length(chosen, rejected)
    return Contrast(
        levenshtein=character_levenshtein(chosen, rejected),
        jaccard=token_jaccard(chosen, rejected, tokenizer),
        length_ratio=length_ratio(chosen, rejected),
        tokenizer=tokenizer,
    )


def contrasts(chosen: Sequence[str], rejected: Sequence[str], tokenizer: str = DEFAULT_TOKENIZER) -> list[Contrast]:
    """The same for many pairs: Levenshtein on all cores, since rapidfuzz releases the GIL, and Jaccard at the same time."""
    with ThreadPoolExecutor(1) as executor:
        waiting = executor.submit(_distances, chosen, rejected)
        jaccards = [token_jaccard(ours, theirs, tokenizer) for ours, theirs in zip(chosen, rejected, strict=True)]
        distances = waiting.result()
    return [
        Contrast(distance, jaccard, length_ratio(ours, theirs), tokenizer)
        for distance, jaccard, ours, theirs in zip(distances, jaccards, chosen, rejected, strict=True)
    ]


def _tokens(name: str) -> Callable[[str], set[str]]:
    if name not in TOKENIZERS:
        raise ConfigError(f"there is no tokenizer {name!r}; choose one of {', '.join(TOKENIZERS)}")
    return TOKENIZERS[name]


def _distances(chosen: Sequence[str], rejected: Sequence[str]) -> list[int]:
    """Levenshtein distances; on all cores if numpy is installed, which every extra includes."""
    if find_spec("numpy") is None:
        return [character_levenshtein(ours, theirs) for ours, theirs in zip(chosen, rejected, strict=True)]
    distances: list[int] = cpdist(chosen, rejected, scorer=Levenshtein.distance, workers=-1).tolist()
    return distances
