"""clairgen against a real vLLM (on the CPU, with the classroom's student): what the wire says, whole runs, a server's death.

`make vllm` installs vLLM in a virtual environment of its own and calls this; it ends by itself, after a few minutes.
"""

import asyncio
import json
import signal
import sys
import tempfile
import time
from collections import Counter
from importlib import resources
from pathlib import Path
from typing import Annotated

import typer

from clairgen.embedded.gguf import embedded_address
from clairgen.embedded.server import serve
from clairgen.errors import UserError
from tests.cli.commands import Done, interpreter
from tests.real.clair_runs import ClairRuns
from tests.real.vllm_server import VllmServer
from tests.real.wire_facts import markdown, wire_facts

MODEL = "student"
MOST_SECONDS = 3600.0


def main(
    python: Annotated[Path, typer.Option(help="The Python of the environment that vLLM is installed in.")],
    questions: Annotated[int, typer.Option(min=50, help="Tasks of a run.")] = 200,
    log: Annotated[Path, typer.Option(help="Where vLLM's messages go.")] = Path("build/vllm.log"),
) -> None:
    """Start vLLM, look at its wire, make pairs with it, and kill it in the middle of a run."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the server ends with us
    try:
        asyncio.run(asyncio.wait_for(_check(python, questions, log), MOST_SECONDS))
    except UserError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from error


async def _check(python: Path, questions: int, log: Path) -> None:
    checkpoint = Path(str(resources.files("clairgen.data.classroom"))) / MODEL
    with tempfile.TemporaryDirectory() as name:
        async with VllmServer(python, checkpoint, MODEL, log) as server:
            seconds = await server.start()
            version = json.loads(await server.page("/version"))["version"]
            _tell(f"vLLM {version} answers {seconds:.0f} s after its start")
            runs = ClairRuns(Path(name), server.url, MODEL, questions)
            await _check_wire(server.url)
            await _check_pairs(runs, server)
            await _check_refusals(runs)
            await _check_long_prompt(runs, questions)
            await _check_restart(runs, server, questions)
            await _check_end(runs, server)


async def _check_wire(url: str) -> None:
    """The same asks to vLLM and to llama.cpp's server."""
    async with serve(embedded_address(f"classroom:{MODEL}")) as embedded:
        columns = {"vLLM": await wire_facts(url, MODEL), "llama.cpp": await wire_facts(embedded, MODEL)}
    typer.echo(markdown(columns))
    facts = columns["vLLM"]
    assert facts["/health"].startswith("200")
    assert facts["/v1/models"] == MODEL
    assert facts["one seed twice"] == "the same text"
    assert facts["five seeds"] != "1 texts"
    assert facts["max_tokens 2"].startswith("length") and facts["max_tokens 2"].endswith("+2 tokens")
    assert facts["n = 3"].endswith("3 choices")
    assert facts["a model it does not serve"].startswith("unusable: HTTP 404")
    assert "context-overflow" in facts["a prompt over the context"]


async def _check_pairs(runs: ClairRuns, server: VllmServer) -> None:
    """A run and its report; a second run with the same seed."""
    before, start = Counter(await server.finished()), time.monotonic()
    done = await runs.made("first")
    seconds = time.monotonic() - start
    assert done.code == 0, done
    drafts = runs.drafts("first")
    served = Counter(await server.finished()) - before
    _tell(
        f"{len(drafts)} drafts by vLLM and their revisions in {seconds:.1f} s, {len(drafts) / seconds:.1f} tasks/s; "
        f"vLLM finished {served.total()} asks: {dict(served)}"
    )
    typer.echo(done.out + (await _succeeded("report", runs.path("first"))).out)
    assert served.total() >= len(drafts) > 0
    assert (await runs.made("again")).code == 0
    same = sum(drafts[key] == text for key, text in runs.drafts("again").items())
    _tell(f"A second run with the same seed: {same} of {len(drafts)} drafts are the same")
    assert same > 0.9 * len(drafts)  # what is computed in other batches may round otherwise


async def _check_refusals(runs: ClairRuns) -> None:
    """What the server refuses whatever the prompt is stops the run."""
    wrong = await runs.made("wrong-model", model="no-such-model")
    _tell_ending("A model that vLLM does not serve", wrong)
    assert wrong.code == 3
    assert "no-such-model" in wrong.err
    long = await runs.made("max-tokens", max_tokens=100_000)
    _tell_ending("max_tokens over the context", long)
    assert long.code == 3
    assert "max_tokens=100000" in long.err


async def _check_long_prompt(runs: ClairRuns, questions: int) -> None:
    done = await runs.made("long-prompt", "What is 200 + 300? " * 2000)
    _tell_ending("One prompt that is longer than the context", done)
    assert done.code == 1
    assert "context-overflow" in done.out
    assert len(runs.drafts("long-prompt")) == questions


async def _check_restart(runs: ClairRuns, server: VllmServer, questions: int) -> None:
    """The server dies and comes back while a run waits for it."""
    run = asyncio.create_task(runs.made("restart"))
    kept = await _killed_in_the_middle(runs, "restart", server, run)
    await server.start()
    done = await run
    served = sum((await server.finished()).values())
    _tell_ending(f"vLLM killed with {kept} of {questions} drafts kept, then started again", done)
    _tell(f"vLLM finished {served} asks after that; {questions - kept} were missing")
    assert done.code == 0
    assert served >= questions - kept
    assert served - (questions - kept) <= 0.05 * questions  # answers that were empty are asked for once more


async def _check_end(runs: ClairRuns, server: VllmServer) -> None:
    """The server dies for good."""
    run = asyncio.create_task(runs.made("end", patience_seconds=5))
    kept = await _killed_in_the_middle(runs, "end", server, run)
    done = await run
    _tell_ending(f"vLLM killed for good, patience_seconds 5, with {kept} drafts kept", done)
    assert done.code == 3
    assert "Continue with: clairgen generate" in done.out
    assert len(runs.drafts("end")) == kept


async def _killed_in_the_middle(runs: ClairRuns, name: str, server: VllmServer, run: asyncio.Task[Done]) -> int:
    """Kill the server once a run has kept some drafts; how many it has kept."""
    while len(runs.drafts(name)) < 10:
        assert not run.done(), run.result()
        await asyncio.sleep(0.05)
    await server.kill()
    await asyncio.sleep(1)  # what was answered is committed
    kept = len(runs.drafts(name))
    assert not run.done(), run.result()
    return kept


async def _succeeded(*arguments: str | Path) -> Done:
    done = await interpreter(*arguments)
    assert done.code == 0, done
    return done


def _tell(sentence: str) -> None:
    typer.echo(f"\n{sentence}\n")


def _tell_ending(what: str, done: Done) -> None:
    typer.echo(f"\n{what}: exit code {done.code}\n{done.out}{done.err}")


if __name__ == "__main__":
    typer.run(main)
