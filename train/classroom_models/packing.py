"""Examples packed into rows of one length, so that the compiler sees one shape and little is padding."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor

_MISSES_UNTIL_FULL = 4
_SHELF = 64
_WRITTEN = 5 / 8  # of a row's tokens are to be written, at most


@dataclass(frozen=True, slots=True)
class Example:
    """Tokens that are read, tokens that are to be written (the end of turn included), and what each of these counts."""

    read: list[int]
    written: list[int]
    weights: list[float]


@dataclass(frozen=True, slots=True)
class Batch:
    """Packed rows: `ids` and `segments` [rows, tokens]; `positions`, `targets`, `weights` [rows, written tokens].

    `segments` numbers the examples of a row, which must not see each other. `positions` are where a token to be written
    is predicted; unused ones weigh nothing.
    """

    ids: Tensor
    segments: Tensor
    positions: Tensor
    targets: Tensor
    weights: Tensor


def batches(examples: Iterator[Example], rows: int, row_tokens: int, padding: int) -> Iterator[Batch]:
    """Batches without end, from examples without end, in the order in which they come but for what has to wait."""
    written_tokens = int(row_tokens * _WRITTEN)
    packed = _rows(examples, row_tokens, written_tokens)
    while True:
        batch = Batch(
            ids=torch.full((rows, row_tokens), padding),
            segments=torch.zeros(rows, row_tokens, dtype=torch.long),
            positions=torch.zeros(rows, written_tokens, dtype=torch.long),
            targets=torch.zeros(rows, written_tokens, dtype=torch.long),
            weights=torch.zeros(rows, written_tokens),
        )
        for number, row in enumerate(islice(packed, rows)):
            _lay(batch, number, row)
        yield batch


def _rows(examples: Iterator[Example], row_tokens: int, written_tokens: int) -> Iterator[list[Example]]:
    shelf: list[Example] = []
    while True:
        row: list[Example] = []
        tokens, written, misses = row_tokens, written_tokens, 0
        waiting, shelf = shelf, []
        while misses < _MISSES_UNTIL_FULL:
            example = waiting.pop(0) if waiting else next(examples)
            length = len(example.read) + len(example.written)
            if length <= tokens and len(example.written) <= written:
                row.append(example)
                tokens, written = tokens - length, written - len(example.written)
            else:
                misses += 1
                if length <= row_tokens and len(example.written) <= written_tokens:
                    shelf.append(example)
        shelf = (shelf + waiting)[:_SHELF]
        yield row


def _lay(batch: Batch, number: int, row: list[Example]) -> None:
    start = used = 0
    for segment, example in enumerate(row, start=1):
        end, count = start + len(example.read) + len(example.written), len(example.written)
        batch.ids[number, start:end] = torch.tensor(example.read + example.written)
        batch.segments[number, start:end] = segment
        batch.positions[number, used : used + count] = torch.arange(end - count - 1, end - 1)
        batch.targets[number, used : used + count] = torch.tensor(example.written)
        batch.weights[number, used : used + count] = torch.tensor(example.weights)
        start, used = end, used + count
