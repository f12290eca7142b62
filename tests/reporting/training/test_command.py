"""`clairgen report --training` as a user runs it."""

import json
import os
from pathlib import Path

import pytest

from tests.cli.commands import clairgen, interpreter
from tests.reporting.training.made import FOUR, HEALTHY, write

pytestmark = pytest.mark.slow


async def test_runs_are_reported_side_by_side_with_a_page(tmp_path: Path) -> None:
    outs = [write(tmp_path / name, FOUR[name]) for name in ("apo-zero", "dpo")]
    done = await clairgen("report", "--training", *outs, "--html", tmp_path / "x.html")
    assert (done.code, done.err) == (0, "")
    assert f"apo-zero ({outs[0]}): no diagnostic found anything" in " ".join(done.out.split())
    assert "chosen_falls (a remark)" in done.out
    assert f"Page: {tmp_path / 'x.html'}" in done.out
    assert (tmp_path / "x.html").read_text(encoding="utf-8").count("<figure") == 8


async def test_json_is_one_list(tmp_path: Path) -> None:
    outs = [write(tmp_path / name, FOUR[name]) for name in ("apo-zero", "dpo")]
    done = await clairgen("report", *outs, "--training", "--json")
    assert [one["objective"] for one in json.loads(done.out)] == ["apo-zero", "dpo"]


async def test_mistakes_get_one_sentence(tmp_path: Path) -> None:
    write(tmp_path / "out", HEALTHY)
    for arguments, said in (
        ([tmp_path / "absent"], "Error: there is no trajectories.parquet in"),
        ([tmp_path / "out", tmp_path], "Error: there is no trajectories.parquet in"),
        ([tmp_path / "out", "--tokenizer", "word"], "Error: --tokenizer is for the answers of a run of pairs"),
        ([tmp_path / "out", "--html", tmp_path / "no" / "x.html"], "cannot be written"),
    ):
        done = await clairgen("report", "--training", *arguments)
        assert done.code == 2
        assert done.err.count("\n") == 1
        assert said in done.err


async def test_a_training_run_given_as_a_run_of_pairs_names_the_flag(tmp_path: Path) -> None:
    done = await clairgen("report", write(tmp_path / "out", HEALTHY))
    assert done.code == 2
    assert f"clairgen report --training {tmp_path / 'out'}" in done.err


@pytest.mark.process
async def test_torch_is_not_needed(tmp_path: Path) -> None:
    out = write(tmp_path / "out", HEALTHY)
    (tmp_path / "torch.py").write_text("raise ImportError('not here')\n")
    places = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    done = await interpreter("report", "--training", out, environment={"PYTHONPATH": places})
    assert done.code == 0, done
