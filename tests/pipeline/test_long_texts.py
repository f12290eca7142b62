import asyncio
import random
import time
from pathlib import Path
from typing import Any

import pytest

from clairgen.pipeline.generate import Options, generate
from tests.runs import REVISER, config, played, questions, write_tasks
from tests.scripted import Reply, ScriptedEndpoint, said

LONGEST_STILL_SECONDS = 1.0
"""How long the event loop may stand still while long texts are worked on; on a busy machine, too."""


def written(seed: int, characters: int) -> str:
    """A text that differs from that of another seed nearly everywhere."""
    return "".join(random.Random(seed).choices("abcdefgh ", k=characters))


def at_length(characters: int) -> Any:  # noqa: ANN401 - a script
    """The usual script, but the answers to Question number 0 have so many characters."""

    def script(request: dict[str, Any]) -> Reply:
        if "Question number 0" not in request["messages"][-1]["content"]:
            return played(request)
        if request["model"] == REVISER:
            return said(f"{{teacher_reasoning}}: weak\n\n{{corrected_student_solution}}: {written(1, characters)}")
        return said(written(2, characters))

    return script


async def longest_still_seconds(stop: asyncio.Event) -> float:
    longest = 0.0
    while not stop.is_set():
        start = time.perf_counter()
        await asyncio.sleep(0.01)
        longest = max(longest, time.perf_counter() - start)
    return longest


@pytest.mark.slow
@pytest.mark.parametrize(("characters", "is_measured"), [(100_000, True), (600_000, False)])
async def test_a_pair_of_long_texts_holds_up_no_other(tmp_path: Path, characters: int, is_measured: bool) -> None:
    tasks = write_tasks(tmp_path / "tasks.jsonl", questions(31))
    stop = asyncio.Event()
    beating = asyncio.create_task(longest_still_seconds(stop))
    async with ScriptedEndpoint(at_length(characters)) as endpoint:
        run = config(endpoint.url, tasks, recipes=["clair"])
        summary = await generate(run, tmp_path / "run")
        asked = len(endpoint.asked)
        again = await generate(run, tmp_path / "run", Options(retry_failed=True))
        assert (asked, len(endpoint.asked)) == (62, 62)  # paid answers are kept
    stop.set()
    assert await beating < LONGEST_STILL_SECONDS
    if is_measured:
        assert summary.statuses == {"clair": {"made": 31}}
    else:
        assert summary.statuses == again.statuses == {"clair": {"made": 30, "failed": 1}}
        assert [(recipe, reason, count) for recipe, reason, count, _ in summary.failures] == [
            ("clair", "too-long-to-measure", 1)
        ]
