"""Complete runs: every objective trains, a stopped run ends with the same weights, and its settings cannot change."""

import importlib
import json
import logging
import os
import signal
import warnings
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

import datasets
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import torch
import transformers
from safetensors import SafetensorError
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from clairgen.api import report_training
from clairgen.errors import ClairgenError, ConfigError, DrainedError, InputError, RunError
from clairgen_train import handled_signals
from clairgen_train import run as training
from clairgen_train.interruptions import resource_errors
from clairgen_train.run import prepare, run
from clairgen_train.run_folder import RunFolder
from clairgen_train.settings import Objective
from tests.training.small_run import pair, settings, trained, written


def weights(folder: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = load_file(folder / "model.safetensors")
    return found


def same(first: Path, second: Path) -> bool:
    one, other = weights(first), weights(second)
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("objective", list(Objective))
def test_every_objective_trains_and_leaves_a_model(tmp_path: Path, objective: Objective) -> None:
    out = trained(tmp_path, objective=objective.value)
    result = json.loads((out.path / "result.json").read_text())
    assert result["held_out_pairs"] == 3
    assert result["steps"] == (28 if not objective.is_paired else 14)
    before, after = weights(tmp_path / "model"), weights(out.path)
    assert any(not torch.equal(before[name], after[name]) for name in before)
    assert objective.value in (out.path / "README.md").read_text()
    assert not list(out.path.glob("*.bin"))  # nothing that needs pickle beside the model
    logged = [json.loads(line) for line in out.log.read_text().splitlines()]
    assert all(isinstance(entry["loss"], float) for entry in logged if "loss" in entry)


def test_trajectories_begin_before_the_first_step_and_follow_every_epoch(tmp_path: Path) -> None:
    out = trained(tmp_path, sampled_answers=2)
    table = pq.read_table(out.trajectories)
    assert pc.unique(table["step"]).to_pylist() == [0, 7, 14]
    assert table.schema.metadata[b"clairgen_objective"] == b"apo-zero"
    rows = table.to_pylist()
    first = [row for row in rows if row["step"] == 0]
    assert all(row["chosen_logps"] == row["ref_chosen_logps"] for row in first)
    assert all(row["chosen_logps"] != row["ref_chosen_logps"] for row in rows if row["step"] == 14)
    assert [row["sampled_tokens"] is None for row in first] == [False, False, True]
    assert all(
        row["chosen_tokens"] == len(f"It is {2 * int(row['pair_id'][5:])}") + 2 + int(row["pair_id"][5:]) % 3
        for row in first
    )


class _SignalAt(TrainerCallback):
    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        if state.global_step == self.step:
            os.kill(os.getpid(), signal.SIGTERM)


class _Whole(NamedTuple):
    folder: Path
    given: dict[str, object]
    run: RunFolder


@pytest.fixture(
    scope="module",
    params=[
        {"chosen_nll": 0.5},
        {"objective": "dpo", "ld_alpha": 0.3},
        {"objective": "kto-pair"},
        {"objective": "kto"},
        {"precision": "bf16"},
    ],
    ids=str,
)
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> _Whole:
    folder = tmp_path_factory.mktemp("whole")
    return _Whole(folder, request.param, trained(folder, "whole", **request.param))


@pytest.mark.parametrize("step", [3, 9])
def test_a_run_stopped_in_the_middle_ends_with_the_same_weights(
    monkeypatch: pytest.MonkeyPatch, step: int, whole: _Whole
) -> None:
    out = f"stopped-at-{step}"
    add = training._add_callbacks

    def adding(trainer: object, *others: object) -> None:
        add(trainer, *others)  # type: ignore[arg-type]
        trainer.add_callback(_SignalAt(step))  # type: ignore[attr-defined]

    with monkeypatch.context() as patched:
        patched.setattr(training, "_add_callbacks", adding)
        with pytest.raises(DrainedError, match="run the same command"):
            trained(whole.folder, out, **whole.given)
    stopped = trained(whole.folder, out, **whole.given)
    assert same(whole.run.path, stopped.path)
    assert pq.read_table(whole.run.trajectories).equals(pq.read_table(stopped.trajectories))
    assert logged(whole.run) == logged(stopped)


def logged(run: RunFolder) -> list[dict[str, object]]:
    """The lines of a run's log, without its summary and `num_tokens`, which TRL counts from the last start."""
    lines = [json.loads(line) for line in run.log.read_text().splitlines()]
    return [line | {"num_tokens": 0} for line in lines if "train_runtime" not in line]


def test_a_checkpoint_that_a_kill_left_incomplete_is_skipped(tmp_path: Path) -> None:
    out = trained(tmp_path, "whole")
    (out.path / "result.json").unlink()
    newest = out.path / "checkpoint-14"
    for state in ("{}", "[]", '{"global_step": "14", "train_batch_size": 2}', "{"):
        (newest / "trainer_state.json").write_text(state)
        assert out.newest_checkpoint(1) == out.path / "checkpoint-7"
    before = weights(out.path)
    run(out)
    after = weights(out.path)
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"epochs": 3}, "begun with epochs 2.0, on which the learning rate of every step depends"),
        ({"objective": "apo-down"}, "begun with objective apo-zero"),
        ({"beta": 0.5}, "begun with beta 0.1"),
    ],
)
def test_a_run_continues_only_with_its_own_settings_and_data(
    tmp_path: Path, given: dict[str, object], said: str
) -> None:
    out = trained(tmp_path)
    with pytest.raises(RunError, match=said):
        prepare(str(tmp_path / "pairs.jsonl"), out.path, settings(tmp_path, **given))
    other = written(tmp_path / "other.jsonl", [pair(1), pair(2)])
    with pytest.raises(RunError, match="was begun with the data set"):
        prepare(str(other), out.path, settings(tmp_path))


