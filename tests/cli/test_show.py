"""`show` walks through the pairs of a run: all, those of a recipe, dropped, marked or drawn."""

from pathlib import Path
from typing import Any

import pytest

from tests.cli.commands import clairgen
from tests.judges import shown as shown_to
from tests.runs import config_text, played, questions, write_tasks
from tests.scripted import Reply, ScriptedEndpoint, said


def script(request: dict[str, Any]) -> Reply:
    """Three of ten answers of the target are cut off."""
    prompt = request["messages"][-1]["content"]
    reply = played(request)
    cut = request["model"] == "target-model" and prompt[-1] in "357"
    return Reply(reply.body.replace(b'"stop"', b'"length"')) if cut else reply


async def made(folder: Path) -> Path:
    tasks = write_tasks(folder / "tasks.jsonl", questions(10))
    async with ScriptedEndpoint(script) as endpoint:
        (folder / "config.yaml").write_text(config_text(endpoint.url, tasks))
        done = await clairgen("generate", folder / "config.yaml", "--run", folder / "run")
    assert done.code == 0, done
    return folder / "run"


async def test_each_pair_names_the_command_for_the_next(tmp_path: Path) -> None:
    run = await made(tmp_path)
    first = await clairgen("show", run)
    second = await clairgen("show", run, "--number", "2")
    last = await clairgen("show", run, "--recipe", "clair", "--number", "10")
    beyond = await clairgen("show", run, "--recipe", "clair", "--number", "11")
    assert "Question number 0" in first.out
    assert "Pair 1 of 20. Its task has 1 other pair: clairgen show " in first.out
    assert first.out.endswith(f"Next: clairgen show {run} --number 2\n")
    assert "Question number 1" in second.out
    assert "Pair 10 of 10." in last.out
    assert "Next:" not in last.out
    assert (beyond.code, "there are 10 such pairs" in beyond.err) == (2, True)


async def test_dropped_and_marked_pairs_are_shown_alone(tmp_path: Path) -> None:
    run = await made(tmp_path)
    dropped = await clairgen("show", run, "--recipe", "clair", "--dropped", "rejected-truncated")
    unknown = await clairgen("show", run, "--dropped", "boring")
    filtered = await clairgen("filter", run, "--mark", "truncated")
    marked = await clairgen("show", run, "--recipe", "clair", "--marked")
    nothing = await clairgen("show", run, "--dropped", "rejected-truncated")
    assert "Pair 1 of 3." in dropped.out
    assert "Question number 3" in dropped.out
    assert f"Next: clairgen show {run} --recipe clair --dropped rejected-truncated --number 2" in dropped.out
    assert (unknown.code, "reasons of this run: rejected-truncated" in unknown.err) == (2, True)
    assert "clair: 10 of 10 pairs kept, 0 dropped; marked: 3 rejected-truncated" in filtered.out
    assert "Pair 1 of 3." in marked.out
    assert (nothing.code, "reasons of this run: none" in nothing.err) == (2, True)


async def test_a_pair_can_be_drawn(tmp_path: Path) -> None:
    run = await made(tmp_path)
    drawn = {(await clairgen("show", run, "--random")).out.split("\nPair ")[1].split()[0] for _ in range(12)}
    assert len(drawn) > 1
    both = await clairgen("show", run, "--random", "--pair", "0")
    assert (both.code, "--pair names the pair" in both.err) == (2, True)


@pytest.mark.parametrize(
    ("recipe", "title"),
    [
        ("clair", "reasoning of the reviser"),
        ("judge-on-policy", "reasoning of a judge"),
        ({"name": "clair", "as": "variant"}, "reasoning of the reviser"),
        ({"name": "judge-on-policy", "as": "variant"}, "reasoning of a judge"),
    ],
)
async def test_the_reasoning_is_called_after_who_wrote_it(recipe: object, title: str, tmp_path: Path) -> None:
    def judging(request: dict[str, Any]) -> Reply:
        if request["model"] == "judge-model":
            return said("{teacher_reasoning}: clear\n\n[1]")
        reply = played(request)
        return Reply(reply.body.replace(b" an answer", f" an answer ({request['seed']})".encode()))

    tasks = write_tasks(tmp_path / "tasks.jsonl", questions(1))
    async with ScriptedEndpoint(judging) as endpoint:
        judge = {"model": "judge-model", "endpoints": [endpoint.url], "temperature": 0}
        (tmp_path / "config.yaml").write_text(config_text(endpoint.url, tasks, recipes=[recipe], judge=judge))
        await clairgen("generate", tmp_path / "config.yaml", "--run", tmp_path / "run")
        shown = await clairgen("show", tmp_path / "run")
    assert title in shown.out


@pytest.mark.parametrize(("prefers", "read"), [(1, "is better"), (0, "no-verdict")])
async def test_a_tie_or_no_verdict_shows_what_the_judge_wrote_in_each_order(
    prefers: int, read: str, tmp_path: Path
) -> None:
    def judging(request: dict[str, Any]) -> Reply:
        prompt = request["messages"][-1]["content"]
        if request["model"] == "judge-model":
            first, _ = shown_to(prompt)
            return said(f"I saw {first!r} first. [{prefers}]" if prefers else f"{first!r} came first; I cannot tell.")
        return said(f"{prompt}: draft {request['seed']}")

    tasks = write_tasks(tmp_path / "tasks.jsonl", ["Which"])
    async with ScriptedEndpoint(judging) as endpoint:
        judge = {"model": "judge-model", "endpoints": [endpoint.url], "temperature": 0}
        recipes = [{"name": "judge-on-policy", "order": "both"}]
        (tmp_path / "config.yaml").write_text(config_text(endpoint.url, tasks, recipes=recipes, judge=judge))
        await clairgen("generate", tmp_path / "config.yaml", "--run", tmp_path / "run")
    printed = (await clairgen("show", tmp_path / "run", environment={"COLUMNS": "120"})).out
    for first, second in ((1, 2), (2, 1)):
        said_by = f"reply of the judge, shown answer {first} first and answer {second} second: "
        assert f"{said_by}answer {first} {read}" in printed if prefers else f"{said_by}{read}" in printed
    replies = [line for line in printed.splitlines() if "first. [1]" in line or "I cannot tell" in line]
    assert len(set(replies)) == 2
