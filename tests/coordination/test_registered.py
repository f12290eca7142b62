"""Model servers that announce themselves, and runs whose endpoints come and go with them."""

import asyncio
import json
import os
import threading
import time
from collections.abc import AsyncIterator
from collections.abc import Set as AbstractSet
from dataclasses import replace
from pathlib import Path

import pytest

from clairgen.config.file import parse_config
from clairgen.coordination import announcing
from clairgen.coordination.announcing import RegistryFolder, RegistryOfCoordinator, keep_announced
from clairgen.coordination.coordinator_client import CoordinatorClient
from clairgen.coordination.wire import SERVER_SECONDS, ModelServer
from clairgen.errors import ConfigError, EndpointsError
from clairgen.inference import registered
from clairgen.inference.registered import GONE_SECONDS, FolderOfServers, ServerWatch
from clairgen.pipeline.generate import Options, generate
from clairgen.whole_files import write_whole
from tests.clocks import FakeClock
from tests.coordination.coordinated import AT, Coordinated
from tests.runs import TARGET, config, config_text, played, questions, write_tasks
from tests.scripted import Reply, ScriptedEndpoint

SERVER = ModelServer(model=TARGET, url="http://node1:8000/v1")
NO_SERVERS = (
    "file:///etc/passwd",
    "gguf:model.gguf",
    "registered",
    "http://[::1",
    "http://",
    "http://user:password@node1/v1",
    "http://node1:99999/v1",
    "http://node1/v1?key=1",
    "http://node1/\r\nx: y",
)


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Coordinated]:
    async with Coordinated(tmp_path / "runs") as opened:
        yield opened


async def test_a_file_counts_as_long_as_its_time_changes_whatever_the_clocks_of_machines_say(tmp_path: Path) -> None:
    clock, registry = FakeClock(), RegistryFolder(tmp_path / "servers")
    servers = FolderOfServers(tmp_path / "servers", clock)
    assert servers.urls(TARGET) == set()  # there is no folder yet
    await registry.announce(SERVER)
    [file] = (tmp_path / "servers").iterdir()
    os.utime(file, (10**9, 10**9))  # a clock that is years behind
    assert servers.urls(TARGET) == {SERVER.url}
    assert servers.urls("other-model") == set()
    clock.seconds += GONE_SECONDS
    assert servers.urls(TARGET) == {SERVER.url}
    clock.seconds += 1
    assert servers.urls(TARGET) == set()
    await registry.announce(SERVER)
    assert servers.urls(TARGET) == {SERVER.url}
    for content in ("", "[]", '{"model": "x"}', json.dumps({"model": TARGET, "url": "file:///etc/passwd"}), "\xff"):
        (tmp_path / "servers" / "odd.json").write_text(content, encoding="latin-1")
        assert servers.urls(TARGET) == {SERVER.url}
    await registry.withdraw(SERVER)
    assert servers.urls(TARGET) == set()


def test_what_is_no_servers_file_is_left_out_of_a_folder_at_once(tmp_path: Path) -> None:
    folder = tmp_path / "servers"
    folder.mkdir()
    (folder / "deep.json").write_text("[" * 9_999)
    os.mkfifo(folder / "pipe.json")
    (folder / "endless.json").symlink_to("/dev/zero")
    (folder / "circle.json").symlink_to(folder / "circle.json")
    (folder / "folder.json").mkdir()
    for number, url in enumerate(NO_SERVERS):
        (folder / f"{number}.json").write_text(json.dumps({"model": TARGET, "url": url}))
    (folder / "good.json").write_text(SERVER.model_dump_json())
    began = time.monotonic()
    assert FolderOfServers(folder, FakeClock()).urls(TARGET) == {SERVER.url}
    assert time.monotonic() - began < 5  # nobody writes into the pipe


