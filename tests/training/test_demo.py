"""`clairgen demo --train`: from questions to a student that was trained on its own pairs and tested before and after."""

import json
import shlex
from pathlib import Path

import pytest

from clairgen.cli.demo import _again
from tests.cli.commands import clairgen


@pytest.mark.timeout(600)
async def test_the_demo_trains_and_tests_the_student_and_repeats_nothing(tmp_path: Path) -> None:
    pytest.importorskip("xllamacpp")
    out, environment = tmp_path / "a demo", {"OMP_NUM_THREADS": "1"}
    command = ("demo", out, "--questions", "42", "--train", "--test-questions", "28")
    first = await clairgen(*command, environment=environment)
    assert first.code == 0, first.err
    assert "clair: apo-zero fits" in first.out or "Taken is apo-zero" in first.out
    assert "trained-42-0 against student, questions on test-questions.jsonl. Intervals are 95%, paired:" in first.out
    assert (out / "trained-42-0" / "model.safetensors").is_file()
    assert "trained-42-0" in (out / "evaluations.html").read_text(encoding="utf-8")

    for line in first.out.splitlines():
        if line.startswith("$ clairgen ") and str(tmp_path) in line:
            assert str(out) in line and f"'{tmp_path}" in line, line

    again = await clairgen(*command, environment=environment)
    assert again.code == 0, again.err
    assert "is trained already" in again.out

    for label, endpoint in (("student", "classroom:student"), ("trained-42-0", f"gguf:{out / 'trained-42-0.gguf'}")):
        printed = f"--model {label} --endpoint {shlex.quote(endpoint)} --temperature 0.7 --max-tokens 96"
        assert printed in first.out
        questions = ("evaluate", "questions", out / "test-questions.jsonl", "--run", out / "evaluations")
        by_hand = await clairgen(*questions, "--rule", "classroom", *shlex.split(printed), "--json")
        assert by_hand.code == 0, by_hand.err
    shown = json.loads((await clairgen("evaluate", "show", out / "evaluations", "--json")).out)
    assert [one["label"] for one in shown] == ["student", "trained-42-0"]  # by hand nothing new was asked


async def test_training_that_is_not_installed_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clairgen.cli.demo.training_is_installed", lambda: False)
    done = await clairgen("demo", tmp_path / "demo", "--train")
    assert (done.code, "pip install 'clairgen[train]'" in done.err) == (2, True)
    assert not (tmp_path / "demo").exists()


def test_the_command_that_continues_has_all_that_was_asked_for() -> None:
    assert (
        _again(Path("a b"), 300, True, 7, 28)
        == "clairgen demo 'a b' --questions 300 --train --seed 7 --test-questions 28"
    )
    assert _again(Path("demo"), 42, None, 0, 1400) == "clairgen demo demo --questions 42"
    assert _again(Path("demo"), 42, False, 0, 1400) == "clairgen demo demo --questions 42 --no-train"
