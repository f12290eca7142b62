"""The training loop: packed rows, fp32 weights with bf16 arithmetic, Muon for the matrices and AdamW for the rest.

Muon is momentum whose matrix is made orthogonal before each step (Keller Jordan, https://kellerjordan.github.io/posts/muon/).
"""

import copy
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from classroom_models.llama import Llama
from classroom_models.packing import Batch, Example, batches
from classroom_models.recipe import Course, Shape

_WEIGHT_DECAY = 0.01
_SMOOTHING = 0.97
_REPORT_EVERY_STEPS = 50
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


@dataclass(frozen=True, slots=True)
class Progress:
    """Where training stands: the steps done, the smoothed loss, and seconds since the first step."""

    step: int
    loss: float
    seconds: float


def trained(
    shape: Shape,
    course: Course,
    examples: Iterator[Example],
    padding: int,
    report: Callable[[Progress, Llama], None],
    start: Llama | None = None,
) -> Llama:
    """A model that took the course, from random weights or from `start`. `report` hears of every fiftieth step and the last."""
    torch.manual_seed(course.seed)
    model = start or Llama(shape)
    worker = copy.deepcopy(model).bfloat16()
    optimiser = _Optimiser(model, course)
    smoothed, started = 0.0, time.monotonic()
    rows = batches(examples, course.rows, course.row_tokens, padding)
    for step in range(course.steps):
        loss = _loss(worker, next(rows))
        loss.backward()  # type: ignore[no-untyped-call] # torch leaves it untyped
        _move_gradients(worker, model)
        optimiser.step(_schedule(step, course))
        with torch.no_grad():
            torch._foreach_copy_(list(worker.parameters()), list(model.parameters()))
        smoothed = loss.item() if step == 0 else _SMOOTHING * smoothed + (1 - _SMOOTHING) * loss.item()
        if (step + 1) % _REPORT_EVERY_STEPS == 0 or step + 1 == course.steps:
            report(Progress(step + 1, smoothed, time.monotonic() - started), model)
    return model


def _loss(model: Llama, batch: Batch) -> Tensor:
    """Weighted mean cross-entropy over the tokens to be written."""
    same = batch.segments[:, :, None] == batch.segments[:, None, :]
    back = torch.ones(same.shape[1:], dtype=torch.bool).tril()
    bias = torch.where(same & back, 0.0, -1e4).to(torch.bfloat16)[:, None]
    logits = model(batch.ids, bias, batch.positions).float()
    losses = functional.cross_entropy(logits.flatten(0, 1), batch.targets.flatten(), reduction="none")
    weights = batch.weights.flatten()
    return (losses * weights).sum() / weights.sum()


def _move_gradients(source: nn.Module, target: nn.Module) -> None:
    for from_parameter, to_parameter in zip(source.parameters(), target.parameters(), strict=True):
        if from_parameter.grad is not None:
            to_parameter.grad = from_parameter.grad.float()
        from_parameter.grad = None


class _Optimiser:
    """Muon for the layers' matrices, AdamW for embeddings and norms, under one schedule."""

    def __init__(self, model: Llama, course: Course) -> None:
        self._course = course
        matrices = [weight for weight in model.layers.parameters() if weight.ndim == 2]
        in_muon = {id(weight) for weight in matrices}
        self._others = [weight for weight in model.parameters() if id(weight) not in in_muon]
        self._muon = Muon(list(matrices), _WEIGHT_DECAY)
        self._adam = torch.optim.AdamW(self._others, betas=(0.9, 0.98), weight_decay=_WEIGHT_DECAY)

    def step(self, share: float) -> None:
        """Step all weights at `share` of the full rates."""
        nn.utils.clip_grad_norm_(self._others, 1.0)
        self._adam.param_groups[0]["lr"] = self._course.other_rate * share
        self._adam.step()
        self._muon.step(self._course.matrix_rate * share)


def _schedule(step: int, course: Course) -> float:
    """The share of the full learning rate: up, along, and down to zero."""
    done = step / course.steps
    return min(1.0, (step + 1) / course.warm_up_steps) * min(1.0, (1 - done) / (1 - course.hold))
