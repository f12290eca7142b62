"""The batch modes of clairgen, curator and Inspect at a provider that fails by script: what each keeps, and pays for twice.

python -m tests.bench.batch_peers --peers build/peers

Twenty requests a fault. A client that does not keep every answer in its first start is started once more, in the way that its
documentation says. Everything is counted from outside: answers by the provider, and what is kept by the client's own files.
"""

import asyncio
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from clairgen import api
from clairgen.records import Pair
from tests.bench.batch_peer_faults import FAULTS, REQUESTS, CountingProvider, Fault
from tests.bench.peers.batch_with_curator import kept as kept_by_curator
from tests.bench.rate import installed, python
from tests.runs import config_text, questions, write_tasks

CLIENTS = {"clairgen": "", "curator": "bespokelabs-curator", "inspect": "inspect-ai"}
SCRIPTS = Path(__file__).parent / "peers"
BATCH = {"quiet_seconds": 2, "collect_seconds": 10, "poll_seconds": 1, "search_seconds": 10}


@dataclass(frozen=True, slots=True)
class Start:
    """What is to be said after a start: how it ended, the answers kept, and those given and given again, so far."""

    ended: str
    kept: int
    wrong: int
    given: int
    again: int

    def __str__(self) -> str:
        wrong = f", {self.wrong} wrongly matched" if self.wrong else ""
        return f"{self.kept} kept, {self.again} twice{wrong} ({self.ended})"


def main(
    peers: Annotated[Path, typer.Option(help="Folder with an environment of each peer.")] = Path("build/peers"),
    fault: Annotated[list[str] | None, typer.Option(help="A fault's name; may be repeated.")] = None,
    client: Annotated[list[str] | None, typer.Option(help="A client's name; may be repeated.")] = None,
    seconds: Annotated[float, typer.Option(help="A start that has not ended by then is said to hang.")] = 120,
    at_once: Annotated[int, typer.Option(help="Faults at the same time.")] = 3,
    logs: Annotated[Path | None, typer.Option(help="Folder for what the clients write.")] = None,
) -> None:
    """Print a row a fault."""
    clients = client or list(CLIENTS)
    typer.echo(f"| the provider | {' | '.join(clients)} |\n|{'---|' * (len(clients) + 1)}")
    asyncio.run(measured([FAULTS[name] for name in fault or FAULTS], clients, peers, seconds, at_once, logs))
    versions = [f"{CLIENTS[name]} {installed(CLIENTS[name], peers / name)}" for name in clients if CLIENTS[name]]
    typer.echo(f"\n{', '.join(versions)}; {time.strftime('%d %B %Y')}; a start hangs after {seconds:.0f} s")


async def measured(
    faults: list[Fault], clients: list[str], peers: Path, seconds: float, at_once: int, logs: Path | None
) -> None:
    """All faults, a few at a time."""
    free = asyncio.Semaphore(at_once)

    async def row(fault: Fault) -> None:
        async with free:
            cells = []
            for name in clients:
                with tempfile.TemporaryDirectory() as folder:
                    starts = await Trial(name, fault, Path(folder), peers, seconds, logs).starts()
                cells.append("; again: ".join(map(str, starts)))
            typer.echo(f"| {fault.words} | {' | '.join(cells)} |")

    async with asyncio.TaskGroup() as group:
        for fault in faults:
            group.create_task(row(fault))


