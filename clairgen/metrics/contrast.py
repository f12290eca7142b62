"""How much the two answers of a pair differ: token Jaccard, character Levenshtein and length ratio (Section 3, Table 1).

The paper does not say what a token is, so the tokenizer is a named choice and its name stands with every number. On
published pairs of one of its kinds, Penn Treebank words come closest to the paper's figures.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib.util import find_spec
from types import MappingProxyType
from typing import Final

from rapidfuzz.distance import Levenshtein
from rapidfuzz.process import cpdist

from clairgen.errors import ConfigError
from clairgen.metrics import contrast as metrics
from clairgen.metrics.treebank import treebank_set
from clairgen.records import Contrast, StoredPair

DEFAULT_TOKENIZER: Final = "treebank"

METRICS_VERSION: int = 1
"""Raised with every change that can give another number, so that stored pairs can be measured again."""


def token_jaccard(chosen: str, rejected: str, tokenizer: str = DEFAULT_TOKENIZER) -> float:
    """Tokens that both answers have over tokens that either has, as sets: from 0 to 1, and 1 for two without a token."""
    tokens = _tokens(tokenizer)
    ours, theirs = tokens(chosen), tokens(rejected)
    common = len(ours & theirs)
    either = len(ours) + len(theirs) - common
    return common / either if either else 1.0


def character_levenshtein(chosen: str, rejected: str) -> int:
    """The fewest insertions, deletions and replacements of one Unicode code point that turn one answer into the other."""
    return Levenshtein.distance(chosen, rejected)


def length_ratio(chosen: str, rejected: str) -> float | None:
    """Code points of chosen over those of rejected; None when rejected is empty."""
    return len(chosen) / len(rejected) if rejected else None


def contrast(chosen: str, rejected: str, tokenizer: str = DEFAULT_TOKENIZER) -> Contrast:
    """All measures of one pair."""
    return Contrast(
        levenshtein=character_levenshtein(chosen, rejected),
        jaccard=token_jaccard(chosen, rejected, tokenizer),
        length_ratio=length_ratio(chosen, rejected),
        tokenizer=tokenizer,
    )


def contrasts(chosen: Sequence[str], rejected: Sequence[str], tokenizer: str = DEFAULT_TOKENIZER) -> list[Contrast]:
    """The same for many pairs: Levenshtein on all cores, for rapidfuzz lets go of the interpreter, and Jaccard beside it."""
    with ThreadPoolExecutor(1) as beside:
        waiting = beside.submit(_distances, chosen, rejected)
        jaccards = [token_jaccard(ours, theirs, tokenizer) for ours, theirs in zip(chosen, rejected, strict=True)]
        distances = waiting.result()
    return [
        Contrast(distance, jaccard, length_ratio(ours, theirs), tokenizer)
        for distance, jaccard, ours, theirs in zip(distances, jaccards, chosen, rejected, strict=True)
    ]


_WORD = re.compile(r"\w+")

TOKENIZERS: Mapping[str, Callable[[str], set[str]]] = MappingProxyType(
    {
        "treebank": treebank_set,
        "whitespace": lambda text: set(text.split()),
        "word": lambda text: set(_WORD.findall(text)),
    }
)
"""The named ways to cut a text into tokens: Penn Treebank words, what whitespace parts, and runs of `\\w`; case is kept."""


def _tokens(name: str) -> Callable[[str], set[str]]:
    if name not in TOKENIZERS:
        raise ConfigError(f"there is no tokenizer {name!r}; choose one of {', '.join(TOKENIZERS)}")
    return TOKENIZERS[name]


def _distances(chosen: Sequence[str], rejected: Sequence[str]) -> list[int]:
    """Levenshtein distances; over all cores where numpy is there, which comes with every extra."""
    if find_spec("numpy") is None:
        return [character_levenshtein(ours, theirs) for ours, theirs in zip(chosen, rejected, strict=True)]
    distances: list[int] = cpdist(chosen, rejected, scorer=Levenshtein.distance, workers=-1).tolist()
    return distances


BATCH = 1024


async def measured(pairs: AsyncIterator[StoredPair], tokenizer: str) -> AsyncIterator[tuple[StoredPair, bool]]:
    """Each pair with its contrast under `tokenizer`, in order, and whether that is new and may be stored.

    A contrast is new where the stored one is under another tokenizer or from an older version of the metrics. A pair
    without a chosen answer has none.
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


async def _with_contrasts(batch: Sequence[StoredPair], tokenizer: str) -> list[tuple[StoredPair, bool]]:
    stale = [stored for stored in batch if _is_stale(stored, tokenizer)]
    fresh: dict[str, Contrast] = {}
    if stale:
        chosen = [stored.pair.chosen.text for stored in stale if stored.pair.chosen is not None]
        rejected = [stored.pair.rejected.text for stored in stale]
        contrasts = await asyncio.to_thread(metrics.contrasts, chosen, rejected, tokenizer)
        fresh = {stored.id: contrast for stored, contrast in zip(stale, contrasts, strict=True)}
    return [
        (replace(stored, contrast=fresh[stored.id]), True) if stored.id in fresh else (stored, False)
        for stored in batch
    ]


def _is_stale(stored: StoredPair, tokenizer: str) -> bool:
    if stored.pair.chosen is None:
        return False
    return stored.contrast is None or stored.contrast.tokenizer != tokenizer
