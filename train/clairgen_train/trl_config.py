"""The settings as TRL's configuration, and what of it depends on this machine."""

import math
import os
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal, get_type_hints

import torch
from pydantic import TypeAdapter, ValidationError
from rapidfuzz import process
from transformers import Trainer, TrainingArguments, get_scheduler
from transformers.integrations.integration_utils import get_available_reporting_integrations
from trl import DPOConfig, KTOConfig

from clairgen.errors import ConfigError, RunStoppedError
from clairgen.wording import counted
from clairgen_train.settings import TrainingSettings
from clairgen_train.validation import validate_loss_options

_OTHER_NAMES = {
    "output_dir": "the argument OUT",
    "per_device_train_batch_size": "device_batch_size",
    "gradient_accumulation_steps": "batch_size",
    "num_train_epochs": "epochs",
    "optim": "optimizer",
    "lr_scheduler_type": "scheduler",
    "lr_scheduler_kwargs": "scheduler_kwargs",
    "warmup_steps": "warmup_steps or warmup_ratio",
    "bf16": "precision",
    "fp16": "precision",
    "data_seed": "seed",
    "max_length": "prompt_tokens and response_tokens",
    "save_strategy": "checkpoints",
    "save_steps": "checkpoints",
    "save_total_limit": "keep_checkpoints",
    "logging_steps": "log_every",
    "eval_strategy": "measure",
    "eval_steps": "measure",
    "load_best_model_at_end": "keep_best",
    "loss_type": "objective",
    "model_init_kwargs": "attn_implementation or precision",
    "deepspeed": "parallel",
    "fsdp": "parallel",
    "fsdp_config": "parallel",
    "parallelism_config": "parallel",
    "activation_checkpointing": "gradient_checkpointing",
    "push_to_hub": "--push-to-hub",
}
"""Fields of TRL's that a setting, an argument or an option of ours sets."""
_MEASURED_SCHEDULES = ("reduce_lr_on_plateau", "greedy")
_MIXED_PRECISION = {"bf16": "bf16", "fp16": "fp16"}
"""Accelerate's names for the precisions in which a model computes in another type than its weights have."""
_UNUSED_BEGINNINGS = ("eval_", "hub_", "do_", "trackio_")
_UNUSED = frozenset(
    {
        "auto_find_batch_size",
        "batch_eval_metrics",
        "bf16_full_eval",
        "dataset_num_proc",
        "discopop_tau",
        "enable_jit_checkpoint",
        "f_alpha_divergence_coef",
        "fp16_full_eval",
        "greater_is_better",
        "ignore_data_skip",
        "include_for_metrics",
        "label_names",
        "label_smoothing_factor",
        "length_column_name",
        "local_rank",
        "metric_for_best_model",
        "pad_to_multiple_of",
        "pad_token",
        "padding_free",
        "per_device_eval_batch_size",
        "precompute_ref_batch_size",
        "prediction_loss_only",
        "ref_model_mixup_alpha",
        "ref_model_sync_steps",
        "remove_unused_columns",
        "restore_callback_states_from_checkpoint",
        "resume_from_checkpoint",
        "save_only_model",
        "sync_ref_model",
        "train_sampling_strategy",
        "truncation_mode",
    }
)


