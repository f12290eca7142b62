"""The model to train, its tokenizer and generation settings, loaded from a folder or the hub, and the adapters it may get.

Generation settings that transformers would refuse to save are repaired or refused before training.
"""

import re
from typing import TYPE_CHECKING, cast

import torch
from torch import nn
from transformers import AutoConfig, GenerationConfig, PreTrainedConfig
from transformers.pytorch_utils import Conv1D

from clairgen.errors import ConfigError, InputError, MissingExtraError
from clairgen_train.adapters import load_weights, model_source, not_loaded, tokenizer_places
from clairgen_train.settings import Lora, TrainingSettings

if TYPE_CHECKING:
    from peft import LoraConfig
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


_NAMED = re.compile(r"^- `(\w+)`:", re.MULTILINE)


def vocabulary_size(settings: TrainingSettings) -> int:
    """How many token ids the model knows, from its configuration alone. Raises InputError if there is no such model."""
    return int(_text_config(settings).vocab_size)


def context_tokens(settings: TrainingSettings) -> int | None:
    """The most tokens that the model takes, from its configuration alone; None where it sets no limit."""
    most = getattr(_text_config(settings), "max_position_embeddings", None)
    return most if isinstance(most, int) and most > 0 else None


def _text_config(settings: TrainingSettings) -> PreTrainedConfig:
    source = model_source(settings.model, settings.revision)
    try:
        config = AutoConfig.from_pretrained(
            source.base, revision=source.revision, trust_remote_code=settings.trust_remote_code
        )
    except (OSError, ValueError) as error:
        raise InputError(not_loaded(source, error)) from error
    return cast("PreTrainedConfig", config.get_text_config())


def load_tokenizer(settings: TrainingSettings, vocabulary: int) -> "PreTrainedTokenizerBase":
    """The model's tokenizer, with a chat template and a padding token below `vocabulary`, the model's number of token ids.

    Raises InputError where the tokenizer or the template is missing.
    """
    tokenizer = _tokenizer(settings)
    if settings.chat_template is not None:
        try:
            tokenizer.chat_template = settings.chat_template.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(
                f"the chat template {settings.chat_template} cannot be read: {error}; check --chat-template"
            ) from error
    if not tokenizer.chat_template:
        raise InputError(
            f"{settings.model} has no chat template, so conversations cannot be rendered for it; give one with "
            "--chat-template FILE (Jinja), or train an instruct model"
        )
    _require_padding(tokenizer, vocabulary)
    return tokenizer


def load_model(settings: TrainingSettings) -> "PreTrainedModel":
    """The model's weights, from safetensors only.

    For full fine-tuning they are held in fp32, whatever the arithmetic: steps of 2e-7 would be lost in bfloat16. Below adapters
    they are frozen and held in the type of the arithmetic, unless they are an adapter merged into its base. Raises InputError if
    they cannot be loaded.
    """
    lora = settings.lora
    source = model_source(settings.model, settings.revision)
    frozen = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(settings.precision, torch.float32)
    if lora is not None and lora.quantize_4bit and source.adapter is not None:
        raise ConfigError(
            f"{settings.model} is an adapter, which cannot be merged into weights in four bits; merge it first: clairgen "
            f"merge-adapter {settings.model} OUT"
        )
    quantization = _four_bits() if lora is not None and lora.quantize_4bit else None
    model = load_weights(
        source,
        trust_remote_code=settings.trust_remote_code,
        dtype=torch.float32
        if lora is None or source.adapter is not None
        else frozen,  # bf16 would round the adapter away
        **({} if quantization is None else {"quantization_config": quantization}),
        **({} if settings.attn_implementation is None else {"attn_implementation": settings.attn_implementation}),
    )
    _require_causal(settings, model)
    if model.generation_config is not None:
        repair_generation_config(model.generation_config, settings.model)
    return model


