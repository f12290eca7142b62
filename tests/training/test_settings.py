"""Settings: the shipped files hold, a file's keys and flags are checked, and the defaults are the paper's."""

from pathlib import Path

import pytest

from clairgen.errors import ConfigError
from clairgen_train.settings import CONFIGS, load_settings, settings_yaml
from clairgen_train.trl_config import trl_config


@pytest.mark.parametrize("name", sorted(path.stem for path in CONFIGS.glob("*.yaml")))
def test_every_shipped_file_is_valid_and_found_by_its_short_name(name: str) -> None:
    assert load_settings(Path(name), {"model": "m"}).model == "m"


def test_the_paper_s_settings_are_section_5_2() -> None:
    paper = load_settings(Path("paper"), {})
    assert (paper.optimizer, paper.learning_rate, paper.scheduler, paper.warmup_steps) == ("rmsprop", 2e-7, "linear", 0)
    assert (paper.epochs, paper.batch_size, paper.beta, paper.checkpoints) == (18, 16, 0.1, "epoch")
    assert (paper.prompt_tokens, paper.response_tokens, paper.held_out_pairs) == (512, 512, 100)


def test_flags_override_the_file_and_saved_settings_load_again(tmp_path: Path) -> None:
    settings = load_settings(Path("lora"), {"model": "m", "epochs": 1, "lora": {"rank": 4}})
    assert settings.epochs == 1
    assert settings.lora is not None
    assert settings.lora.rank == 4
    saved = tmp_path / "saved.yaml"
    saved.write_text(settings_yaml(settings))
    assert load_settings(saved, {}) == settings


def test_a_key_of_a_group_leaves_the_others_of_the_file() -> None:
    settings = load_settings(Path("qlora"), {"model": "m", "lora": {"rank": 4}})
    assert settings.lora is not None
    assert (settings.lora.rank, settings.lora.quantize_4bit) == (4, True)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "no model is given; use --model"),
        ({"model": "m", "epoch": 3}, "unknown key 'epoch'; did you mean 'epochs'"),
        ({"model": "m", "objective": "ppo"}, "the command.s options: objective: .ppo. is given; it must be apo-zero, "),
        ({"model": "m", "batch_size": 3}, "batch_size 3 is not a multiple of device_batch_size 2"),
        ({"model": "m", "objective": "kto", "device_batch_size": 1}, "set device_batch_size to 2 or more"),
        (
            {"model": "m", "objective": "sft", "chosen_nll": 1},
            "chosen_nll cannot be added to sft, .*leave chosen_nll out",
        ),
        (
            {"model": "m", "objective": "kto", "chosen_nll": 1},
            "to kto, which trains on single answers; .* such as apo-zero",
        ),
        ({"model": "m", "keep_identical": True}, "apo-zero alone does not; set chosen_nll above 0"),
        ({"model": "m", "objective": "kto", "keep_identical": True}, "kto alone does not; leave it out"),
        ({"model": "m", "lora": {"target_modules": ["lm_head"]}}, "an adapter on lm_head would not be trained"),
        ({"model": "m", "learning_rate": 0}, "learning_rate: 0 is given; it must be a number, above 0"),
    ],
)
def test_a_mistake_is_one_sentence(given: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        load_settings(None, given)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("scheduler", "given", "said"),
    [
        ("nothing", {}, "nothing is not a valid SchedulerType"),
        ("constant", {"min_lr": 1e-8}, "the schedule constant takes no scheduler_kwargs; leave them out"),
        ("cosine_with_min_lr", {}, "cannot be used with scheduler_kwargs {}; correct them: .*min_lr"),
        ("cosine_with_restarts", {"cycles": 2}, "correct them: .*unexpected keyword argument 'cycles'"),
        ("warmup_stable_decay", {}, "correct them: .*num_decay_steps"),
        ("reduce_lr_on_plateau", {}, "follows an evaluation loss, which is not computed here; use another"),
        ("greedy", {}, "follows an evaluation loss, which is not computed here; use another"),
    ],
)
def test_a_schedule_that_cannot_be_used_is_refused_before_training(
    tmp_path: Path, scheduler: str, given: dict[str, object], said: str
) -> None:
    chosen = load_settings(None, {"model": "m", "scheduler": scheduler, "scheduler_kwargs": given})
    with pytest.raises(ConfigError, match=said) as caught:
        trl_config(chosen, tmp_path, 1)
    assert "\n" not in str(caught.value)


def test_the_arguments_of_a_schedule_reach_transformers(tmp_path: Path) -> None:
    given = {"model": "m", "scheduler": "cosine_with_restarts", "scheduler_kwargs": {"num_cycles": 2}}
    assert trl_config(load_settings(None, given | {"precision": "fp32"}), tmp_path, 1).lr_scheduler_kwargs == {
        "num_cycles": 2
    }


def test_a_wrong_key_is_said_of_the_command_or_of_the_file_that_has_it(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"^the command's options: unknown key 'learning_rat'; did you mean 'learning_rate'"
    ):
        load_settings(Path("laptop"), {"model": "m", "learning_rat": 1})
    with pytest.raises(
        ConfigError, match=r"^the command's options: lora\.rank: 'x' is given; it must be a whole number, abo"
    ):
        load_settings(Path("lora"), {"model": "m", "lora": {"rank": "x"}})
    (file := tmp_path / "own.yaml").write_text("lora: {rnk: 3}\n")
    with pytest.raises(ConfigError, match=r"^/.*own\.yaml: unknown key 'lora\.rnk'; did you mean 'rank'"):
        load_settings(file, {"model": "m", "lora": {"rank": 3}})


def test_a_name_that_no_shipped_file_has_gets_the_names_and_the_nearest() -> None:
    known = "the settings that ship are 8gpu, classroom, laptop, lora, paper, qlora"
    with pytest.raises(ConfigError, match=rf"^there is no file labtop, and {known}; did you mean laptop\?$"):
        load_settings(Path("labtop"), {"model": "m"})
    with pytest.raises(ConfigError, match=rf"^there is no file zzz, and {known}$"):
        load_settings(Path("zzz"), {"model": "m"})
