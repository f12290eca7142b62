"""A language model of a few thousand random weights, written as GGUF by hand: real enough for llama.cpp to serve."""

import random
import struct
from array import array
from pathlib import Path

STRING, ARRAY, UINT32, INT32, FLOAT32, BOOL = 8, 9, 4, 5, 6, 7
ALIGNMENT = 32
WIDTH, HEADS, LAYERS, FEED_FORWARD = 32, 2, 1, 64
SPECIALS = ["<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]
CHAT_TEMPLATE = (
    "<|begin_of_text|>{% for message in messages %}<|start_header_id|>{{ message['role'] }}<|end_header_id|>\n\n"
    "{{ message['content'] }}<|eot_id|>{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)


def byte_alphabet() -> list[str]:
    """The 256 printable stand-ins for bytes that GPT-2's tokenizer uses."""
    kept = [*range(33, 127), *range(161, 173), *range(174, 256)]
    moved = [byte for byte in range(256) if byte not in kept]
    stand_ins = dict(zip(kept, map(chr, kept), strict=True)) | {byte: chr(256 + i) for i, byte in enumerate(moved)}
    return [stand_ins[byte] for byte in range(256)]


def write_tiny_gguf(path: Path, *, context: int = 256, seed: int = 0) -> Path:
    """Write a random one-layer Llama with a byte tokenizer and a chat template; returns `path`."""
    vocabulary = [*SPECIALS, *byte_alphabet(), "th"]
    metadata = b"".join(
        [
            _string_value("general.architecture", "llama"),
            _string_value("general.name", "tiny"),
            _number("llama.context_length", UINT32, context),
            _number("llama.embedding_length", UINT32, WIDTH),
            _number("llama.block_count", UINT32, LAYERS),
            _number("llama.feed_forward_length", UINT32, FEED_FORWARD),
            _number("llama.attention.head_count", UINT32, HEADS),
            _number("llama.attention.head_count_kv", UINT32, HEADS),
            _number("llama.rope.dimension_count", UINT32, WIDTH // HEADS),
            _number("llama.attention.layer_norm_rms_epsilon", FLOAT32, 1e-5),
            _string_value("tokenizer.ggml.model", "gpt2"),
            _string_value("tokenizer.ggml.pre", "smollm"),
            _array("tokenizer.ggml.tokens", STRING, [_string(token) for token in vocabulary]),
            _array(
                "tokenizer.ggml.token_type",
                INT32,
                [struct.pack("<i", 3 if token in SPECIALS else 1) for token in vocabulary],
            ),
            _array("tokenizer.ggml.merges", STRING, [_string("t h")]),
            _number("tokenizer.ggml.bos_token_id", UINT32, 0),
            _number("tokenizer.ggml.eos_token_id", UINT32, 3),
            _number("tokenizer.ggml.add_bos_token", BOOL, value=False),
            _string_value("tokenizer.chat_template", CHAT_TEMPLATE),
        ]
    )
    names_and_shapes = _tensor_shapes(len(vocabulary))
    infos, offset = b"", 0
    for name, shape in names_and_shapes:
        infos += _string(name) + struct.pack(f"<I{len(shape)}Q", len(shape), *shape) + struct.pack("<IQ", 0, offset)
        offset += _padded(4 * _size(shape))
    head = b"GGUF" + struct.pack("<IQQ", 3, len(names_and_shapes), 19) + metadata + infos
    draw = random.Random(seed)
    with path.open("wb") as file:
        file.write(head.ljust(_padded(len(head)), b"\0"))
        for name, shape in names_and_shapes:
            spread = 0.0 if "norm" in name else 0.3
            values = array("f", (draw.gauss(1.0 if "norm" in name else 0.0, spread) for _ in range(_size(shape))))
            file.write(values.tobytes().ljust(_padded(4 * len(values)), b"\0"))
    return path


def _tensor_shapes(vocabulary_size: int) -> list[tuple[str, tuple[int, ...]]]:
    shapes: list[tuple[str, tuple[int, ...]]] = [
        ("token_embd.weight", (WIDTH, vocabulary_size)),
        ("output_norm.weight", (WIDTH,)),
    ]
    for layer in range(LAYERS):
        shapes += [
            (f"blk.{layer}.attn_norm.weight", (WIDTH,)),
            (f"blk.{layer}.ffn_norm.weight", (WIDTH,)),
            *[(f"blk.{layer}.attn_{part}.weight", (WIDTH, WIDTH)) for part in ("q", "k", "v", "output")],
            (f"blk.{layer}.ffn_gate.weight", (WIDTH, FEED_FORWARD)),
            (f"blk.{layer}.ffn_up.weight", (WIDTH, FEED_FORWARD)),
            (f"blk.{layer}.ffn_down.weight", (FEED_FORWARD, WIDTH)),
        ]
    return shapes


def _size(shape: tuple[int, ...]) -> int:
    size = 1
    for length in shape:
        size *= length
    return size


def _padded(length: int) -> int:
    return -(-length // ALIGNMENT) * ALIGNMENT


def _string(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def _string_value(key: str, text: str) -> bytes:
    return _string(key) + struct.pack("<I", STRING) + _string(text)


def _number(key: str, kind: int, value: float) -> bytes:
    layout = {UINT32: "<I", FLOAT32: "<f", BOOL: "<?"}[kind]
    return _string(key) + struct.pack("<I", kind) + struct.pack(layout, value)


def _array(key: str, kind: int, items: list[bytes]) -> bytes:
    return _string(key) + struct.pack("<IIQ", ARRAY, kind, len(items)) + b"".join(items)
