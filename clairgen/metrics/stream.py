"""Contrast over a stream of stored pairs: in batches, and only where the stored contrast cannot be used."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

from clairgen.metrics.contrast import contrasts
from clairgen.records import Contrast, Pair, StoredPair

BATCH = 1024


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