def load_reference(settings: TrainingSettings) -> "PreTrainedModel | None":
    """The model that `reference_model` names, held as the model to train is; None where that is its own reference."""
    if settings.reference_model is None:
        return None
    return load_model(_of_reference(settings)).requires_grad_(False)


def require_reference(settings: TrainingSettings, tokenizer: "PreTrainedTokenizerBase") -> None:
    """Raise InputError where `reference_model` reads other tokens than the model to train, whose token ids it is given."""
    if settings.reference_model is None:
        return
    of_reference = _of_reference(settings)
    if (
        vocabulary_size(of_reference) != vocabulary_size(settings)
        or _tokenizer(of_reference).get_vocab() != tokenizer.get_vocab()
    ):
        raise InputError(
            f"the reference {settings.reference_model} has another tokenizer than {settings.model}, so their log-probabilities "
            "cannot be compared; name a reference_model with the same one"
        )


def _of_reference(settings: TrainingSettings) -> TrainingSettings:
    return settings.model_copy(update={"model": settings.reference_model, "revision": None})


def require_target_modules(model: "PreTrainedModel", lora: Lora) -> None:
    """Raise ConfigError for a layer to adapt that the model lacks; PEFT passes over it if the model has another of the list."""
    names = {
        name.rsplit(".", 1)[-1] for name, module in model.named_modules() if isinstance(module, nn.Linear | Conv1D)
    }
    paths = [name for name, _ in model.named_modules()]
    for target in [] if isinstance(lora.target_modules, str) else lora.target_modules:
        if not any(path == target or path.endswith(f".{target}") for path in paths):
            raise ConfigError(
                f"lora.target_modules: the model has no layer {target!r}; use all-linear, or of: {', '.join(sorted(names))}"
            )


def lora_config(lora: Lora, model: "PreTrainedModel") -> "LoraConfig":
    """The adapter settings as PEFT's configuration. Raises ConfigError for modules to save that `model` cannot train so."""
    from peft import LoraConfig, TaskType

    _require_modules(model, lora.modules_to_save)
    is_tied = model.config.get_text_config().tie_word_embeddings
    return LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=lora.target_modules,
        modules_to_save=lora.modules_to_save or None,
        ensure_weight_tying=is_tied and "embed_tokens" in lora.modules_to_save,
        task_type=TaskType.CAUSAL_LM,
    )


def _tokenizer(settings: TrainingSettings) -> "PreTrainedTokenizerBase":
    """The tokenizer beside the model, or that of an adapter's base. Raises InputError if there is none."""
    from transformers import AutoTokenizer

    reasons: list[Exception] = []
    for place, revision in tokenizer_places(model_source(settings.model, settings.revision)):
        try:
            tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
                place, revision=revision, trust_remote_code=settings.trust_remote_code
            )
        except (OSError, ValueError) as error:
            reasons.append(error)
        else:
            return tokenizer
    raise InputError(
        f"the tokenizer of {settings.model} cannot be loaded; give a folder or hub name that has one "
        f"({' '.join(str(reasons[-1]).split())[:300]})"
    ) from reasons[-1]


def repair_generation_config(config: GenerationConfig, model: str) -> list[str]:
    """Unset what has no effect in `config`, such as a temperature without sampling; the names of what was unset.

    Raises InputError where it could not be saved even then; `model` names it in the sentence.
    """
    unset: list[str] = []
    while True:
        try:
            config.validate(strict=True)
        except ValueError as error:
            names = [name for name in _NAMED.findall(str(error)) if getattr(config, name, None) is not None]
            if not names:
                raise InputError(_refusal(model, error)) from error
            for name in names:
                setattr(config, name, None)
            unset += names
        else:
            return unset


def check_generation_config(model: str, revision: str | None) -> list[str]:
    """The names that `repair_generation_config` will unset, from the model's files alone; empty if it has no such file.

    Raises InputError for generation settings that cannot be loaded or saved.
    """
    try:
        config = GenerationConfig.from_pretrained(model, revision=revision or "main")
    except OSError:
        return []
    except ValueError as error:
        raise InputError(_refusal(model, error)) from error
    return repair_generation_config(config, model)


