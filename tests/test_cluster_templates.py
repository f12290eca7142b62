"""The templates for schedulers are run, with the variables that a scheduler sets and a scripted vLLM."""

import asyncio
import json
import os
import re
import shutil
import socket
import stat
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from clairgen import api
from clairgen.cli.app import app
from clairgen.errors import REPLACED, USER
from clairgen.iteration.served_command import free_port
from clairgen.pipeline.merge_shards import merge_shards
from tests.cli.commands import clairgen
from tests.runs import config_text, played, questions, write_tasks
from tests.scripted import ScriptedEndpoint

TEMPLATES = Path(__file__).parent.parent / "data" / "examples" / "cluster"
KUBERNETES: list[dict[str, Any]] = list(yaml.safe_load_all((TEMPLATES / "kubernetes.yaml").read_text()))
COORDINATOR: list[dict[str, Any]] = list(yaml.safe_load_all((TEMPLATES / "kubernetes-coordinator.yaml").read_text()))
SKYPILOT: dict[str, Any] = yaml.safe_load((TEMPLATES / "skypilot.yaml").read_text())
SKYPILOT_COORDINATOR: dict[str, Any] = yaml.safe_load((TEMPLATES / "skypilot-coordinator.yaml").read_text())
TASKS = 6
BUDGET_USD = 5.0
FREE = {"price_per_million": {"input": 0, "output": 0}}
HOSTNAME = "#!/bin/sh\n[ $# -eq 0 ] && echo localhost || echo '127.0.0.1 172.17.0.1 '\n"
VLLM = """
    import http.server, json, sys, time
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        def do_POST(self):
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            time.sleep(float(sys.argv[-1]))
            text = asked["messages"][-1]["content"] + " has an answer, which is this one"
            usage = {"prompt_tokens": 5, "completion_tokens": 5, "total_tokens": 10}
            choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
            body = json.dumps({"id": "1", "object": "chat.completion", "choices": [choice], "usage": usage}).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        def log_message(self, *_):
            pass
    port = int(sys.argv[sys.argv.index("--port") + 1])
    http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""
"""What `vllm serve MODEL --port PORT` is here; the last argument is the seconds that an answer takes."""


def executable(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def is_served(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


def parsed_options(command: str, arguments: Sequence[str]) -> dict[str, Any]:
    """The options of a command as it would be given them. Fails where it has no such option."""
    commands: Any = typer.main.get_command(app)
    parsed: dict[str, Any] = commands.commands[command].make_context(command, list(arguments)).params
    return parsed


class Node:
    """A machine on which a template's script is run: a folder, programs on the path, and a port for the model server."""

    def __init__(self, folder: Path, reviser: str, seconds: float) -> None:
        self.folder, self.port = folder, free_port()
        programs = folder / "bin"
        programs.mkdir()
        (programs / "server.py").write_text(textwrap.dedent(VLLM))
        executable(programs / "vllm", f'#!/bin/sh\nexec {sys.executable} {programs}/server.py "$@" {seconds}\n')
        executable(programs / "clairgen", f'#!/bin/sh\nexec {sys.executable} -m clairgen "$@"\n')
        executable(programs / "hostname", HOSTNAME)
        executable(programs / "scontrol", f'#!/bin/sh\necho "$@" >> {folder}/scontrol\n')
        tasks = write_tasks(folder / "tasks.jsonl", questions(TASKS))
        target = {"endpoints": [f"http://localhost:{self.port}/v1"], "concurrency": 1, **FREE}
        text = config_text(reviser, tasks, target=target, stronger=FREE, budget_usd=BUDGET_USD)
        (folder / "config.yaml").write_text(text)
        self.environment = {
            **os.environ,
            "PATH": f"{programs}:{os.environ['PATH']}",
            "PYTHONPATH": os.pathsep.join(sys.path),
            "PORT": str(self.port),
            "HOME": str(folder / "home"),
        }

    async def start(self, *command: str | Path, **variables: str) -> asyncio.subprocess.Process:
        """A script with the variables of a scheduler."""
        with (self.folder / "out").open("ab") as out:
            return await asyncio.create_subprocess_exec(
                *map(str, command),
                cwd=self.folder,
                env=self.environment | variables,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
            )

    async def run(self, *command: str | Path, **variables: str) -> int:
        """The exit code of a script."""
        return await (await self.start(*command, **variables)).wait()


def slurm(number: int, count: int = 2) -> dict[str, str]:
    """The variables of a job in an array that is counted from 1, as the template's is."""
    job = {"SLURM_ARRAY_JOB_ID": "77", "SLURM_ARRAY_TASK_ID": number, "SLURM_ARRAY_TASK_COUNT": count}
    return {
        name: str(value) for name, value in {**job, "SLURM_ARRAY_TASK_MIN": 1, "SLURM_ARRAY_TASK_MAX": count}.items()
    }


