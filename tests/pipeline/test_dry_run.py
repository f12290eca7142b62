"""A dry run tells what `generate` then does: the requests that it sends, or the sentence by which it refuses."""

import dataclasses
import hashlib
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clairgen.config.models import RunConfig
from clairgen.errors import UserError
from clairgen.inference.runtime import Runtime
from clairgen.pipeline.estimate import CostEstimate, estimate
from clairgen.pipeline.generate import Options, generate
from clairgen.recipes.clair import CLAIR
from clairgen.recipes.registry import RECIPES
from clairgen.records import Pair
from tests.pipeline.test_budget import priced
from tests.runs import REVISER, STRONGER, TARGET, config, played, questions, write_tasks
from tests.scripted import Reply, ScriptedEndpoint, said

pytestmark = pytest.mark.slow

JUDGE = "judge-model"
ROLES = {TARGET: "target", REVISER: "reviser", STRONGER: "stronger", JUDGE: "judge"}
ALL_FOUR = ["clair", "stronger-preferred", "judge-on-policy", "clair-best-of-n"]


def script(request: dict[str, Any]) -> Reply:
    """Answers that differ from sample to sample, by their seed."""
    if request["model"] == JUDGE:
        return said("The first is better.\n\n[1]")
    reply = played(request)
    return Reply(reply.body.replace(b" an answer", f" an answer ({request['seed']})".encode()))


def judge(url: str, **more: object) -> dict[str, Any]:
    return {"model": JUDGE, "endpoints": [url], "temperature": 0, "max_tokens": 100} | more


def calls(found: CostEstimate) -> dict[str, int]:
    return {role.role: role.calls for role in found.roles if role.calls}


def asked(requests: list[dict[str, Any]]) -> dict[str, int]:
    return dict(Counter(ROLES[request["model"]] for request in requests))


async def foretold(endpoint: ScriptedEndpoint, given: RunConfig, run: Path, options: Options) -> dict[str, int]:
    """What a dry run says, once `generate` with the same arguments has sent exactly that."""
    found = calls(await estimate(given, run, options))
    before = len(endpoint.asked)
    summary = await generate(given, run, options)
    assert summary.stopped_by is None
    assert asked(endpoint.asked[before:]) == found
    return found


async def test_a_dry_run_counts_what_generate_then_sends(tmp_path: Path) -> None:
    tasks, run = write_tasks(tmp_path / "tasks.jsonl", questions(50)), tmp_path / "run"
    async with ScriptedEndpoint(script) as endpoint:
        one = config(endpoint.url, tasks, recipes=["clair"])
        four = config(endpoint.url, tasks, recipes=ALL_FOUR, judge=judge(endpoint.url))
        assert await foretold(endpoint, one, run, Options(limit=10)) == {"target": 10, "reviser": 10}
        assert await foretold(endpoint, one, run, Options(limit=10)) == {}
        assert await foretold(endpoint, four, run, Options(limit=20)) == {
            "target": 20 + 10,  # clair's answers are there for ten; judge-on-policy takes a second one of every task
            "reviser": 4 * 20 - 10,  # the first revision of clair-best-of-n is clair's
            "stronger": 20,
            "judge": (1 + 3) * 20,
        }
        assert await foretold(endpoint, four, run, Options()) == {
            "target": 2 * 30,
            "reviser": 4 * 30,
            "stronger": 30,
            "judge": (1 + 3) * 30,
        }


async def test_answers_of_a_reused_run_are_no_requests(tmp_path: Path) -> None:
    tasks, first = write_tasks(tmp_path / "tasks.jsonl", questions(30)), tmp_path / "first"
    async with ScriptedEndpoint(script) as endpoint:
        given = config(endpoint.url, tasks)
        await generate(given, first, Options(limit=20))
        found = await estimate(given, tmp_path / "second", Options(reuse=(first,)))
        assert found.answers_found == 3 * 20
        assert await foretold(endpoint, given, tmp_path / "second", Options(reuse=(first,))) == {
            "target": 10,
            "reviser": 10,
            "stronger": 10,
        }
        assert await foretold(endpoint, given, tmp_path / "third", Options(reuse=(first, tmp_path / "second"))) == {}


