"""A run remembers its budget: it holds until it is raised or lifted by name, through kills and through other commands."""

import json
from pathlib import Path
from typing import Any

import pytest

from clairgen.errors import BudgetError, ConfigError
from clairgen.pipeline.budget_limit import BudgetLimit, NamedBudget, limit_of_run, settle_limit
from clairgen.pipeline.estimate import estimate
from clairgen.pipeline.generate import Options, generate
from clairgen.pipeline.progress import Progress
from clairgen.store import RunDirectory, Store, reading, writing
from tests.pipeline.test_budget import priced
from tests.pipeline.test_kill import killed_after
from tests.runs import config, config_text, played, questions, write_tasks
from tests.scripted import Reply, ScriptedEndpoint

pytestmark = pytest.mark.slow

NONE = NamedBudget(None, lifted=False, configured_usd=None)


async def limits(folder: Path, *commands: NamedBudget) -> list[float | None]:
    """The limit that holds under each of some commands on one run, one after the other."""
    run = RunDirectory(folder)
    run.create()
    found = []
    for named in commands:
        async with writing(run) as store:
            found.append((await settle_limit(store, named, Progress())).limit_usd)
    return found


def flag(budget_usd: float, configured_usd: float | None = None) -> NamedBudget:
    return NamedBudget(budget_usd, lifted=False, configured_usd=configured_usd)


def configured(budget_usd: float | None) -> NamedBudget:
    return NamedBudget(None, lifted=False, configured_usd=budget_usd)


def lifted(configured_usd: float | None = None) -> NamedBudget:
    return NamedBudget(None, lifted=True, configured_usd=configured_usd)


@pytest.mark.parametrize(
    ("commands", "expected"),
    [
        ([NONE], [None]),
        ([flag(5), NONE, NONE], [5, 5, 5]),
        ([flag(5), flag(50), NONE], [5, 50, 50]),
        ([flag(50), flag(5), NONE], [50, 5, 5]),
        ([flag(5), lifted(), NONE], [5, None, None]),
        ([configured(10), configured(None), NONE], [10, 10, 10]),
        ([configured(10), configured(20), configured(20)], [10, 20, 20]),
        ([configured(10), flag(50, 10), configured(10)], [10, 50, 50]),
        ([configured(10), flag(50, 10), configured(20)], [10, 50, 20]),
        ([configured(10), lifted(10), configured(10)], [10, None, None]),
        ([configured(10), lifted(10), configured(11)], [10, None, 11]),
        ([flag(5), configured(10)], [5, 10]),
    ],
)
async def test_the_budget_that_was_named_last_holds(
    commands: list[NamedBudget], expected: list[float | None], tmp_path: Path
) -> None:
    assert await limits(tmp_path, *commands) == expected


@pytest.mark.parametrize(
    ("before", "named", "note"),
    [
        (
            flag(5),
            NONE,
            "the run keeps its budget of $5.0000, which an earlier command named; change it with --budget-usd",
        ),
        (flag(50, 10), configured(10), "named, not budget_usd: 10 of the configuration; change it"),
        (flag(5), flag(50), "the run's budget is $50.00; before this command it was $5.0000"),
        (flag(5), lifted(), "the run's budget is lifted; before this command it was $5.0000"),
        (lifted(10), configured(10), "budget_usd: 10 of the configuration does not hold, since --no-budget lifted"),
        (configured(10), configured(10), None),
        (flag(5), flag(5), None),
        (NONE, NONE, None),
    ],
)
async def test_a_budget_that_a_command_does_not_name_is_said(
    before: NamedBudget, named: NamedBudget, note: str | None, tmp_path: Path
) -> None:
    run, progress = RunDirectory(tmp_path), Progress()
    run.create()
    async with writing(run) as store:
        await settle_limit(store, before, Progress())
        await settle_limit(store, named, progress)
    assert len(progress.notes) == (note is not None)
    assert note is None or note in progress.notes[0]


@pytest.mark.parametrize("wrong", [flag(0), flag(-1), flag(float("nan")), flag(2e6), NamedBudget(5, True, None)])
async def test_flags_that_name_no_budget_are_refused(wrong: NamedBudget) -> None:
    with pytest.raises(ConfigError, match="--budget-usd"):
        await limit_of_run(None, wrong)


