"""The settings in TRL's words."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from transformers.integrations.integration_utils import get_available_reporting_integrations
from trl import DPOConfig, KTOConfig

from clairgen.errors import ConfigError
from clairgen_train.settings import TrainingSettings


def trl_arguments(settings: TrainingSettings, out: Path, ranks: int) -> DPOConfig | KTOConfig:
    """What TRL's trainer for the objective takes. Raises ConfigError for settings that transformers refuses."""
    per_step = settings.device_batch_size * ranks
    if settings.batch_size % per_step:
        raise ConfigError(
            f"batch_size {settings.batch_size} is no multiple of {per_step} pairs (device_batch_size "
            f"{settings.device_batch_size} on {ranks} devices); change one of them"
        )
    available = get_available_reporting_integrations()  # type: ignore[no-untyped-call]  # transformers leaves it so
    if missing := [name for name in settings.report_to if name not in available]:
        raise ConfigError(
            f"the tracker {missing[0]!r} is not installed; install it, or name one of: {', '.join(available) or 'none'}"
        )
    common = _common(settings, out) | {"gradient_accumulation_steps": settings.batch_size // per_step}
    try:
        if settings.objective.is_paired:
            return DPOConfig(**common)
        return KTOConfig(**common, loss_type=settings.objective.value.replace("-", "_"))
    except (ValueError, ImportError) as error:
        raise ConfigError(f"these settings cannot be used: {' '.join(str(error).split())[:300]}") from error


def _common(settings: TrainingSettings, out: Path) -> dict[str, Any]:
    return {
        "output_dir": str(out),
        "per_device_train_batch_size": settings.device_batch_size,
        "num_train_epochs": settings.epochs,
        "learning_rate": settings.learning_rate,
        "optim": settings.optimizer,
        "lr_scheduler_type": settings.scheduler,
        "warmup_steps": settings.warmup_steps,
        "weight_decay": settings.weight_decay,
        "max_grad_norm": settings.max_grad_norm,
        "seed": settings.seed,
        "data_seed": settings.seed,
        "bf16": settings.precision == "bf16",
        "use_cpu": not torch.accelerator.is_available(),
        "dataloader_pin_memory": torch.cuda.is_available(),
        "gradient_checkpointing": settings.gradient_checkpointing,
        "beta": settings.beta,
        "max_length": None,
        "precompute_ref_log_probs": True,
        **_saving(settings.checkpoints),
        "save_total_limit": settings.keep_checkpoints,
        "eval_strategy": "no",  # the trajectories measure held-out pairs one by one
        "logging_steps": settings.log_every,
        "logging_first_step": True,
        "logging_nan_inf_filter": False,  # a loss that is no number must be seen
        "report_to": settings.report_to or "none",
        "run_name": f"{out.name}-{settings.objective.value}",
        "disable_tqdm": True,
        "log_level": "error",
        "log_level_replica": "error",
        "ddp_find_unused_parameters": False,
        "trust_remote_code": settings.trust_remote_code,
    }


def _saving(checkpoints: str | int) -> Mapping[str, object]:
    if isinstance(checkpoints, int):
        return {"save_strategy": "steps", "save_steps": checkpoints}
    return {"save_strategy": "epoch" if checkpoints == "epoch" else "no"}


def precision_here() -> Literal["fp32", "bf16"]:
    """What this machine computes fast in: a CPU may emulate bfloat16, at a ninth of the speed."""
    return "bf16" if torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"


def uses_shards(settings: TrainingSettings) -> bool:
    """Whether each device holds only a part of the model, so that it cannot answer on its own."""
    return settings.parallel.value != "ddp" and settings.gpus is not None
