"""The settings as TRL's configuration, and what of it depends on this machine."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from transformers import Trainer, TrainingArguments, get_scheduler
from transformers.integrations.integration_utils import get_available_reporting_integrations
from trl import DPOConfig, KTOConfig

from clairgen.errors import ConfigError, RunStoppedError
from clairgen_train.settings import TrainingSettings


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
    _require_schedule(settings)
    common = _common(settings, out) | {"gradient_accumulation_steps": settings.batch_size // per_step}
    try:
        if settings.objective.is_paired:
            config = DPOConfig(**common)
        else:
            config = KTOConfig(**common, loss_type=settings.objective.value.replace("-", "_"))
        Trainer.get_optimizer_cls_and_kwargs(config)  # may need a package that is not installed
    except (ValueError, ImportError) as error:
        raise ConfigError(
            f"these settings cannot be used; change what transformers refuses: {' '.join(str(error).split())[:300]}"
        ) from error
    return config


def _require_schedule(settings: TrainingSettings) -> None:
    """Raise ConfigError for arguments of the schedule that it lacks, does not take, or would not use."""
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
        "eval_strategy": "no",  # held-out pairs are measured one by one, see trajectories
        "logging_steps": settings.log_every,
        "logging_first_step": True,
        "logging_nan_inf_filter": False,  # a loss that is NaN must be seen
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