async def test_a_run_asks_the_servers_that_there_are_at_any_moment(tmp_path: Path) -> None:
    tasks = write_tasks(tmp_path / "tasks.jsonl", questions(300))
    registry, folder = RegistryFolder(tmp_path / "servers"), tmp_path / "servers"

    def slowly(request: dict[str, object]) -> Reply:
        return Reply(played(request).body, delay_seconds=0.02)

    async with ScriptedEndpoint(slowly) as first, ScriptedEndpoint(slowly) as second:
        target = {"endpoints": [f"registered:{folder}"], "concurrency": 2, "patience_seconds": 60}
        settings = config(first.url, tasks, recipes=["stronger-preferred"], target=target)
        runtime = Coordinated(tmp_path / "unused").runtime()
        runtime = replace(runtime, clock=lambda: time.monotonic() + 100_000)  # a machine that has been up for a day
        running = asyncio.create_task(generate(settings, tmp_path / "run", runtime=runtime))
        one, other = (ModelServer(model=TARGET, url=endpoint.url) for endpoint in (first, second))

        def asked(endpoint: ScriptedEndpoint) -> int:
            return [request["model"] for request in endpoint.asked].count(TARGET)

        async def until_asked(endpoint: ScriptedEndpoint, count: int) -> None:
            async with asyncio.timeout(20):
                while asked(endpoint) < count:  # noqa: ASYNC110 - what another one sends
                    await asyncio.sleep(0.01)

        while not (tmp_path / "run" / "run.log").exists():  # noqa: ASYNC110 - the run begins without a server
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.3)
        assert asked(first) == 0
        assert not running.done()
        await registry.announce(one)
        await until_asked(first, 20)
        await registry.announce(other)
        await until_asked(second, 20)
        await registry.withdraw(one)
        await asyncio.sleep(0.5)
        before = asked(first)
        summary = await running
        assert summary.statuses["stronger-preferred"] == {"made": 300}
        assert asked(first) == before
        assert asked(first) + asked(second) == 300


async def test_a_folder_that_hangs_keeps_neither_requests_nor_the_end_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hanging, hangs = threading.Event(), threading.Event()
    urls = FolderOfServers.urls

    def urls_of_a_folder_that_hangs(folder: FolderOfServers, model: str) -> AbstractSet[str]:
        if hanging.is_set():
            hangs.set()
            time.sleep(60)
        return urls(folder, model)

    monkeypatch.setattr(FolderOfServers, "urls", urls_of_a_folder_that_hangs)
    monkeypatch.setattr(registered, "HANGING_SECONDS", 0.1)
    tasks = write_tasks(tmp_path / "tasks.jsonl", questions(40))

    def reply(request: dict[str, object]) -> Reply:
        hanging.set()
        return Reply(played(request).body, delay_seconds=0.01 if hangs.is_set() else 0.1)

    async with ScriptedEndpoint(reply) as endpoint:
        await RegistryFolder(tmp_path / "servers").announce(ModelServer(model=TARGET, url=endpoint.url))
        target = {"endpoints": [f"registered:{tmp_path / 'servers'}"], "concurrency": 2}
        settings = config(endpoint.url, tasks, recipes=["stronger-preferred"], target=target)
        began = time.monotonic()
        summary = await generate(settings, tmp_path / "run", runtime=Coordinated(tmp_path / "unused").runtime())
        assert summary.statuses["stronger-preferred"] == {"made": 40}
        assert hangs.is_set()
        assert time.monotonic() - began < 30
    assert any("is the file system of `registered:FOLDER` out of reach?" in note for note in summary.progress.notes)


