"""Muon: momentum whose matrix is made orthogonal before each step (Keller Jordan, https://kellerjordan.github.io/posts/muon/)."""

from collections import defaultdict

import torch
from torch import Tensor

_MOMENTUM = 0.95
_NEWTON_SCHULZ = (3.4445, -4.775, 2.0315)
_ITERATIONS = 5


class Muon:
    """Steps matrices along their orthogonalised Nesterov momentum, with decoupled weight decay."""

    def __init__(self, matrices: list[Tensor], weight_decay: float) -> None:
        self._weight_decay = weight_decay
        self._by_shape: dict[torch.Size, list[Tensor]] = defaultdict(list)
        for matrix in matrices:
            self._by_shape[matrix.shape].append(matrix)
        self._momenta = {shape: torch.zeros(len(group), *shape) for shape, group in self._by_shape.items()}

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """Move each matrix by its gradient in `.grad`."""
        for shape, group in self._by_shape.items():
            gradients = torch.stack([matrix.grad for matrix in group if matrix.grad is not None])
            momenta = self._momenta[shape].lerp_(gradients, 1 - _MOMENTUM)
            updates = orthogonalised(gradients.lerp(momenta, _MOMENTUM)) * max(1.0, shape[0] / shape[1]) ** 0.5
            for matrix, update in zip(group, updates, strict=True):
                matrix.mul_(1 - rate * self._weight_decay).add_(update, alpha=-rate)


def orthogonalised(matrices: Tensor) -> Tensor:
    """Each of [count, rows, columns] with its singular values brought near one by five Newton-Schulz iterations."""
    x = matrices.bfloat16()
    tall = x.shape[-2] > x.shape[-1]
    if tall:
        x = x.mT
    x = x / (x.float().norm(dim=(-2, -1), keepdim=True).bfloat16() + 1e-7)
    a, b, c = _NEWTON_SCHULZ
    for _ in range(_ITERATIONS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    orthogonal: Tensor = x.mT if tall else x
    return orthogonal.float()
