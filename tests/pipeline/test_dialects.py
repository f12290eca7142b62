"""Answers drawn from all servers' dialects, mixed: what is exported is whole, and everything else has its name."""

import os
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from clairgen import api
from clairgen.inference.runtime import Runtime
from clairgen.pipeline.generate import generate
from clairgen.records import Pair
from clairgen.store.directory import RunDirectory
from tests.clocks import FakeClock
from tests.dialects import DIALECTS, HIDDEN, Babel, answer_to, revision_of
from tests.runs import REVISER, TARGET, config, write_tasks
from tests.scripted import ScriptedEndpoint

pytestmark = pytest.mark.slow

REPAIRED = "\ufffd\n"
ANSWERS = int(os.environ.get("FUZZ_ANSWERS", "600"))  # `make fuzz` asks for 20,000


async def test_every_task_ends_as_its_dialects_say(tmp_path: Path) -> None:
    prompts = {f"q{number}": f"Question number {number}" for number in range(ANSWERS // 2)}
    tasks = write_tasks(tmp_path / "tasks.jsonl", [{"id": name, "prompt": prompt} for name, prompt in prompts.items()])
    babel, clock, run = Babel(seed=1), FakeClock(), tmp_path / "run"
    runtime = Runtime(clock=clock, sleep=clock.sleep, random=lambda: 0.5, environment={})
    async with ScriptedEndpoint(babel) as endpoint:
        summary = await generate(config(endpoint.url, tasks, recipes=["clair"]), run, runtime=runtime)
    assert summary.stopped_by is None
    ends = failures(run)
    for stored in await api.made_pairs(run, "clair"):
        ends[stored.task.id] = "kept" if stored.dropped_by is None else stored.dropped_by.filter
        if stored.dropped_by is None:
            assert isinstance(stored.outcome, Pair)
            rejected, chosen = stored.outcome.rejected.text, stored.outcome.chosen.text
            answer = answer_to(prompts[stored.task.id])
            assert HIDDEN not in rejected + chosen
            assert (rejected.rstrip(REPAIRED), chosen.rstrip(REPAIRED)) == (answer, revision_of(answer))
    assert ends.keys() == prompts.keys()
    wrong: Counter[tuple[str, str, str]] = Counter()
    for name, prompt in prompts.items():
        target, reviser = babel.drawn[TARGET, prompt], babel.drawn.get((REVISER, prompt), "")
        told = [DIALECTS[drawn].ends for drawn in (target, reviser) if drawn]
        right = {"kept"} if all("kept" in ends for ends in told) else set().union(*told) - {"kept"}
        if ends[name] not in right:
            wrong[target, reviser, ends[name]] += 1
    assert not wrong, wrong


def failures(run: Path) -> dict[str, str]:
    """The reasons of failed tasks."""
    with closing(sqlite3.connect(RunDirectory(run).database)) as store:
        return dict(store.execute("SELECT task_id, reason FROM failures").fetchall())
