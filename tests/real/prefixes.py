"""What could be gained by sending asks of one prompt to one vLLM: its prefix cache on and off, for prompts that are asked twice.

python -m tests.real.prefixes --python .venv-vllm/bin/python

With the cache off every ask computes its whole prompt, as if the second one always went to another server; with it on the second
one finds the first one's, as a placement by prefix would bring about. The ratio is the most that such a placement can gain.
"""

import asyncio
import signal
import statistics
import sys
import time
from importlib import resources
from pathlib import Path
from typing import Annotated

import typer

from clairgen.inference.openai_format import read_response, request_body
from clairgen.inference.runtime import open_transport
from clairgen.inference.transport import Timeouts
from clairgen.records import Message, Sampling
from tests.real.vllm_server import VllmServer

MODEL = "student"


def main(
    python: Annotated[Path, typer.Option(help="The Python of the environment that vLLM is installed in.")],
    prompts: Annotated[int, typer.Option(help="Prompts, each asked twice.")] = 40,
    words: Annotated[int, typer.Option(help="Words of a prompt.")] = 100,
    answer_tokens: Annotated[int, typer.Option(help="Tokens of an answer.")] = 100,
    rounds: Annotated[int, typer.Option(help="Rounds, whose median counts.")] = 3,
) -> None:
    """Ask two servers in turn, one with the cache and one without."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers end with us
    asyncio.run(_compared(python, prompts, words, answer_tokens, rounds))


async def _compared(python: Path, prompts: int, words: int, answer_tokens: int, rounds: int) -> None:
    checkpoint = Path(str(resources.files("clairgen.data.classroom"))) / MODEL
    caching = ("--enable-prefix-caching", "--no-enable-prefix-caching")
    logs = (Path("build/vllm-cached.log"), Path("build/vllm-uncached.log"))
    async with (
        VllmServer(python, checkpoint, MODEL, logs[0], caching[0]) as cached,
        VllmServer(python, checkpoint, MODEL, logs[1], caching[1]) as uncached,
    ):
        await asyncio.gather(cached.start(), uncached.start())
        ratios = []
        for number in range(rounds + 1):
            seconds = [await _asked(server.url, number, prompts, words, answer_tokens) for server in (cached, uncached)]
            if number:  # the first one warms up
                ratios.append(seconds[1] / seconds[0])
                typer.echo(f"with the cache {seconds[0]:.1f} s, without it {seconds[1]:.1f} s")
    typer.echo(f"without the cache it takes {statistics.median(ratios):.3f} times as long")


async def _asked(url: str, salt: int, prompts: int, words: int, answer_tokens: int) -> float:
    """Seconds for all prompts twice, the second time in the same order, 16 in flight."""
    transport, free = open_transport(), asyncio.Semaphore(16)

    async def ask(number: int) -> None:
        text = f"{salt} {number} " + "the sun and the moon " * (words // 5)
        sampling = Sampling(temperature=0.7, max_tokens=answer_tokens, extra={"ignore_eos": True})
        # Without a seed: vLLM 0.32 for CPUs dies of a seeded prompt that it computes in parts.
        body = request_body(MODEL, [Message("user", text)], sampling, None)
        async with free:
            response = await transport.post(
                f"{url}/chat/completions", {"content-type": "application/json"}, body, Timeouts()
            )
        read_response(response, now_seconds=time.time())

    start = time.monotonic()
    for _ in range(2):
        async with asyncio.TaskGroup() as group:
            for number in range(prompts):
                group.create_task(ask(number))
    await transport.close()
    return time.monotonic() - start


if __name__ == "__main__":
    typer.run(main)