def stop_tokens(settings: TrainingSettings, tokenizer: "PreTrainedTokenizerBase") -> frozenset[int]:
    """The ids of the tokens at which the model stops generating: by its files, and the tokenizer's end token.

    Raises InputError where the files give something else.
    """
    config: GenerationConfig | PreTrainedConfig
    source = model_source(settings.model, settings.revision)
    try:
        config = GenerationConfig.from_pretrained(source.base, revision=source.revision or "main")
    except OSError:  # transformers then takes them from the model's own configuration
        config = AutoConfig.from_pretrained(
            source.base, revision=source.revision, trust_remote_code=settings.trust_remote_code
        )
    found = [getattr(config, "eos_token_id", None), tokenizer.eos_token_id]
    ids = [each for ends in found for each in (ends if isinstance(ends, list) else [ends]) if each is not None]
    if wrong := [each for each in ids if not isinstance(each, int)]:
        raise InputError(
            f"eos_token_id of {settings.model} is {wrong[0]!r}, which is no token id; correct its generation_config.json"
        )
    return frozenset(ids)


def _require_causal(settings: TrainingSettings, model: "PreTrainedModel") -> None:
    """Raise InputError for a model whose tokens see later ones, such as BERT's, which no log-probability is of an answer."""
    if getattr(model.config, "is_decoder", True) or any(parameter.is_meta for parameter in model.parameters()):
        return
    ids = torch.tensor([[5, 6, 7, 8], [5, 6, 7, 9]], device=model.device) % model.config.get_text_config().vocab_size
    with torch.no_grad():
        first, other = model(input_ids=ids).logits[:, :3].float()
    if (first - other).abs().max() > 1e-3 * first.std():
        raise InputError(
            f"{settings.model} is no causal language model: its tokens see later ones; train one that generates text"
        )


def _require_padding(tokenizer: "PreTrainedTokenizerBase", vocabulary: int) -> None:
    """Pad with the end token, or else with any token, where the padding token is missing or the model has no embedding for it.

    Padding is masked everywhere, so the choice changes no number.
    """
    known = range(vocabulary)
    if tokenizer.pad_token_id not in known:
        end = tokenizer.eos_token_id
        padding = end if isinstance(end, int) and end in known else 0
        tokenizer.pad_token = tokenizer.convert_ids_to_tokens(padding)


def _require_modules(model: "PreTrainedModel", names: list[str]) -> None:
    """Raise ConfigError for a name that PEFT would look for in vain."""
    known = {name.rpartition(".")[2] for name, _ in model.named_modules()} - {""}
    for name in names:
        if name.rpartition(".")[2] not in known:
            modules = ", ".join(sorted(part for part in known if not part.isdigit()))
            raise ConfigError(f"lora.modules_to_save: the model has no module {name!r}; it has {modules}")
    if "lm_head" in names and "embed_tokens" not in names and model.config.get_text_config().tie_word_embeddings:
        raise ConfigError(
            "lora.modules_to_save: the lm_head of this model is its embed_tokens; name embed_tokens instead"
        )


def _four_bits() -> object:
    from importlib.util import find_spec

    from transformers import BitsAndBytesConfig

    if find_spec("bitsandbytes") is None:
        raise MissingExtraError("QLoRA (lora.quantize_4bit)", "qlora")
    if not torch.cuda.is_available():
        raise ConfigError("lora.quantize_4bit needs an NVIDIA GPU, and none is found here; leave it out")
    return BitsAndBytesConfig(  # type: ignore[no-untyped-call]  # transformers leaves it so
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )


def _refusal(model: str, error: ValueError) -> str:
    reason = " ".join(str(error).split())[:300]
    return (
        f"the trained model could not be saved with the generation_config.json of {model}; correct that file ({reason})"
    )
