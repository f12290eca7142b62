"""`evaluate` and `advise` by batch: the same results as directly, nothing requested again, left with --detach and collected."""

import json
from pathlib import Path
from typing import Any

import pytest

from clairgen.config.file import parse_config
from clairgen.pipeline.generate import generate
from tests.batch_provider import BatchProvider
from tests.batch_trials import QUICK
from tests.cli.commands import Done, clairgen
from tests.judges import JUDGE, likes_winners, playing
from tests.runs import TARGET, config_text, questions, write_tasks
from tests.scripted import Reply, said

BATCH = {"delivery": "batch", "batch": QUICK, "timeout_seconds": 5, "patience_seconds": 1}
DIRECT: dict[str, Any] = {}
COUNT = 8


def script(request: dict[str, Any]) -> Reply:
    """A model that adds, another that does so at length, and a judge who likes the long answers."""
    prompt = request["messages"][-1]["content"]
    if request["model"] == JUDGE:
        first = prompt.split("{student_solution_1}: ")[1].split("\n\n")[0]
        return said(f"{{teacher_reasoning}}: so it is. [{1 if 'at length' in first else 2}]", tokens=(50, 9))
    number = int(prompt.split()[2])
    return said(f"It is {number + (number != 3)}" + " at length" * (request["model"] == TARGET), tokens=(20, 5))


def sums(folder: Path) -> Path:
    rows = [{"prompt": f"What is {n} + 1?", "reference": n + 1, "id": f"q{n}"} for n in range(COUNT)]
    return write_tasks(folder / "sums.jsonl", rows)


def config(folder: Path, url: str, **roles: dict[str, Any]) -> Path:
    """The models of an evaluation, each with further keys."""
    price = {"price_per_million": {"input": 1, "output": 2}}
    names = {"target": TARGET, "opponent": "other", "judge": JUDGE}
    models = {
        role: {"model": names[role], "endpoints": [url], "temperature": 0, "max_tokens": 50} | price | keys
        for role, keys in roles.items()
    }
    path = folder / "evaluate.yaml"
    path.write_text(json.dumps({"models": models}))
    return path


async def asked(folder: Path, url: str, *more: str, kind: str = "questions", **roles: dict[str, Any]) -> Done:
    arguments: tuple[str | Path, ...] = ("--run", folder / "run", "--config", config(folder, url, **roles), *more)
    return await clairgen("evaluate", kind, sums(folder), *arguments)


async def test_questions_by_batch_are_scored_as_directly_and_requested_once(tmp_path: Path) -> None:
    rule = ("--rule", "numeric", "--json")
    async with BatchProvider(script) as provider:
        done = await asked(tmp_path, provider.url, *rule, target=BATCH)
        assert done.code == 0, done
        assert (len(provider.batches), provider.asked, len(provider.bill)) == (1, [], COUNT)
        again = await asked(tmp_path, provider.url, *rule, target=DIRECT)
        assert (json.loads(again.out), provider.asked) == (json.loads(done.out), [])
        (tmp_path / "other").mkdir()
        direct = await asked(tmp_path / "other", provider.url, *rule, target=DIRECT)
        shares = [json.loads(one.out)["overall"] for one in (done, direct)]
        assert shares[0] == shares[1]
        assert shares[0]["mean"] == pytest.approx((COUNT - 1) / COUNT)


async def test_a_judged_evaluation_goes_in_waves_of_batches(tmp_path: Path) -> None:
    async with BatchProvider(script) as provider:
        roles = {"target": BATCH, "opponent": DIRECT, "judge": BATCH}
        done = await asked(tmp_path, provider.url, "--json", kind="pairwise", **roles)
        assert done.code == 0, done
        assert json.loads(done.out)["outcomes"] == {"won": COUNT}
        assert {request["model"] for request in provider.asked} == {"other"}
        assert provider.bill.total() == len(provider.bill) == 3 * COUNT  # an answer, and a judgement in each order
        listed = await clairgen("batches", tmp_path / "run")
        assert "of target: completed" in listed.out and "of judge: completed" in listed.out
        assert len(provider.batches) == 2  # both orders in one


async def test_an_evaluation_that_was_left_is_collected_by_the_same_command(tmp_path: Path) -> None:
    async with BatchProvider(script) as provider:
        provider.states = ["in_progress"] * 999
        left = await asked(tmp_path, provider.url, "--rule", "numeric", "--detach", target=BATCH)
        assert left.code == 0, left
        assert f"1 batch with {COUNT} requests goes on at the provider; run the same command later" in left.out
        assert "in_progress" in (await clairgen("batches", tmp_path / "run")).out
        provider.go_on()
        done = await asked(tmp_path, provider.url, "--rule", "numeric", target=BATCH)
        assert done.code == 0, done
        assert "87.5%" in done.out
        assert (len(provider.batches), provider.paid_twice) == (1, {})


async def test_batches_of_an_evaluation_are_cancelled_with_the_configuration_that_names_their_endpoint(
    tmp_path: Path,
) -> None:
    async with BatchProvider(script) as provider:
        provider.states = ["in_progress"] * 999
        provider.late = 3
        await asked(tmp_path, provider.url, "--rule", "numeric", "--detach", target=BATCH)
        refused = await clairgen("batches", tmp_path / "run", "--cancel")
        assert refused.code == 2
        assert "made with: --config FILE" in refused.err
        cancelled = await clairgen("batches", tmp_path / "run", "--cancel", "--config", tmp_path / "evaluate.yaml")
        assert (cancelled.code, cancelled.out.splitlines()[0]) == (0, "1 batch cancelled.")
        provider.go_on()
        done = await asked(tmp_path, provider.url, "--rule", "numeric", target=BATCH)
        assert done.code == 0, done
        assert (len(provider.bill), provider.paid_twice) == (COUNT, {})


async def test_advise_by_batch_is_left_and_collected_and_says_what_it_would_directly(tmp_path: Path) -> None:
    async with BatchProvider(playing(likes_winners)) as provider:
        tasks = write_tasks(tmp_path / "tasks.jsonl", questions(COUNT))
        judge = {"model": JUDGE, "endpoints": [provider.url], "temperature": 0, "max_tokens": 100} | BATCH
        text = config_text(provider.url, tasks, recipes=["clair"], judge=judge)
        await generate(parse_config(text), tmp_path / "run")
        made = len(provider.asked)
        provider.states = ["in_progress"] * 999
        left = await clairgen("advise", tmp_path / "run", "--detach")
        assert left.code == 0, left
        assert f"1 batch with {2 * COUNT} requests goes on at the provider" in left.out  # both orders
        provider.go_on()
        [found] = json.loads((await clairgen("advise", tmp_path / "run", "--json")).out)
        assert (found["outcomes"], found["complete"]) == ({"won": COUNT}, True)
        assert len(provider.asked) == made + COUNT  # a fresh answer of the target for each pair
        assert (provider.bill.total(), provider.paid_twice) == (2 * COUNT, {})


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--detach",), "no role has `delivery: batch`; leave it out"),
        (("--detach", "--checkpoints", "trained"), "--detach is for one model; leave --checkpoints out"),
    ],
)
async def test_detach_without_batches_is_one_sentence(more: tuple[str, ...], words: str, tmp_path: Path) -> None:
    done = await asked(tmp_path, "http://127.0.0.1:9/v1", "--rule", "numeric", *more, target=DIRECT)
    assert (done.code, "Traceback" in done.err) == (2, False)
    assert words in done.err