def trl_config(settings: TrainingSettings, out: Path, ranks: int) -> DPOConfig | KTOConfig:
    """The configuration of TRL's trainer for the objective. Raises ConfigError for settings that transformers refuses."""
    per_step = settings.device_batch_size * ranks
    if settings.batch_size % per_step:
        raise ConfigError(
            f"batch_size {settings.batch_size} is not a multiple of {per_step} pairs (device_batch_size "
            f"{settings.device_batch_size} on {ranks} devices); change one of them"
        )
    available = get_available_reporting_integrations()  # type: ignore[no-untyped-call]  # transformers leaves it so
    if missing := [name for name in settings.report_to if name not in available]:
        raise ConfigError(
            f"the tracker {missing[0]!r} in report_to is not installed; install it, or use: {', '.join(available) or 'none'}"
        )
    if settings.precision == "fp16" and not torch.cuda.is_available():
        raise ConfigError("precision fp16 needs a GPU, and none is found here; use fp32")
    if os.environ.get("ACCELERATE_DYNAMO_BACKEND", "no").lower() != "no" and not settings.trl.get("torch_compile"):
        raise ConfigError(
            "the environment variable ACCELERATE_DYNAMO_BACKEND would make accelerate compile the model; unset it, or use "
            "--set trl.torch_compile=true"
        )
    kind = DPOConfig if settings.objective.is_paired else KTOConfig
    _require_schedule(settings)
    common = _common(settings, out) | {"gradient_accumulation_steps": settings.batch_size // per_step}
    if settings.objective.is_paired:
        common["ld_alpha"] = settings.ld_alpha
    common |= _checked_fields(settings.trl, kind, common)
    try:
        if settings.objective.is_paired:
            config = DPOConfig(**common)
            validate_loss_options(config)
        else:
            config = KTOConfig(**common, loss_type=settings.objective.value.replace("-", "_"))
        # which a variable of a personal configuration of accelerate would set otherwise
        config.mixed_precision = _MIXED_PRECISION.get(settings.precision, "no")
        Trainer.get_optimizer_cls_and_kwargs(config)  # may need a package that is not installed
    except (ValueError, ImportError) as error:
        raise ConfigError(
            f"these settings cannot be used; change what transformers refuses: {' '.join(str(error).split())[:300]}"
        ) from error
    return config


def _require_schedule(settings: TrainingSettings) -> None:
    """Raise ConfigError for a schedule that cannot be followed here, and for arguments that it lacks, does not take or use."""
    if settings.scheduler in _MEASURED_SCHEDULES:
        raise ConfigError(
            f"the schedule {settings.scheduler} follows an evaluation loss, which is not computed here; use another, such as "
            "cosine or linear"
        )
    if settings.scheduler == "constant" and (settings.warmup_steps or settings.warmup_ratio):
        raise ConfigError(
            "the schedule constant has no warm-up; use constant_with_warmup, or leave warmup_steps and warmup_ratio out"
        )
    if settings.scheduler in ("constant", "constant_with_warmup") and settings.scheduler_kwargs:
        raise ConfigError(f"the schedule {settings.scheduler} takes no scheduler_kwargs; leave them out")
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=settings.learning_rate)
    kwargs = dict(settings.scheduler_kwargs)
    try:
        get_scheduler(settings.scheduler, optimizer, settings.warmup_steps, settings.warmup_steps + 1, kwargs)
    except (ValueError, TypeError, ArithmeticError) as error:
        raise ConfigError(
            f"the schedule {settings.scheduler} cannot be used with scheduler_kwargs {settings.scheduler_kwargs}; correct them: "
            f"{' '.join(str(error).split())[:300]}"
        ) from error


def total_steps(settings: TrainingSettings, rows: int) -> int:
    """The optimizer steps of a run over `rows` pairs, or answers where single answers are trained on."""
    most = int(settings.trl.get("max_steps") or 0)
    return most if most > 0 else math.ceil(settings.epochs * math.ceil(rows / settings.batch_size))


def require_peak(settings: TrainingSettings, rows: int) -> None:
    """Raise ConfigError for a warm-up as long as the run over `rows` pairs or answers, whose peak would never be reached."""
    steps = total_steps(settings, rows)
    if settings.warmup_steps >= steps:
        raise ConfigError(
            f"warmup_steps {settings.warmup_steps:,} is not less than the {counted(steps, 'step')} of the run, so the learning "
            "rate would never reach its peak; lower it, or use warmup_ratio=0.1"
        )
    if settings.warmup_ratio is not None and math.ceil(steps * settings.warmup_ratio) >= steps:
        raise ConfigError(
            f"the warm-up of warmup_ratio {settings.warmup_ratio:g} takes all of the run, which has {counted(steps, 'step')}, so "
            "the learning rate would never reach its peak; set warmup_ratio=null, or train on more pairs or for more epochs"
        )


