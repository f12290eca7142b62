"""`clairgen advise` as a user runs it, over a scripted endpoint: what it prints, what export makes of it, and `kill -9`."""

import asyncio
import json
import random
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.cli.commands import clairgen
from tests.cli.forked import forked
from tests.judges import Rule, dislikes_winners, judge_role, likes_the_first_position, likes_winners, playing
from tests.pipeline.test_kill import committed_seeds
from tests.runs import config_text, questions, write_tasks
from tests.scripted import Reply, ScriptedEndpoint

pytestmark = pytest.mark.slow


async def generated(folder: Path, url: str, count: int = 24, **changes: Any) -> Path:  # noqa: ANN401
    """A run with a judge; its directory."""
    tasks = write_tasks(folder / "tasks.jsonl", questions(count))
    changes = {"recipes": ["clair", "stronger-preferred"], "judge": judge_role(url), **changes}
    (folder / "config.yaml").write_text(config_text(url, tasks, **changes))
    done = await clairgen("generate", folder / "config.yaml", "--run", folder / "run")
    assert done.code == 0, done
    return folder / "run"


@pytest.mark.parametrize(
    ("judge", "said"),
    [
        (likes_winners, "clair: apo-zero fits: winners are better than what the model says"),
        (dislikes_winners, "clair: apo-down fits: winners are worse than what the model says"),
        (likes_the_first_position, "clair: not clear: as many were won as lost"),
    ],
)
async def test_what_fits_is_said_with_the_reason(tmp_path: Path, judge: Rule, said: str) -> None:
    async with ScriptedEndpoint(playing(judge)) as endpoint:
        run = await generated(tmp_path, endpoint.url)
        done = await clairgen("advise", run, "--recipe", "clair")
    assert done.code == 0, done
    assert said in done.out
    assert "by judge judge-model; ties count half" in done.out
    warning = "  Warning: fresh answers of the target that beat the winner: 100% (95% interval 89% to 100%, n 24)"
    assert (warning in done.out) == (judge is dislikes_winners)
    assert ("In 24 of 24 comparisons the verdict changed with the order" in done.out) == (
        judge is likes_the_first_position
    )


async def test_json_is_one_object_a_recipe(tmp_path: Path) -> None:
    async with ScriptedEndpoint(playing(likes_winners)) as endpoint:
        run = await generated(tmp_path, endpoint.url)
        clair, stronger = json.loads((await clairgen("advise", run, "--limit", "12", "--json")).out)
    assert clair["win_rate"] == {"mean": 1.0, "low": pytest.approx(0.7937, abs=1e-3), "high": 1.0, "tasks": 12}
    assert (clair["recommendation"], clair["kept"], clair["compared"]) == ("apo-zero", 24, 12)
    assert (clair["outcomes"], clair["failed"], clair["complete"]) == ({"won": 12}, {}, True)
    assert [one["name"] for one in clair["warnings"]] == ["longer"]  # the revisions here are half as long again
    # its winners do not say what this judge likes, and of two such answers it always takes the second position
    assert (stronger["recipe"], stronger["recommendation"]) == ("stronger-preferred", None)
    assert stronger["outcomes"] == {"tie-between-orders": 12}


