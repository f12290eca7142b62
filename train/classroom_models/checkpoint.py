"""A trained model as transformers reads it (bf16 safetensors, config, tokenizer), and its answers, many at once, in torch."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast, set_seed

from classroom_models import tokens
from classroom_models.llama import NORM_EPSILON, ROPE_BASE, Llama
from classroom_models.recipe import Shape

CONTEXT_TOKENS = 512
_ROWS = 256


def save(model: Llama, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write the files of a checkpoint into `folder`, which is made if need be."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {f"model.{name}": weight.detach().to(torch.bfloat16) for name, weight in model.named_parameters()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "model.safetensors").chmod(0o644)  # safetensors lets only the owner read it
    ends = {
        "bos_token_id": tokenizer.convert_tokens_to_ids(tokens.BEGIN),
        "eos_token_id": tokenizer.convert_tokens_to_ids(tokens.END_OF_TURN),
        "pad_token_id": tokenizer.convert_tokens_to_ids(tokens.PADDING),
    }
    shape = model.shape
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": shape.vocabulary,
        "hidden_size": shape.width,
        "intermediate_size": shape.feed_forward,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.heads,
        "head_dim": shape.head_width,
        "hidden_act": "silu",
        "max_position_embeddings": CONTEXT_TOKENS,
        "rms_norm_eps": NORM_EPSILON,
        "rope_theta": ROPE_BASE,
        "rope_parameters": {"rope_theta": ROPE_BASE, "rope_type": "default"},
        "attention_bias": False,
        "mlp_bias": False,
        "attention_dropout": 0.0,
        "initializer_range": 0.02,
        "tie_word_embeddings": True,
        "use_cache": True,
        "dtype": "bfloat16",
        "torch_dtype": "bfloat16",
        **ends,
    }
    _write_json(folder / "config.json", config)
    _write_json(folder / "generation_config.json", {"do_sample": True, "temperature": 0.7, **ends})
    tokens.save(tokenizer, folder)


def load(shape: Shape, folder: Path) -> Llama:
    """The model of a checkpoint, in fp32."""
    model = Llama(shape)
    weights = load_file(folder / "model.safetensors")
    model.load_state_dict({name.removeprefix("model."): weight.float() for name, weight in weights.items()})
    return model


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


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
