"""A tokenizer as llama.cpp reads it: byte-level BPE by the name of its pre-tokenizer, or SentencePiece's BPE with byte tokens."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from clairgen.errors import InputError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_LLAMA_3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_SPLITS = {_LLAMA_3: "llama-bpe", _LLAMA_3.replace("{1,3}", ""): "qwen2"}
"""Regular expressions that a byte-level tokenizer splits text by first, with llama.cpp's names for them."""
KINDS = (
    "byte-level BPE that splits as GPT-2, SmolLM, Llama 3 or Qwen2 do, and SentencePiece BPE with byte tokens (Llama 2)"
)
_NORMAL, _CONTROL, _USER_DEFINED, _UNUSED, _BYTE = 1, 3, 4, 5, 6
_SPACE = "▁"


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What a GGUF file says of a tokenizer. `pre` and `merges` are of byte-level BPE, `scores` of SentencePiece's."""

    kind: str
    tokens: list[str]
    types: list[int]
    ids: Mapping[str, int]
    adds_bos: bool
    pre: str | None = None
    merges: Sequence[str] = ()
    scores: Sequence[float] = ()
    adds_space: bool = False
    chat_template: str | None = None


def vocabulary(tokenizer: "PreTrainedTokenizerBase", size: int, model: str) -> Vocabulary:
    """The vocabulary of `size` tokens. Raises InputError, which names the kinds that work, for a tokenizer of another kind."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise _refusal(model, "it has no tokenizer.json")
    content: dict[str, Any] = json.loads(backend.to_str())
    bpe = content["model"]
    if bpe["type"] != "BPE":
        raise _refusal(model, f"it is {bpe['type']}")
    if len(tokenizer) > size:
        raise InputError(
            f"the tokenizer of {model} has {len(tokenizer):,} tokens, and the model knows only {size:,}: they do not belong "
            "together; use the tokenizer that came with the model"
        )
    tokens, types = _tokens(tokenizer, content, size)
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in bpe["merges"]]
    common: dict[str, Any] = {
        "tokens": tokens,
        "types": types,
        "ids": _special_ids(tokenizer),
        "adds_bos": tokenizer.bos_token_id is not None and tokenizer("a")["input_ids"][0] == tokenizer.bos_token_id,
        "chat_template": tokenizer.chat_template if isinstance(tokenizer.chat_template, str) else None,
    }
    if bpe.get("byte_fallback"):
        merged = {merge.replace(" ", "", 1): -float(rank) for rank, merge in reversed(list(enumerate(merges)))}
        lowest = -float(len(merges))
        scores = [
            merged.get(token, 0.0 if kind != _NORMAL else lowest) for token, kind in zip(tokens, types, strict=True)
        ]
        return Vocabulary("llama", **common, scores=scores, adds_space=_adds_space(content, model))
    if content.get("normalizer") and content["normalizer"]["type"] != "NFC":  # llama.cpp normalizes no text
        raise _refusal(model, f"it normalizes text by {content['normalizer']['type']}")
    return Vocabulary("gpt2", **common, pre=_pre_tokenizer(content, model), merges=merges)


def _tokens(tokenizer: "PreTrainedTokenizerBase", content: Mapping[str, Any], size: int) -> tuple[list[str], list[int]]:
    """The texts and types of all ids; ids beyond the tokenizer's, which models have for alignment, are unused."""
    added = {token["id"]: token for token in content["added_tokens"]}
    has_bytes = bool(content["model"].get("byte_fallback"))
    known = {number: text for text, number in tokenizer.get_vocab().items()}
    texts, types = [], []
    for number in range(size):
        text = known.get(number)
        texts.append(f"[PAD{number}]" if text is None else text)
        if text is None:
            types.append(_UNUSED)
        elif number in added:
            types.append(_CONTROL if added[number]["special"] else _USER_DEFINED)
        else:
            is_byte = has_bytes and len(text) == 6 and text.startswith("<0x") and text.endswith(">")
            types.append(_BYTE if is_byte else _NORMAL)
    return texts, types


def _special_ids(tokenizer: "PreTrainedTokenizerBase") -> dict[str, int]:
    ids = {name: getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos", "unk", "pad")}
    return {name: number for name, number in ids.items() if isinstance(number, int)}


def _pre_tokenizer(content: Mapping[str, Any], model: str) -> str:
    """llama.cpp's name for how the tokenizer splits text into words."""
    given = content["pre_tokenizer"] or {"type": "none"}
    steps = given["pretokenizers"] if given["type"] == "Sequence" else [given]
    kinds = [step["type"] for step in steps]
    is_bytes = kinds[-1:] == ["ByteLevel"] and not steps[-1]["add_prefix_space"]
    if is_bytes and kinds == ["ByteLevel"] and steps[0]["use_regex"]:
        return "gpt-2"
    if is_bytes and kinds == ["Digits", "ByteLevel"] and steps[0]["individual_digits"] and steps[1]["use_regex"]:
        return "smollm"
    if is_bytes and kinds == ["Split", "ByteLevel"] and not steps[1]["use_regex"] and not steps[0]["invert"]:
        name = _SPLITS.get(steps[0]["pattern"].get("Regex"))
        if name is not None and steps[0]["behavior"] == "Isolated":
            return name
    raise _refusal(model, f"it splits text by {', '.join(kinds)} in a way that llama.cpp has no name for here")


def _adds_space(content: Mapping[str, Any], model: str) -> bool:
    """Whether SentencePiece's tokenizer begins a text with a space."""
    pre, normalizer = content["pre_tokenizer"], content["normalizer"]
    if pre is not None and pre["type"] == "Metaspace" and normalizer is None and pre["replacement"] == _SPACE:
        return bool(pre["prepend_scheme"] != "never")
    steps = [] if normalizer is None else normalizer.get("normalizers", [normalizer])
    kinds = [step["type"] for step in steps]
    if pre is None and kinds in (["Prepend", "Replace"], ["Replace"]) and steps[-1]["content"] == _SPACE:
        return bool(kinds[0] == "Prepend")
    raise _refusal(model, "it does not treat spaces as SentencePiece does")


def _refusal(model: str, why: str) -> InputError:
    return InputError(f"the tokenizer of {model} cannot be written as GGUF: {why}; what works is {KINDS}")