@pytest.mark.slow
async def test_advice_on_each_pair_is_exported_as_a_column(tmp_path: Path) -> None:
    async with ScriptedEndpoint(playing(likes_winners)) as endpoint:
        run = await generated(tmp_path, endpoint.url)
        before = await clairgen("export", run, tmp_path / "before")
        done = await clairgen("advise", run, "--recipe", "clair", "--limit", "15", "--per-pair")
        assert (
            "Kept for each pair: apo-zero for 15, no advice for 9; export writes it as the column `objective`."
            in done.out
        )
        exported = await clairgen("export", run, tmp_path / "out")
        kto = await clairgen("export", run, tmp_path / "kto", "--format", "kto")
    assert before.code == exported.code == kto.code == 0

    def rows(folder: str, recipe: str) -> Any:  # noqa: ANN401 - datasets ships no types
        import datasets

        return datasets.load_dataset(str(tmp_path / folder), recipe, split="train", cache_dir=str(tmp_path / "cache"))

    objectives = rows("out", "clair")["objective"]
    assert sorted(objectives, key=str) == [None] * 9 + ["apo-zero"] * 15
    assert set(rows("out", "stronger-preferred")["objective"]) == {None}
    assert "objective" not in rows("before", "clair").column_names
    assert "objective" not in rows("kto", "clair").column_names
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert "| clair | `apo-zero` | 15 | judge judge-model |" in card
    assert "objective" not in (tmp_path / "before" / "README.md").read_text(encoding="utf-8")


async def killed_at(moment: asyncio.Event, *arguments: str) -> None:
    """Run clairgen and kill it at a moment, which must come before its end."""
    async with forked(*arguments) as running:
        await asyncio.wait_for(moment.wait(), 60)
        running.send_signal(signal.SIGKILL)
        assert await running.wait() == -signal.SIGKILL


@pytest.mark.process
async def test_killed_it_asks_only_what_was_never_committed(tmp_path: Path) -> None:
    count, kills, enough, moment = 120, 3, 0, asyncio.Event()

    def slowly(request: dict[str, Any]) -> Reply:
        if len(endpoint.asked) >= enough:
            moment.set()
        return Reply(playing(likes_winners)(request).body, delay_seconds=random.uniform(0.02, 0.1))

    async with ScriptedEndpoint(playing(likes_winners)) as endpoint:
        narrow = {"concurrency": 3}
        judge = judge_role(endpoint.url, **narrow)
        run = await generated(tmp_path, endpoint.url, count, recipes=["clair"], judge=judge, target=narrow)
        made, endpoint.script = len(endpoint.asked), slowly
        for _ in range(kills):
            asked, committed = len(endpoint.asked), committed_seeds(run)
            enough = asked + random.randrange(20, 60)
            moment.clear()
            await killed_at(moment, "advise", str(run))
            assert committed.isdisjoint(request["seed"] for request in endpoint.asked[asked:])
        endpoint.script = playing(likes_winners)
        asked, committed = len(endpoint.asked), committed_seeds(run)
        [found] = json.loads((await clairgen("advise", run, "--json")).out)
        assert committed.isdisjoint(request["seed"] for request in endpoint.asked[asked:])
        total = len(endpoint.asked) - made
    assert len(committed) > 2 * count + 20  # the killed ones had come some way
    assert (found["outcomes"], found["recommendation"]) == ({"won": count}, "apo-zero")
    assert 3 * count <= total <= 3 * count + kills * 2 * 6  # 6 in flight, and as many answered but not yet committed


async def test_bad_input_is_one_sentence(tmp_path: Path) -> None:
    async with ScriptedEndpoint(playing(likes_winners)) as endpoint:
        tasks = write_tasks(tmp_path / "tasks.jsonl", questions(12))
        (tmp_path / "config.yaml").write_text(config_text(endpoint.url, tasks))
        run = tmp_path / "run"
        assert (await clairgen("generate", tmp_path / "config.yaml", "--run", run)).code == 0
        for arguments, words in (
            ([], "has no judge to compare answers; name a configuration that has models.judge with --config"),
            (["--recipe", "claire"], "has no recipe 'claire'; it has clair, stronger-preferred"),
            (["--config", tmp_path / "absent.yaml"], "there is no configuration file"),
            (["--budget-usd", "nan"], "--budget-usd nan is not a budget"),
        ):
            done = await clairgen("advise", run, *arguments)
            assert done.code == 2, done
            assert "Traceback" not in done.err
            [sentence] = [line for line in done.err.splitlines() if line.startswith("Error: ")]
            assert words in sentence
