from pathlib import Path

import pytest

from clairgen.pipeline.estimate import ASSUMED_ANSWER_TOKENS, CostEstimate, RoleEstimate, estimate
from clairgen.pipeline.generate import Options, generate
from tests.runs import config, played, questions, write_tasks
from tests.scripted import ScriptedEndpoint


def by_role(found: CostEstimate) -> dict[str, RoleEstimate]:
    return {role.role: role for role in found.roles}


async def test_a_new_run_is_estimated_from_characters_and_nothing_is_made(tmp_path: Path) -> None:
    tasks = write_tasks(
        tmp_path / "tasks.jsonl", [*(f"{number:03}{'x' * 397}" for number in range(10)), f"000{'x' * 397}"]
    )
    found = await estimate(config("http://127.0.0.1:9/v1", tasks, reviser={"max_tokens": 4096}), tmp_path / "run")
    assert (found.tasks, found.duplicates, found.pairs_made) == (10, 1, 0)
    target, reviser, stronger = (by_role(found)[name] for name in ("target", "reviser", "stronger"))
    assert (target.calls, target.prompt_tokens, target.answer_tokens) == (10, 1000, 1000)  # max_tokens is 100
    assert (stronger.calls, stronger.expected_usd) == (10, None)
    assert reviser.answer_tokens == 10 * ASSUMED_ANSWER_TOKENS
    assert 10 * (100 + 100) < reviser.prompt_tokens < 10 * (100 + 100 + 250)  # task, student's answer, template
    assert reviser.expected_usd == pytest.approx((reviser.prompt_tokens * 10 + reviser.answer_tokens * 30) / 1e6)
    assert reviser.most_usd == pytest.approx((reviser.prompt_tokens * 10 + 10 * 4096 * 30) / 1e6)
    assert (reviser.low_usd, reviser.high_usd) == (None, None)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
async def test_a_continued_run_is_estimated_from_what_its_answers_had(tmp_path: Path) -> None:
    tasks = write_tasks(tmp_path / "tasks.jsonl", questions(100))
    async with ScriptedEndpoint(played) as endpoint:
        given = config(endpoint.url, tasks)
        await generate(given, tmp_path / "run", Options(limit=30))
        found = await estimate(given, tmp_path / "run")
        first = await estimate(given, tmp_path / "run", Options(limit=40))
    assert [role.calls for role in found.roles] == [70, 70, 70]
    assert [role.calls for role in first.roles] == [10, 10, 10]
    reviser = by_role(found)["reviser"]
    assert (reviser.measured, reviser.prompt_tokens, reviser.answer_tokens) == (True, 70 * 200, 70 * 30)
    each = (200 * 10 + 30 * 30) / 1e6
    assert [reviser.low_usd, reviser.high_usd] == pytest.approx([70 * each, 70 * each])
    assert found.spent_usd == pytest.approx(30 * each)
    assert by_role(found)["target"].price_quote is None


async def test_what_has_changed_is_estimated_as_to_be_made(tmp_path: Path) -> None:
    tasks = write_tasks(tmp_path / "tasks.jsonl", questions(10))
    async with ScriptedEndpoint(played) as endpoint:
        await generate(config(endpoint.url, tasks), tmp_path / "run")
        same = await estimate(config(endpoint.url, tasks), tmp_path / "run")
        changed = config(endpoint.url, tasks, reviser={"model": "new"})
        other_reviser = await estimate(changed, tmp_path / "run", Options(accept_changes=True))
        write_tasks(tasks, [f"Another {number}" for number in range(7)])
        other_tasks = await estimate(config(endpoint.url, tasks), tmp_path / "run", Options(accept_changes=True))
    assert {role.calls for role in same.roles} == {0}
    assert by_role(other_reviser)["reviser"].calls == 10
    assert by_role(other_reviser)["stronger"].calls == 0
    assert {role.calls for role in other_tasks.roles} == {7}
