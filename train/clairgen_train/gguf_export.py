"""A trained model as one GGUF file for llama.cpp: its shape, its tokenizer, and its weights tensor by tensor."""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import gguf
import numpy as np
import torch
from numpy.typing import NDArray

from clairgen.errors import InputError
from clairgen_train.adapters import ModelSource, load_weights
from clairgen_train.gguf_vocabulary import Vocabulary, vocabulary

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

ARCHITECTURES: Mapping[str, gguf.MODEL_ARCH] = {
    "LlamaForCausalLM": gguf.MODEL_ARCH.LLAMA,
    "MistralForCausalLM": gguf.MODEL_ARCH.LLAMA,
    "Qwen2ForCausalLM": gguf.MODEL_ARCH.QWEN2,
    "Qwen3ForCausalLM": gguf.MODEL_ARCH.QWEN3,
}
"""The model classes that can be written, whose tensors llama.cpp has one to one."""
DType = Literal["f16", "bf16", "f32"]
_FILE_TYPES = {
    "f16": (gguf.GGMLQuantizationType.F16, gguf.LlamaFileType.MOSTLY_F16),
    "bf16": (gguf.GGMLQuantizationType.BF16, gguf.LlamaFileType.MOSTLY_BF16),
    "f32": (gguf.GGMLQuantizationType.F32, gguf.LlamaFileType.ALL_F32),
}


def export_gguf(model: Path, out: Path, dtype: DType = "f16") -> None:
    """Write the model of a folder (config.json, safetensors, tokenizer) to the new file `out`, its matrices in `dtype`.

    Raises InputError for what cannot be written: another architecture or tokenizer, an adapter, a value beyond float16.
    """
    config = _config(model)
    arch = _architecture(model, config)
    if out.exists():
        raise InputError(f"{out} exists already; name a new file")
    words = vocabulary(_tokenizer(model), int(config.vocab_size), str(model))
    partial = out.with_name(f".{out.name}.partial")
    writer = gguf.GGUFWriter(partial, gguf.MODEL_ARCH_NAMES[arch])
    try:
        _add_shape(writer, config, model.resolve().name)
        writer.add_file_type(_FILE_TYPES[dtype][1])
        _add_vocabulary(writer, words)
        files = _tensor_files(model)
        names = gguf.get_tensor_name_map(arch, config.num_hidden_layers)
        for name, tensor in _tensors(files, config):
            kind = _kind(tensor, dtype)
            width = 4 if kind is gguf.GGMLQuantizationType.F32 else 2
            writer.add_tensor_info(
                _gguf_name(name, names, model), tensor.shape, np.dtype(np.float32), tensor.numel() * width, kind
            )
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for name, tensor in _tensors(files, config):
            writer.write_tensor_data(_values(tensor, _kind(tensor, dtype), name, arch, config))
        writer.close()
        partial.rename(out)
    except OSError as error:
        raise InputError(f"{out} cannot be written: {error.strerror or error}; name another file") from error
    finally:
        partial.unlink(missing_ok=True)


def _config(model: Path) -> "PreTrainedConfig":
    from transformers import AutoConfig

    if not model.is_dir():
        raise InputError(f"{model} is no folder; name the folder of a model")
    if (model / "adapter_config.json").is_file():
        raise InputError(f"{model} is an adapter; merge it first: clairgen merge-adapter {model} OUT")
    try:
        config: PreTrainedConfig = AutoConfig.from_pretrained(model)
    except (OSError, ValueError) as error:
        raise InputError(
            f"the model {model} cannot be read; give a folder with config.json ({' '.join(str(error).split())[:300]})"
        ) from error
    return config


