"""Open batches in situations that their owners bring about: other settings, a budget that is spent, a key of another account."""

import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from clairgen.api import made_pairs
from clairgen.config.file import parse_config
from clairgen.errors import BudgetError, ConfigError, DetachedError, EndpointsError, StoreError
from clairgen.inference.runtime import Runtime
from clairgen.pipeline.advise import advise
from clairgen.pipeline.cancel_batches import cancel_batches
from clairgen.pipeline.detaching import look_at_batches
from clairgen.pipeline.estimate import estimate
from clairgen.pipeline.generate import Options
from clairgen.store import RunDirectory
from clairgen.store.store import writing
from tests.batch_provider import BatchProvider
from tests.batch_trials import TASKS, Trial
from tests.judges import judge_role, playing
from tests.runs import REVISER, played
from tests.scripted import Reply, refused


class Steady(Trial):
    """A trial whose requests are in one batch, however slow the machine is."""

    def config(self, tasks: int = TASKS, **reviser: Any) -> str:  # noqa: ANN401 - keys of a role
        """Its configuration."""
        batch = {"quiet_seconds": 0.3, "poll_seconds": 0.05} | reviser.get("batch", {})
        return super().config(tasks, **reviser | {"batch": batch})


def busy(provider: BatchProvider) -> None:
    """Batches are processed until the provider is to `go_on`."""
    provider.states = ["in_progress"] * 9999


def with_models(trial: Trial, **keys: Any) -> None:  # noqa: ANN401 - keys of the reviser
    """Price the target like the reviser, and leave out what no recipe asks."""
    text = json.loads(trial.config(**keys))
    text["models"]["target"]["price_per_million"] = {"input": 10, "output": 30}
    del text["models"]["stronger"]
    trial.config = lambda *_args, **_keys: json.dumps(text)  # type: ignore[method-assign]


async def test_a_limit_and_a_delivery_that_change_between_starts_request_nothing_again(tmp_path: Path) -> None:
    async with BatchProvider(played) as provider:
        busy(provider)
        trial = Steady(tmp_path, provider)
        await trial.generate(Options(limit=1), delivery="direct")
        for limit in (2, 4):
            left = await trial.generate(Options(limit=limit, detach=True))
            assert isinstance(left.stopped_by, DetachedError)
        left = await trial.generate(Options(limit=5, detach=True), delivery="auto", batch={"auto_from": 1})
        assert isinstance(left.stopped_by, DetachedError)
        provider.go_on()
        await trial.generate(delivery="direct")
        await trial.check_pairs()
        assert [len(batch.lines) for batch in provider.batches.values()] == [1, 2, 1]
        assert sum(request["model"] == REVISER for request in provider.asked) == 2
        assert provider.paid_twice == {}


async def test_the_key_of_another_account_loses_no_answer(tmp_path: Path) -> None:
    def with_other_key(_method: str, path: str) -> Reply | None:
        return refused(404, f"No such object: {path}", "not_found") if path.startswith(("/batches", "/files")) else None

    async with BatchProvider(played) as provider:
        busy(provider)
        trial = Steady(tmp_path, provider)
        await trial.generate(Options(detach=True))
        provider.call = with_other_key
        stopped = (await trial.generate()).stopped_by
        assert isinstance(stopped, EndpointsError)
        assert "the batch batch_2 of 'reviser', with 6 requests, is not found at http://" in str(stopped)
        assert f"check the key of this role: {'only keys of the account'}" in str(stopped)
        provider.call = lambda _method, _path: None
        provider.go_on()
        await trial.generate()
        await trial.check_pairs()
        assert (len(provider.batches), provider.paid_twice) == (1, {})


async def test_the_key_of_another_account_makes_no_second_batch(tmp_path: Path) -> None:
    def unanswered(method: str, path: str, reply: Reply) -> Reply | None:
        return None if (method, path) == ("POST", "/batches") else reply

    async with BatchProvider(played) as provider:
        busy(provider)
        provider.sent, provider.hidden_seconds = unanswered, 9999
        trial = Steady(tmp_path, provider)
        assert isinstance((await trial.generate()).stopped_by, EndpointsError)
        created = dict(provider.batches)
        provider.sent, files = (lambda _method, _path, reply: reply), dict(provider.files)
        provider.files.clear()
        stopped = (await trial.generate()).stopped_by
        assert "only keys of the account and project that created the batch can see it" in str(stopped)
        assert provider.batches == created
        provider.files |= files
        provider.go_on()
        for batch in created.values():
            batch.hidden_until = 0
        await trial.generate()
        await trial.check_pairs()


