"""Pairs of prompts that a server cut without an error: found by its counts of tokens, dropped, and brought back for nothing."""

from pathlib import Path
from typing import Any

import pytest

from clairgen import api
from clairgen.errors import RunError
from clairgen.filters.filter_settings import FilterSettings
from clairgen.pipeline.generate import generate
from clairgen.pipeline.refilter import filter_pairs
from tests.runs import TARGET, config, write_tasks
from tests.scripted import Reply, ScriptedEndpoint, said

CONTEXT = 300


def cutting(request: dict[str, Any]) -> Reply:
    size = sum(len(message["content"]) for message in request["messages"]) // 4
    if request["model"] == TARGET:
        return said("What would you like to know?", tokens=(min(size, CONTEXT), 5))
    revised = "{teacher_reasoning}: weak\n{corrected_student_solution}: Paris is the capital, on the Seine."
    return said(revised, tokens=(size, 5))


@pytest.mark.slow
async def test_pairs_of_cut_prompts_are_dropped_by_name_and_can_be_brought_back(tmp_path: Path) -> None:
    prompts = {f"long{n}": f"{n}: Summarize. " + "France has a capital. " * (200 + n) for n in range(5)}
    prompts |= {f"short{n}": f"{n}: capital of France?" for n in range(5)}
    rows = [{"id": name, "prompt": prompt} for name, prompt in prompts.items()]
    tasks, run = write_tasks(tmp_path / "tasks.jsonl", rows), tmp_path / "run"
    async with ScriptedEndpoint(cutting) as endpoint:
        summary = await generate(config(endpoint.url, tasks, recipes=["clair"]), run)
    assert summary.dropped == {"clair": {"prompt-cut": 5}}
    for stored in await api.made_pairs(run, "clair"):
        cut = [finding.value for finding in stored.findings if finding.filter == "cut_prompt"]
        assert cut == (["target"] if stored.task.id.startswith("long") else [])
    marked = FilterSettings().changed({"cut_prompt": {"action": "mark"}})
    await filter_pairs(run, marked)
    assert (await api.status(run)).dropped == {}
    assert (await api.filtered(run)).marked["clair"]["prompt-cut"] == 5


@pytest.mark.slow
async def test_a_run_killed_before_its_cut_prompts_are_dropped_is_not_exported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"id": f"t{n}", "prompt": f"{n}: " + "France has a capital. " * (200 + n)} for n in range(5)]
    tasks, run = write_tasks(tmp_path / "tasks.jsonl", rows), tmp_path / "run"

    async def killed(*_: object) -> None:
        raise KeyboardInterrupt

    async with ScriptedEndpoint(cutting) as endpoint:
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr("clairgen.pipeline.generate.filter_again", killed)
            await generate(config(endpoint.url, tasks, recipes=["clair"]), run)
        with pytest.raises(RunError, match="the filters in force have not seen 5 pairs of"):
            await api.export(run, tmp_path / "out")
        assert (await generate(config(endpoint.url, tasks, recipes=["clair"]), run)).dropped == {
            "clair": {"prompt-cut": 5}
        }


@pytest.mark.slow
async def test_two_prompts_of_one_length_are_no_cut_prompts(tmp_path: Path) -> None:
    rows = [{"id": f"t{n}", "prompt": f"{n}: " + "France has a capital. " * 200} for n in range(2)]
    tasks, run = write_tasks(tmp_path / "tasks.jsonl", rows), tmp_path / "run"
    async with ScriptedEndpoint(cutting) as endpoint:
        summary = await generate(config(endpoint.url, tasks, recipes=["clair"]), run)
    assert summary.dropped == {}