@dataclass
class Trial:
    """A client under a fault."""

    client: str
    fault: Fault
    folder: Path
    peers: Path
    seconds: float
    logs: Path | None

    async def starts(self) -> list[Start]:
        """The first start and, where it did not keep all that can be answered, a second."""
        found = []
        async with CountingProvider() as provider:
            self.fault.script(provider)
            for number in (1, 2):
                ended = await self._ended(provider, number)
                provider.finish()
                kept = await self._kept()
                right = {prompt for prompt, answer in kept if answer.startswith(f"{prompt} is a question")}
                wrong = sum(not answer.startswith(f"{prompt} is a question") for prompt, answer in kept)
                given = provider.answers
                found.append(Start(ended, len(right), wrong, given.total(), given.total() - len(given)))
                if len(right) == self.fault.answerable and ended != "killed":
                    break
        return found

    async def _ended(self, provider: CountingProvider, number: int) -> str:
        command = self._command(provider.url, again=number > 1)
        log = (
            Path(os.devnull)
            if self.logs is None
            else self.logs / f"{self.client}-{self.fault.script.__name__}-{number}"
        )
        keys = {"OPENAI_API_KEY": "none", "OPENAI_BASE_URL": provider.url, "INSPECT_LOG_LEVEL": "info"}
        begun = time.monotonic()
        with log.open("ab") as written:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=written,
                stderr=written,
                env=os.environ | keys,
                start_new_session=True,
            )
        if number == 1 and self.fault.kill is not None:
            self._kill_when(provider, process)
        try:
            code = await asyncio.wait_for(process.wait(), self.seconds)
        except TimeoutError:
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
            return "hangs"
        finally:
            provider.call = provider.call if self.fault.kill is None else (lambda _method, _path: None)
        if code == -signal.SIGKILL:
            return "killed"
        return f"{'ends' if code == 0 else 'fails'}, {time.monotonic() - begun:.0f} s"

    def _kill_when(self, provider: CountingProvider, process: asyncio.subprocess.Process) -> None:
        is_due = self.fault.kill
        assert is_due is not None

        def call(_method: str, _path: str) -> None:
            if process.returncode is None and any(is_due(*seen) for seen in provider.calls.items()):
                os.killpg(process.pid, signal.SIGKILL)

        provider.call = call

    def _command(self, url: str, *, again: bool) -> Iterator[str]:
        given = self.folder / "prompts.json"
        given.write_text(json.dumps(questions(REQUESTS)))
        size = self.fault.batch
        if self.client == "clairgen":
            return self._clairgen(url, again=again)
        if self.client == "curator":
            script = str(SCRIPTS / "batch_with_curator.py")
            return iter([python(self.peers / "curator"), script, url, str(self.folder), str(given), str(size)])
        return self._inspect(given, again=again)

    def _clairgen(self, url: str, *, again: bool) -> Iterator[str]:
        source = write_tasks(self.folder / "tasks.jsonl", questions(REQUESTS))
        role = {"delivery": "batch", "batch": BATCH | {"requests": self.fault.batch}}
        config = self.folder / "config.yaml"
        config.write_text(config_text(url, source, recipes=["clair"], reviser=role))
        yield from (sys.executable, "-m", "clairgen", "generate", str(config), "--run", str(self.folder / "run"))
        if again and self.fault.kill is None:
            yield "--retry-failed"

    def _inspect(self, prompts: Path, *, again: bool) -> Iterator[str]:
        logs = self.folder / "logs"
        yield str(self.peers / "inspect" / "bin" / "inspect")
        if again:
            yield from ("eval-retry", str(max(logs.glob("*.eval"), key=lambda path: path.stat().st_mtime)))
        else:
            size, settings = self.fault.batch, self.folder / "batch.json"
            settings.write_text(json.dumps({"size": size, "max_size": size, "send_delay": 2, "tick": 1}))
            yield from ("eval", f"{SCRIPTS / 'batch_with_inspect.py'}@answers", "-T", f"prompts={prompts}")
            yield from ("--model", "openai/gpt-4o-mini", "-M", "responses_api=false", "--batch", str(settings))
            yield from ("--max-connections", str(REQUESTS))
        yield from ("--no-fail-on-error", "--log-buffer", "1", "--log-dir", str(logs), "--display", "plain")

    async def _kept(self) -> list[tuple[str, str]]:
        """Each prompt and answer that the client has kept, by its own files."""
        if self.client == "curator":
            return kept_by_curator(self.folder)
        if self.client == "clairgen":
            made = await api.made_pairs(self.folder / "run", "clair")
            pairs = [(one.task.messages[-1].content, one.outcome) for one in made]
            return [(prompt, pair.chosen.text) for prompt, pair in pairs if isinstance(pair, Pair)]
        command = [python(self.peers / "inspect"), str(SCRIPTS / "batch_with_inspect.py"), str(self.folder / "logs")]
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        written, _ = await process.communicate()
        return [(prompt, answer) for prompt, answer in json.loads(written or b"[]")]


if __name__ == "__main__":
    typer.run(main)
