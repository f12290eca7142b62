"""Contrasts of a stream of stored pairs: what is stored and fresh is taken as it is, the rest measured a batch at a time."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

from clairgen.metrics import contrast as metrics
from clairgen.records import Contrast, StoredPair

BATCH = 1024


async def measured(pairs: AsyncIterator[StoredPair], tokeniser: str) -> AsyncIterator[tuple[StoredPair, bool]]:
    """Each pair with its contrast under `tokeniser`, in order, and whether that is new and may be stored.

    A contrast is new where the stored one is under another tokeniser or from an older version of the metrics. A pair
    without a chosen answer has none.
    """
    batch: list[StoredPair] = []
    async for stored in pairs:
        batch.append(stored)
        if len(batch) == BATCH:
            for one in await _with_contrasts(batch, tokeniser):
                yield one
            batch = []
    for one in await _with_contrasts(batch, tokeniser):
        yield one


async def _with_contrasts(batch: Sequence[StoredPair], tokeniser: str) -> list[tuple[StoredPair, bool]]:
    stale = [stored for stored in batch if _is_stale(stored, tokeniser)]
    fresh: dict[str, Contrast] = {}
    if stale:
        chosen = [stored.pair.chosen.text for stored in stale if stored.pair.chosen is not None]
        rejected = [stored.pair.rejected.text for stored in stale]
        contrasts = await asyncio.to_thread(metrics.contrasts, chosen, rejected, tokeniser)
        fresh = {stored.id: contrast for stored, contrast in zip(stale, contrasts, strict=True)}
    return [
        (replace(stored, contrast=fresh[stored.id]), True) if stored.id in fresh else (stored, False)
        for stored in batch
    ]


def _is_stale(stored: StoredPair, tokeniser: str) -> bool:
    if stored.pair.chosen is None:
        return False
    return stored.contrast is None or stored.contrast.tokeniser != tokeniser
