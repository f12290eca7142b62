"""Answers of a checkpoint, many at once, in torch: what the teacher learns to revise and to judge."""

from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, set_seed

_ROWS = 256


@torch.no_grad()
def answers(folder: Path, prompts: list[str], *, temperature: float, seed: int, max_tokens: int = 96) -> list[str]:
    """One sampled answer a prompt; an answer that does not end in time is cut."""
    tokenizer: Any = AutoTokenizer.from_pretrained(folder, padding_side="left")
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    set_seed(seed)
    texts: list[str] = []
    for start in range(0, len(prompts), _ROWS):
        chats = [[{"role": "user", "content": prompt}] for prompt in prompts[start : start + _ROWS]]
        read = tokenizer.apply_chat_template(
            chats, add_generation_prompt=True, padding=True, return_dict=True, return_tensors="pt"
        )
        rows = model.generate(**read, do_sample=True, temperature=temperature, top_k=0, max_new_tokens=max_tokens)
        written = rows[:, read["input_ids"].shape[1] :]
        texts += [text.strip() for text in tokenizer.batch_decode(written, skip_special_tokens=True)]
    return texts