def _checked_fields(given: Mapping[str, Any], kind: type[Any], ours: Mapping[str, object]) -> dict[str, Any]:
    """The fields that the user sets, of TRL's types; ConfigError for one that there is not, that is ours, or without effect."""
    types = get_type_hints(kind)
    known = [each.name for each in fields(kind) if each.init]
    checked = {}
    for name, value in given.items():
        if name not in known:
            near = process.extractOne(name, known, score_cutoff=60)
            raise ConfigError(
                f"trl.{name}: {kind.__name__} has no such field; "
                + (f"did you mean {near[0]}?" if near else "see TRL's documentation")
            )
        if name in _OTHER_NAMES:
            raise ConfigError(f"trl.{name} is set by clairgen; use {_OTHER_NAMES[name]}")
        if name in ours and name in TrainingSettings.model_fields:
            raise ConfigError(f"trl.{name} is a setting of its own; use --set {name}=VALUE")
        if name in ours:
            raise ConfigError(f"trl.{name} is set by clairgen; leave it out")
        if name.startswith(_UNUSED_BEGINNINGS) or name in _UNUSED:
            raise ConfigError(f"trl.{name} has no effect here, or would break what clairgen does itself; leave it out")
        try:
            checked[name] = TypeAdapter(types[name]).validate_python(value)
        except ValidationError as error:
            raise ConfigError(
                f"trl.{name} is {value!r}: {error.errors()[0]['msg']}; give a value of TRL's type"
            ) from error
    return checked


def require_batch_size(config: TrainingArguments, settings: TrainingSettings, ranks: int) -> None:
    """Raise RunStoppedError where the processes that transformers found would make another batch size of the settings'.

    A process uses one GPU, even if it sees several: transformers would spread the model over them and multiply the batch.
    """
    config._n_gpu = min(config.n_gpu, 1)  # noqa: SLF001 - transformers offers no other way
    pairs = config.train_batch_size * config.world_size * config.gradient_accumulation_steps
    if config.world_size != ranks or pairs != settings.batch_size:
        raise RunStoppedError(
            f"transformers found {config.world_size} processes where {ranks} were started, so a step would have {pairs} pairs "
            f"instead of batch_size {settings.batch_size}; start the run with --gpus, or with torchrun"
        )


def default_precision() -> Literal["fp32", "bf16"]:
    """The precision that is fast on this machine: a CPU may emulate bfloat16, at a ninth of the speed."""
    return "bf16" if torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"


def is_sharded(settings: TrainingSettings) -> bool:
    """Whether each device holds only a part of the model, so that it cannot generate on its own."""
    return settings.parallel.value != "ddp" and settings.gpus is not None


def _common(settings: TrainingSettings, out: Path) -> dict[str, Any]:
    return {
        "output_dir": str(out),
        "per_device_train_batch_size": settings.device_batch_size,
        "num_train_epochs": settings.epochs,
        "learning_rate": settings.learning_rate,
        "optim": settings.optimizer,
        "lr_scheduler_type": settings.scheduler,
        "lr_scheduler_kwargs": settings.scheduler_kwargs,
        "warmup_steps": settings.warmup_steps if settings.warmup_ratio is None else settings.warmup_ratio,
        "weight_decay": settings.weight_decay,
        "max_grad_norm": settings.max_grad_norm,
        "seed": settings.seed,
        "data_seed": settings.seed,
        "bf16": settings.precision == "bf16",
        "fp16": settings.precision == "fp16",
        "use_cpu": not torch.accelerator.is_available(),
        "dataloader_pin_memory": torch.cuda.is_available(),
        "gradient_checkpointing": settings.gradient_checkpointing,
        "beta": settings.beta,
        "max_length": None,
        "precompute_ref_log_probs": True,
        **_saving(settings.checkpoints),
        "save_total_limit": settings.keep_checkpoints,
        "eval_strategy": "no",  # held-out pairs are measured one by one, see trajectories
        "logging_steps": settings.log_every,
        "logging_first_step": True,
        "logging_nan_inf_filter": False,  # a loss that is NaN must be seen
        "report_to": settings.report_to or "none",
        "run_name": f"{out.name}-{settings.objective.value}",
        "disable_tqdm": True,
        "log_level": "passive",  # transformers' level is the process's business, not the trainer's
        "log_level_replica": "passive",
        "ddp_find_unused_parameters": False,
        "trust_remote_code": settings.trust_remote_code,
    }


def _saving(checkpoints: str | int) -> Mapping[str, object]:
    if isinstance(checkpoints, int):
        return {"save_strategy": "steps", "save_steps": checkpoints}
    return {"save_strategy": "epoch" if checkpoints == "epoch" else "no"}
