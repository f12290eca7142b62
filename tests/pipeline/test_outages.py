"""Endpoints that refuse, fail, die and come back, with more requests than slots: nothing hangs, nothing is lost."""

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from clairgen.errors import DrainedError, EndpointsError
from clairgen.inference.runtime import Runtime
from clairgen.pipeline.generate import Summary, generate
from clairgen.pipeline.progress import Progress
from tests.clocks import FakeClock
from tests.runs import TARGET, config, played, questions, write_tasks
from tests.scripted import Reply, ScriptedEndpoint, refused, said

pytestmark = pytest.mark.slow

TASKS = 200


async def made(
    folder: Path,
    *urls: str,
    clock: FakeClock | None = None,
    stop: asyncio.Event | None = None,
    progress: Progress | None = None,
    **target: Any,  # noqa: ANN401
) -> Summary:
    tasks = write_tasks(folder / "tasks.jsonl", questions(TASKS))
    given = config(
        urls[0], tasks, recipes=["clair"], target={"endpoints": list(urls), **target}, reviser={"endpoints": [urls[0]]}
    )
    runtime = Runtime() if clock is None else Runtime(clock=clock, sleep=clock.sleep, random=lambda: 0.5)
    async with asyncio.timeout(60):
        return await generate(given, folder / "run", runtime=runtime, stop=stop, progress=progress)


def models(endpoint: ScriptedEndpoint) -> Counter[str]:
    return Counter(request["model"] for request in endpoint.asked)


@pytest.mark.parametrize("reply", [refused(401, "bad key"), refused(404, "no such model"), refused(403, "not yours")])
async def test_a_rejection_of_every_request_stops_all_that_wait(tmp_path: Path, reply: Reply) -> None:
    async with ScriptedEndpoint(lambda _: reply) as endpoint:
        summary = await made(tmp_path, endpoint.url)
    assert isinstance(summary.stopped_by, EndpointsError)
    assert len(endpoint.asked) <= 24


async def test_dead_endpoint_stops_all_that_wait(tmp_path: Path) -> None:
    clock = FakeClock()
    summary = await made(tmp_path, "http://127.0.0.1:9/v1", clock=clock)
    assert isinstance(summary.stopped_by, EndpointsError)
    assert summary.statuses == {"clair": {"pending": TASKS}}


async def test_endpoints_that_are_gone_are_waited_for_with_a_reason_and_for_a_stated_time(tmp_path: Path) -> None:
    clock, died = FakeClock(), 0.0

    def script(request: dict[str, Any]) -> Reply:
        nonlocal died
        if len(endpoint.asked) <= 100:
            return played(request)
        died = died or clock()
        return refused(503, "going down")

    async with ScriptedEndpoint(script) as endpoint:
        summary = await made(tmp_path, endpoint.url, clock=clock, patience_seconds=120)
    assert isinstance(summary.stopped_by, EndpointsError)
    assert "no endpoint of the role 'target' can be used" in str(summary.stopped_by)
    assert 120 <= clock() - died < 240
    assert any("going down); waiting up to 120 s for one" in note for note in summary.progress.notes)
    assert summary.failed == 0


async def test_stop_drains_while_the_endpoint_is_dead(tmp_path: Path) -> None:
    stop, progress = asyncio.Event(), Progress()
    running = asyncio.create_task(made(tmp_path, "http://127.0.0.1:9/v1", stop=stop, progress=progress))
    while not progress.role("target").failed_attempts:  # noqa: ASYNC110 - counters send no signal
        await asyncio.sleep(0.05)
    stop.set()
    start = asyncio.get_running_loop().time()
    summary = await running
    assert isinstance(summary.stopped_by, DrainedError)
    assert asyncio.get_running_loop().time() - start < 5


async def test_endpoint_that_fails_at_once_gets_few_requests_while_the_other_works(tmp_path: Path) -> None:
    async with ScriptedEndpoint(played) as good, ScriptedEndpoint(lambda _: refused(503)) as bad:
        summary = await made(tmp_path, good.url, bad.url, clock=FakeClock())
    assert summary.statuses == {"clair": {"made": TASKS}}
    assert len(bad.asked) < 60


async def test_outage_of_the_only_endpoint_fails_no_task(tmp_path: Path) -> None:
    clock = FakeClock()
    outage = range(150, 165)

    def script(request: dict[str, Any]) -> Reply:
        return refused(503) if len(endpoint.asked) in outage else played(request)

    async with ScriptedEndpoint(script) as endpoint:
        summary = await made(tmp_path, endpoint.url, clock=clock)
    assert summary.statuses == {"clair": {"made": TASKS}}


async def test_prompt_that_a_gateway_forbids_fails_alone(tmp_path: Path) -> None:
    def script(request: dict[str, Any]) -> Reply:
        prompt = request["messages"][-1]["content"]
        return refused(403, "blocked by policy") if prompt == "Question number 7" else played(request)

    async with ScriptedEndpoint(script) as endpoint:
        summary = await made(tmp_path, endpoint.url)
    assert summary.statuses == {"clair": {"made": TASKS - 1, "failed": 1}}
    assert summary.failures[0][1] == "http-403"


async def test_storm_of_429s_fails_no_task_and_sends_no_flood(tmp_path: Path) -> None:
    clock = FakeClock()
    allowed, filled_at = 2.0, clock()

    def limited(request: dict[str, Any]) -> Reply:
        nonlocal allowed, filled_at
        allowed, filled_at = min(2.0, allowed + 2 * (clock() - filled_at)), clock()
        if allowed < 1:
            return refused(429)
        allowed -= 1
        return played(request)

    async with ScriptedEndpoint(limited) as endpoint:
        summary = await made(tmp_path, endpoint.url, clock=clock, concurrency=64)
    assert summary.statuses == {"clair": {"made": TASKS}}
    assert len(endpoint.asked) < 2 * 2 * TASKS


