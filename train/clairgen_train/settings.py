"""The settings of a training run, every key explained, and its objectives; the defaults are the paper's (section 5.2)."""

import enum
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator
from rapidfuzz import process

from clairgen.config.strict_yaml import mapping, read_text, validated
from clairgen.errors import ConfigError
from clairgen.pair_cells import ThinkingPolicy

CONFIGS = Path(__file__).parent / "configs"
Positive = Annotated[int, Field(gt=0)]
_OPTIONS = "the command's options"


class Objective(enum.StrEnum):
    """What a training run minimizes; the value is the name in settings and in a data set's column `objective`."""

    APO_ZERO = "apo-zero"
    APO_DOWN = "apo-down"
    DPO = "dpo"
    DPO_NORM = "dpo-norm"
    KTO_PAIR = "kto-pair"
    SFT = "sft"
    KTO = "kto"
    APO_ZERO_UNPAIRED = "apo-zero-unpaired"

    @property
    def is_paired(self) -> bool:
        """Whether it takes the chosen and the rejected answer to a prompt together."""
        return self not in (Objective.KTO, Objective.APO_ZERO_UNPAIRED)

    @property
    def takes_margin(self) -> bool:
        """Whether its loss has a place for a pair's margin."""
        return self in (Objective.DPO, Objective.DPO_NORM)

    @property
    def without_ld_alpha(self) -> str | None:
        """Why `ld_alpha` cannot be used with it, as a clause; None where it can."""
        if self in (Objective.DPO, Objective.APO_ZERO, Objective.APO_DOWN):
            return None
        if self is Objective.DPO_NORM:
            return "which corrects for length already"
        if self is Objective.KTO_PAIR:
            return "whose KL is of whole answers"
        return "which has no rewards" if self is Objective.SFT else "which trains on single answers"

    @property
    def without_likelihood_term(self) -> str | None:
        """Why `chosen_nll` cannot be added to it, as a clause; None where it can."""
        if self is Objective.SFT:
            return "which trains on the likelihood of chosen answers already"
        return None if self.is_paired else "which trains on single answers"

    @property
    def code(self) -> int:
        """Its number in the tensors of a batch; data sets and files have the name."""
        return list(Objective).index(self)


class Truncation(enum.StrEnum):
    """How a pair that is too long is truncated; see `data.tokenize`."""

    EACH = "each"
    TRL_2024 = "trl-2024"


class Parallel(enum.StrEnum):
    """How several GPUs share a model: a copy each, or its parameters in shards."""

    DDP = "ddp"
    FSDP2 = "fsdp2"
    ZERO2 = "zero2"
    ZERO3 = "zero3"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, protected_namespaces=())


class Lora(_Strict):
    """Low-rank adapters, trained in place of all weights (PEFT)."""

    rank: Positive = Field(16, description="Rank of the adapters; a higher rank learns more and needs more memory.")
    alpha: Positive = Field(32, description="Scale of the adapters; twice the rank is usual.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Dropout of the adapters' input.")
    target_modules: Literal["all-linear"] | list[str] = Field(
        "all-linear", description="Which layers get adapters; never lm_head."
    )
    modules_to_save: list[str] = Field(
        default_factory=list,
        description="Modules that are trained whole beside the adapters and saved with them, such as embed_tokens or lm_head.",
    )
    quantize_4bit: bool = Field(
        False, description="QLoRA: hold the frozen weights in four bits (NVIDIA, bitsandbytes)."
    )


class KtoPair(_Strict):
    """How KTO-pair estimates the KL between model and reference (eq. 9)."""

    anchor: Literal["on-policy", "paper-era"] = Field(
        "on-policy",
        description="on-policy: from the model's own samples; paper-era: from the other half of the batch, as TRL did in 2024.",
    )
    every_steps: Positive = Field(16, description="Steps between two estimates of the on-policy anchor.")
    samples: Positive = Field(8, description="Answers that each device samples each time.")
    momentum: float = Field(0.5, ge=0, lt=1, description="Weight of earlier estimates in the running mean.")