def _architecture(model: Path, config: "PreTrainedConfig") -> gguf.MODEL_ARCH:
    """llama.cpp's name of the architecture. Raises InputError for one, or a variant of one, that is not written."""
    name = (config.architectures or ["unknown"])[0]
    works = f"what works is {', '.join(ARCHITECTURES)}, without an attention window"
    if name not in ARCHITECTURES:
        raise InputError(f"{model} is a {name}, which cannot be written as GGUF; {works}")
    layers = getattr(config, "layer_types", None) or []
    window = getattr(config, "sliding_window", None)
    has_window = (
        "sliding_attention" in layers if layers else window is not None and getattr(config, "use_sliding_window", True)
    )
    if has_window:
        raise InputError(f"{model} has an attention window ({window} tokens), which cannot be written as GGUF; {works}")
    kind = config.rope_parameters["rope_type"]
    if kind not in ("default", "linear", "llama3"):
        raise InputError(
            f"{model} has rotary positions of the kind {kind}, which cannot be written as GGUF; what works is default, linear "
            "and llama3"
        )
    if config.hidden_act not in ("silu", "swish"):
        raise InputError(
            f"{model} has the activation {config.hidden_act}, which cannot be written as GGUF; what works is silu"
        )
    if getattr(config, "quantization_config", None) is not None:
        raise InputError(
            f"{model} is quantized, which cannot be written as GGUF; give the model that it was quantized from"
        )
    return ARCHITECTURES[name]


def _tokenizer(model: Path) -> Any:  # noqa: ANN401 - any tokenizer
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(model)
    except (OSError, ValueError) as error:
        raise InputError(
            f"the tokenizer of {model} cannot be loaded; give a folder that has one ({' '.join(str(error).split())[:300]})"
        ) from error


def _head_width(config: "PreTrainedConfig") -> int:
    return int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)


def _add_shape(writer: gguf.GGUFWriter, config: "PreTrainedConfig", name: str) -> None:
    rope = config.rope_parameters
    writer.add_name(name)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(_head_width(config))
    writer.add_value_length(_head_width(config))
    writer.add_rope_dimension_count(_head_width(config))
    writer.add_rope_freq_base(rope["rope_theta"])
    if rope["rope_type"] == "linear":
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(rope["factor"])
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)


def _add_vocabulary(writer: gguf.GGUFWriter, words: Vocabulary) -> None:
    writer.add_tokenizer_model(words.kind)
    if words.pre is not None:
        writer.add_tokenizer_pre(words.pre)
        writer.add_token_merges(list(words.merges))
    else:
        writer.add_token_scores(list(words.scores))
        writer.add_add_space_prefix(words.adds_space)
    writer.add_token_list(words.tokens)
    writer.add_token_types(words.types)
    for name, number in words.ids.items():
        getattr(writer, f"add_{name}_token_id")(number)
    writer.add_add_bos_token(words.adds_bos)
    if words.chat_template is not None:
        writer.add_chat_template(words.chat_template)


def _tensor_files(model: Path) -> list[Path]:
    files = sorted(model.glob("model*.safetensors"))
    if not files:
        raise InputError(f"{model} has no model.safetensors; give a folder with the whole model")
    return files


def _tensors(files: list[Path], config: "PreTrainedConfig") -> Iterator[tuple[str, torch.Tensor]]:
    """The names and weights, one at a time; the output layer only where it is not the embedding."""
    from safetensors import SafetensorError, safe_open

    rope = config.rope_parameters
    if rope["rope_type"] == "llama3":
        yield "rope_freqs.weight", _frequency_factors(rope, _head_width(config))
    for file in files:
        try:
            with safe_open(file, framework="pt") as opened:
                for name in sorted(opened.keys()):
                    if name == "lm_head.weight" and config.tie_word_embeddings:
                        continue
                    yield name, opened.get_tensor(name)
        except SafetensorError as error:
            raise InputError(f"{file} cannot be read, so get the model again ({error})") from error