async def test_a_request_that_is_rejected_alone_fails_by_name_while_all_others_are_answered(tmp_path: Path) -> None:
    clock = FakeClock()
    start = clock()

    def script(request: dict[str, Any]) -> Reply:
        prompt = request["messages"][-1]["content"]
        return refused(429, "slow down") if prompt == "Question number 7" else played(request)

    async with ScriptedEndpoint(script) as endpoint:
        summary = await made(tmp_path, endpoint.url, clock=clock)
        attempts = endpoint.prompts()["Question number 7"]
    assert summary.statuses == {"clair": {"made": TASKS - 1, "failed": 1}}
    _, reason, _, detail = summary.failures[0]
    assert reason == "rejected-alone"
    assert f"slow down (rejected {attempts} times while other requests were answered)" in detail
    assert 10 <= attempts <= 12
    assert clock() - start < 180


async def test_requests_that_are_rejected_alone_fail_even_when_no_others_are_left(tmp_path: Path) -> None:
    clock = FakeClock()
    start = clock()

    def script(request: dict[str, Any]) -> Reply:
        prompt = request["messages"][-1]["content"]
        return refused(429) if prompt.endswith("99") and request["model"] == TARGET else played(request)

    async with ScriptedEndpoint(script) as endpoint:
        summary = await made(tmp_path, endpoint.url, clock=clock)
    assert summary.statuses == {"clair": {"made": TASKS - 2, "failed": 2}}
    assert summary.failures[0][1] == "rejected-alone"
    assert clock() - start < 600


async def test_429s_from_the_first_request_on_are_waited_out_for_long(tmp_path: Path) -> None:
    clock = FakeClock()
    opened = clock() + 600

    def closed(request: dict[str, Any]) -> Reply:
        return refused(429) if clock() < opened else played(request)

    async with ScriptedEndpoint(closed) as endpoint:
        summary = await made(tmp_path, endpoint.url, clock=clock)
    assert summary.statuses == {"clair": {"made": TASKS}}


async def test_endpoint_that_only_sends_429s_stops_the_run_in_the_end(tmp_path: Path) -> None:
    async with ScriptedEndpoint(lambda _: refused(429, "daily limit reached")) as endpoint:
        summary = await made(tmp_path, endpoint.url, clock=FakeClock())
    assert isinstance(summary.stopped_by, EndpointsError)
    assert "daily limit reached" in str(summary.stopped_by)


async def test_endless_wait_that_an_endpoint_asks_for_is_bounded(tmp_path: Path) -> None:
    async with ScriptedEndpoint(lambda _: said("x")) as endpoint:
        endpoint.script = lambda request: (
            refused(429, retry_after="inf") if len(endpoint.asked) == 1 else played(request)
        )
        summary = await made(tmp_path, endpoint.url, clock=FakeClock())
    assert summary.statuses == {"clair": {"made": TASKS}}


async def test_endpoint_that_comes_back_is_used_while_the_other_is_busy(tmp_path: Path) -> None:
    def slowly(request: dict[str, Any]) -> Reply:
        return Reply(played(request).body, delay_seconds=0 if request["model"] == "reviser-model" else 8)

    async with ScriptedEndpoint(played) as unused:
        port = int(unused.url.split(":")[2].removesuffix("/v1"))
    async with ScriptedEndpoint(slowly) as slow:
        running = asyncio.create_task(made(tmp_path, slow.url, unused.url, concurrency=4))
        await asyncio.sleep(1.0)
        async with ScriptedEndpoint(played, port) as back:
            await asyncio.sleep(4.0)
            assert models(back)["target-model"] > TASKS / 2
            await running


async def test_cancelled_generate_sends_nothing_more(tmp_path: Path) -> None:
    slow = ScriptedEndpoint(lambda request: Reply(played(request).body, delay_seconds=0.2))
    async with slow as endpoint:
        tasks = write_tasks(tmp_path / "tasks.jsonl", questions(TASKS))
        running = asyncio.create_task(generate(config(endpoint.url, tasks), tmp_path / "run"))
        await asyncio.sleep(1.0)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        asked = len(endpoint.asked)
        await asyncio.sleep(0.5)
        assert len(endpoint.asked) == asked > 0


async def test_odd_but_good_answers_are_kept(tmp_path: Path) -> None:
    odd = [
        b'{"id": "\\ud800", "choices": [{"message": {"content": "a"}, "finish_reason": "st\\udc00op"}]}',
        b'{"choices": [{"message": {"content": "b"}}], "usage": {"prompt_tokens": 18446744073709551615}}',
        b'{"choices": [{"message": {"content": [{"type": "text", "text": null}, {"type": "text", "text": "c"}]}}]}',
    ]

    def script(request: dict[str, Any]) -> Reply:
        number = len(endpoint.asked) - 1
        if number < len(odd):
            return Reply(odd[number], headers={"x-request-id": "caf\xe9", "retry-after": "\xe9"})
        return played(request)

    async with ScriptedEndpoint(script) as endpoint:
        summary = await made(tmp_path, endpoint.url)
    assert summary.statuses == {"clair": {"made": TASKS}}


async def test_half_an_answer_of_a_server_that_shuts_down_is_requested_again(tmp_path: Path) -> None:
    def script(request: dict[str, Any]) -> Reply:
        return said("half of", finish_reason="abort") if len(endpoint.asked) <= 3 else played(request)

    async with ScriptedEndpoint(script) as endpoint:
        summary = await made(tmp_path, endpoint.url, clock=FakeClock())
    assert summary.statuses == {"clair": {"made": TASKS}}
    assert summary.progress.roles["target"].retried == 3
