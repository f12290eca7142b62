"""`clairgen demo --train`: from questions to a student that was trained on its own pairs and tested before and after."""

import json
from pathlib import Path

import pytest

from tests.cli.commands import clairgen


@pytest.mark.timeout(600)
async def test_the_demo_trains_and_tests_the_student_and_repeats_nothing(tmp_path: Path) -> None:
    pytest.importorskip("xllamacpp")
    out, environment = tmp_path / "demo", {"OMP_NUM_THREADS": "1"}
    command = ("demo", out, "--questions", "42", "--train", "--test-questions", "28")
    first = await clairgen(*command, environment=environment)
    assert first.code == 0, first.err
    assert "clair: apo-zero fits" in first.out or "Taken is apo-zero" in first.out
    assert "trained-42-0 against student, questions on test-questions.jsonl. Intervals are 95%, paired:" in first.out
    assert (out / "trained-42-0" / "model.safetensors").is_file()
    assert "trained-42-0" in (out / "evaluations.html").read_text(encoding="utf-8")

    again = await clairgen(*command, environment=environment)
    assert again.code == 0, again.err
    assert "is trained already" in again.out

    for label, endpoint in (("student", "classroom:student"), ("trained-42-0", f"gguf:{out / 'trained-42-0.gguf'}")):
        printed = f"--model {label} --endpoint {endpoint} --temperature 0.7 --max-tokens 96"
        assert printed in first.out
        questions = ("evaluate", "questions", out / "test-questions.jsonl", "--run", out / "evaluations")
        by_hand = await clairgen(*questions, "--rule", "classroom", *printed.split(), "--json")
        assert by_hand.code == 0, by_hand.err
    shown = json.loads((await clairgen("evaluate", "show", out / "evaluations", "--json")).out)
    assert [one["label"] for one in shown] == ["student", "trained-42-0"]  # by hand nothing new was asked


async def test_training_that_is_not_installed_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clairgen.cli.demo.training_is_installed", lambda: False)
    done = await clairgen("demo", tmp_path / "demo", "--train")
    assert (done.code, "pip install 'clairgen[train]'" in done.err) == (2, True)
    assert not (tmp_path / "demo").exists()