async def test_a_run_that_is_cancelled_while_a_folder_hangs_looks_for_no_more_servers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked, release = threading.Event(), threading.Event()

    def hangs(*_: object) -> AbstractSet[str]:
        looked.set()
        release.wait(60)
        return set()

    monkeypatch.setattr(FolderOfServers, "urls", hangs)
    tasks = write_tasks(tmp_path / "tasks.jsonl", questions(2))
    settings = config("http://127.0.0.1:9/v1", tasks, target={"endpoints": [f"registered:{tmp_path}"]})
    running = asyncio.create_task(generate(settings, tmp_path / "run", runtime=Coordinated(tmp_path / "u").runtime()))
    while not looked.is_set():  # noqa: ASYNC110 - of a thread
        await asyncio.sleep(0.01)
    running.cancel()
    await asyncio.wait([running])
    release.set()
    await asyncio.sleep(0.1)
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_servers_of_one_folder_are_found_while_another_one_hangs() -> None:
    release, slept, notes = threading.Event(), list[float](), list[str]()

    def hangs() -> AbstractSet[str]:
        release.wait(60)
        return {"http://late/v1"}

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        await asyncio.sleep(0.01)

    found = list[AbstractSet[str]]()
    watch = ServerWatch("target", [hangs, lambda: {SERVER.url}], found.append, sleep, notes.append)
    while len(slept) < 3:  # noqa: ASYNC110 - of threads
        await asyncio.sleep(0)
    assert set(map(frozenset, found)) == {frozenset({SERVER.url})}
    release.set()
    await watch.first_look()
    assert found[-1] == {SERVER.url, "http://late/v1"}
    await watch.close()
    assert notes == []


async def test_a_server_stops_announcing_itself_at_once_while_its_folder_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_writing, stop = threading.Event(), asyncio.Event()

    def write_on_a_disk_that_hangs(*_: object) -> None:
        is_writing.set()
        time.sleep(60)

    monkeypatch.setattr(announcing, "write_whole", write_on_a_disk_that_hangs)
    async with ScriptedEndpoint(played) as endpoint:
        endpoint.page = lambda _: Reply(b"", 200)
        transport = Coordinated(tmp_path / "unused").runtime().transport(lambda _: None)
        server, folder = ModelServer(model=TARGET, url=endpoint.url), RegistryFolder(tmp_path / "servers")
        keeping = asyncio.create_task(keep_announced(server, folder, transport, stop, lambda _: None))
        while not is_writing.is_set():  # noqa: ASYNC110 - of a thread
            await asyncio.sleep(0.01)
        stop.set()
        async with asyncio.timeout(5):
            await keeping
        await transport.close()


async def test_a_server_that_ends_while_it_is_written_into_a_slow_folder_is_not_there_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, is_writing = tmp_path / "servers", threading.Event()

    def write_slowly(file: Path, content: str) -> None:
        is_writing.set()
        time.sleep(0.2)
        write_whole(file, content)

    monkeypatch.setattr(announcing, "write_whole", write_slowly)
    registry = RegistryFolder(folder)
    writing = asyncio.create_task(registry.announce(SERVER))
    while not is_writing.is_set():  # noqa: ASYNC110 - of a thread
        await asyncio.sleep(0.01)
    writing.cancel()
    await registry.withdraw(SERVER)
    await asyncio.sleep(0.3)
    assert list(folder.iterdir()) == []


async def test_a_run_stops_when_no_server_registers_in_time(tmp_path: Path) -> None:
    target = {"endpoints": [f"registered:{tmp_path}"], "patience_seconds": 0.3}
    settings = config("http://127.0.0.1:9/v1", write_tasks(tmp_path / "t.jsonl", questions(2)), target=target)
    settings = settings.model_copy(update={"recipes": settings.recipes[1:]})
    summary = await generate(settings, tmp_path / "run", runtime=Coordinated(tmp_path / "unused").runtime())
    assert isinstance(summary.stopped_by, EndpointsError)
    assert "no endpoint of the role 'target' can be used (none has registered)" in str(summary.stopped_by)
    assert any(
        "no server of the role 'target' has registered; waiting up to 0 s" in one for one in summary.progress.notes
    )


