"""The commands around a coordinator: what they show, ask for and refuse."""

import asyncio
import json
import signal
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.cli.commands import clairgen
from tests.cli.forked import forked
from tests.runs import config_text, played, questions, write_tasks
from tests.scripted import Reply, ScriptedEndpoint

GROUP: dict[str, Any] = {
    "group": "first",
    "made_by": "token for member",
    "idle_since": None,
    "budget_usd": 40.0,
    "spent_usd": 1.5,
    "allotted_usd": 2.0,
    "members": [
        {
            "run_id": "r-1",
            "run": "node1:/local/\x1b[31m1",
            "state": "at work",
            "spent_usd": 1.5,
            "allotted_usd": 2.0,
            "lost_usd": 0.0,
            "seen_at": "2026-11-27T07:00:00+00:00",
        }
    ],
    "endpoints": [
        {
            "endpoint": "m at http://paid/v1",
            "requests_per_minute": 600.0,
            "tokens_per_minute": None,
            "concurrency": None,
            "leased": {"requests_per_minute": 300.0},
        }
    ],
    "shards": [{"work": "w", "shard": "1/2", "state": "held", "holder": "node1", "seconds_left": 20.0}],
}
CLOSED = "http://127.0.0.1:9"


def coordinating(request: dict[str, Any]) -> Reply:
    del request
    return Reply(json.dumps({"freed_usd": 0.5}).encode())


async def test_groups_are_shown_with_members_money_limits_and_shards() -> None:
    async with ScriptedEndpoint(coordinating) as service:
        service.page = lambda path: Reply(json.dumps([GROUP]).encode() if path == "/api/coordinator" else b"", 200)
        url = service.url.removesuffix("/v1")
        shown = await clairgen("coordinator", url, environment={"CLAIRGEN_TOKEN_READ": "t" * 40})
        assert shown.code == 0, shown.err
        assert service.headers["authorization"] == f"Bearer {'t' * 40}"
        assert service.headers["connection"] == "close"
        for words in (
            "first: 1 run, $1.5000 spent, $2.0000 allotted of $40.00",
            "at work",
            "m at http://paid/v1: requests per minute 600 (300 leased)",
            "shards held: 1/2",
        ):
            assert words in shown.out
        assert "\x1b" not in shown.out
        as_json = await clairgen("coordinator", "--json", environment={"CLAIRGEN_COORDINATOR": url})
        assert json.loads(as_json.out) == [GROUP]
        assert (await clairgen("coordinator", url, "--group", "other")).out == "No group of this name.\n"
        freed = await clairgen("coordinator", url, "--group", "first", "--free", "r-1")
        assert freed.out.startswith("$0.5000 are free again for the group first. A process of that run which is alive")
        assert service.path == "/api/coordinator/groups/first/runs/r-1/free"
        service.script = lambda _: Reply(json.dumps({"detail": "the run r-1 is at work"}).encode(), 409)
        kept = await clairgen("coordinator", url, "--group", "first", "--free", "r-1")
        assert (kept.code, "refuses: the run r-1 is at work" in kept.err) == (2, True)
        service.page = lambda _: Reply(b'{"detail": "this needs a valid token"}', 401)
        without = await clairgen("coordinator", url, environment={"CLAIRGEN_TOKEN_MEMBER": "t" * 40})
        named = "CLAIRGEN_TOKEN_RUN or CLAIRGEN_TOKEN_REVIEW or CLAIRGEN_TOKEN_READ"
        assert f"asks for a valid token; set {named} to one of its own" in without.err


async def test_groups_that_are_over_are_shown_and_forgotten_together() -> None:
    old = GROUP | {"group": "old", "idle_since": "2026-01-02T03:04:05.678+00:00"}
    new = GROUP | {"group": "new", "idle_since": datetime.now(UTC).isoformat()}
    async with ScriptedEndpoint(coordinating) as service:
        service.page = lambda _: Reply(json.dumps([GROUP, old, new]).encode(), 200)
        url = service.url.removesuffix("/v1")
        shown = await clairgen("coordinator", url, "--idle-days", "30")
        assert "old: 1 run" in shown.out
        assert "nobody at work since 2026-01-02 03:04 UTC" in shown.out
        assert "first: " not in shown.out
        assert "new: " not in shown.out
        assert (await clairgen("coordinator", url, "--forget", "--idle-days", "30")).out == "1 group forgotten.\n"
        assert service.path == "/api/coordinator/groups/old/forget"
        assert (await clairgen("coordinator", url, "--forget")).code == 2
        for odd in (b"<html>", b"{}", b"[1]", b'[{"name": "x"}]'):
            service.page = lambda _, content=odd: Reply(content, 200)  # type: ignore[misc]  # the loop's
            failed = await clairgen("coordinator", url)
            assert (failed.code, "is it a clairgen service of this version?" in failed.err) == (3, True)


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["coordinator"], 2, "name the coordinator"),
        (["coordinator", "head"], 2, "is not the URL of a service"),
        (["coordinator", CLOSED], 3, "does not answer (no connection to"),
        (["coordinator", CLOSED, "--free", "r"], 2, "name it with --group NAME"),
        (["coordinator", CLOSED, "--group", "g", "--free", "r", "--forget"], 2, "--free and --forget are two things"),
        (["coordinator", CLOSED, "--group", "g", "--free", "r", "--idle-days", "9"], 2, "--free changes one run"),
        (["register", "--model", "m", "--url", "http://a/v1"], 2, "give --coordinator URL, or --folder FOLDER"),
        (["register", "--model", "m", "--url", "node1", "--folder", "x"], 2, "is not a base URL"),
        (["register", "--model", "m", "--url", "http://a:b@c/v1", "--folder", "x"], 2, "must not hold a user name"),
    ],
)
async def test_what_cannot_be_done_is_one_sentence(arguments: list[str], code: int, sentence: str) -> None:
    done = await clairgen(*arguments)
    assert (done.code, sentence in done.err) == (code, True), done.err


