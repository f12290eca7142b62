"""Settings as TRL's configuration: fields of TRL's own by name and type, warm-up as a share, and half precision."""

from dataclasses import fields
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from transformers import SchedulerType, get_scheduler
from trl import DPOConfig, KTOConfig

from clairgen.errors import ConfigError
from clairgen_train import trl_config as configuration
from clairgen_train.interruptions import StopOnDivergence
from clairgen_train.settings import TrainingSettings, load_settings
from clairgen_train.trl_config import require_peak, trl_config
from tests.cli.commands import clairgen


def chosen(**given: object) -> TrainingSettings:
    return load_settings(None, {"model": "m", "precision": "fp32"} | given)


def test_any_field_of_trls_configuration_can_be_set_with_its_type() -> None:
    config = trl_config(chosen(trl={"adam_beta2": "0.95", "max_steps": 7, "neftune_noise_alpha": 5}), Path("out"), 1)
    assert (config.adam_beta2, config.max_steps, config.neftune_noise_alpha) == (0.95, 7, 5.0)
    single = trl_config(chosen(objective="kto", trl={"desirable_weight": 1.5}), Path("out"), 1)
    assert single.desirable_weight == 1.5


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"adam_beta_2": 0.9}, "trl.adam_beta_2: DPOConfig has no such field; did you mean adam_beta2?"),
        ({"desirable_weight": 2}, "trl.desirable_weight: DPOConfig has no such field"),
        ({"zzz": 1}, "trl.zzz: DPOConfig has no such field; see TRL's documentation"),
        ({"max_steps": "many"}, "trl.max_steps is 'many': Input should be a valid integer"),
        (
            {"per_device_train_batch_size": 2},
            "trl.per_device_train_batch_size is set by clairgen; use device_batch_size",
        ),
        ({"learning_rate": 1}, "trl.learning_rate is a setting of its own; use --set learning_rate=VALUE"),
        ({"loss_type": "ipo"}, "trl.loss_type is set by clairgen; use objective"),
        ({"disable_tqdm": False}, "trl.disable_tqdm is set by clairgen; leave it out"),
        ({"hub_token": "hf_secret"}, "trl.hub_token has no effect here"),
        ({"padding_free": True}, "trl.padding_free has no effect here"),
        ({"label_smoothing": 0.1}, "label_smoothing changes TRL's losses but not the paper's equations"),
    ],
)
def test_a_field_that_cannot_be_set_is_refused_by_name(given: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        trl_config(chosen(trl=given), Path("out"), 1)
    assert said in str(caught.value)
    assert "hf_secret" not in str(caught.value)


def test_every_field_that_is_listed_is_one_of_trls() -> None:
    known = {each.name for kind in (DPOConfig, KTOConfig) for each in fields(kind)}
    assert set(configuration._OTHER_NAMES) | configuration._UNUSED <= known


async def test_fields_come_from_the_command_line_too() -> None:
    done = await clairgen("train", "data", "out", "--model", "m", "--set", "trl.adam_beta2=0.95", "--settings")
    assert (done.code, "trl:\n  adam_beta2: 0.95" in done.out) == (0, True)


def test_warm_up_is_a_number_of_steps_or_a_share_of_them() -> None:
    assert trl_config(chosen(warmup_steps=5), Path("out"), 1).get_warmup_steps(200) == 5
    assert trl_config(chosen(warmup_ratio=0.1), Path("out"), 1).get_warmup_steps(200) == 20
    with pytest.raises(ConfigError, match="warmup_steps and warmup_ratio say the same"):
        chosen(warmup_steps=5, warmup_ratio=0.1)


@pytest.mark.parametrize(("precision", "expected"), [("fp32", "no"), ("bf16", "bf16")])
def test_the_precision_is_that_of_the_settings_whatever_a_variable_of_accelerate_says(
    precision: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "fp16")
    assert trl_config(chosen(precision=precision), Path("out"), 1).mixed_precision == expected


def test_a_variable_that_makes_accelerate_compile_the_model_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_DYNAMO_BACKEND", "NO")  # as accelerate's launcher sets it
    trl_config(chosen(), Path("out"), 1)
    monkeypatch.setenv("ACCELERATE_DYNAMO_BACKEND", "INDUCTOR")
    with pytest.raises(
        ConfigError, match="ACCELERATE_DYNAMO_BACKEND would make accelerate compile the model; unset it"
    ):
        trl_config(chosen(), Path("out"), 1)


SCHEDULE_ARGUMENTS: dict[str, dict[str, float]] = {
    "cosine_with_min_lr": {"min_lr_rate": 0.1},
    "cosine_warmup_with_min_lr": {"min_lr_rate": 0.1},
    "warmup_stable_decay": {"num_decay_steps": 20},
}
REFUSED = {"constant", "reduce_lr_on_plateau", "greedy"}


@pytest.mark.parametrize("scheduler", sorted({each.value for each in SchedulerType} - REFUSED))
@pytest.mark.parametrize("given", [{"warmup_steps": 10}, {"warmup_ratio": 0.1}], ids=str)
def test_the_learning_rate_of_every_schedule_rises_for_as_long_as_the_warm_up_says(
    scheduler: str, given: dict[str, object]
) -> None:
    arguments = SCHEDULE_ARGUMENTS.get(scheduler, {})
    config = trl_config(
        chosen(scheduler=scheduler, scheduler_kwargs=arguments, learning_rate=1.0, **given), Path("out"), 1
    )
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=config.learning_rate)
    schedule = get_scheduler(
        config.lr_scheduler_type, optimizer, config.get_warmup_steps(100), 100, config.lr_scheduler_kwargs
    )
    rates = []
    for _ in range(100):
        rates.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    peak = rates.index(max(rates))
    assert (peak in (9, 10), rates[peak]) == (True, pytest.approx(1.0))  # one schedule ends its warm-up a step early
    assert rates[0] <= 0.1
    assert all(before < after for before, after in pairwise(rates[: peak + 1]))
    assert all(before >= after for before, after in pairwise(rates[peak:]))