async def test_servers_of_a_coordinator_are_told_to_its_members_until_they_end(
    tmp_path: Path, served: Coordinated
) -> None:
    tasks = write_tasks(tmp_path / "tasks.jsonl", questions(10))
    transport = served.runtime().transport(lambda _: None)
    stop, notes = asyncio.Event(), list[str]()
    async with ScriptedEndpoint(played) as endpoint:
        server = ModelServer(model=TARGET, url=endpoint.url)
        registry = RegistryOfCoordinator(CoordinatorClient(transport, AT, ""))
        announced = asyncio.create_task(
            keep_announced(server, registry, transport, stop, notes.append, lambda _: asyncio.sleep(0.01))
        )
        settings = config(endpoint.url, tasks, target={"endpoints": ["registered"]})
        summary = await generate(settings, tmp_path / "run", Options(coordinator=AT), runtime=served.runtime())
        assert summary.statuses["clair"] == {"made": 10}
        assert notes == [f"{endpoint.url} is announced as a server of {TARGET}"]
        stop.set()
        await announced
    assert (await served.http.get("/api/coordinator/servers")).json() == {}
    await transport.close()


async def test_a_server_that_does_not_answer_is_not_announced_and_one_that_is_silent_is_left_out(
    tmp_path: Path,
) -> None:
    clock = FakeClock()
    async with Coordinated(tmp_path / "runs", clock) as served:
        await served.http.post("/api/coordinator/servers", json=SERVER.model_dump())
        assert (await served.http.get("/api/coordinator/servers")).json() == {TARGET: [SERVER.url]}
        clock.seconds += SERVER_SECONDS
        assert (await served.http.get("/api/coordinator/servers")).json() == {}
        transport, stop, notes = served.runtime().transport(lambda _: None), asyncio.Event(), list[str]()

        async def once(_seconds: float) -> None:
            stop.set()

        gone = ModelServer(model=TARGET, url="http://127.0.0.1:9/v1")
        await keep_announced(gone, RegistryFolder(tmp_path / "servers"), transport, stop, notes.append, once)
        assert notes == ["http://127.0.0.1:9/v1 does not answer yet, or no longer; it is announced when it does"]
        assert not (tmp_path / "servers").exists()
        await transport.close()


async def test_no_server_is_announced_that_no_request_can_be_sent_to_and_silent_ones_take_no_place(
    tmp_path: Path,
) -> None:
    clock = FakeClock()
    async with Coordinated(tmp_path / "runs", clock) as served:
        for url in NO_SERVERS:
            refused = await served.http.post("/api/coordinator/servers", json={"model": TARGET, "url": url})
            assert refused.status_code == 422, url
        for number in range(10_000):
            served.coordinator.announce(TARGET, f"http://node{number}/v1")
        one_more = {"model": TARGET, "url": "http://another/v1"}
        assert (await served.http.post("/api/coordinator/servers", json=one_more)).status_code == 409
        clock.seconds += SERVER_SECONDS
        assert (await served.http.post("/api/coordinator/servers", json=one_more)).status_code == 204
        assert (await served.http.get("/api/coordinator/servers")).json() == {TARGET: ["http://another/v1"]}


def test_what_a_registered_endpoint_cannot_have_is_refused(tmp_path: Path) -> None:
    for role in ({"weights": [1]}, {"delivery": "batch"}):
        with pytest.raises(ConfigError, match=r"registered|exactly one endpoint"):
            config("http://a/v1", tmp_path / "t", target={"endpoints": ["registered"], **role})
    for key in ({"api_key_env": "PAID"}, {"headers": {"x-key": "${PAID}"}}):
        mixed = {"endpoints": ["https://paid.example/v1", "registered"], **key}
        with pytest.raises(
            ConfigError, match=r"key of https://paid\.example/v1 would be sent to whatever server registers"
        ):
            config("http://a/v1", tmp_path / "t", target=mixed)
        config("http://a/v1", tmp_path / "t", target=mixed | {"endpoints": ["registered", "registered:/servers"]})
    assert parse_config(config_text("registered", tmp_path / "t")).models["target"].endpoints == ["registered"]
