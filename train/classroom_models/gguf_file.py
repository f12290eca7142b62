"""A trained model as llama.cpp reads it: one GGUF file with f16 matrices, tokenizer and chat template."""

import json
from pathlib import Path

import gguf
import numpy as np
import numpy.typing as npt
from transformers import PreTrainedTokenizerFast

from classroom_models import tokens
from classroom_models.checkpoint import CONTEXT_TOKENS
from classroom_models.llama import NORM_EPSILON, ROPE_BASE, Llama

_NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}
_TOP_NAMES = {"embed_tokens.weight": "token_embd.weight", "norm.weight": "output_norm.weight"}


def save(model: Llama, tokenizer: PreTrainedTokenizerFast, name: str, path: Path) -> None:
    """Write the model to `path`; the output layer is left out, which to llama.cpp means that it is the embedding."""
    writer = gguf.GGUFWriter(path, "llama")
    _describe(writer, model, name)
    _add_tokenizer(writer, tokenizer)
    for weight_name, weight in model.named_parameters():
        # The checkpoint's own rounding first, so that both files hold the same weights.
        values: npt.NDArray[np.float32] = weight.detach().bfloat16().float().numpy()
        if "q_proj" in weight_name or "k_proj" in weight_name:
            values = _interleaved(values, model.shape.heads)
        stored = values if values.ndim == 1 else values.astype(np.float16)
        writer.add_tensor(_gguf_name(weight_name), np.ascontiguousarray(stored))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _describe(writer: gguf.GGUFWriter, model: Llama, name: str) -> None:
    shape = model.shape
    writer.add_name(name)
    writer.add_license("apache-2.0")
    writer.add_context_length(CONTEXT_TOKENS)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.feed_forward)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.heads)
    writer.add_key_length(shape.head_width)
    writer.add_value_length(shape.head_width)
    writer.add_rope_dimension_count(shape.head_width)
    writer.add_rope_freq_base(ROPE_BASE)
    writer.add_layer_norm_rms_eps(NORM_EPSILON)
    writer.add_vocab_size(shape.vocabulary)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)


def _add_tokenizer(writer: gguf.GGUFWriter, tokenizer: PreTrainedTokenizerFast) -> None:
    """`smollm` splits digits, then as ByteLevel does; fixed pieces are USER_DEFINED, which match in plain text."""
    model = json.loads(tokenizer.backend_tokenizer.to_str())
    added = {token["id"]: token for token in model["added_tokens"]}
    kinds = [
        gguf.TokenType.NORMAL
        if number not in added
        else gguf.TokenType.CONTROL
        if added[number]["special"]
        else gguf.TokenType.USER_DEFINED
        for number in range(len(tokenizer))
    ]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list([str(token) for token in tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))])
    writer.add_token_types([int(kind) for kind in kinds])
    writer.add_token_merges([" ".join(merge) for merge in model["model"]["merges"]])
    writer.add_bos_token_id(int(tokenizer.bos_token_id))
    writer.add_eos_token_id(int(tokenizer.eos_token_id))
    writer.add_pad_token_id(int(tokenizer.pad_token_id))
    writer.add_add_bos_token(False)
    writer.add_chat_template(tokens.CHAT_TEMPLATE)


def _gguf_name(name: str) -> str:
    if name in _TOP_NAMES:
        return _TOP_NAMES[name]
    _, number, rest = name.split(".", 2)
    return f"blk.{number}.{_NAMES[rest.removesuffix('.weight')]}.weight"


def _interleaved(values: npt.NDArray[np.float32], heads: int) -> npt.NDArray[np.float32]:
    """llama.cpp rotates neighbouring pairs where transformers rotates halves, so the rows of q and k change places."""
    halves = values.reshape(heads, 2, values.shape[0] // heads // 2, values.shape[1])
    return halves.swapaxes(1, 2).reshape(values.shape)