def test_the_precision_of_this_machine_is_kept_with_the_run(tmp_path: Path) -> None:
    data = written(tmp_path / "pairs.jsonl", [pair(number) for number in range(8)])
    out = prepare(str(data), tmp_path / "out", settings(tmp_path, precision="auto"))
    assert out.settings().precision == ("bf16" if torch.cuda.is_available() else "fp32")
    prepare(str(data), tmp_path / "out", settings(tmp_path, precision="auto"))
    with pytest.raises(RunError, match="begun with precision"):
        prepare(
            str(data), tmp_path / "out", settings(tmp_path, precision="fp32" if torch.cuda.is_available() else "bf16")
        )


def test_where_to_compute_may_change(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = trained(tmp_path)
    prepare(str(tmp_path / "pairs.jsonl"), out.path, settings(tmp_path, device_batch_size=1, log_every=5))
    assert "device_batch_size was 2 and is 1 from now on" in capsys.readouterr().err
    assert out.settings().device_batch_size == 1


@pytest.mark.parametrize("objective", ["apo-zero", "apo-zero-unpaired"])
def test_a_run_warms_up_to_its_learning_rate_and_is_refused_where_it_never_would(
    tmp_path: Path, objective: str
) -> None:
    out = trained(tmp_path, objective=objective, warmup_ratio=0.5, epochs=1)
    rates = [line["learning_rate"] for line in logged(out)]
    steps = 7 if objective == "apo-zero" else 14
    peak = steps // 2 + steps % 2  # the first step is taken at a rate of 0
    assert (len(rates), rates[0], rates.index(max(rates)), max(rates)) == (steps, 0, peak, 1e-3)  # type: ignore[type-var]
    with pytest.raises(ConfigError, match=f"is not less than the {steps} steps of the run"):
        trained(tmp_path, "long", objective=objective, warmup_steps=steps, epochs=1)
    assert not (tmp_path / "long" / "training.yaml").exists()


@pytest.mark.parametrize(
    "given",
    [{}, {"chosen_nll": 1.0}, {"objective": "dpo", "ld_alpha": 0.2}, {"objective": "dpo-norm", "beta": 5.0}],
    ids=str,
)
def test_sharing_changes_nothing_but_speed(tmp_path: Path, given: dict[str, object]) -> None:
    shared, plain = (
        trained(tmp_path, name, shared_prompt=share, **given) for name, share in (("shared", True), ("plain", False))
    )
    first, second = weights(shared.path), weights(plain.path)
    assert max(float((first[name] - second[name]).abs().max()) for name in first) < 1e-4


def test_pairs_of_two_objectives_and_weights_train_together(tmp_path: Path) -> None:
    rows = [
        pair(number, objective="apo-down" if number % 3 == 0 else None, weight=1.0 + number % 2) for number in range(30)
    ]
    written(tmp_path / "pairs.jsonl", rows)
    out = trained(tmp_path)
    counts = json.loads((out.path / "data.json").read_text())["train"]["objectives"]
    assert counts == {"apo-zero": 19, "apo-down": 8}  # three are held out
    assert pq.read_schema(out.trajectories).metadata[b"clairgen_objective"] == b"mixed"
    assert not same(out.path, trained(tmp_path, "ignored", pair_objectives="ignore").path)


def test_margins_of_the_data_are_scaled_trained_with_or_left_unread(tmp_path: Path) -> None:
    written(tmp_path / "pairs.jsonl", [pair(number, margin=number / 10) for number in range(30)])
    given = {"objective": "dpo", "epochs": 1}
    once, unread = trained(tmp_path, "once", **given), trained(tmp_path, "unread", margin_scale=0, **given)
    halves = written(tmp_path / "halves.jsonl", [pair(number, margin=number / 20) for number in range(30)])
    twice = prepare(str(halves), tmp_path / "twice", settings(tmp_path, margin_scale=2, **given))
    run(twice)
    assert same(once.path, twice.path)
    assert not same(once.path, unread.path)
    with pytest.raises(InputError, match=r"which apo-zero has no use for; train with dpo .* --set margin_scale=0"):
        trained(tmp_path, "zero", epochs=1)


def test_held_out_margins_of_dpo_norm_are_of_rewards_per_token(tmp_path: Path) -> None:
    out = trained(tmp_path, objective="dpo-norm", beta=5.0, epochs=1)
    last = [row for row in pq.read_table(out.trajectories).to_pylist() if row["step"]]
    rewards = {
        side: [5 * (row[f"{side}_logps"] - row[f"ref_{side}_logps"]) / row[f"{side}_tokens"] for row in last]
        for side in ("chosen", "rejected")
    }
    margins = [up - down for up, down in zip(rewards["chosen"], rewards["rejected"], strict=True)]
    metrics = json.loads((out.path / "result.json").read_text())
    assert metrics["reward_margin"]["mean"] == pytest.approx(sum(margins) / len(margins), rel=1e-12)
    [report] = report_training(out.path)
    assert report.measurements[-1].margin.mean == pytest.approx(sum(margins) / len(margins), rel=1e-9)


@pytest.mark.parametrize(("objective", "chosen_nll"), [("apo-down", 1.0), ("sft", 0.0)])
def test_pairs_whose_answers_are_the_same_raise_their_answer(tmp_path: Path, objective: str, chosen_nll: float) -> None:
    written(tmp_path / "pairs.jsonl", [pair(number, rejected=pair(number)["chosen"]) for number in range(20)])
    given = {"objective": objective, "chosen_nll": chosen_nll, "held_out_pairs": 0}
    out = trained(tmp_path, "out", keep_identical=True, **given)
    lines = logged(out)
    nats = [line["chosen_nll" if chosen_nll else "loss"] for line in lines]
    assert nats[-1] < nats[0]  # type: ignore[operator]
    assert ("rewards/margins" in lines[0]) is False
    assert "both answers are the same: 20 pairs." in (out.path / "README.md").read_text()


def test_adapters_start_at_the_loss_of_all_weights_and_are_saved_as_adapters(tmp_path: Path) -> None:
    adapted = trained(tmp_path, "adapted", objective="sft", lora={"rank": 2, "alpha": 4})
    whole = trained(tmp_path, "whole", objective="sft")
    assert (adapted.path / "adapter_model.safetensors").is_file()
    first, other = (json.loads(run.log.read_text().splitlines()[0])["loss"] for run in (adapted, whole))
    assert first == pytest.approx(other, abs=1e-6)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), r"memory ran out; lower device_batch_size \(now 2\)"),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"),
            "set gradient_checkpointing, or train adapters",
        ),
        (OSError(122, "Disk quota exceeded"), "the disk of .* is full"),
        (RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed"), "the disk of .* is full"),
        (OSError(27, "File too large"), "a limit on the size of files is reached"),
        (SafetensorError("I/O error: File too large (os error 27)"), "a limit on the size of files is reached"),
        (
            OSError(28, "No space left on device"),
            "the disk of .* is full, or a limit on the size of files is reached; free some space, or set keep_checkpoints",
        ),
    ],
)
def test_exhausted_memory_and_disk_are_reported_with_what_to_do(tmp_path: Path, error: Exception, said: str) -> None:
    chosen = settings(tmp_path)
    with pytest.raises(ClairgenError, match=said), resource_errors(chosen, tmp_path / "out"):
        raise error


