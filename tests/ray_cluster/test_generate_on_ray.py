"""`generate --on ray`: a run in shards over a small Ray of this machine's own, and what is refused before any starts."""

import asyncio
import re
from pathlib import Path

import pytest

from clairgen import api
from clairgen.cli import generate_on_ray
from clairgen.config.file import load_config
from clairgen.errors import COPY, DRAINED, ENDPOINTS, REPLACED, USER, ClairgenError, ConfigError, exit_code
from clairgen.iteration.served_command import free_port
from clairgen.pipeline.generate import generate
from clairgen.ray_cluster.shard_process import ShardEnd
from clairgen.store import runs_inside
from clairgen.task_shard import TaskShard
from tests.cli.commands import clairgen, interpreter, pairs_in
from tests.ray_cluster.test_model_replicas import VLLM
from tests.runs import TARGET, config, config_text, played, questions, write_tasks
from tests.scripted import ScriptedEndpoint
from tests.scripted_vllm import vllm_in

pytest.importorskip("ray")


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    """A configuration whose endpoint answers nobody."""
    path = tmp_path / "config.yaml"
    path.write_text(config_text("http://127.0.0.1:9/v1", write_tasks(tmp_path / "tasks.jsonl", questions(3))))
    return path


@pytest.mark.process
async def test_a_run_on_ray_is_the_run_of_one_machine(tmp_path: Path) -> None:
    tasks = write_tasks(tmp_path / "tasks.jsonl", questions(12))
    settings, run = tmp_path / "config.yaml", tmp_path / "run"
    environment = {"PATH": vllm_in(tmp_path / "bin", VLLM), "RAY_OVERRIDE_RESOURCES": '{"CPU": 2, "GPU": 1}'}
    async with ScriptedEndpoint(played) as endpoint:
        text = config_text(endpoint.url, tasks, reviser={"requests_per_minute": 60_000})
        settings.write_text(text)
        on_ray = ("--on", "ray", "--ray-address", "local", "--shards", "2", "--shard-cpus", "0.5", "--vllm", TARGET)
        copied = ("--copy-to", tmp_path / "copies", "--local-folder", tmp_path / "disk")
        done = await interpreter("generate", settings, "--run", run, *on_ray, *copied, environment=environment)
        assert (done.code, pairs_in(done.out, "clair")["made"]) == (0, 12), done
        assert re.search(r"a coordinator of this command, at http://\S+, divides limits and the budget", done.err)
        assert "1 of 1 replica serve" in done.err
        assert len(endpoint.asked) == 24  # the replica answers for the target
        await generate(config(endpoint.url, tasks), tmp_path / "whole")
    for recipe in ("clair", "stronger-preferred"):
        assert await api.made_pairs(run, recipe) == await api.made_pairs(tmp_path / "whole", recipe)
    assert load_config(run / "config.yaml") == load_config(settings)
    copies = {folder.name for folder in (tmp_path / "copies").iterdir()}
    assert copies == {"coordinator", "shard-1-of-2", "shard-2-of-2"}
    assert runs_inside(tmp_path / "run.shards") == []


async def test_options_for_ray_are_refused_without_it(settings: Path, tmp_path: Path) -> None:
    for words, name in {
        ("--shards", "4"): "--shards",
        ("--ray-address", "auto"): "--ray-address",
        ("--no-coordinator",): "--no-coordinator",
    }.items():
        done = await clairgen("generate", settings, "--run", tmp_path / "run", *words)
        assert (done.code, done.err) == (2, f"Error: {name} is for --on ray; leave it out\n")
    done = await clairgen("generate", settings, "--run", tmp_path / "run", "--on", "ray", "--shard", "1/2")
    assert (done.code, done.err[:15]) == (2, "Error: --shard ")
    done = await clairgen("generate", settings, "--run", tmp_path / "run", "--shard", "1/2", "--take-over")
    assert (done.code, "give --shard i/N and --coordinator URL with it" in done.err) == (2, True)
    assert not (tmp_path / "run.shards").exists()


@pytest.mark.parametrize(
    ("code", "goes_on"), [(ENDPOINTS, True), (COPY, True), (DRAINED, True), (USER, False), (REPLACED, False)]
)
def test_the_same_command_is_advised_only_where_it_can_go_on(
    code: int, goes_on: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    ends = {TaskShard(1, 2): ShardEnd(0, "", "a"), TaskShard(2, 2): ShardEnd(code, "Error: it says why", "b")}
    with pytest.raises(ClairgenError) as raised:
        generate_on_ray._raise_what_stopped(ends, "clairgen generate ...")
    assert exit_code(raised.value) == code
    assert ("; another command makes this run by now, so let that one finish" in str(raised.value)) == (
        code == REPLACED
    )
    assert capsys.readouterr().out == ("Continue with: clairgen generate ...\n" if goes_on else "")


async def test_nodes_that_do_not_join_are_not_waited_for_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    from clairgen.ray_cluster import ray_session

    monkeypatch.setattr(ray_session, "living_nodes", lambda: [{}])
    said: list[str] = []
    await ray_session.wait_for_nodes(1, said.append, asyncio.Event())
    with pytest.raises(ConfigError, match="only 1 node of 2 joined Ray's cluster within 0 s"):
        await ray_session.wait_for_nodes(2, said.append, asyncio.Event(), most_seconds=0)
    assert said == []


async def test_an_address_where_nobody_listens_is_refused_at_once(settings: Path, tmp_path: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    done = await clairgen("generate", settings, "--run", tmp_path / "run", "--on", "ray", "--ray-address", address)
    assert (done.code, done.err.startswith(f"Error: nobody answers at {address}, where Ray should be: ")) == (
        2,
        True,
    ), done


async def test_a_run_of_one_machine_is_no_target(settings: Path, tmp_path: Path) -> None:
    async with ScriptedEndpoint(played) as endpoint:
        await generate(config(endpoint.url, tmp_path / "tasks.jsonl"), tmp_path / "run")
    done = await clairgen("generate", settings, "--run", tmp_path / "run", "--on", "ray")
    assert (done.code, "was not made on a cluster; go on with it without --on ray" in done.err) == (2, True), done
