"""Ctrl-C while answers never come: the time to drain is kept to, and what was asked is accounted for."""

import asyncio
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from clairgen import api
from tests.cli.commands import clairgen, pairs_in
from tests.cli.forked import forked
from tests.cli.test_commands import prepared
from tests.runs import REVISER, played
from tests.scripted import Reply, ScriptedEndpoint


@pytest.mark.process
async def test_what_does_not_answer_is_cut_off_when_the_time_to_drain_is_over(tmp_path: Path) -> None:
    asked_all = asyncio.Event()

    def half_dead(request: dict[str, Any]) -> Reply:
        if request["model"] != REVISER:
            return played(request)
        if sum(asked["model"] == REVISER for asked in endpoint.asked) == 8:
            asked_all.set()
        return Reply(played(request).body, delay_seconds=600)

    async with ScriptedEndpoint(half_dead) as endpoint:
        config, run = await prepared(tmp_path, endpoint.url, count=20)
        async with forked("generate", config, "--run", run, "--drain-seconds", "1.5") as running:
            await asked_all.wait()
            await asyncio.sleep(1.0)  # the others end
            start = asyncio.get_running_loop().time()
            running.send_signal(signal.SIGINT)
            out, err = await running.communicate()
        seconds = asyncio.get_running_loop().time() - start
        assert running.returncode == 130, err
        assert 1.5 <= seconds < 10
        assert "at most 1.5 s" in err
        assert "were still being made after 1.5 s and were cut off" in err
        assert pairs_in(out, "clair")["made"] == 0
        assert f"Continue with: clairgen generate {config} --run {run} --drain-seconds 1.5" in out
        spent = (await api.status(run)).spent
        assert spent.open_calls == 8  # they may be billed, so they count at their most
        assert spent.unsettled > 0
        first = len(endpoint.asked)
        endpoint.script = played
        again = await clairgen("generate", config, "--run", run)
        assert again.code == 0, again
    counted = Counter(asked["model"] for asked in endpoint.asked[first:])
    assert counted[REVISER] == 20
    assert first + counted.total() == 60 + 8  # only what was cut off was asked twice
