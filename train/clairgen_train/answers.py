"""A saved model's answers to prompts, sampled in this process: for small models on a CPU cheaper than serving them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from transformers import AutoTokenizer

from clairgen_train.adapters import ModelSource, load_weights
from clairgen_train.sampling import end_tokens, sampled_answers

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_PROMPTS_PER_BATCH = 128


@dataclass(frozen=True, slots=True)
class GivenAnswer:
    """An answer's text without surrounding space, and whether it ended by itself."""

    text: str
    ended: bool


def model_answers(
    model: Path, prompts: Sequence[str], *, temperature: float, max_new_tokens: int, seed: int
) -> list[GivenAnswer]:
    """One answer of the model in a folder to each prompt, as a user's message; no top-k or top-p.

    The same arguments give the same answers. Raises InputError if the model cannot be loaded.
    """
    loaded = load_weights(ModelSource(str(model), None), dtype=torch.float32)
    tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(model)
    ids = [_prompt_ids(tokenizer, prompt) for prompt in prompts]
    ends = set(end_tokens(loaded))
    padding = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    answers: dict[int, GivenAnswer] = {}
    by_length = sorted(range(len(ids)), key=lambda number: len(ids[number]))  # less padding, and equal ends
    for start in range(0, len(ids), _PROMPTS_PER_BATCH):
        batch = by_length[start : start + _PROMPTS_PER_BATCH]
        given = sampled_answers(
            loaded,
            [ids[number] for number in batch],
            max_new_tokens=max_new_tokens,
            pad_token_id=padding,
            seed=seed * 1_000_003 + start,
            temperature=temperature,
        )
        for number, answer in zip(batch, given, strict=True):
            text = tokenizer.decode(answer, skip_special_tokens=True)
            answers[number] = GivenAnswer(str(text).strip(), bool(answer) and answer[-1] in ends)
    return [answers[number] for number in range(len(ids))]


def _prompt_ids(tokenizer: "PreTrainedTokenizerBase", prompt: str) -> list[int]:
    conversation = [{"role": "user", "content": prompt}]
    text = tokenizer.apply_chat_template(conversation, add_generation_prompt=True, tokenize=False)
    ids: list[int] = tokenizer(str(text), add_special_tokens=False)["input_ids"]
    return ids
