"""How much the two answers of a pair differ: token Jaccard, character Levenshtein and length ratio (Section 3, Table 1).

Also what a metric is, and the registry of metrics: these three, and those of plugins, which reports state beside them.

The paper does not say what a token is, so the tokenizer is a named choice, and every number is stated with its name. On
the published pairs of one of the paper's kinds, Penn Treebank words come closest to its figures.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from importlib.util import find_spec
from types import MappingProxyType
from typing import Final

from rapidfuzz.distance import Levenshtein
from rapidfuzz.process import cpdist

from clairgen.errors import ConfigError, RequestFailedError
from clairgen.long_texts import TOO_LONG
from clairgen.metrics.treebank import treebank_set
from clairgen.patterns import lazy_pattern
from clairgen.plugins import Registry
from clairgen.records import Contrast, Pair, StoredPair

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
BATCH = 1024
_SIMILAR: Final = 0.6
_EDITED_OF_SIMILAR, _EDITED = 0.25, 0.8
"""Upper bounds of the share of characters that are edited, for most answers that are similar and for most others."""


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric of a pair's contrast: `measure(chosen, rejected)` is None for two texts without a value.

    `summary` says in a few words what is measured and in which unit.
    """

    name: str
    measure: Callable[[str, str], float | None]
    summary: str


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
    jaccard = token_jaccard(chosen, rejected, tokenizer)
    # Edits are counted faster if about as many are expected, three times as fast where they are few; the count is the same.
    share = _EDITED_OF_SIMILAR if jaccard >= _SIMILAR else _EDITED
    expected = int(share * max(len(chosen), len(rejected)))
    return Contrast(
        levenshtein=Levenshtein.distance(chosen, rejected, score_hint=expected),
        jaccard=jaccard,
        length_ratio=length_ratio(chosen, rejected),
        tokenizer=tokenizer,
    )


def contrasts(
    chosen: Sequence[str], rejected: Sequence[str], tokenizer: str = DEFAULT_TOKENIZER, *, cores: int = -1
) -> list[Contrast]:
    """The same for many pairs: Levenshtein on `cores`, -1 for all, since rapidfuzz releases the GIL, and Jaccard meanwhile."""
    if cores == 1:
        return [contrast(ours, theirs, tokenizer) for ours, theirs in zip(chosen, rejected, strict=True)]
    with ThreadPoolExecutor(1) as executor:
        waiting = executor.submit(_distances, chosen, rejected, cores)
        jaccards = [token_jaccard(ours, theirs, tokenizer) for ours, theirs in zip(chosen, rejected, strict=True)]
        distances = waiting.result()
    return [
        Contrast(distance, jaccard, length_ratio(ours, theirs), tokenizer)
        for distance, jaccard, ours, theirs in zip(distances, jaccards, chosen, rejected, strict=True)
    ]


async def measured(pairs: AsyncIterator[StoredPair], tokenizer: str) -> AsyncIterator[tuple[StoredPair, bool]]:
    """Each pair with its contrast under `tokenizer`, in order, and whether that contrast is new and may be stored.

    A contrast is new where the stored one is under another tokenizer or from an older version of the metrics. What was
    not decided has none.
    """
    batch: list[StoredPair] = []
    async for stored in pairs:
        batch.append(stored)
        if len(batch) == BATCH:
            for one in await _with_contrasts(batch, tokenizer):
                yield one
            batch = []
    for one in await _with_contrasts(batch, tokenizer):
        yield one


METRICS = Registry(Metric, "clairgen.metrics", (JACCARD, LEVENSHTEIN, LENGTH_RATIO))


def _tokens(name: str) -> Callable[[str], set[str]]:
    if name not in TOKENIZERS:
        raise ConfigError(f"there is no tokenizer {name!r}; choose one of {', '.join(TOKENIZERS)}")
    return TOKENIZERS[name]


def _distances(chosen: Sequence[str], rejected: Sequence[str], cores: int) -> list[int]:
    """Levenshtein distances; on one core unless numpy is installed, which every extra includes."""
    if find_spec("numpy") is None:
        return [character_levenshtein(ours, theirs) for ours, theirs in zip(chosen, rejected, strict=True)]
    distances: list[int] = cpdist(chosen, rejected, scorer=Levenshtein.distance, workers=cores).tolist()
    return distances


async def _with_contrasts(batch: Sequence[StoredPair], tokenizer: str) -> list[tuple[StoredPair, bool]]:
    stale = {
        stored.id: stored.outcome
        for stored in batch
        if isinstance(stored.outcome, Pair) and (stored.contrast is None or stored.contrast.tokenizer != tokenizer)
    }
    fresh: dict[str, Contrast] = {}
    if stale:
        chosen = [pair.chosen.text for pair in stale.values()]
        rejected = [pair.rejected.text for pair in stale.values()]
        measured_again = await asyncio.to_thread(contrasts, chosen, rejected, tokenizer)
        fresh = dict(zip(stale, measured_again, strict=True))
    return [
        (replace(stored, contrast=fresh[stored.id]), True) if stored.id in fresh else (stored, False)
        for stored in batch
    ]
