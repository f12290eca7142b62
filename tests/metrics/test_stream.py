from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

from clairgen.metrics import contrast as metrics
from clairgen.metrics.contrast import BATCH, measured
from clairgen.records import StoredPair
from tests.reporting.made import USUAL, stored_pair


async def streamed(pairs: Sequence[StoredPair]) -> AsyncIterator[StoredPair]:
    for pair in pairs:
        yield pair


async def test_fresh_contrasts_are_taken_as_they_are_and_stale_ones_measured_in_order() -> None:
    fresh = replace(stored_pair(), id="fresh")
    unmeasured = replace(stored_pair("a b", "a c", contrast=None), id="unmeasured")
    elsewhere = replace(stored_pair("a b", "a c", contrast=replace(USUAL, tokenizer="word")), id="elsewhere")
    undecided = replace(stored_pair(None), id="undecided")
    found = [one async for one in measured(streamed([fresh, unmeasured, elsewhere, undecided]), "treebank")]
    expected = metrics.contrast("a b", "a c")
    assert found == [
        (fresh, False),
        (replace(unmeasured, contrast=expected), True),
        (replace(elsewhere, contrast=expected), True),
        (undecided, False),
    ]


async def test_many_pairs_keep_their_order_over_batches() -> None:
    pairs = [
        replace(stored_pair("x" * (number % 7), "y", contrast=None), id=str(number)) for number in range(2 * BATCH + 3)
    ]
    found = [stored async for stored, _ in measured(streamed(pairs), "word")]
    assert [stored.id for stored in found] == [pair.id for pair in pairs]
    assert all(stored.contrast == metrics.contrast("x" * (int(stored.id) % 7), "y", "word") for stored in found[:20])


async def test_no_pairs_are_no_work() -> None:
    assert [one async for one in measured(streamed([]), "word")] == []