def test_a_cache_that_cannot_be_written_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ClairgenError, match="name another folder with --set reference_cache"):
        trained(tmp_path, reference_cache=str(tmp_path / "file"))


def test_a_model_is_saved_in_the_type_that_is_asked_for_and_checkpoints_stay_exact(tmp_path: Path) -> None:
    data = written(tmp_path / "pairs.jsonl", [pair(number) for number in range(30)])
    exact = trained(tmp_path, "exact", epochs=1)
    rounded = trained(tmp_path, "rounded", epochs=1, save_dtype="bf16")
    before, after = weights(exact.path), weights(rounded.path)
    assert {tensor.dtype for tensor in before.values()} == {torch.float32}
    assert all(torch.equal(before[name].bfloat16(), after[name]) for name in before)
    assert AutoModelForCausalLM.from_pretrained(rounded.path).dtype == torch.bfloat16
    assert same(exact.path / "checkpoint-7", rounded.path / "checkpoint-7")
    assert prepare(str(data), exact.path, settings(tmp_path, epochs=1, save_dtype="bf16")).is_finished
    adapter = trained(tmp_path, "adapter", epochs=1, lora={"rank": 2}, save_dtype="bf16")
    saved = load_file(adapter.path / "adapter_model.safetensors")
    assert {tensor.dtype for tensor in saved.values()} == {torch.bfloat16}


