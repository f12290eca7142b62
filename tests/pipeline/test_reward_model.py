import asyncio
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from clairgen.errors import DrainedError, InputError
from clairgen.inference.local_rewards import RewardScorer
from clairgen.pipeline.advise import AdviseOptions, advise
from clairgen.pipeline.generate import generate
from clairgen.recipes.compare import Outcome
from clairgen.records import Message, Variant
from tests.judges import likes_winners, playing
from tests.runs import config, questions, write_tasks
from tests.scripted import ScriptedEndpoint

QUESTION = (Message("user", "Why?"),)


class Longest:
    """A reward that is the answer's length; the first call waits for `go`."""

    name = "longest"
    truncated = 0

    def __init__(self) -> None:
        self.calls: list[int] = []
        self.go = threading.Event()
        self.refuses = False

    def scores(self, conversations: Sequence[Sequence[Mapping[str, str]]]) -> list[float]:
        """Characters of each answer."""
        self.go.wait(10)
        self.calls.append(len(conversations))
        if self.refuses:
            raise InputError("the reward model longest is tired; let it rest")
        return [float(len(conversation[-1]["content"])) for conversation in conversations]


async def test_what_is_queued_while_the_model_is_busy_is_scored_together() -> None:
    model = Longest()
    async with RewardScorer(model) as scoring, asyncio.TaskGroup() as group:
        first = group.create_task(scoring(QUESTION, ["a", "bb"]))
        await asyncio.sleep(0.05)
        others = [group.create_task(scoring(QUESTION, ["c" * number, ""])) for number in range(50)]
        await asyncio.sleep(0.05)
        model.go.set()
    assert first.result() == (1.0, 2.0)
    assert [task.result() for task in others] == [(float(number), 0.0) for number in range(50)]
    assert model.calls == [2, 64, 36]


async def test_what_the_model_refuses_reaches_all_who_wait() -> None:
    model = Longest()
    model.refuses = True
    model.go.set()
    async with RewardScorer(model) as scoring:
        found = await asyncio.gather(*(scoring(QUESTION, ["a"]) for _ in range(3)), return_exceptions=True)
    assert [str(error) for error in found] == ["the reward model longest is tired; let it rest"] * 3


@pytest.mark.slow
async def test_winners_with_higher_scores_make_it_apo_zero_and_equal_scores_are_ties(tmp_path: Path) -> None:
    tasks = write_tasks(tmp_path / "tasks.jsonl", questions(20))
    model = Longest()
    model.go.set()
    async with ScriptedEndpoint(playing(likes_winners)) as endpoint:
        await generate(config(endpoint.url, tasks, recipes=["clair"]), tmp_path / "run")
        [longer] = (await advise(tmp_path / "run", reward_model=model)).recipes
        model.scores = lambda conversations: [1.0] * len(conversations)  # type: ignore[method-assign]  # the test's own model
        [same] = (await advise(tmp_path / "run", reward_model=model)).recipes
    assert longer.rate.recommendation is Variant.APO_ZERO
    assert longer.by == "reward model longest"
    assert same.outcomes == {Outcome.EQUAL_SCORES: 20}
    assert same.rate.recommendation is None


@pytest.mark.slow
async def test_a_model_that_cannot_go_on_stops_the_session(tmp_path: Path) -> None:
    tasks = write_tasks(tmp_path / "tasks.jsonl", questions(20))
    model = Longest()
    model.refuses = True
    model.go.set()
    async with ScriptedEndpoint(playing(likes_winners)) as endpoint:
        await generate(config(endpoint.url, tasks, recipes=["clair"]), tmp_path / "run")
        found = await advise(tmp_path / "run", AdviseOptions(per_pair=True), reward_model=model)
        assert isinstance(found.stopped_by, InputError)
        assert found.recipes[0].advised is None
        stop = asyncio.Event()
        stop.set()
        with pytest.raises(DrainedError):
            raise (await advise(tmp_path / "run", reward_model=model, stop=stop)).stopped_by or AssertionError
