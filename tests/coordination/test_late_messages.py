"""Messages that come twice, late or in another order, as by proxies that send again, change nothing and end nobody's work."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from clairgen.coordination.granted_budget import GrantedBudget
from clairgen.coordination.wire import SHARD_SECONDS, MoneyGrant
from clairgen.errors import BudgetError
from tests.clocks import FakeClock
from tests.coordination.coordinated import Coordinated

GROUP = "/api/coordinator/groups/g"
JOIN = {"session": "a", "run_id": "r", "run": "r", "location": "p", "spent": 0, "budget": 1000}


def beat(sequence: int, session: str = "a", **money: int) -> dict[str, Any]:
    amounts = {"spent": 0, "allotted": 0, "needed": 0, "wanted": 0} | money
    return {"session": session, "run_id": "r", "sequence": sequence, "money": amounts}


async def posted(served: Coordinated, message: str, body: dict[str, Any]) -> int:
    return (await served.http.post(f"{GROUP}/{message}", json=body)).status_code


async def test_a_report_that_a_proxy_sends_twice_is_no_other_process(tmp_path: Path) -> None:
    async with Coordinated(tmp_path / "runs") as served:
        await posted(served, "join", JOIN)
        report = beat(1, needed=900, wanted=900)
        assert await posted(served, "beat", report) == 200
        assert (
            await posted(served, "beat", report) == 425
        )  # for its sender as if there were no answer: it reports again
        assert (await served.overview())["allotted_usd"] == 900 / 10**12
        await served.restart()
        assert await posted(served, "beat", report) == 425
        assert await posted(served, "beat", beat(2, allotted=900, needed=900, wanted=900)) == 200


async def test_a_second_process_with_the_same_session_is_told_that_it_is_one_too_many(tmp_path: Path) -> None:
    async with Coordinated(tmp_path / "runs") as served:
        await posted(served, "join", JOIN)
        assert await posted(served, "beat", beat(1)) == 200
        assert await posted(served, "beat", beat(1, needed=10, wanted=10)) == 410  # a machine that was copied
        assert await posted(served, "beat", beat(0)) == 410


async def test_a_join_that_arrives_after_the_end_does_not_make_the_run_free_of_cost(tmp_path: Path) -> None:
    async with Coordinated(tmp_path / "runs") as served:
        await posted(served, "join", JOIN)
        await posted(served, "beat", beat(1, spent=700, allotted=700, needed=700, wanted=700))
        await posted(served, "leave", {"session": "a", "run_id": "r", "sequence": 2, "spent": 700})
        assert await posted(served, "join", JOIN) == 410
        await served.restart()
        assert await posted(served, "join", JOIN) == 410
        assert (await served.overview())["spent_usd"] == 700 / 10**12


async def test_a_late_join_does_not_take_the_run_from_the_process_that_has_it(tmp_path: Path) -> None:
    async with Coordinated(tmp_path / "runs") as served:
        for _ in range(3):
            assert await posted(served, "join", JOIN) == 204  # asked again, since no answer came
        assert await posted(served, "join", JOIN | {"session": "b"}) == 204
        assert await posted(served, "join", JOIN) == 410
        assert await posted(served, "beat", beat(1, "b")) == 200


async def test_a_claim_that_arrives_after_its_shard_was_done_does_not_open_it_again(tmp_path: Path) -> None:
    async with Coordinated(tmp_path / "runs") as served:
        claim = {"session": "a", "work": "w", "count": 2, "number": 1, "holder": "node 1"}
        assert await posted(served, "claim", claim) == 200
        assert await posted(served, "leave", {"session": "a", "done": True}) == 204
        await served.restart()
        assert await posted(served, "claim", claim) == 410
        assert (await served.overview())["shards"][0]["state"] == "done"
        assert await posted(served, "claim", claim | {"session": "b"}) == 200  # as it was named


async def test_a_budget_below_what_is_spent_gives_nobody_more(tmp_path: Path) -> None:
    clock = FakeClock()
    async with Coordinated(tmp_path / "runs", clock) as served:
        await posted(served, "join", JOIN)
        await posted(served, "beat", beat(1, spent=700, allotted=700, needed=700, wanted=700))
        clock.seconds += SHARD_SECONDS
        other = {"session": "b", "run_id": "r2", "budget": 500}
        assert await posted(served, "join", JOIN | other) == 204
        report = beat(1, "b", needed=1, wanted=100) | {"run_id": "r2"}
        money = (await served.http.post(f"{GROUP}/beat", json=report)).json()["money"]
        assert (money["allotted"], money["others"], money["budget"]) == (0, 700, 500)
        budget = GrantedBudget(500, 0, asyncio.Event(), "g")
        budget.granted(MoneyGrant.model_validate(money))
        with pytest.raises(BudgetError, match="has no room for the next request"):
            budget.reserve(1, lambda: None)


async def test_a_file_that_was_put_back_in_place_counts_what_its_later_version_spent(tmp_path: Path) -> None:
    async with Coordinated(tmp_path / "runs") as served:
        await posted(served, "join", JOIN)
        await posted(served, "beat", beat(1, spent=700, allotted=700, needed=700, wanted=700))
        await posted(served, "join", JOIN | {"session": "b", "spent": 400})
        assert (await served.overview())["members"][0]["lost_usd"] == 300 / 10**12
        assert (await served.overview())["allotted_usd"] == 700 / 10**12


async def test_other_limits_begin_beside_the_leases_of_the_former_ones(tmp_path: Path) -> None:
    clock = FakeClock()

    def limits(**values: float) -> dict[str, Any]:
        return JOIN | {"limits": [{"endpoint": "paid", **values}]}

    async def share_of_new_process(session: str, joining: dict[str, Any]) -> float:
        await posted(served, "join", joining | {"session": session})
        report = beat(1, session) | {"endpoints": [{"endpoint": "paid", "waiting": 1}]}
        answer = (await served.http.post(f"{GROUP}/beat", json=report)).json()
        found: float = answer["shares"][0]["requests_per_minute"]
        return found

    async with Coordinated(tmp_path / "runs", clock) as served:
        assert await share_of_new_process("a", limits(requests_per_minute=600)) == 600
        # The process before it was not heard of for a moment, and may send by its lease.
        assert await share_of_new_process("b", limits(requests_per_minute=900)) == 300
        clock.seconds += 10
        assert await share_of_new_process("c", limits(tokens_per_minute=1000)) is None
        assert await share_of_new_process("d", limits(requests_per_minute=600)) == 0
        clock.seconds += 10
        assert await share_of_new_process("e", limits(requests_per_minute=600)) == 600
