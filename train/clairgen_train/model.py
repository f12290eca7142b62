"""The model to train, its tokenizer and generation settings, loaded from a folder or the hub, and the adapters it may get.

Generation settings that transformers would refuse to save are repaired or refused before training.
"""

import re
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, cast

import torch
from safetensors import SafetensorError
from torch import nn
from transformers import AutoConfig, GenerationConfig, PreTrainedConfig
from transformers.pytorch_utils import Conv1D

from clairgen.errors import ConfigError, InputError, MissingExtraError
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
    try:
        config = AutoConfig.from_pretrained(
            settings.model, revision=settings.revision, trust_remote_code=settings.trust_remote_code
        )
    except (OSError, ValueError) as error:
        raise InputError(_not_loaded(settings, error)) from error
    return cast("PreTrainedConfig", config.get_text_config())


def load_tokenizer(settings: TrainingSettings, vocabulary: int) -> "PreTrainedTokenizerBase":
    """The model's tokenizer, with a chat template and a padding token below `vocabulary`, the model's number of token ids.

    Raises InputError where the tokenizer or the template is missing.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            settings.model, revision=settings.revision, trust_remote_code=settings.trust_remote_code
        )
    except (OSError, ValueError) as error:
        raise InputError(
            f"the tokenizer of {settings.model} cannot be loaded; give a folder or hub name that has one "
            f"({' '.join(str(error).split())[:300]})"
        ) from error
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
    they are frozen and held in the type of the arithmetic. Raises InputError if they cannot be loaded.
    """
    from transformers import AutoModelForCausalLM

    lora = settings.lora
    frozen = torch.bfloat16 if settings.precision == "bf16" else torch.float32
    quantization = _four_bits() if lora is not None and lora.quantize_4bit else None
    try:
        loaded = AutoModelForCausalLM.from_pretrained(
            settings.model,
            revision=settings.revision,
            trust_remote_code=settings.trust_remote_code,
            dtype=torch.float32 if lora is None else frozen,
            use_safetensors=True,
            output_loading_info=True,
            **({} if quantization is None else {"quantization_config": quantization}),
        )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise InputError(_not_loaded(settings, error)) from error
    model, loading = cast("tuple[PreTrainedModel, dict[str, list[str]]]", loaded)  # with output_loading_info
    _require_whole(settings, loading)
    _require_causal(settings, model)
    if model.generation_config is not None:
        repair_generation_config(model.generation_config, settings.model)
    return model


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


def lora_config(lora: Lora) -> "LoraConfig":
    """The adapter settings as PEFT's configuration."""
    from peft import LoraConfig, TaskType

    return LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=lora.target_modules,
        task_type=TaskType.CAUSAL_LM,
    )


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


def check_generation_config(settings: TrainingSettings) -> list[str]:
    """The names that `repair_generation_config` will unset, from the model's files alone; empty if it has no such file.

    Raises InputError for generation settings that cannot be loaded or saved.
    """
    try:
        config = GenerationConfig.from_pretrained(settings.model, revision=settings.revision or "main")
    except OSError:
        return []
    except ValueError as error:
        raise InputError(_refusal(settings.model, error)) from error
    return repair_generation_config(config, settings.model)


def stop_tokens(settings: TrainingSettings, tokenizer: "PreTrainedTokenizerBase") -> frozenset[int]:
    """The ids of the tokens at which the model stops generating: by its files, and the tokenizer's end token.

    Raises InputError where the files give something else.
    """
    config: GenerationConfig | PreTrainedConfig
    try:
        config = GenerationConfig.from_pretrained(settings.model, revision=settings.revision or "main")
    except OSError:  # transformers then takes them from the model's own configuration
        config = AutoConfig.from_pretrained(
            settings.model, revision=settings.revision, trust_remote_code=settings.trust_remote_code
        )
    found = [getattr(config, "eos_token_id", None), tokenizer.eos_token_id]
    ids = [each for ends in found for each in (ends if isinstance(ends, list) else [ends]) if each is not None]
    if wrong := [each for each in ids if not isinstance(each, int)]:
        raise InputError(
            f"eos_token_id of {settings.model} is {wrong[0]!r}, which is no token id; correct its generation_config.json"
        )
    return frozenset(ids)


def _require_whole(settings: TrainingSettings, loading: Mapping[str, Collection[str]]) -> None:
    """Raise InputError where weights are missing, which transformers fills with random numbers."""
    if missing := sorted(loading["missing_keys"]):
        raise InputError(
            f"the files of {settings.model} lack weights that its config.json asks for ({len(missing)}, such as {missing[0]}), "
            "which would be random; get the model again, or correct its config.json"
        )


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


def _not_loaded(settings: TrainingSettings, error: Exception) -> str:
    reason = " ".join(str(error).split())[:300]
    if "ignore_mismatched_sizes" in reason:  # transformers printed the shapes, which are silenced
        reason = "its weights have other shapes than its config.json says"
    return (
        f"the model {settings.model} cannot be loaded; give a folder with config.json and safetensors, or a name on the hub "
        f"({reason})"
    )


def _refusal(model: str, error: ValueError) -> str:
    reason = " ".join(str(error).split())[:300]
    return (
        f"the trained model could not be saved with the generation_config.json of {model}; correct that file ({reason})"
    )