@asynccontextmanager
async def coordinator(node: Node, **variables: str) -> AsyncIterator[tuple[str, str]]:
    """The address and the token of a coordinator on the node, as they are in the folder of shards."""
    port = free_port()
    script = ("bash", TEMPLATES / "slurm-coordinator.sh", "shards")
    service = await node.start(*script, STATE=str(node.folder / "state"), COORDINATOR_PORT=str(port), **variables)
    try:
        async with asyncio.timeout(60):
            while not is_served(port):  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.05)
        token, url = node.folder / "shards" / "token", (node.folder / "shards" / "coordinator").read_text().strip()
        assert (url, stat.S_IMODE(token.stat().st_mode)) == (f"http://localhost:{port}", 0o600)
        yield url, token.read_text().strip()
    finally:
        service.terminate()
        assert await service.wait() == 0


@pytest.mark.process
async def test_a_slurm_job_and_a_skypilot_job_make_a_run_and_share_a_budget_once_there_is_a_coordinator(
    tmp_path: Path,
) -> None:
    read = {"CLAIRGEN_TOKEN_READ": "r" * 40}
    async with ScriptedEndpoint(played) as endpoint:
        node = Node(tmp_path, endpoint.url, seconds=0.4)
        script = ("bash", TEMPLATES / "slurm.sh", "config.yaml", "shards", "--log-texts")
        answered = asyncio.Event()
        endpoint.on_sent = lambda _request: answered.set()
        alone = await node.start(*script, **slurm(1))
        await answered.wait()
        alone.terminate()  # as sbatch does with --signal=B:TERM
        assert await alone.wait() == 130
        assert (tmp_path / "scontrol").read_text() == "requeue 77_1\n"
        async with coordinator(node, **read) as (url, token):
            before = len(endpoint.asked)
            assert await node.run(*script, **slurm(1)) == 0
            assert len(endpoint.asked) - before > 0
            found = {"CLAIRGEN_COORDINATOR": url, "CLAIRGEN_TOKEN_MEMBER": token}
            copies = {"COPIES": str(tmp_path / "copies"), "MODEL": "a/model"}
            rank = {"SKYPILOT_JOB_RANK": "1", "SKYPILOT_NUM_JOBS": "2"}
            assert await node.run("bash", "-c", SKYPILOT["run"], **found, **copies, **rank) == 0
            [group] = json.loads((await clairgen("coordinator", url, "--json", environment=read)).out)
        assert "Question number" in (tmp_path / "shards" / "1" / "run.log").read_text()  # as a further option wants it
        assert len({one["seed"] for one in endpoint.asked}) == len(endpoint.asked)  # nothing was asked twice
    assert group["budget_usd"] == BUDGET_USD
    assert [member["spent_usd"] > 0 for member in group["members"]] == [True, True]
    assert [(one["shard"], one["state"]) for one in group["shards"]] == [("1/2", "done"), ("2/2", "done")]
    async with asyncio.timeout(10):
        while is_served(node.port):  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.02)  # the model servers are told to end by the scripts, which do not wait for it
    restored = await clairgen("restore", tmp_path / "copies" / "1", "--run", tmp_path / "restored")
    assert restored.code == 0
    shutil.move(tmp_path / "shards" / "vllm-1.log", tmp_path / "vllm-1.log")
    summary = await merge_shards([tmp_path / "shards", tmp_path / "restored"], tmp_path / "run")
    assert (summary.lacking, summary.statuses["clair"]) == (0, {"made": TASKS})


def test_the_skypilot_coordinator_serves_at_the_address_that_the_jobs_are_given(tmp_path: Path) -> None:
    executable(tmp_path / "hostname", HOSTNAME)
    executable(tmp_path / "clairgen", f'#!/bin/sh\nprintf "%s\\n" "$@" > {tmp_path}/arguments\n')
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "HOME": str(tmp_path)}
    subprocess.run(["bash", "-c", SKYPILOT_COORDINATOR["run"]], check=True, env=environment)
    command, *arguments = (tmp_path / "arguments").read_text().splitlines()
    parsed = parsed_options(command, arguments)
    assert parsed["host"] == "0.0.0.0"  # noqa: S104
    assert (parsed["root"], parsed["allow_host"]) == (tmp_path / "coordinator", ["127.0.0.1"])
    said = (TEMPLATES / "skypilot-coordinator.yaml").read_text()
    assert f"http://$(ssh coordinator hostname -I | cut -d ' ' -f 1):{parsed['port']}" in said
    assert (tmp_path / "coordinator").is_dir()


def test_the_slurm_script_is_bash_that_sbatch_reads() -> None:
    text = (TEMPLATES / "slurm.sh").read_text()
    assert text.startswith("#!/bin/bash\n")
    head = text[: text.index("\nset -")]
    options = dict(re.findall(r"^#SBATCH --([a-z-]+)(?:=(\S+))?$", head, re.MULTILINE))
    assert len(options) == text.count("#SBATCH")  # sbatch reads none below the first command
    assert re.fullmatch(r"1-\d+", options["array"])
    left = int(options["signal"].removeprefix("B:TERM@"))
    assert _drain_seconds(text) + 15 < left
    for script in ("slurm.sh", "slurm-coordinator.sh"):
        subprocess.run(["bash", "-n", TEMPLATES / script], check=True)
        if shellcheck := shutil.which("shellcheck"):
            subprocess.run([shellcheck, TEMPLATES / script], check=True)