def _frequency_factors(rope: Mapping[str, Any], width: int) -> torch.Tensor:
    """By what Llama 3 divides each rotary frequency: 1 for short waves, `factor` for long ones, and between them a mix."""
    low = rope["original_max_position_embeddings"] / rope["low_freq_factor"]
    high = rope["original_max_position_embeddings"] / rope["high_freq_factor"]
    factors = []
    for pair in range(width // 2):
        wave = 2 * math.pi * rope["rope_theta"] ** (2 * pair / width)
        if wave < high:
            factors.append(1.0)
        elif wave > low:
            factors.append(rope["factor"])
        else:
            smooth = (rope["original_max_position_embeddings"] / wave - rope["low_freq_factor"]) / (
                rope["high_freq_factor"] - rope["low_freq_factor"]
            )
            factors.append(1 / ((1 - smooth) / rope["factor"] + smooth))
    return torch.tensor(factors)


def _gguf_name(name: str, names: gguf.TensorNameMap, model: Path) -> str:
    if name == "rope_freqs.weight":
        return name
    found = names.get_name(name, try_suffixes=(".weight", ".bias"))
    if found is None:
        raise InputError(
            f"the weight {name} of {model} has no counterpart in llama.cpp, so the model cannot be written as GGUF"
        )
    return str(found)


def _kind(tensor: torch.Tensor, dtype: DType) -> gguf.GGMLQuantizationType:
    """Vectors, such as norms and biases, stay in fp32."""
    return gguf.GGMLQuantizationType.F32 if tensor.dim() == 1 else _FILE_TYPES[dtype][0]


def _values(
    tensor: torch.Tensor, kind: gguf.GGMLQuantizationType, name: str, arch: gguf.MODEL_ARCH, config: "PreTrainedConfig"
) -> NDArray[Any]:
    values = tensor.float()
    if arch is gguf.MODEL_ARCH.LLAMA and (match := re.search(r"self_attn\.([qk])_proj\.", name)):
        values = _interleaved(values, config.num_attention_heads if match[1] == "q" else config.num_key_value_heads)
    if kind is gguf.GGMLQuantizationType.BF16:
        stored: NDArray[Any] = values.bfloat16().view(torch.int16).numpy()
    else:
        half = kind is gguf.GGMLQuantizationType.F16
        if half and float(values.abs().max()) > torch.finfo(torch.float16).max:
            raise InputError(f"the weight {name} has values beyond float16; write bf16 or f32 (--dtype)")
        stored = (values.half() if half else values).numpy()
    return np.ascontiguousarray(stored)


def _interleaved(values: torch.Tensor, heads: int) -> torch.Tensor:
    """llama.cpp's `llama` rotates neighbouring rows where transformers rotates halves, so the rows of q and k change places."""
    halves = values.reshape(heads, 2, values.shape[0] // heads // 2, *values.shape[1:])
    return halves.swapaxes(1, 2).reshape(values.shape)


@dataclass(frozen=True, slots=True)
class Probe:
    """What a written file must give when it is served: the tokens of texts, and the likeliest token after prompts (nats)."""

    tokens: Mapping[str, list[int]]
    next_tokens: list[tuple[list[int], int, float]]


_TEXTS = (
    "Hello world",
    "  two spaces, a\ttab\nand a\n\nnew line ",
    "It's 12345.67% of 1,000!!",
    "I'LL we've don't",
    "def f(x):\n    return x**2  # ok",
    "Äpfel über straße — „Zitat“ …",
    "日本語のテキスト 中文",
    "Привет мир العربية",
    "🙂🚀 é",
    "a_b-c/d\\e <b>&amp;</b> [x](y) {z}",
)


def probe(model: Path) -> Probe:
    """What the model of a folder gives in fp32, as llama.cpp computes. Raises InputError if it cannot be loaded."""
    tokenizer = _tokenizer(model)
    tokens = {text: tokenizer(text, add_special_tokens=False)["input_ids"] for text in _TEXTS}
    loaded = load_weights(ModelSource(str(model), None), dtype=torch.float32)
    loaded.train(False)
    special = set(tokenizer.all_special_ids)
    found = []
    for ids in tokens.values():
        with torch.no_grad():
            log_probs = loaded(input_ids=torch.tensor([ids])).logits[0].float().log_softmax(-1)
        likeliest = log_probs.argmax(-1).tolist()
        # the server shows the probability of no special token, and of none that is a part of a character
        shown = [at for at, token in enumerate(likeliest) if token not in special and _is_text(tokenizer, token)]
        found += [(ids[: at + 1], likeliest[at], float(log_probs[at, likeliest[at]])) for at in shown[-1:]]
    return Probe(tokens, found)


def _is_text(tokenizer: Any, token: int) -> bool:  # noqa: ANN401 - any tokenizer
    text = tokenizer.decode([token])
    return bool(text) and "\ufffd" not in text
