"""Answers sampled from a model, in training without any effect on the run (no top-k or top-p, by default at temperature 1).

With these, or at another temperature, the mean log-ratio of the answers would not be the KL between policy and reference. The
random numbers have a seed of their own, so a run with sampling sees the same data order and dropout as one without, and a
resumed run samples what the uninterrupted one does.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor
from transformers import GenerationConfig, PreTrainedModel


def sampled_answers(
    model: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    *,
    max_new_tokens: int,
    pad_token_id: int,
    seed: int,
    temperature: float = 1.0,
) -> list[list[int]]:
    """One answer (token ids, its end token included) to each prompt (token ids).

    `model` is unwrapped (neither DDP nor PEFT; an active adapter takes part). An answer that reaches `max_new_tokens` stops
    there without an end token. Under FSDP and ZeRO-3 every rank must call this at the same time.
    """
    longest = max(len(prompt) for prompt in prompts)
    ids = torch.tensor([[pad_token_id] * (longest - len(prompt)) + list(prompt) for prompt in prompts])
    mask = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    ends = end_tokens(model)
    plain = GenerationConfig(  # type: ignore[no-untyped-call]  # transformers' own is not annotated
        do_sample=True,
        temperature=temperature,
        top_k=0,
        top_p=1.0,
        max_new_tokens=max_new_tokens,
        use_cache=True,
        eos_token_id=ends or None,
        pad_token_id=pad_token_id,
    )
    with _isolated(model, plain, seed), torch.no_grad():
        full = model.generate(input_ids=ids.to(model.device), attention_mask=mask.to(model.device))  # type: ignore[operator]  # the mixin's type is loose
    return [_up_to_end(row, ends) for row in full[:, longest:]]


def sampled_pairs(
    model: PreTrainedModel, prompts: Sequence[list[int]], *, max_new_tokens: int, pad_token_id: int, seed: int
) -> list[dict[str, list[int]]]:
    """Two answers of `model` to each prompt, as rows of pairs (`prompt_ids`, `chosen_ids`, `rejected_ids`); neither is better."""
    answers = sampled_answers(
        model, [*prompts, *prompts], max_new_tokens=max_new_tokens, pad_token_id=pad_token_id, seed=seed
    )
    both = zip(prompts, answers[: len(prompts)], answers[len(prompts) :], strict=True)
    return [{"prompt_ids": prompt, "chosen_ids": one, "rejected_ids": other} for prompt, one, other in both]


def end_tokens(model: PreTrainedModel) -> list[int]:
    """The tokens that end an answer of this model, by its generation settings."""
    found: int | list[int] | None = model.generation_config.eos_token_id
    return [] if found is None else [found] if isinstance(found, int) else list(found)


def _up_to_end(row: Tensor, ends: list[int]) -> list[int]:
    ids: list[int] = row.tolist()
    end = next((position for position, token in enumerate(ids) if token in ends), len(ids))
    return ids[: end + 1]


@contextmanager
def _isolated(model: PreTrainedModel, generation: GenerationConfig, seed: int) -> Iterator[None]:
    """Evaluation mode, other generation settings (`generate` would add the model's own) and random numbers, restored after."""
    was_training, own = model.training, model.generation_config
    devices = [model.device] if model.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        model.train(False)
        model.generation_config = generation
        try:
            yield
        finally:
            model.generation_config = own
            model.train(was_training)
