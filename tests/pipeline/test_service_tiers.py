"""Service tiers at an endpoint that says which one it used: what is asked, what it costs, what a lack of capacity does."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from clairgen.cli.estimate_table import print_requests
from clairgen.config.role import Role
from clairgen.inference.runtime import Runtime
from clairgen.pipeline.estimate import estimate
from clairgen.pipeline.generate import Options, generate
from clairgen.store import RunDirectory, Spent, reading
from tests.clocks import FakeClock
from tests.pipeline.test_completion_client import QUESTION, opened
from tests.runs import REVISER, config, played, questions, write_tasks
from tests.scripted import Reply, ScriptedEndpoint, refused, said

DOLLARS = {"input": 0, "output": 10_000}  # a cent a token
FACTORS = {"flex": 0.5, "priority": 2.5}


def by(reply: Reply, tier: str | None) -> Reply:
    """The same answer from a server that says which tier it used."""
    return replace(reply, body=json.dumps(json.loads(reply.body) | {"service_tier": tier}).encode())


def role(url: str, **changes: object) -> Role:
    given = {"model": "m", "endpoints": [url], "max_tokens": 100, "price_per_million": DOLLARS}
    return Role.model_validate(given | {"tier_price_factors": FACTORS, "service_tier": "flex"} | changes)


@pytest.mark.parametrize(
    ("used", "dollars", "noted"),
    [
        ("flex", 0.05, ""),
        ("default", 0.1, ""),
        ("priority", 0.25, ""),
        (None, 0.1, "does not say which service tier it used for target"),
        ("turbo", 0.25, "the service tier 'turbo', whose price is not known"),
    ],
)
async def test_an_answer_costs_what_the_tier_costs_that_was_used(
    used: str | None, dollars: float, noted: str, tmp_path: Path
) -> None:
    async with ScriptedEndpoint(lambda _: by(said("x", tokens=(10, 10)), used)) as endpoint:
        async with opened(tmp_path, {"target": role(endpoint.url)}) as held:
            answer = await held.ask("target", QUESTION)
            await held.ask("target", QUESTION, sample=1)
            notes = held.progress.notes
        assert await spent(tmp_path) == pytest.approx((2 * dollars, 2))
    assert len(notes) == bool(noted)
    assert noted in "".join(notes)
    assert answer.service_tier == used
    assert answer.cost_usd == pytest.approx(dollars)
    assert [request["service_tier"] for request in endpoint.asked] == ["flex", "flex"]


async def spent(run: Path) -> tuple[float, int]:
    """Dollars that are settled, and calls."""
    async with reading(RunDirectory(run)) as store:
        total = await store.spending.total()
    return total.settled / 10**12, total.calls


@pytest.mark.parametrize(("tier", "most"), [("flex", 1), ("priority", 2.5), (None, 1)])
async def test_the_budget_reserves_the_most_that_the_tier_can_cost(
    tier: str | None, most: float, tmp_path: Path
) -> None:
    reserved = []

    def answer(_: dict[str, Any]) -> Reply:
        reserved.append(held.progress.money.reserved_usd)
        return by(said("x", tokens=(10, 10)), "priority")

    async with (
        ScriptedEndpoint(answer) as endpoint,
        opened(tmp_path, {"target": role(endpoint.url, service_tier=tier)}, budget_usd=100) as held,
    ):
        await held.ask("target", QUESTION)
        await held.ask("target", QUESTION, sample=1)
    assert reserved == pytest.approx([most, 2.5])  # once an answer was dearer, that is the most


@pytest.mark.parametrize(
    "shortage",
    [
        refused(498, "The flex tier is over capacity", "capacity_exceeded"),
        refused(429, "Resource Unavailable", "resource_unavailable", retry_after="1"),
        refused(429, "429 Resource unavailable, please retry later"),
        refused(503, "This model is currently experiencing high demand.", "UNAVAILABLE"),
    ],
)
async def test_a_lack_of_capacity_is_waited_for_and_teaches_no_rate(shortage: Reply, tmp_path: Path) -> None:
    def answer(_: dict[str, Any]) -> Reply:
        return shortage if len(endpoint.asked) <= 12 else by(said("x", tokens=(10, 10)), "flex")

    clock = FakeClock()
    runtime = Runtime(clock=clock, sleep=clock.sleep, random=lambda: 0.5)
    async with ScriptedEndpoint(answer) as endpoint:
        async with opened(tmp_path, {"target": role(endpoint.url)}, runtime=runtime) as held:
            assert (await held.ask("target", QUESTION)).text == "x"
            state = held.pools["target"].endpoints[0].state()
            counted = held.progress.role("target").failed_attempts
        assert await spent(tmp_path) == pytest.approx((0.05, 13))
    assert (state.requests_per_minute, state.paused_seconds, state.circuit_breaker) == (None, 0, "closed")
    assert counted == {"no-capacity": 12}
    assert sorted(clock.slept)[-3:] == [60, 60, 60]  # what one request waits grows to a minute


async def test_a_server_without_this_tier_is_given_up_with_a_sentence(tmp_path: Path) -> None:
    tasks = write_tasks(tmp_path / "tasks.jsonl", questions(3))
    no = refused(400, "Flex is not available for this model.", None)
    async with ScriptedEndpoint(lambda _: no) as endpoint:
        given = config(endpoint.url, tasks, recipes=["clair"], target={"service_tier": "flex"})
        summary = await generate(given, tmp_path / "run")
    assert summary.stopped_by is not None
    assert "does not take this service_tier: leave it out" in str(summary.stopped_by)


async def test_a_change_of_the_tier_asks_nothing_anew(tmp_path: Path) -> None:
    tasks = write_tasks(tmp_path / "tasks.jsonl", questions(6))
    async with ScriptedEndpoint(
        lambda request: by(played(request), request.get("service_tier", "default"))
    ) as endpoint:
        for limit, tier in ((2, None), (4, "flex"), (6, None)):
            chosen = {} if tier is None else {"service_tier": tier, "tier_price_factors": FACTORS}
            given = config(endpoint.url, tasks, recipes=["clair"], target=chosen, reviser=chosen)
            summary = await generate(given, tmp_path / "run", Options(limit=limit))
            assert summary.stopped_by is None
    assert len(endpoint.asked) == 12
    assert set(endpoint.prompts().values()) == {1}
    assert [request.get("service_tier") for request in endpoint.asked if request["model"] == REVISER] == [
        *(None, None, "flex", "flex", None, None)
    ]


async def test_a_dry_run_says_what_each_tier_would_cost(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tasks = write_tasks(tmp_path / "tasks.jsonl", questions(10))
    url = "http://127.0.0.1:9/v1"
    chosen = {"tier_price_factors": FACTORS, "service_tier": "flex"}
    (plain, flex) = [
        next(role for role in (await estimate(given, tmp_path / "run")).roles if role.role == "reviser")
        for given in (config(url, tasks), config(url, tasks, reviser=chosen))
    ]
    assert plain.expected_usd and plain.most_usd and flex.expected_usd
    assert (plain.tiers_usd, flex.expected_usd, flex.most_usd) == ({}, plain.expected_usd / 2, plain.most_usd)
    print_requests([plain, flex], 0, Spent(0, 0, 0, 0, 0), None, what="these pairs")
    line = "reviser by service tier, where the model has it: flex $0.03 (configured), standard $0.06, priority $0.14"
    assert capsys.readouterr().out.count(f"{line} (tier_price_factors)") == 1
    assert flex.tiers_usd == {
        "standard": plain.expected_usd,
        "flex": plain.expected_usd / 2,
        "priority": plain.expected_usd * 2.5,
    }


async def test_a_dry_run_says_of_which_tier_no_price_is_known(tmp_path: Path) -> None:
    tasks = write_tasks(tmp_path / "tasks.jsonl", questions(1))
    found = await estimate(
        config("http://127.0.0.1:9/v1", tasks, reviser={"service_tier": "priority"}), tmp_path / "run"
    )
    [note] = found.notes
    assert "what service_tier: priority costs is not known for models.reviser" in note


async def test_a_503_costs_its_most_where_no_tier_without_guarantee_was_requested(tmp_path: Path) -> None:
    def answer(_: dict[str, Any]) -> Reply:
        return refused(503, "overloaded") if len(endpoint.asked) == 1 else said("x", tokens=(10, 10))

    clock = FakeClock()
    runtime = Runtime(clock=clock, sleep=clock.sleep, random=lambda: 0.5)
    async with ScriptedEndpoint(answer) as endpoint:
        async with opened(tmp_path, {"target": role(endpoint.url, service_tier=None)}, runtime=runtime) as held:
            await held.ask("target", QUESTION)
            assert held.progress.role("target").failed_attempts == {"server-error": 1}
        async with reading(RunDirectory(tmp_path)) as store:
            assert (await store.spending.total()).open_calls == 1


async def test_a_tier_that_only_prompts_are_charged_for_raises_what_is_reserved(tmp_path: Path) -> None:
    reserved = []

    def answer(_: dict[str, Any]) -> Reply:
        reserved.append(held.progress.money.reserved_usd)
        return by(said("x", tokens=(10, 10)), "priority")

    priced = {"price_per_million": {"input": 10_000, "output": 0}, "service_tier": None}
    async with (
        ScriptedEndpoint(answer) as endpoint,
        opened(tmp_path, {"target": role(endpoint.url, **priced)}, budget_usd=1000) as held,
    ):
        await held.ask("target", QUESTION)
        await held.ask("target", QUESTION, sample=1)
    assert reserved[1] == pytest.approx(2.5 * reserved[0], rel=0.01)
