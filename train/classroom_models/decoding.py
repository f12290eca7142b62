"""Answers from a model in training, many at once, without a cache: at these lengths simpler and fast enough."""

import torch
from transformers import PreTrainedTokenizerFast

from classroom_models.llama import Llama, causal_bias
from classroom_models.tokens import chat_ids, ids_of

_ROWS = 128


@torch.no_grad()
def answers(
    model: Llama,
    tokenizer: PreTrainedTokenizerFast,
    prompts: list[str],
    *,
    temperature: float = 0.0,
    max_tokens: int = 40,
    seed: int = 0,
) -> list[str]:
    """One answer a prompt, greedy at temperature 0; an answer that does not end in time is cut."""
    generator = torch.Generator().manual_seed(seed)
    read = chat_ids(tokenizer, prompts)
    by_length = sorted(range(len(prompts)), key=lambda index: len(read[index]))
    texts = [""] * len(prompts)
    for start in range(0, len(prompts), _ROWS):
        indices = by_length[start : start + _ROWS]
        rows = _continued(model, tokenizer, [read[index] for index in indices], temperature, max_tokens, generator)
        for index, row in zip(indices, rows, strict=True):
            texts[index] = str(tokenizer.decode(row)).strip()
    return texts


def _continued(
    model: Llama,
    tokenizer: PreTrainedTokenizerFast,
    read: list[list[int]],
    temperature: float,
    max_tokens: int,
    generator: torch.Generator,
) -> list[list[int]]:
    (end,), (padding,) = ids_of(tokenizer, [str(tokenizer.eos_token), str(tokenizer.pad_token)])
    lengths = torch.tensor([len(row) for row in read])
    ids = torch.full((len(read), int(lengths.max()) + max_tokens), padding)
    for row, tokens in zip(ids, read, strict=True):
        row[: len(tokens)] = torch.tensor(tokens)
    ends = lengths.clone()
    unfinished = torch.arange(len(read))
    while len(unfinished) and int((ends - lengths).max()) < max_tokens:
        seen = ids[unfinished, : int(ends[unfinished].max())]
        logits = model(seen, causal_bias(seen.shape[1], torch.float32), ends[unfinished, None] - 1)[:, 0]
        token = _picked(logits, temperature, generator)
        alive = token != end
        unfinished, token = unfinished[alive], token[alive]
        ids[unfinished, ends[unfinished]] = token
        ends[unfinished] += 1
    return [ids[row, lengths[row] : ends[row]].tolist() for row in range(len(read))]


def _picked(logits: torch.Tensor, temperature: float, generator: torch.Generator) -> torch.Tensor:
    if temperature == 0:
        return logits.argmax(-1)
    return torch.multinomial((logits / temperature).softmax(-1), 1, generator=generator)[:, 0]
