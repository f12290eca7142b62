"""What members can make a coordinator keep is bounded, and is on disk even where that could not be written at first."""

from pathlib import Path
from typing import Any

import pytest

from clairgen.service.coordinator import saved_groups
from tests.coordination.coordinated import Coordinated

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