async def test_a_batch_that_is_gone_for_good_can_be_given_up(tmp_path: Path) -> None:
    async with BatchProvider(played) as provider:
        busy(provider)
        trial = Steady(tmp_path, provider)
        await trial.generate(Options(detach=True))
        provider.batches.clear()
        assert await cancel_batches(trial.run) == {"gone": 1}
        provider.states = []
        lost = await trial.generate()
        assert lost.statuses["clair"] == {"failed": TASKS}
        assert [reason for _recipe, reason, *_ in lost.failures] == ["result-lost"]
        assert len(provider.batches) == 0
        await trial.generate(Options(retry_failed=True))
        await trial.check_pairs()


async def test_a_configuration_without_the_endpoint_of_a_batch_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    async with BatchProvider(played) as provider:
        busy(provider)
        trial = Steady(tmp_path, provider)
        await trial.generate(Options(detach=True))
        before = (trial.run / "config.yaml").read_bytes(), trial.rows("SELECT * FROM plans")
        with pytest.raises(ConfigError, match=r"clairgen batches .*run --cancel"):
            await trial.generate(endpoints=["http://127.0.0.1:1/v1"], model="another")
        assert ((trial.run / "config.yaml").read_bytes(), trial.rows("SELECT * FROM plans")) == before
        assert await cancel_batches(trial.run) == {"cancelled": 1}  # as the sentence says


async def test_a_dry_run_counts_what_waits_in_a_batch_as_spent_and_not_again(tmp_path: Path) -> None:
    async with BatchProvider(played) as provider:
        busy(provider)
        trial = Steady(tmp_path, provider)
        await trial.generate(Options(limit=4, detach=True))
        found = await estimate(parse_config(trial.config()), trial.run)
        assert {role.role: role.calls for role in found.roles} == {"reviser": 2, "target": 2}
        assert found.spent.open_calls == 4
        assert found.notes == [
            "4 requests wait in open batches and would not be sent again; what that can cost is counted as spent"
        ]
        with pytest.raises(ConfigError, match=r"clairgen batches .*run --cancel"):
            await estimate(parse_config(trial.config(endpoints=["http://127.0.0.1:1/v1"])), trial.run)


async def test_what_has_ended_is_taken_in_although_the_budget_is_spent(tmp_path: Path) -> None:
    async with BatchProvider(played) as provider:
        busy(provider)
        trial = Steady(tmp_path, provider)
        with_models(trial)
        await trial.generate(Options(limit=3, detach=True, budget_usd=1))
        provider.go_on()
        spent = await trial.generate(Options(budget_usd=0.01))
        assert isinstance(spent.stopped_by, BudgetError)
        assert trial.rows("SELECT count(*) FROM completions WHERE role = 'reviser'") == [(3,)]
        assert trial.rows("SELECT state FROM batches") == [("ended",)]
        again = await trial.generate(Options(budget_usd=0.01))
        assert again.statuses["clair"] == {"made": 3, "pending": 3}
        trial_cost = 3 * (20 * 10 + 10 * 30 + 200 * 10 + 30 * 30) * 10**6
        assert trial.rows("SELECT count(*) - count(cost), sum(cost) FROM spending") == [(0, trial_cost)]


async def test_a_batch_that_no_pair_waits_for_is_said_and_taken_in_when_it_has_ended(tmp_path: Path) -> None:
    def script(request: dict[str, Any]) -> Reply:
        return played(request | {"model": REVISER} if request["model"] == "another" else request)

    async with BatchProvider(script) as provider:
        busy(provider)
        trial = Steady(tmp_path, provider)
        await trial.generate(Options(detach=True))
        for _ in range(2):
            done = await trial.generate(model="another", delivery="direct")
            assert (done.stopped_by, done.statuses["clair"]) == (None, {"made": TASKS})
            [said] = [note for note in trial.progress.notes if "though nothing here waits" in note]
            assert said.startswith("1 batch with 6 requests goes on at the provider")
        kept = dict(provider.batches)
        provider.batches.clear()
        assert (await trial.generate(model="another", delivery="direct")).stopped_by is None
        assert any(
            "the batch batch_2 of 'reviser', with 6 requests, is not found" in note for note in trial.progress.notes
        )
        provider.batches |= kept
        provider.go_on()
        await trial.generate(model="another", delivery="direct")
        assert trial.rows("SELECT status, state FROM batches") == [("completed", "ended")]
        assert trial.rows("SELECT count(*) FROM completions WHERE model = 'reviser-model'") == [(TASKS,)]
        assert not any("goes on" in note for note in trial.progress.notes)