async def test_the_container_of_the_kubernetes_job_makes_a_shard_for_each_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployment, service, job = KUBERNETES
    [container] = job["spec"]["template"]["spec"]["containers"]
    places = {"=/runs/": "=runs/", "/config/": "", "=s3://my-bucket/runs/first/": "=copies/"}
    monkeypatch.chdir(tmp_path)
    async with ScriptedEndpoint(played) as endpoint:
        tasks = write_tasks(tmp_path / "tasks.jsonl", questions(TASKS))
        (tmp_path / "config.yaml").write_text(config_text(endpoint.url, tasks))
        for index in ("0", "1"):
            arguments = [
                one.replace("$(JOB_COMPLETION_INDEX)", index).replace("auto/8", "auto/2") for one in container["args"]
            ]
            for there, here in places.items():
                arguments = [one.replace(there, here) for one in arguments]
            done = await clairgen(*arguments, environment={"JOB_COMPLETION_INDEX": index})
            assert done.code == 0
            assert (tmp_path / "copies" / index).is_dir()
    assert (await api.export(tmp_path / "runs", tmp_path / "pairs")).row_count == 2 * TASKS
    assert service["spec"]["selector"] == deployment["spec"]["template"]["metadata"]["labels"]
    assert f"auto/{job['spec']['completions']}" in " ".join(container["args"])


def test_the_kubernetes_job_names_what_is_there() -> None:
    deployment, _, job = KUBERNETES
    for one in (deployment, job, COORDINATOR[-1]):
        pod = one["spec"]["template"]["spec"]
        volumes = {volume["name"] for volume in pod["volumes"]}
        [container] = pod["containers"]
        assert {mount["name"] for mount in container["volumeMounts"]} == volumes
    pod = job["spec"]["template"]["spec"]
    [container] = pod["containers"]
    assert (job["spec"]["completionMode"], pod["restartPolicy"]) == ("Indexed", "Never")
    parsed = parsed_options("generate", container["args"][1:])
    assert parsed["drain_seconds"] + 15 < pod["terminationGracePeriodSeconds"]
    rules = [rule for rule in job["spec"]["podFailurePolicy"]["rules"] if rule["action"] == "FailIndex"]
    assert rules[0]["onExitCodes"]["containerName"] == container["name"]
    assert rules[0]["onExitCodes"]["values"] == [USER, REPLACED]


def test_the_kubernetes_coordinator_is_what_the_shards_are_told() -> None:
    volume, service, deployment = COORDINATOR
    pod = deployment["spec"]["template"]["spec"]
    [container] = pod["containers"]
    [shard] = KUBERNETES[-1]["spec"]["template"]["spec"]["containers"]
    said = (TEMPLATES / "kubernetes-coordinator.yaml").read_text()
    [port] = [one["port"] for one in service["spec"]["ports"]]
    assert f"CLAIRGEN_COORDINATOR=http://{service['metadata']['name']}:{port} " in said
    parsed = parsed_options("serve", container["args"][1:])
    assert (parsed["allow_host"], parsed["port"]) == ([service["metadata"]["name"]], port)
    assert str(parsed["root"]) in [mount["mountPath"] for mount in container["volumeMounts"]]
    assert service["spec"]["selector"] == deployment["spec"]["template"]["metadata"]["labels"]
    assert pod["volumes"][0]["persistentVolumeClaim"]["claimName"] == volume["metadata"]["name"]
    [token] = container["env"]  # and no key of a provider
    [secret] = [source["secretRef"]["name"] for source in shard["envFrom"]]
    assert token["valueFrom"]["secretKeyRef"] == {"name": secret, "key": token["name"]}
    assert (container["image"], container["securityContext"]) == (shard["image"], shard["securityContext"])


def test_the_skypilot_files_say_what_their_commands_need() -> None:
    pool = yaml.safe_load((TEMPLATES / "skypilot-pool.yaml").read_text())
    assert pool["resources"]["accelerators"] == SKYPILOT["resources"]["accelerators"]
    assert "clairgen[copies]" in pool["setup"]
    assert "clairgen[serve]" in SKYPILOT_COORDINATOR["setup"]
    for task in (SKYPILOT, SKYPILOT_COORDINATOR):
        subprocess.run(["bash", "-n", "-c", task["run"]], check=True)
        named = set(re.findall(r"\$(?:\{)?([A-Z_]+)", task["run"])) - {"HOME", "PORT", "COORDINATOR_PORT"}
        assert named - {"SKYPILOT_JOB_RANK"} <= {*task.get("envs", {}), *task.get("secrets", {})}


def _drain_seconds(text: str) -> int:
    return int(re.findall(r"--drain-seconds[ =](\d+)", text)[0])