async def limit_in(run: Path) -> BudgetLimit:
    async with reading(RunDirectory(run)) as store:
        return await limit_of_run(store, NONE)


async def test_a_run_keeps_its_budget_when_the_flag_is_left_out(tmp_path: Path) -> None:
    tasks, run = write_tasks(tmp_path / "tasks.jsonl", questions(30)), tmp_path / "run"
    async with ScriptedEndpoint(played) as endpoint:
        given = config(endpoint.url, tasks, **priced(timeout_seconds=10))
        first = await generate(given, run, Options(budget_usd=0.1))
        asked = len(endpoint.asked)
        progress = Progress()
        again = await generate(given, run, progress=progress)
        assert len(endpoint.asked) == asked
        assert isinstance(first.stopped_by, BudgetError)
        assert isinstance(again.stopped_by, BudgetError)
        assert any("the run keeps its budget of $0.1000" in note for note in progress.notes)
        dry = await estimate(given, run)
        enough = again.stopped_by.enough_usd
        raised = await generate(given, run, Options(budget_usd=enough))
        lifted_one = await generate(given, run, Options(no_budget=True))
    assert dry.budget_usd == 0.1
    assert enough == 0.2
    assert len(endpoint.asked) > asked
    assert raised.progress.money.budget_usd == 0.2
    assert lifted_one.stopped_by is None
    assert (await limit_in(run)).limit_usd is None


@pytest.mark.parametrize("budget_usd", [1e-4, 0.003, 0.05])
async def test_the_budget_to_continue_with_lets_at_least_one_more_request_through(
    budget_usd: float, tmp_path: Path
) -> None:
    tasks, run = write_tasks(tmp_path / "tasks.jsonl", questions(30)), tmp_path / "run"
    async with ScriptedEndpoint(played) as endpoint:
        given = config(endpoint.url, tasks, **priced(timeout_seconds=10))
        for _ in range(4):
            before = len(endpoint.asked)
            summary = await generate(given, run, Options(budget_usd=budget_usd))
            if summary.stopped_by is None:
                break
            assert isinstance(summary.stopped_by, BudgetError)
            assert summary.stopped_by.enough_usd is not None
            assert summary.stopped_by.enough_usd > max(budget_usd, summary.progress.money.spent_usd)
            assert before == 0 or len(endpoint.asked) > before
            budget_usd = summary.stopped_by.enough_usd


async def test_a_role_without_a_price_is_refused_under_a_remembered_budget(tmp_path: Path) -> None:
    tasks, run = write_tasks(tmp_path / "tasks.jsonl", questions(3)), tmp_path / "run"
    async with ScriptedEndpoint(played) as endpoint:
        await generate(config(endpoint.url, tasks, **priced(timeout_seconds=10)), run, Options(budget_usd=1, limit=1))
        asked = len(endpoint.asked)
        unpriced = config(endpoint.url, tasks)
        with pytest.raises(ConfigError, match="or lift the budget with --no-budget"):
            await generate(unpriced, run)
        with pytest.raises(ConfigError, match="or lift the budget with --no-budget"):
            await estimate(unpriced, run)
    assert len(endpoint.asked) == asked


@pytest.mark.process
async def test_a_budget_survives_a_kill(tmp_path: Path) -> None:
    """Whatever was sent before the kill, the budget was on disk before it."""

    def slow(request: dict[str, Any]) -> Reply:
        return Reply(played(request).body, delay_seconds=0.05)

    tasks, run, path = write_tasks(tmp_path / "tasks.jsonl", questions(200)), tmp_path / "run", tmp_path / "config.yaml"
    async with ScriptedEndpoint(slow) as endpoint:
        path.write_text(config_text(endpoint.url, tasks, budget_usd=0.5, **priced(timeout_seconds=10)))
        for seconds in (0.1, 0.25, 0.4):
            await killed_after(seconds, path, run)
            if endpoint.asked:
                assert (await limit_in(run)).limit_usd == 0.5


async def remembered(store: Store) -> dict[str, float | None]:
    found: dict[str, float | None] = json.loads(await store.metadata.get("budget") or "null")
    return found


async def test_both_figures_are_committed_in_one_row(tmp_path: Path) -> None:
    await limits(tmp_path, flag(5, 10))
    async with reading(RunDirectory(tmp_path)) as store:
        assert await remembered(store) == {"limit_usd": 5, "configured_usd": 10}