@pytest.mark.parametrize(("keys", "budget"), [({"requests": 2}, 0.09), ({"requests": 2, "enqueued_tokens": 600}, None)])
async def test_detach_leaves_also_when_the_rest_waits_for_what_the_batches_free(
    keys: dict[str, Any], budget: float | None, tmp_path: Path
) -> None:
    async with BatchProvider(played) as provider:
        busy(provider)
        trial = Steady(tmp_path, provider)
        with_models(trial, batch=keys)
        left = await trial.generate(Options(detach=True, budget_usd=budget))
        assert isinstance(left.stopped_by, DetachedError)
        assert 0 < sum(len(batch.lines) for batch in provider.batches.values()) < TASKS
        provider.go_on()
        await trial.generate()
        await trial.check_pairs()
        assert provider.paid_twice == {}


@pytest.mark.parametrize("state", ["collected", "uploaded"])
async def test_an_older_copy_of_a_run_finds_the_batch_that_was_created_since(state: str, tmp_path: Path) -> None:
    async with BatchProvider(played) as provider:
        busy(provider)
        trial = Steady(tmp_path, provider)
        await trial.generate(Options(detach=True))
        with closing(sqlite3.connect(trial.run / "run.db")) as database, database:
            database.execute("UPDATE batches SET state = ?, batch_id = NULL, submitted_at = NULL", (state,))
        provider.go_on()
        await trial.generate()
        await trial.check_pairs()
        assert (len(provider.batches), provider.paid_twice) == (1, {})


async def test_a_run_that_was_deleted_takes_nothing_in(tmp_path: Path) -> None:
    async with BatchProvider(played) as provider:
        busy(provider)
        trial = Steady(tmp_path, provider)

        def looked(method: str, path: str) -> None:
            if method != "GET" or not path.startswith("/batches/"):
                return
            if trial.run.exists():
                shutil.rmtree(trial.run)
            else:
                provider.go_on()

        provider.call = looked
        stopped = (await trial.generate(batch={"poll_seconds": 0.3})).stopped_by
        assert isinstance(stopped, StoreError)
        assert "is no longer there" in str(stopped)
        assert provider.calls["GET /files/ID/content"] == 0


async def test_a_reused_run_with_open_batches_is_named(tmp_path: Path) -> None:
    async with BatchProvider(played) as provider:
        busy(provider)
        first, second = Steady(tmp_path / "first", provider), Steady(tmp_path / "second", provider)
        for trial in (first, second):
            trial.folder.mkdir()
        await first.generate(Options(detach=True))
        await second.generate(Options(detach=True, reuse=(first.run,)))
        assert any("still waits for 1 batch with 6 requests" in note for note in second.progress.notes)
        provider.go_on()
        await first.generate()
        third = Steady(tmp_path / "third", provider)
        third.folder.mkdir()
        await third.generate(Options(reuse=(first.run,)))
        await third.check_pairs()
        assert (len(provider.batches), third.progress.notes) == (2, [])


async def test_a_run_that_was_moved_goes_on_with_its_batch(tmp_path: Path) -> None:
    async with BatchProvider(played) as provider:
        busy(provider)
        trial = Steady(tmp_path / "here", provider)
        trial.folder.mkdir()
        await trial.generate(Options(detach=True))
        shutil.move(trial.folder, tmp_path / "there")
        moved = Steady(tmp_path / "there", provider)
        provider.go_on()
        await moved.generate()
        await moved.check_pairs()
        assert len(provider.batches) == 1


async def test_answers_to_requests_of_another_batch_are_kept_and_answer_nothing(tmp_path: Path) -> None:
    def both(provider: BatchProvider) -> Callable[[list[bytes]], list[bytes]]:
        lines = [line for batch in provider.batches.values() for line in batch.lines]
        return lambda _output: 2 * [json.dumps(provider.good(line)).encode() + b"\n" for line in lines]

    async with BatchProvider(played) as provider:
        busy(provider)
        trial = Steady(tmp_path, provider)
        for limit in (3, 6):
            await trial.generate(Options(limit=limit, detach=True))
        _first, second = provider.batches.values()
        second.states, provider.output = [], both(provider)
        left = await trial.generate(Options(detach=True))
        assert left.statuses["clair"] == {"made": 3, "pending": 3}
        assert trial.rows("SELECT count(*) FROM batch_strays") == [(3,)]
        provider.output = lambda lines: lines
        provider.go_on()
        await trial.generate()
        await trial.check_pairs()
        assert provider.paid_twice == {}
        each = (200 * 10 + 30 * 30) * 10**6
        assert trial.rows("SELECT sum(cost) FROM spending") == [((TASKS + 3) * each,)]  # what is kept may be billed


async def test_a_line_that_no_model_writes_fails_its_request_with_a_sentence_that_says_so(tmp_path: Path) -> None:
    def long(output: list[bytes]) -> list[bytes]:
        first = json.loads(output[0])
        first["response"]["body"]["choices"][0]["message"]["content"] = "x" * 9_000_000
        return [json.dumps(first).encode() + b"\n", *output[1:]]

    async with BatchProvider(played) as provider:
        provider.output = long
        trial = Steady(tmp_path, provider)
        left = await trial.generate()
        assert left.statuses["clair"] == {"made": TASKS - 1, "failed": 1}
        [(_recipe, reason, _count, detail)] = left.failures
        assert (reason, "it has more than 8,100,000 bytes" in detail) == ("result-unreadable", True)
        assert trial.rows("SELECT reason FROM batch_strays") == [
            ("it has more than 8,100,000 bytes, which no model writes",)
        ]