def test_a_schedule_with_arguments_is_followed(tmp_path: Path) -> None:
    out = trained(tmp_path, epochs=1, scheduler="cosine_with_min_lr", scheduler_kwargs={"min_lr_rate": 0.5})
    rates = [entry["learning_rate"] for entry in map(json.loads, out.log.read_text().splitlines()) if "loss" in entry]
    assert rates[0] == pytest.approx(1e-3)
    assert 0.5e-3 < rates[-1] < 0.6e-3


def test_signals_that_the_process_was_started_to_ignore_stay_ignored() -> None:
    received: list[int] = []
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        with handled_signals(lambda number, _: received.append(number)):
            for number in (signal.SIGHUP, signal.SIGTERM):
                signal.raise_signal(number)
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
    assert received == [signal.SIGTERM]
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests may run under nohup themselves
    try:
        with handled_signals(lambda number, _: received.append(number)):
            signal.raise_signal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)
    assert received == [signal.SIGTERM, signal.SIGHUP]


def process_wide_state(names: Collection[str]) -> dict[str, object]:
    """What a library could change for all of the process: these loggers, warnings, variables, progress bars and signals."""
    loggers = {name: logging.getLogger(name) for name in names}
    return {
        "logging": {name: (log.level, log.propagate, log.disabled, [*log.handlers]) for name, log in loggers.items()},
        "disabled": logging.root.manager.disable,
        "warnings": ([*warnings.filters], warnings.showwarning),
        "environment": dict(os.environ),
        "bars": (datasets.are_progress_bars_disabled(), transformers.logging.is_progress_bar_enabled()),
        "signals": [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)],
    }


def test_a_run_leaves_logging_warnings_and_environment_as_they_were(tmp_path: Path) -> None:
    importlib.import_module("threadpoolctl")  # sets a variable; a library imports it in the first run
    libraries = ("transformers", "datasets", "trl", "accelerate")
    levels = {name: logging.getLogger(name).level for name in libraries}
    try:
        for name in libraries:
            logging.getLogger(name).setLevel(logging.DEBUG)  # which none of them has by itself
        names = ["", *logging.root.manager.loggerDict]
        before = process_wide_state(names)
        trained(tmp_path, epochs=1)
        assert process_wide_state(names) == before
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


def test_a_folder_with_other_content_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("dear")
    with pytest.raises(ClairgenError, match="is not a training run"):
        trained(tmp_path)
    assert RunFolder(tmp_path / "out").newest_checkpoint(1) is None
