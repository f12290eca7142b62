"""What members can make a coordinator keep is bounded, and is on disk even where that could not be written at first."""

import asyncio
import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from clairgen.coordination.wire import MOST, SHARD_SECONDS
from clairgen.service.coordinator import coordinator_routes, saved_groups
from clairgen.store.group_records import MemberRow
from tests.clocks import FakeClock
from tests.coordination.coordinated import Coordinated
from tests.service.served import RUN, tokens_of

GROUP = "/api/coordinator/groups/g"
JOIN = {"session": "a", "run_id": "a", "run": "a", "location": "p", "spent": 0}
CLAIM = {"session": "a", "work": "w", "count": 1, "holder": "node 1"}


async def test_groups_have_so_many_runs_endpoints_and_shards_and_what_is_known_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for what in ("RUNS", "ENDPOINTS", "SHARDS"):
        monkeypatch.setattr(saved_groups, f"_MOST_{what}", 2)
    async with Coordinated(tmp_path / "runs") as served:

        async def status(message: str, body: dict[str, Any], group: str = GROUP) -> int:
            return (await served.http.post(f"{group}/{message}", json=body)).status_code

        async def join(name: str, group: str = GROUP, endpoint: str = "one") -> int:
            limits = [{"endpoint": endpoint, "concurrency": 1}]
            return await status("join", JOIN | {"session": name, "run_id": name, "limits": limits}, group)

        assert [await join("a"), await join("b", f"{GROUP}2"), await join("c")] == [204, 204, 409]
        assert await join("a", endpoint="two") == 409
        assert await join("a") == 204
        claims = [CLAIM | {"session": name, "work": name} for name in "abc"]
        assert [await status("claim", claim) for claim in claims] == [200, 200, 409]
        assert await status("claim", claims[0]) == 200
        refused = await served.http.post(f"{GROUP}/claim", json=claims[2])
        assert "2 shards together, as many as they may; forget a group with: clairgen coordinator" in refused.text


async def test_a_shard_beyond_their_number_is_refused(tmp_path: Path) -> None:
    async with Coordinated(tmp_path / "runs") as served:
        claim = CLAIM | {"number": 2}
        assert (await served.http.post(f"{GROUP}/claim", json=claim)).status_code == 422
        assert (await served.http.post(f"{GROUP}/claim", json=claim | {"count": 2})).status_code == 200


async def test_whoever_has_begun_too_many_groups_is_told_what_to_do_and_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saved_groups, "_MOST_GROUPS_OF_ONE", 2)
    monkeypatch.setattr(saved_groups, "_MOST_GROUPS", 4)
    tokens = tokens_of(tmp_path, CLAIRGEN_TOKEN_MEMBER="member" + "0" * 40)
    clock = FakeClock()
    async with Coordinated(tmp_path / "runs", clock, tokens) as served:

        async def join(name: str, token: str = "member" + "0" * 40, spent: int = 0) -> httpx.Response:
            body = JOIN | {"session": name, "run_id": name, "spent": spent}
            headers = {"authorization": f"Bearer {token}"}
            return await served.http.post(f"/api/coordinator/groups/{name}/join", json=body, headers=headers)

        assert [(await join(name)).status_code for name in ("a", "b")] == [204, 204]
        refused = await join("c")
        assert refused.status_code == 400
        assert (
            "2 groups were begun by the same client (token for member), as many as one may begin; free room by"
            in refused.text
        )
        assert "clairgen coordinator URL --forget --idle-days 30" in refused.text
        assert (await join("d", RUN)).status_code == 204
        clock.seconds += SHARD_SECONDS
        assert (await join("b", spent=7)).status_code == 204
        assert (await join("c")).status_code == 204  # nothing is at work in a, nor was it paid for
        overview = await served.http.get("/api/coordinator", headers={"authorization": f"Bearer {RUN}"})
        assert {one["group"]: one["made_by"] for one in overview.json()} == dict.fromkeys("bc", "token for member")
        clock.seconds += SHARD_SECONDS
        assert (await join("c", spent=7)).status_code == 204
        assert (await join("e")).status_code == 400  # what cost something is kept
        await served.restart()
        assert (await join("e")).status_code == 400
        assert (await join("e", RUN)).status_code == 204