async def test_advise_leaves_the_batches_of_other_roles_alone(tmp_path: Path) -> None:
    async with BatchProvider(playing(lambda first, second: 1 if first < second else 2)) as provider:
        busy(provider)
        trial = Steady(tmp_path, provider)
        text = json.loads(trial.config())
        text["models"]["judge"] = judge_role(provider.url)
        trial.config = lambda *_args, **keys: json.dumps(  # type: ignore[method-assign]
            text | {"models": text["models"] | {"reviser": text["models"]["reviser"] | keys}}
        )
        await trial.generate(Options(limit=2), delivery="direct")
        await trial.generate(Options(detach=True))
        calls = provider.calls.copy()
        found = await advise(trial.run)
        assert found.stopped_by is None
        assert [one.recipe for one in found.recipes] == ["clair"]
        assert {call for call in (provider.calls - calls) if "batches" in call} == set()
        provider.go_on()
        await trial.generate()
        assert len(await made_pairs(trial.run, "clair")) == TASKS


async def test_a_batch_is_paid_at_the_price_of_its_time_whatever_price_and_tier_say_by_then(tmp_path: Path) -> None:
    async with BatchProvider(played) as provider:
        busy(provider)
        trial = Steady(tmp_path, provider)
        await trial.generate(Options(limit=3, detach=True))
        provider.go_on()
        dearer: dict[str, Any] = {"price_per_million": {"input": 1000, "output": 3000}, "service_tier": "flex"}
        assert (await trial.generate(**dearer)).stopped_by is None
        await trial.check_pairs()
        each = (200 * 10 + 30 * 30) * 10**6
        assert trial.rows("SELECT count(*) - count(cost), sum(cost) FROM spending") == [(0, 3 * each + 3 * 100 * each)]
        assert provider.paid_twice == {}


async def test_what_a_session_began_to_take_in_is_taken_in_by_cancelling_too(tmp_path: Path) -> None:
    breaks = True

    def sent(_method: str, path: str, reply: Reply) -> Reply | None:
        if not (breaks and path.endswith("/content")):
            return reply
        return Reply(reply.body, reply.status, reply.headers, cut=len(reply.body) // 2)

    async with BatchProvider(played) as provider:
        provider.sent = sent
        trial = Steady(tmp_path, provider)
        assert "results cannot be downloaded" in str((await trial.generate(patience_seconds=0.3)).stopped_by)
        assert 0 < trial.rows("SELECT count(*) FROM completions WHERE role = 'reviser'")[0][0] < TASKS
        breaks = False
        assert await cancel_batches(trial.run) == {"completed": 1}
        await trial.generate()
        await trial.check_pairs()
        assert (len(provider.batches), provider.paid_twice) == (1, {})
        trial.check_account()


async def test_a_provider_that_fails_does_not_hide_what_has_ended_at_another(tmp_path: Path) -> None:
    async with BatchProvider(played) as provider:
        busy(provider)
        trial = Steady(tmp_path, provider)
        await trial.generate(Options(detach=True))
        silent = "http://127.0.0.1:1/v1"
        async with writing(RunDirectory(trial.run)) as store:
            [batch] = await store.batches.all()
            there = replace(batch, id="there", role="target", endpoint=silent, created_at="2026-01-01T00:00:00+00:00")
            await store.batches.intend(there, ())
        models = parse_config(trial.config()).models
        models = {**models, "target": models["reviser"].model_copy(update={"endpoints": [silent]})}
        assert await look_at_batches(trial.run, models, Runtime()) is not None
        provider.go_on()
        assert await look_at_batches(trial.run, models, Runtime()) is None


async def test_a_session_that_leaves_sends_a_small_rest_directly_first(tmp_path: Path) -> None:
    auto: dict[str, Any] = {"tasks": 7, "delivery": "auto", "batch": {"auto_from": 3, "requests": 3}}
    async with BatchProvider(played) as provider:
        busy(provider)
        trial = Steady(tmp_path, provider)
        left = await trial.generate(Options(detach=True), **auto)
        assert (type(left.stopped_by), left.statuses["clair"]) == (DetachedError, {"made": 1, "pending": 6})
        provider.go_on()
        await trial.generate(**auto)
        await trial.check_pairs(7)
        assert ([len(batch.lines) for batch in provider.batches.values()], provider.paid_twice) == ([3, 3], {})
