"""A comparison of the shared forward with TRL's on two pairs, before it is used: values, gradients, and a step in training mode.

How far the two may differ is not a constant. TRL's own forward is repeated with its layers' outputs rounded differently, and the
difference that makes is the unit: it follows from the model's depth, its weights and their type.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from clairgen_train.forward.attention import UnsupportedAttentionError, observed_windows

_NOISE_FACTOR = 2.0  # in bfloat16 equal forwards give up to 0.5, attention with one token too few 2.5 to 8
_TRIAL_WINDOW = 5
_PAIRS = ((9, 8, 5), (3, 6, 9))  # tokens of the shared prefix, the chosen and the rejected branch
_PAIRS_IN_BLOCKS = ((200, 150, 90), (20, 40, 260))  # FlexAttention works in blocks of 128 tokens
_PROMPT = 3

Forward = Callable[..., object]


def forward_mismatch(model: PreTrainedModel, original: Forward, shared: Forward) -> str | None:
    """How the forward `shared` differs from the original, as a clause; None if it does not beyond rounding.

    Sliding windows are shortened for the comparison, so that its rows are longer than any window. Gradients are compared in the
    token embeddings, so that no weight's gradient needs memory. A model whose weights are not loaded here (DeepSpeed ZeRO-3, or
    the FSDP ranks that load nothing) is not compared.
    """
    if any(parameter.is_meta or hasattr(parameter, "ds_id") for parameter in model.parameters()):
        return None
    batch = _batch(model)
    try:
        with _plain_mode(model), _short_windows(model) as window, observed_windows() as windows:
            expected, found = _Result.of(model, original, batch), _Result.of(model, shared, batch)
            with rounded_differently(model):
                rounded = _Result.of(model, original, batch)
        with torch.no_grad(), _random_state_kept(model), _plain_mode(model, training=True):
            shared(**batch, use_cache=False, fused_lm_head=True)
    except UnsupportedAttentionError as fault:
        return str(fault)
    except Exception as fault:  # noqa: BLE001 - whatever fails in it, TRL's own forward stays in use
        return f"a comparison with TRL's forward failed ({type(fault).__name__}: {fault})"
    if window is not None and windows <= {None}:
        return "its sliding window is in its attention mask only, which the shared forward does not use"
    return found.difference(expected, rounded)


@contextmanager
def rounded_differently(model: nn.Module) -> Iterator[None]:
    """Change the output of every layer by up to one unit in its last place, at random, inside the block."""
    parts = [module for module in model.modules() if not list(module.children())]
    draws = {device: torch.Generator(device).manual_seed(0) for device in {p.device for p in model.parameters()}}

    def change(_module: nn.Module, _given: object, output: object) -> object:
        if not isinstance(output, Tensor) or not output.is_floating_point():
            return output
        size = torch.finfo(output.dtype).eps
        noise = torch.rand(output.shape, generator=draws[output.device], device=output.device) - 0.5
        return output * (1 + 2 * size * noise).to(output.dtype)

    handles = [part.register_forward_hook(change) for part in parts]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


class _Result:
    """What a forward gives for the trial's batch.

    `log_probs` [2B, T - 1]; `gradients` of their sum in the embedding of each token id that occurs [ids, hidden size]: a shared
    prefix is embedded once per pair by one forward and twice by the other, and both add up to the same.
    """

    def __init__(self, log_probs: Tensor, gradients: Tensor) -> None:
        self.log_probs, self.gradients = log_probs, gradients

    @classmethod
    def of(cls, model: PreTrainedModel, forward: Forward, batch: dict[str, Tensor]) -> "_Result":
        """Run `forward` on the batch, and backward through it."""
        ids, embedded = [], []

        def keep(_module: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> None:
            ids.append(given[0])
            embedded.append(output if output.requires_grad else output.requires_grad_())

        handle = model.get_input_embeddings().register_forward_hook(keep)
        try:
            output = forward(**batch, use_cache=False, fused_lm_head=True)
        finally:
            handle.remove()
        log_probs = cast("Tensor", output.log_probs).float()  # type: ignore[attr-defined] # TRL ships no types
        (gradient,) = torch.autograd.grad(log_probs.sum(), embedded[0])
        of_tokens = gradient.float().flatten(0, 1)
        occurring = torch.unique(batch["input_ids"])
        rows = torch.searchsorted(occurring, ids[0].flatten().to(occurring.device)).to(of_tokens.device)
        sums = of_tokens.new_zeros(len(occurring), of_tokens.shape[1]).index_add_(0, rows, of_tokens)
        return cls(log_probs.detach(), sums)

    def difference(self, expected: "_Result", rounded: "_Result") -> str | None:
        """How this differs from `expected` by more than rounding does, as a clause."""
        for what in ("log_probs", "gradients"):
            right = getattr(expected, what)
            distance, noise = _rms(getattr(self, what) - right), _rms(getattr(rounded, what) - right)
            if not distance <= _NOISE_FACTOR * noise + torch.finfo(right.dtype).eps * _rms(right):
                name = what.replace("log_probs", "log-probabilities")
                return (
                    f"its {name} differ from those of TRL's forward by {distance:.2g} (root mean square), where rounding "
                    f"explains {noise:.2g}"
                )
        return None


def _rms(values: Tensor) -> float:
    return float(values.pow(2).mean().sqrt())


def _batch(model: PreTrainedModel) -> dict[str, Tensor]:
    """Two pairs of random tokens as TRL collates them: [chosen rows; rejected rows], padded on the right."""
    device = next(model.get_input_embeddings().parameters()).device
    vocabulary, draw = model.config.get_text_config().vocab_size, torch.Generator().manual_seed(0)
    pairs = _PAIRS_IN_BLOCKS if device.type == "cuda" else _PAIRS
    prefixes = [torch.randint(vocabulary, (shared,), generator=draw) for shared, _, _ in pairs]
    rows: list[Tensor] = []
    for branch in (1, 2):
        for prefix, pair in zip(prefixes, pairs, strict=True):
            rows.append(torch.cat([prefix, torch.randint(vocabulary, (pair[branch],), generator=draw)]))
    padded = nn.utils.rnn.pad_sequence(rows, batch_first=True)
    columns, lengths = torch.arange(padded.shape[1]), torch.tensor([[len(row)] for row in rows])
    attended = columns < lengths
    labels = padded.masked_fill(~attended | (columns < _PROMPT), -100)
    return {
        "input_ids": padded.to(device),
        "attention_mask": attended.long().to(device),
        "labels": labels.to(device),
    }


@contextmanager
def _short_windows(model: PreTrainedModel) -> Iterator[int | None]:
    """Shorten every sliding window of the model to a few tokens inside the block; yields it, or None if it has none."""
    config = model.config.get_text_config()
    window = getattr(config, "sliding_window", None)
    layers = getattr(config, "layer_types", None) or ["sliding_attention"]
    if (
        not isinstance(window, int)
        or not getattr(config, "use_sliding_window", True)
        or "sliding_attention" not in layers
    ):
        yield None
        return
    holders: list[Any] = [
        config,
        *(module for module in model.modules() if getattr(module, "sliding_window", None) == window),
    ]
    short = min(window, _TRIAL_WINDOW)
    for holder in holders:
        holder.sliding_window = short
    try:
        yield short
    finally:
        for holder in holders:
            holder.sliding_window = window


@contextmanager
def _plain_mode(model: nn.Module, *, training: bool = False) -> Iterator[None]:
    """Evaluation mode (or training mode) with gradients and without autocast, inside the block."""
    before = model.training
    model.train(training)
    device = next(model.parameters()).device.type
    try:
        with torch.autocast(device, enabled=False):
            yield
    finally:
        model.train(before)


@contextmanager
def _random_state_kept(model: nn.Module) -> Iterator[None]:
    """Restore the random generators after the block, so that the trial changes no run."""
    devices = sorted({p.device.index for p in model.parameters() if p.device.type == "cuda"})
    with torch.random.fork_rng(devices=devices):
        yield
