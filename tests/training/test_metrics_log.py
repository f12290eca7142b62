"""The log of a run that was killed and goes on."""

from pathlib import Path

from transformers import TrainerControl, TrainerState, TrainingArguments

from clairgen_train.metrics_log import ProgressLog


def test_a_run_that_goes_on_repeats_no_step_and_leaves_no_torn_line(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    lines = [f'{{"step": {step}, "loss": 0.5}}' for step in range(1, 7)]
    summary = '{"step": 4, "train_runtime": 3.0}'
    log.write_text("\n".join([*lines[:4], summary, *lines[4:], '{"step": 7, "lo']))
    begin(log, 4)
    assert log.read_text().splitlines() == lines[:4]
    begin(log, 4)
    assert log.read_text().splitlines() == lines[:4]
    log.write_bytes(b"\0\0\xff")
    begin(log, 0)
    assert log.read_text() == ""


def begin(log: Path, step: int) -> None:
    state = TrainerState(global_step=step, max_steps=9)
    arguments = TrainingArguments(str(log.parent), use_cpu=True, report_to=[])
    ProgressLog(log).on_train_begin(arguments, state, TrainerControl())