async def test_generate_says_what_does_not_go_together(tmp_path: Path) -> None:
    settings = tmp_path / "config.yaml"
    settings.write_text(config_text("http://127.0.0.1:9/v1", write_tasks(tmp_path / "t.jsonl", questions(2))))
    for arguments, sentence in (
        (["--group", "g"], "name the coordinator with --coordinator URL"),
        (["--shard", "lease/2"], "takes a shard from a coordinator"),
        (
            ["--shard", "lease/2", "--coordinator", CLOSED, "--dry-run"],
            "a coordinator says when the run begins; name one",
        ),
        (["--shard", "lease/2", "--coordinator", CLOSED], "write its number into --run as {shard}"),
    ):
        done = await clairgen("generate", settings, "--run", tmp_path / "run", *arguments)
        assert (done.code, sentence in done.err) == (2, True), done.err
    assert not (tmp_path / "run").exists()


@pytest.mark.process
async def test_a_process_that_was_stopped_sends_nothing_more_by_a_lease_that_has_ended(tmp_path: Path) -> None:
    lease_seconds, concurrency, is_silent = 2.0, 3, False

    def coordinator(message: dict[str, Any]) -> Reply:
        if is_silent:
            return Reply(b"{}", 503)
        shares = [
            {"endpoint": use["endpoint"], "requests_per_minute": 60_000, "concurrency": concurrency}
            for use in message.get("endpoints", ())
        ]
        granted = {"lease": message.get("sequence", 0), "seconds": lease_seconds, "shares": shares}
        return Reply(json.dumps(granted).encode())

    settings, tasks = tmp_path / "config.yaml", write_tasks(tmp_path / "t.jsonl", questions(5000))
    limits = {"requests_per_minute": 60_000, "concurrency": concurrency}
    async with ScriptedEndpoint(coordinator) as leases, ScriptedEndpoint(played) as endpoint:
        settings.write_text(config_text(endpoint.url, tasks, target=limits, stronger=limits, reviser=limits))
        arguments: list[str | Path] = ["generate", settings, "--run", tmp_path / "run"]
        arguments += ["--coordinator", leases.url.removesuffix("/v1"), "--jobs", "0"]
        async with forked(*arguments) as running:
            while len(endpoint.asked) < 30:  # noqa: ASYNC110 - of another process
                await asyncio.sleep(0.01)
            running.send_signal(signal.SIGSTOP)
            is_silent = True
            await asyncio.sleep(lease_seconds)
            before = len(endpoint.asked)
            running.send_signal(signal.SIGCONT)
            await asyncio.sleep(1)
            assert len(endpoint.asked) - before <= 3 * concurrency  # of each role what had its slot already
            is_silent = False
            while len(endpoint.asked) < before + 30:  # noqa: ASYNC110 - of another process
                await asyncio.sleep(0.01)


@pytest.mark.process
async def test_a_server_is_announced_in_a_folder_until_sigterm(tmp_path: Path) -> None:
    async with ScriptedEndpoint(coordinating) as server:
        server.page = lambda _: Reply(b"", 200)
        arguments: list[str | Path] = [
            "register",
            "--model",
            "m",
            "--url",
            server.url,
            "--folder",
            tmp_path / "servers",
        ]
        async with forked(*arguments) as running:
            while not list((tmp_path / "servers").glob("*.json")):  # noqa: ASYNC110 - of another process
                await asyncio.sleep(0.05)
            running.send_signal(signal.SIGTERM)
            assert await running.wait() == 0
    assert server.pages[0] == "/health"
    assert list((tmp_path / "servers").iterdir()) == []