class TrainingSettings(_Strict):
    """All settings of a training run. The data set and the output folder are arguments of the command."""

    model: str = Field(min_length=1, description="A folder with a model and its tokenizer, or its name on the hub.")
    revision: str | None = Field(None, description="Branch, tag or commit of a model from the hub.")
    reference_model: str | None = Field(
        None,
        min_length=1,
        description="The reference, where it is not the model as it begins: a folder or a name on the hub, with the same "
        "tokenizer. Trajectories stay relative to the model as it begins.",
    )
    objective: Objective = Field(Objective.APO_ZERO, description="The objective to minimize.")
    pair_objectives: Literal["use", "ignore"] = Field(
        "use",
        description="Whether the data set's column `objective` overrides `objective` for the pairs that have it.",
    )
    beta: float = Field(0.1, gt=0, description="Scale of rewards: beta * log(policy / reference).")
    ld_alpha: float | None = Field(
        None,
        ge=0,
        le=1,
        description="LD-DPO: what the tokens of a pair's longer answer count beyond the length of the shorter one, from 0 "
        "(nothing) to 1 (as all others); for dpo, apo-zero and apo-down. Left out: 1.",
    )
    margin_scale: float = Field(
        1.0,
        ge=0,
        description="What the data set's column `margin` is multiplied by to be a margin of rewards, under dpo and dpo-norm; 0 "
        "leaves the column unread.",
    )
    chosen_nll: float = Field(
        0.0,
        ge=0,
        description="Weight of an added term, chosen's negative log-likelihood as a mean over tokens (nats), which holds on to "
        "what the model can do already; 0 leaves it out.",
    )
    keep_identical: bool = Field(
        False,
        description="Train on pairs whose two answers are the same, as the reviser confirmed them: by chosen_nll, or under sft. "
        "Otherwise they are dropped, since no other objective learns from them.",
    )
    subset: str | None = Field(None, description="The subset (recipe) of the data set; needed if it has several.")
    data_revision: str | None = Field(None, description="Branch, tag or commit of a data set from the hub.")
    train_split: str = Field("train", min_length=1, description="The split to train on.")
    test_split: str = Field("test", description="The split whose pairs are held out for the trajectories.")
    held_out_pairs: int = Field(
        100,
        ge=0,
        description="Held-out pairs to measure from step 0 on; taken from the training pairs if there is no test split. 0: none.",
    )
    prompt_tokens: Positive = Field(512, description="Maximum tokens of a prompt.")
    response_tokens: Positive = Field(512, description="Maximum tokens of a response.")
    thinking: ThinkingPolicy = Field(
        ThinkingPolicy.REFUSE,
        description="Thoughts beside an answer's text (`reasoning_content`, `thinking`): keep renders them by the model's chat "
        "template and trains on them, drop leaves them out, refuse takes no row that has any.",
    )
    truncation: Truncation = Field(
        Truncation.EACH, description="each: prompt and response separately; trl-2024: only where their sum is too long."
    )
    chat_template: Path | None = Field(
        None, description="A Jinja file, for a model without a chat template of its own."
    )
    epochs: Annotated[float, Field(gt=0)] = Field(18, description="Passes over the data.")
    batch_size: Positive = Field(16, description="Pairs per optimizer step, over all devices and accumulated batches.")
    device_batch_size: Positive = Field(
        2, description="Pairs per device and forward pass; lower it when memory runs out."
    )
    learning_rate: float = Field(2e-7, gt=0, description="Peak learning rate.")
    optimizer: str = Field("rmsprop", description="The optimizer, by transformers' name (rmsprop, adamw_torch, ...).")
    scheduler: str = Field("linear", description="The learning-rate schedule, by transformers' name.")
    scheduler_kwargs: dict[str, Any] = Field(
        default_factory=dict,
        description="Arguments of the schedule, by transformers' names: {num_cycles: 2}, {min_lr_rate: 0.1}, ...",
    )
    warmup_steps: int = Field(0, ge=0, description="Steps until the peak learning rate.")
    warmup_ratio: float | None = Field(
        None, gt=0, lt=1, description="The same as a share of all steps; in place of warmup_steps."
    )
    weight_decay: float = Field(0.0, ge=0, description="Weight decay, where the optimizer has it.")
    max_grad_norm: float = Field(1.0, gt=0, description="Gradients are clipped to this norm.")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        "auto",
        description="bf16: weights in fp32, arithmetic in bfloat16; fp16: arithmetic in float16, for GPUs without bfloat16; "
        "auto: bf16 where a GPU has it, else fp32; kept for the run.",
    )
    attn_implementation: str | None = Field(
        None,
        description="Attention, by transformers' name (sdpa, eager, flash_attention_2, ...); its choice if left out.",
    )
    save_dtype: Literal["fp32", "bf16"] = Field(
        "fp32",
        description="Type of the trained model's weights. bf16 halves the files and rounds to about 3 digits, in which small "
        "changes get lost. Checkpoints always keep fp32.",
    )
    seed: int = Field(
        0, ge=0, lt=2**32, description="Seed for the order of pairs, the choice of held-out pairs, and samples."
    )
    lora: Lora | None = Field(None, description="Train adapters instead of all weights.")
    kto_pair: KtoPair = Field(KtoPair(), description="The anchor of KTO-pair.")
    measure: Literal["epoch"] | Positive = Field(
        "epoch", description="When to measure the held-out pairs: after every epoch, or every N steps and at the end."
    )
    early_stopping: Positive | None = Field(
        None, description="Stop when the mean held-out margin was not the highest so far for this many measurements."
    )
    keep_best: bool = Field(
        False,
        description="Save the model of the measurement with the highest mean held-out margin in place of the last one.",
    )
    sampled_answers: int = Field(
        0,
        ge=0,
        description="Held-out prompts that are answered at every measurement, to see whether answers become longer or shorter.",
    )
    shared_prompt: Literal["auto"] | bool = Field(
        "auto",
        description=(
            "Compute the prefix that both answers of a pair share only once: exact, and two to three times as fast on a CPU. "
            "auto: on a CPU only; on a GPU it was slower than TRL's forward where it was measured (make gpu measures yours)."
        ),
    )
    gradient_checkpointing: bool = Field(
        False, description="Recompute activations in the backward pass to save memory."
    )
    checkpoints: Literal["epoch", "end"] | Positive = Field(
        "epoch", description="When to save a checkpoint: every epoch, only at the end, or every N steps."
    )
    keep_checkpoints: Positive | None = Field(
        None, description="How many of the newest checkpoints to keep; all if left out."
    )
    parallel: Parallel = Field(Parallel.DDP, description="How several GPUs share the model.")
    gpus: Positive | None = Field(None, description="Processes to launch, one per GPU; one process if left out.")
    log_every: Positive = Field(10, description="Steps between two log lines.")
    report_to: list[str] = Field(
        default_factory=list, description="Experiment trackers: tensorboard, wandb, trackio, ... (transformers' names)."
    )
    reference_cache: Path | None = Field(
        None, description="Folder that caches reference log-probabilities; the user's cache folder if left out."
    )
    trl: dict[str, Any] = Field(
        default_factory=dict,
        description="Any other field of TRL's configuration (DPOConfig, or KTOConfig for single answers), by its name there.",
    )
    trust_remote_code: bool = Field(False, description="Run code from the model's repository. Only if you trust it.")

    @model_validator(mode="after")
    def _fits_together(self) -> "TrainingSettings":
        if self.batch_size % self.device_batch_size:
            raise ValueError(
                f"batch_size {self.batch_size} is not a multiple of device_batch_size {self.device_batch_size}; change one"
            )
        if self.objective is Objective.KTO and self.device_batch_size < 2:
            raise ValueError("TRL's trainer for kto takes no batch of one answer; set device_batch_size to 2 or more")
        if self.warmup_ratio is not None and self.warmup_steps:
            raise ValueError("warmup_steps and warmup_ratio say the same; give one of them")
        if (self.early_stopping or self.keep_best) and not self.held_out_pairs:
            raise ValueError("early_stopping and keep_best go by the held-out margin; set held_out_pairs above 0")
        if self.reference_model is not None and self.objective is Objective.SFT:
            raise ValueError("sft has no reference; leave reference_model out")
        if self.ld_alpha is not None and (reason := self.objective.without_ld_alpha) is not None:
            raise ValueError(
                f"ld_alpha cannot be used with {self.objective.value}, {reason}; leave ld_alpha out, or use dpo, apo-zero or "
                "apo-down"
            )
        if self.chosen_nll and (reason := self.objective.without_likelihood_term) is not None:
            raise ValueError(
                f"chosen_nll cannot be added to {self.objective.value}, {reason}; leave chosen_nll out, or use an objective for "
                "pairs such as apo-zero"
            )
        if self.keep_identical and not self.chosen_nll and self.objective is not Objective.SFT:
            raise ValueError(
                f"keep_identical needs something that learns from two equal answers, and {self.objective.value} alone does not; "
                + (
                    "set chosen_nll above 0 (--set chosen_nll=1), or leave keep_identical out"
                    if self.objective.is_paired
                    else "leave it out"
                )
            )
        if self.lora is not None and "lm_head" in self.lora.target_modules:
            raise ValueError("lora.target_modules: an adapter on lm_head would not be trained; leave it out")
        return self