@pytest.mark.parametrize("given", [{"warmup_steps": 10}, {"warmup_ratio": 0.1}], ids=str)
def test_a_warm_up_that_the_schedule_would_ignore_is_refused(given: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="the schedule constant has no warm-up; use constant_with_warmup, or leave"):
        trl_config(chosen(scheduler="constant", **given), Path("out"), 1)
    trl_config(chosen(scheduler="constant"), Path("out"), 1)


def test_a_warm_up_as_long_as_the_run_is_refused() -> None:
    settings = chosen(warmup_steps=7, epochs=2, batch_size=16, device_batch_size=16)
    require_peak(settings, 16 * 3 + 1)  # four steps an epoch
    with pytest.raises(ConfigError, match="warmup_steps 7 is not less than the 6 steps of the run, so the"):
        require_peak(settings, 16 * 3)
    with pytest.raises(ConfigError, match="the 7 steps of the run"):
        require_peak(chosen(warmup_steps=7, trl={"max_steps": 7}), 10_000)
    require_peak(chosen(epochs=1), 1)
    one_step = chosen(warmup_ratio=0.1, epochs=1, batch_size=16, device_batch_size=16)
    with pytest.raises(
        ConfigError, match=r"the warm-up of warmup_ratio 0\.1 takes all of the run, which has 1 step, so the"
    ):
        require_peak(one_step, 16)
    require_peak(one_step, 17)


def test_fp16_is_refused_where_there_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="precision fp16 needs a GPU, and none is found here; use fp32"):
        trl_config(chosen(precision="fp16"), Path("out"), 1)


@pytest.mark.parametrize(
    ("precision", "bad_steps", "stops"), [("no", 1, True), ("fp16", 20, False), ("fp16", 21, True)]
)
def test_steps_that_the_scaler_of_fp16_skips_are_no_divergence_at_first(
    precision: str, bad_steps: int, stops: bool
) -> None:
    accelerator = SimpleNamespace(mixed_precision=precision, gather=lambda tensor: tensor)
    watch = StopOnDivergence(accelerator, SimpleNamespace())  # type: ignore[arg-type]
    weight = torch.nn.Linear(1, 1, bias=False)
    for step in range(30):
        weight.weight.grad = torch.full((1, 1), torch.inf if step < bad_steps else 1.0)
        watch.on_pre_optimizer_step(None, SimpleNamespace(global_step=step), None, model=weight)  # type: ignore[arg-type]
    assert watch._bad_step is not None
    assert bool(watch._bad_step.isfinite()) is stops
