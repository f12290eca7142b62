"""Models as GGUF files: the embedded server gives for them what transformers gives; anything else is refused by name."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
    set_seed,
)

from clairgen.embedded.gguf import EmbeddedAddress
from clairgen.embedded.server import serve
from clairgen.errors import InputError
from clairgen_train.gguf_export import export_gguf
from clairgen_train.gguf_vocabulary import _LLAMA_3
from tests.cli.commands import clairgen
from tests.training.small_run import trained

pytestmark = pytest.mark.process
STUDENT = Path(__file__).parents[2] / "data" / "classroom" / "student"
TEMPLATE = (
    "{% for message in messages %}<s>{{ message['role'] }} {{ message['content'] }}</s>{% endfor %}"
    "{% if add_generation_prompt %}<s>assistant {% endif %}"
)
TEXTS = ["It's 2024, and they're reading 12345 books.", "A tab\tand  spaces\n\nand lines", "über die Straße 🙂"] * 5
ENDS = {"bos_token": "<s>", "eos_token": "</s>"}
LLAMA_3 = {"rope_type": "llama3", "rope_theta": 1e4, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0} | {
    "original_max_position_embeddings": 64
}


def split(regex: str) -> pre_tokenizers.PreTokenizer:
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(regex), "isolated"), byte_level])


def tokenizer(kind: str) -> PreTrainedTokenizerFast:
    """A small tokenizer of a kind, trained on a few texts."""
    if kind == "sentencepiece":
        made = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))  # noqa: S106 - a token's text
        made.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        first = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
        made.decoder = decoders.ByteFallback()
        made.train_from_iterator(TEXTS, trainers.BpeTrainer(vocab_size=400, special_tokens=first, show_progress=False))
        content = json.loads(made.to_str())  # the bytes are tokens like others, not special ones
        content["added_tokens"] = [token for token in content["added_tokens"] if token["id"] < 3]
        made = Tokenizer.from_str(json.dumps(content))
    else:
        made = Tokenizer(models.BPE())
        made.pre_tokenizer = {
            "gpt-2": pre_tokenizers.ByteLevel(add_prefix_space=False),
            "smollm": pre_tokenizers.Sequence(
                [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
            ),
            "llama-bpe": split(_LLAMA_3),
            "qwen2": split(_LLAMA_3.replace("{1,3}", "")),
        }[kind]
        made.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(
            vocab_size=400, special_tokens=["<s>", "</s>"], initial_alphabet=alphabet, show_progress=False
        )
        made.train_from_iterator(TEXTS, trainer)
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]  # transformers leaves it so
        tokenizer_object=made, **ENDS, chat_template=TEMPLATE
    )


def saved(folder: Path, family: str, words: PreTrainedTokenizerFast, **options: object) -> Path:
    """A small random model of a family with a tokenizer, as a folder."""
    set_seed(0)
    shape: dict[str, Any] = {
        "vocab_size": len(words) + 5,
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 256,
        "initializer_range": 0.3,
        "bos_token_id": words.bos_token_id,
        "eos_token_id": words.eos_token_id,
        "sliding_window": None,
    }
    kinds: dict[str, tuple[type[PreTrainedConfig], type[PreTrainedModel]]] = {
        "Llama": (LlamaConfig, LlamaForCausalLM),
        "Mistral": (MistralConfig, MistralForCausalLM),
        "Qwen2": (Qwen2Config, Qwen2ForCausalLM),
        "Qwen3": (Qwen3Config, Qwen3ForCausalLM),
    }
    config, model = kinds[family]
    made = model(config(**shape | options))
    with torch.no_grad():
        for weight in made.parameters():
            if weight.dim() == 1:  # biases and norms, which begin at 0 and 1
                weight.add_(torch.randn_like(weight) * 0.2)
    made.save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


async def served_tokens(file: Path, prompt: list[int], count: int) -> list[int]:
    """The likeliest tokens after a prompt, one after the other, by the embedded server."""
    given = {"prompt": prompt, "n_predict": count, "temperature": 0, "return_tokens": True, "ignore_eos": True}
    async with serve(EmbeddedAddress(file), slots=1) as url, httpx.AsyncClient(timeout=60) as client:
        found: list[int] = (await client.post(f"{url.removesuffix('/v1')}/completion", json=given)).json()["tokens"]
    return found


def own_tokens(folder: Path, prompt: list[int], count: int) -> list[int]:
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    ids = list(prompt)
    with torch.no_grad():
        for _ in range(count):
            logits = model(torch.tensor([ids])).logits[0, -1]
            logits[model.config.eos_token_id] = -torch.inf  # as the server is asked to go on
            ids.append(int(logits.argmax()))
    return ids[len(prompt) :]


@pytest.mark.parametrize(
    ("family", "kind", "options"),
    [
        ("Llama", "llama-bpe", {"rope_parameters": LLAMA_3}),
        ("Llama", "sentencepiece", {"attention_bias": True}),
        ("Llama", "smollm", {"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 1e4}}),
        ("Mistral", "gpt-2", {}),
        ("Qwen2", "qwen2", {"tie_word_embeddings": True}),
        ("Qwen3", "qwen2", {"head_dim": 32}),
    ],
)
async def test_the_embedded_server_gives_the_tokens_that_transformers_gives(
    tmp_path: Path, family: str, kind: str, options: dict[str, object]
) -> None:
    words = tokenizer(kind)
    model = saved(tmp_path / "model", family, words, **options)
    done = await clairgen("to-gguf", model, tmp_path / "model.gguf", "--dtype", "f32")
    assert done.code == 0, done.err
    assert "Checked: equal tokens, and log-probabilities that differ by at most" in done.out
    prompt = words(TEXTS[0])["input_ids"]
    assert await served_tokens(tmp_path / "model.gguf", prompt, 24) == own_tokens(model, prompt, 24)


async def test_a_trained_student_is_served_and_its_file_holds_what_the_shipped_one_holds(tmp_path: Path) -> None:
    import gguf

    export_gguf(STUDENT, tmp_path / "student.gguf")
    ours, shipped = (gguf.GGUFReader(file) for file in (tmp_path / "student.gguf", STUDENT / "model.gguf"))
    tensors = [{tensor.name: tensor.data.tobytes() for tensor in reader.tensors} for reader in (ours, shipped)]
    assert tensors[0] == tensors[1]
    out = trained(tmp_path, model=str(STUDENT), epochs=1, learning_rate=1e-3, batch_size=8, device_batch_size=8)
    done = await clairgen("to-gguf", out.path, tmp_path / "trained.gguf")
    assert done.code == 0, done.err
    words = AutoTokenizer.from_pretrained(out.path)
    text = words.apply_chat_template(
        [{"role": "user", "content": "7 + 5?"}], add_generation_prompt=True, tokenize=False
    )
    prompt = words(str(text), add_special_tokens=False)["input_ids"]
    assert await served_tokens(tmp_path / "trained.gguf", prompt, 12) == own_tokens(out.path, prompt, 12)


def test_what_cannot_be_written_is_refused_with_what_works(tmp_path: Path) -> None:
    words = tokenizer("gpt-2")
    GPT2LMHeadModel(GPT2Config(n_embd=8, n_layer=1, n_head=2, vocab_size=50)).save_pretrained(tmp_path / "gpt2")
    window = saved(tmp_path / "window", "Mistral", words, sliding_window=32)
    yarn = {"rope_type": "yarn", "rope_theta": 1e4, "factor": 2.0, "original_max_position_embeddings": 128}
    stretched = saved(tmp_path / "yarn", "Llama", words, rope_parameters=yarn)
    words.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    other_words = saved(tmp_path / "words", "Llama", words)
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "adapter_config.json").write_text("{}")
    (tmp_path / "used.gguf").write_text("")
    for model, out, said in [
        (
            tmp_path / "gpt2",
            "a.gguf",
            "is a GPT2LMHeadModel, which cannot be written as GGUF; what works is LlamaForCausalLM",
        ),
        (window, "a.gguf", "has an attention window (32 tokens)"),
        (stretched, "a.gguf", "rotary positions of the kind yarn"),
        (other_words, "a.gguf", "splits text by WhitespaceSplit, ByteLevel in a way"),
        (tmp_path / "adapter", "a.gguf", "is an adapter; merge it first: clairgen merge-adapter"),
        (tmp_path / "nothing", "a.gguf", "is no folder"),
        (STUDENT, "used.gguf", "exists already"),
    ]:
        with pytest.raises(InputError) as caught:
            export_gguf(model, tmp_path / out)
        assert said in str(caught.value)
        assert not (tmp_path / "a.gguf").exists()


async def test_a_file_that_the_server_reads_otherwise_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import clairgen_train.gguf_export as exporting

    monkeypatch.setattr(exporting, "_interleaved", lambda values, heads: values)
    done = await clairgen("to-gguf", STUDENT, tmp_path / "wrong.gguf")
    assert done.code == 2, done
    assert "llama.cpp's log-probabilities differ from the model's by" in done.err
    assert not (tmp_path / "wrong.gguf").exists()