MACHINE_SETTINGS = frozenset(
    {
        "attn_implementation",
        "checkpoints",
        "device_batch_size",
        "gpus",
        "gradient_checkpointing",
        "keep_checkpoints",
        "log_every",
        "parallel",
        "reference_cache",
        "report_to",
        "save_dtype",
        "shared_prompt",
    }
)
"""Settings that may change when a run is continued: where and how to compute, not what."""


def load_settings(path: Path | None, given: dict[str, Any]) -> TrainingSettings:
    """Settings of a file (a path, or the name of a shipped one such as `paper`); those `given` by flags override them.

    Raises ConfigError with one sentence.
    """
    file, content = "the settings", {}
    if path is not None:
        path = _settings_file(path)
        file = str(path)
        content = mapping(read_text(path), TrainingSettings, file)
    merged = content | given
    for name, group in given.items():  # a key of a group leaves the file's other keys of that group alone
        before = content.get(name)
        if isinstance(group, dict) and isinstance(before, dict):
            merged[name] = before | group
    if "model" not in merged:
        raise ConfigError("no model is given; use --model with a folder or a name on the hub")

    def source(keys: Sequence[str]) -> str:
        """Where these keys are from: only a file that is wrong by itself is named for it."""
        of_command = [key for key in keys if _is_given(key, given)]
        return file if not of_command else _OPTIONS if len(of_command) == len(keys) else f"{file} and {_OPTIONS}"

    return validated(merged, TrainingSettings, source)


def _settings_file(path: Path) -> Path:
    """The file that a path or the name of a shipped one stands for. Raises ConfigError for a name that no file has."""
    if path.exists() or path.parent != Path():
        return path
    shipped = {file.stem: file for file in sorted(CONFIGS.glob("*.yaml"))}
    name = path.name.removesuffix(".yaml")
    if name in shipped:
        return shipped[name]
    near = process.extractOne(name, list(shipped), score_cutoff=60)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise ConfigError(f"there is no file {path}, and the settings that ship are {', '.join(shipped)}{hint}")


def _is_given(key: str, given: Mapping[str, Any]) -> bool:
    """Whether a key such as `lora.rank` is among what the command was given."""
    inner: Any = given
    for part in key.split("."):
        if not isinstance(inner, Mapping) or part not in inner:
            return inner is not given and not isinstance(inner, Mapping)
        inner = inner[part]
    return True


def settings_yaml(settings: TrainingSettings) -> str:
    """The resolved settings as YAML, as saved with the model."""
    return yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