async def test_what_an_accepted_change_leaves_is_no_request(tmp_path: Path) -> None:
    tasks, run = write_tasks(tmp_path / "tasks.jsonl", questions(12)), tmp_path / "run"
    accepted = Options(accept_changes=True)
    async with ScriptedEndpoint(script) as endpoint:
        before = config(endpoint.url, tasks)
        after = config(endpoint.url, tasks, reviser={"temperature": 0.1})
        await generate(before, run)
        assert await foretold(endpoint, after, run, accepted) == {"reviser": 12}
        assert await foretold(endpoint, before, run, accepted) == {}  # back to what it has
        write_tasks(tasks, [*questions(12), "One more", "Two more"])
        assert await foretold(endpoint, before, run, accepted) == {"target": 2, "reviser": 2, "stronger": 2}


async def test_failed_pairs_are_counted_when_they_are_tried_again(tmp_path: Path) -> None:
    tasks, run = write_tasks(tmp_path / "tasks.jsonl", questions(6)), tmp_path / "run"

    def filtering(request: dict[str, Any]) -> Reply:
        filtered = request["model"] == STRONGER and "number 3" in request["messages"][-1]["content"]
        return said("", finish_reason="content_filter") if filtered else script(request)

    async with ScriptedEndpoint(filtering) as endpoint:
        given = config(endpoint.url, tasks)
        await generate(given, run)
        assert calls(await estimate(given, run)) == {}
        assert calls(await estimate(given, run, Options(retry_failed=True))) == {"stronger": 1}


async def test_a_second_request_after_a_failed_check_is_counted_once_the_first_is_there(tmp_path: Path) -> None:
    tasks, run = write_tasks(tmp_path / "tasks.jsonl", questions(5)), tmp_path / "run"
    strict = [{"name": "clair", "check": {"length_ratio": [3, 4]}}]
    async with ScriptedEndpoint(script) as endpoint:
        await generate(config(endpoint.url, tasks, recipes=["clair"]), run)
        given = config(endpoint.url, tasks, recipes=strict)
        assert await foretold(endpoint, given, run, Options(accept_changes=True)) == {"reviser": 5}
        found = await estimate(given, tmp_path / "new")
    assert calls(found) == {"target": 5, "reviser": 5}


async def test_every_judge_is_counted_with_the_template(tmp_path: Path) -> None:
    tasks = write_tasks(tmp_path / "tasks.jsonl", questions(10))
    url = "http://127.0.0.1:9/v1"
    given = config(url, tasks, recipes=["judge-on-policy"], judge=judge(url))
    two = given.model_copy(
        update={"models": {**given.models, "judge-2": given.models["judge"].model_copy(update={"model": "other"})}}
    )
    found = {role.role: role for role in (await estimate(two, tmp_path / "run")).roles}
    assert found["judge"].calls == found["judge-2"].calls == 10
    assert found["judge"].prompt_tokens == found["judge-2"].prompt_tokens > 10 * (2 * 100 + 100)