async def test_a_group_that_is_forgotten_while_it_is_saved_does_not_come_back(tmp_path: Path) -> None:
    async with Coordinated(tmp_path / "runs") as served:
        await served.http.post(f"{GROUP}2/claim", json=CLAIM)
        await served.http.post(f"{GROUP}/join", json=JOIN)
        coordinator = served.coordinator
        leaving = served.http.post(f"{GROUP}/leave", json={"session": "a", "run_id": "a", "sequence": 1})
        busy = served.http.post(f"{GROUP}2/claim", json=CLAIM | {"session": "b", "work": "v"})
        async with coordinator._writing:
            waiting = [asyncio.create_task(one) for one in (leaving, busy)]
            await asyncio.sleep(0.05)
            forgetting = asyncio.create_task(served.http.post(f"{GROUP}/forget"))
            await asyncio.sleep(0.05)
        assert [one.status_code for one in await asyncio.gather(forgetting, *waiting)] == [204, 204, 200]
        await served.restart()
        assert [one["group"] for one in (await served.http.get("/api/coordinator")).json()] == ["g2"]
        assert coordinator._records is not None
        assert len(served.coordinator._records.rows(MemberRow)) == 0  # type: ignore[union-attr]


async def test_a_group_whose_shard_a_process_holds_is_not_forgotten(tmp_path: Path) -> None:
    clock = FakeClock()
    async with Coordinated(tmp_path / "runs", clock) as served:
        await served.http.post(f"{GROUP}/claim", json=CLAIM)
        assert (await served.http.post(f"{GROUP}/forget")).status_code == 409
        clock.seconds += SHARD_SECONDS
        assert (await served.http.post(f"{GROUP}/forget")).status_code == 204


async def test_the_page_of_groups_has_tables_of_those_at_work_and_the_last_ones_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coordinator_routes, "_GROUPS_WITH_TABLES", 2)
    clock = FakeClock()
    async with Coordinated(tmp_path / "runs", clock) as served:
        for name in "abc":
            await served.http.post(f"/api/coordinator/groups/{name}/join", json=JOIN | {"session": name})
        for name in "ac":
            await served.http.post(
                f"/api/coordinator/groups/{name}/leave", json={"session": name, "run_id": "a", "sequence": 1}
            )
        page = (await served.http.get("/groups")).text
    assert re.findall("<h2>(.)</h2>", page) == ["b", "c", "a"]
    assert re.findall("Runs of (.)", page) == ["b", "c"]
    assert page.count("nobody at work since") == 2


async def test_amounts_beyond_what_is_believable_end_nobodys_work(tmp_path: Path) -> None:
    async with Coordinated(tmp_path / "runs") as served:
        for name in "abc":
            await served.http.post(f"{GROUP}/join", json=JOIN | {"session": name, "run_id": name, "budget": MOST})
        for name in "abc":
            money = {"spent": MOST, "allotted": MOST, "needed": MOST, "wanted": MOST}
            body = {"session": name, "run_id": name, "sequence": 1, "money": money}
            answer = await served.http.post(f"{GROUP}/beat", json=body)
            assert answer.status_code == 200, answer.text
            assert answer.json()["money"]["others"] <= MOST


async def test_what_could_not_be_written_is_written_with_the_next_message(tmp_path: Path) -> None:
    async with Coordinated(tmp_path / "runs") as served:
        await served.http.post(f"{GROUP}/claim", json=CLAIM)
        await served.http.post(f"{GROUP}/claim", json=CLAIM | {"session": "b", "work": "v"})
        disk = served.coordinator._records._database.connection  # type: ignore[union-attr]
        disk.execute("PRAGMA query_only = 1")
        left = await served.http.post(f"{GROUP}/leave", json={"session": "a", "done": True})
        assert left.status_code >= 500
        disk.execute("PRAGMA query_only = 0")
        await served.http.post(f"{GROUP}/beat", json={"session": "b", "sequence": 1})
        await served.restart()
        shards = (await served.overview())["shards"]
        assert [(one["work"], one["state"]) for one in shards] == [("v", "held"), ("w", "done")]


async def test_a_member_of_a_group_that_is_not_known_is_to_begin_again_and_was_not_replaced(tmp_path: Path) -> None:
    async with Coordinated(tmp_path / "runs") as served:
        refused = await served.http.post(f"{GROUP}/beat", json={"session": "b", "sequence": 1})
    assert (refused.status_code, "there is no group g any more" in refused.text) == (409, True)