async def test_a_recipe_that_cannot_read_a_stand_in_is_counted_by_what_it_declares(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def picky(task: Any, ask: Any, context: Any) -> Pair:  # noqa: ANN401 - a recipe as a plugin has it
        json.loads((await ask("target", task.messages)).text)
        raise AssertionError("a stand-in is no JSON")

    tasks = write_tasks(tmp_path / "tasks.jsonl", questions(10))
    recipe = dataclasses.replace(CLAIR, name="picky", make=picky, calls=lambda _choice, role: 1 + (role == "reviser"))
    monkeypatch.setattr(type(RECIPES), "named", lambda _self, _name: recipe)
    found = await estimate(config("http://127.0.0.1:9/v1", tasks, recipes=["picky"]), tmp_path / "run")
    assert calls(found) == {"target": 10, "reviser": 20}


def bad_row(folder: Path) -> None:
    write_tasks(folder / "tasks.jsonl", [*questions(5), {"text": "no prompt"}])


def one_id_twice(folder: Path) -> None:
    write_tasks(folder / "tasks.jsonl", [{"id": "a", "prompt": "One"}, {"id": "a", "prompt": "Two"}])


def no_tasks(folder: Path) -> None:
    (folder / "tasks.jsonl").write_text("\n")


def no_file(folder: Path) -> None:
    (folder / "tasks.jsonl").unlink()


def another_folder(folder: Path) -> None:
    (folder / "run").mkdir()
    (folder / "run" / "thesis.tex").touch()


def a_file(folder: Path) -> None:
    (folder / "run").touch()


def nothing(_folder: Path) -> None:
    pass


@pytest.mark.parametrize(
    ("prepared", "changes", "options", "sentence"),
    [
        (bad_row, {}, Options(), "line 6: .*pass --skip-bad-lines to go on"),
        (one_id_twice, {}, Options(), "its id 'a' already belongs to another prompt"),
        (no_tasks, {}, Options(), "has no tasks; give it at least one row with a prompt"),
        (no_file, {}, Options(), "there is no file of tasks"),
        (another_folder, {}, Options(), "is not a run directory and not empty"),
        (a_file, {}, Options(), "is a file; name a folder"),
        (nothing, {}, Options(budget_usd=1), "needs a price for every model, and none is known for models.stronger"),
        (nothing, {"budget_usd": 1}, Options(), "needs a price for every model, and none is known for models.stronger"),
        (nothing, {}, Options(budget_usd=0), "--budget-usd 0 is not a budget"),
        (nothing, {}, Options(budget_usd=1, no_budget=True), "give one of the two"),
        (
            nothing,
            {"target": {"api_key_env": "NO_SUCH_KEY"}},
            Options(),
            "NO_SUCH_KEY, which models.target.api_key_env",
        ),
        (nothing, {}, Options(reuse=(Path("/nowhere"),)), "/nowhere"),
        (nothing, {"recipes": ["clear"]}, Options(), "clear"),
    ],
)
async def test_a_dry_run_of_a_new_run_refuses_what_generate_refuses(
    prepared: Callable[[Path], None], changes: dict[str, Any], options: Options, sentence: str, tmp_path: Path
) -> None:
    tasks = write_tasks(tmp_path / "tasks.jsonl", questions(3))
    prepared(tmp_path)
    runtime = Runtime(environment={})
    given = config("http://127.0.0.1:9/v1", tasks, **changes)
    with pytest.raises(UserError, match=sentence) as dry:
        await estimate(given, tmp_path / "run", options, runtime=runtime)
    with pytest.raises(type(dry.value)) as real:
        await generate(given, tmp_path / "run", options, runtime=runtime)
    assert str(dry.value) == str(real.value)


async def test_a_dry_run_of_a_changed_run_refuses_what_generate_refuses(tmp_path: Path) -> None:
    tasks, run = write_tasks(tmp_path / "tasks.jsonl", questions(3)), tmp_path / "run"
    async with ScriptedEndpoint(script) as endpoint:
        await generate(config(endpoint.url, tasks), run)
        changed = config(endpoint.url, tasks, reviser={"temperature": 0.1})
        for given in (changed, config(endpoint.url, write_tasks(tmp_path / "other.jsonl", ["Other"]))):
            with pytest.raises(UserError, match="pass --accept-changes to continue") as dry:
                await estimate(given, run)
            with pytest.raises(UserError) as real:
                await generate(given, run)
            assert str(dry.value) == str(real.value)


def digests(folder: Path) -> dict[str, str]:
    """All files of a folder but SQLite's shared memory, which readers map too."""
    return {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.endswith(("-shm", "-wal"))
    }


async def test_a_dry_run_writes_nothing_and_remembers_no_budget(tmp_path: Path) -> None:
    tasks, run = write_tasks(tmp_path / "tasks.jsonl", questions(5)), tmp_path / "run"
    async with ScriptedEndpoint(script) as endpoint:
        given = config(endpoint.url, tasks, **priced(timeout_seconds=10))
        await estimate(given, run, Options(budget_usd=7))
        assert not run.exists()
        await generate(given, run, Options(limit=2))
        before = digests(tmp_path)
        found = await estimate(given, run, Options(budget_usd=7))
        assert found.budget_usd == 7
        assert digests(tmp_path) == before
        assert (await estimate(given, run)).budget_usd is None
