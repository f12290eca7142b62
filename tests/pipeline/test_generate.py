import asyncio
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from clairgen import api
from clairgen.config.models import RunConfig
from clairgen.errors import ConfigError, DrainedError, EndpointsError, InputError, RunError
from clairgen.filters.filter_settings import FilterSettings
from clairgen.inference.runtime import Runtime
from clairgen.pipeline.generate import Options, Summary, generate
from clairgen.pipeline.progress import Progress
from clairgen.recipes.reviser import REVISER_SLOTS
from clairgen.records import Pair, Undecided
from clairgen.templates import load_template
from tests.clocks import FakeClock
from tests.runs import REVISER, STRONGER, TARGET, config, played, questions, write_tasks
from tests.scripted import Reply, ScriptedEndpoint, refused, said


def quick() -> Runtime:
    """The real transport under a clock that does not wait."""
    clock = FakeClock()
    return Runtime(clock=clock, sleep=clock.sleep, random=lambda: 0.5, environment={})


def asked_models(endpoint: ScriptedEndpoint) -> Counter[str]:
    return Counter(request["model"] for request in endpoint.asked)


async def pairs_of(run: Path, recipe: str) -> dict[str, tuple[str, str]]:
    return {
        stored.task.messages[-1].content: (
            stored.outcome.chosen.text,
            stored.outcome.rejected.text,
        )
        for stored in await api.made_pairs(run, recipe)
        if isinstance(stored.outcome, Pair)
    }


@pytest.mark.slow
async def test_two_recipes_share_the_targets_answers(tmp_path: Path) -> None:
    tasks = write_tasks(tmp_path / "tasks.jsonl", questions(20))
    async with ScriptedEndpoint(played) as endpoint:
        summary = await generate(config(endpoint.url, tasks), tmp_path / "run")
    assert summary.stopped_by is None
    assert summary.statuses == {"clair": {"made": 20}, "stronger-preferred": {"made": 20}}
    assert asked_models(endpoint) == {TARGET: 20, REVISER: 20, STRONGER: 20}
    clair, stronger = await pairs_of(tmp_path / "run", "clair"), await pairs_of(tmp_path / "run", "stronger-preferred")
    answer = "Question number 7 is a question and this is an answer to it"
    assert clair["Question number 7"] == (f"{answer}, now better", answer)
    assert stronger["Question number 7"] == (
        "Concerning Question number 7 there are many things that can be said",
        answer,
    )


async def test_equal_prompts_are_asked_once_and_counted(tmp_path: Path) -> None:
    tasks = write_tasks(tmp_path / "tasks.jsonl", ["same", "other", "same", {"id": "named", "prompt": "same"}])
    async with ScriptedEndpoint(played) as endpoint:
        summary = await generate(config(endpoint.url, tasks, recipes=["clair"]), tmp_path / "run")
    assert summary.tasks.duplicates == 2
    assert asked_models(endpoint) == {TARGET: 2, REVISER: 2}


@pytest.mark.slow
async def test_a_run_continued_asks_nothing_again(tmp_path: Path) -> None:
    tasks = write_tasks(tmp_path / "tasks.jsonl", questions(10))
    async with ScriptedEndpoint(played) as endpoint:
        await generate(config(endpoint.url, tasks), tmp_path / "run", Options(limit=4))
        assert asked_models(endpoint)[TARGET] == 4
        summary = await generate(config(endpoint.url, tasks), tmp_path / "run")
        again = await generate(config(endpoint.url, tasks), tmp_path / "run")
    assert asked_models(endpoint) == {TARGET: 10, REVISER: 10, STRONGER: 10}
    assert again.statuses == summary.statuses == {"clair": {"made": 10}, "stronger-preferred": {"made": 10}}


@pytest.mark.slow
async def test_a_bad_prompt_fails_its_task_only_and_is_taken_up_again(tmp_path: Path) -> None:
    tasks = write_tasks(tmp_path / "tasks.jsonl", questions(5))
    healthy = False

    def script(request: dict[str, Any]) -> Reply:
        if not healthy and request["model"] == TARGET and request["messages"][-1]["content"] == "Question number 3":
            return refused(400, "too long", "context_length_exceeded")
        return played(request)

    async with ScriptedEndpoint(script) as endpoint:
        summary = await generate(config(endpoint.url, tasks), tmp_path / "run", runtime=quick())
        assert summary.statuses["clair"] == {"made": 4, "failed": 1}
        assert summary.failures[0] == ("clair", "context-overflow", 1, "too long")
        assert asked_models(endpoint)[TARGET] == 5  # both recipes wanted the answer that failed; it was asked once
        unchanged = await generate(config(endpoint.url, tasks), tmp_path / "run", runtime=quick())
        assert unchanged.failed == 2
        healthy = True
        retried = await generate(
            config(endpoint.url, tasks), tmp_path / "run", Options(retry_failed=True), runtime=quick()
        )
    assert retried.statuses == {"clair": {"made": 5}, "stronger-preferred": {"made": 5}}
    assert retried.failures == []
    assert asked_models(endpoint) == {TARGET: 6, REVISER: 5, STRONGER: 5}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("prompt", "reason"),
    [("", "blank-prompt"), (" \n\t", "blank-prompt"), ("a\0b", "nul-in-prompt"), ("a\ud83d", "surrogate-in-prompt")],
)
async def test_a_prompt_that_cannot_be_sent_fails_its_task_only(tmp_path: Path, prompt: str, reason: str) -> None:
    tasks = write_tasks(tmp_path / "tasks.jsonl", ["good", prompt])
    async with ScriptedEndpoint(played) as endpoint:
        summary = await generate(config(endpoint.url, tasks, recipes=["clair"]), tmp_path / "run")
    assert summary.statuses == {"clair": {"made": 1, "failed": 1}}
    assert summary.failures[0][1] == reason
    assert len(endpoint.asked) == 2


async def test_a_very_long_prompt_is_sent_whole(tmp_path: Path) -> None:
    prompt = "long " * 40_000
    tasks = write_tasks(tmp_path / "tasks.jsonl", [prompt])
    async with ScriptedEndpoint(
        lambda request: said("short") if request["model"] == TARGET else played(request)
    ) as endpoint:
        summary = await generate(config(endpoint.url, tasks, recipes=["clair"]), tmp_path / "run")
    assert endpoint.asked[0]["messages"][0]["content"] == prompt
    assert summary.statuses == {"clair": {"made": 1}}


async def test_hostile_answers_are_kept_byte_for_byte(tmp_path: Path) -> None:
    hostile = "{{task}} {student_solution} \x1b[2J \0 \u202e <script> é \U0001f600 '; DROP TABLE pairs; --"
    tasks = write_tasks(tmp_path / "tasks.jsonl", ["q"])
    async with ScriptedEndpoint(
        lambda request: said(hostile) if request["model"] == TARGET else played(request)
    ) as endpoint:
        await generate(config(endpoint.url, tasks, recipes=["clair"]), tmp_path / "run")
    assert (await pairs_of(tmp_path / "run", "clair"))["q"] == (f"{hostile}, now better", hostile)


async def test_system_messages_and_conversations_reach_the_models_as_they_should(tmp_path: Path) -> None:
    own = [{"role": "system", "content": "Rhyme."}, {"role": "user", "content": "Hi"}]
    talk = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Yes?"},
        {"role": "user", "content": "More"},
    ]
    tasks = write_tasks(tmp_path / "tasks.jsonl", [{"messages": own}, {"messages": talk}])
    async with ScriptedEndpoint(played) as endpoint:
        changed = config(endpoint.url, tasks, recipes=["clair"], target={"system": "Be brief."})
        await generate(changed, tmp_path / "run")
    sent = {len(request["messages"]): request["messages"] for request in endpoint.asked if request["model"] == TARGET}
    assert sent[2] == own
    assert sent[4] == [{"role": "system", "content": "Be brief."}, *talk]
    revised = sorted(request["messages"][0]["content"] for request in endpoint.asked if request["model"] == REVISER)
    assert "{task}: System: Rhyme.\n\nUser: Hi\n\n{student_solution}: " in revised[0]
    assert "{task}: User: Hi\n\nAssistant: Yes?\n\nUser: More\n\n{student_solution}: " in revised[1]
    exported = {len(stored.task.messages) for stored in await api.made_pairs(tmp_path / "run", "clair")}
    assert exported == {2, 4}  # a pair's prompt is what the target saw


@pytest.mark.slow
async def test_another_model_is_said_and_only_accepted_on_the_users_word(tmp_path: Path) -> None:
    tasks = write_tasks(tmp_path / "tasks.jsonl", questions(5))

    def renamed(request: dict[str, Any]) -> Reply:
        return played(request | {"model": REVISER} if request["model"] == "new-reviser" else request)

    async with ScriptedEndpoint(renamed) as endpoint:
        await generate(config(endpoint.url, tasks), tmp_path / "run")
        changed = config(endpoint.url, tasks, reviser={"model": "new-reviser"})
        with pytest.raises(
            RunError, match=r"reviser\.model: reviser-model -> new-reviser \(made again, .* differ: 5 pairs of clair\)"
        ):
            await generate(changed, tmp_path / "run")
        progress = Progress()
        await generate(changed, tmp_path / "run", Options(accept_changes=True), progress=progress)
        assert any("differ: 5 pairs of clair)" in note for note in progress.notes)
        assert asked_models(endpoint) == {TARGET: 5, REVISER: 5, STRONGER: 5, "new-reviser": 5}
        back = await generate(config(endpoint.url, tasks), tmp_path / "run", Options(accept_changes=True))
    assert back.statuses["clair"] == {"made": 5}
    assert asked_models(endpoint)[REVISER] == 5  # the old answers were kept all along


async def test_a_change_is_named_in_words_and_once(tmp_path: Path) -> None:
    tasks, run = write_tasks(tmp_path / "tasks.jsonl", questions(3)), tmp_path / "run"
    own = tmp_path / "my.txt"
    own.write_text(load_template("revise", REVISER_SLOTS).text.replace("teacher", "tutor", 1))
    async with ScriptedEndpoint(played) as endpoint:
        await generate(config(endpoint.url, tasks), run)
        warmer = config(endpoint.url, tasks, target={"temperature": 0.9})
        with pytest.raises(RunError) as shared:
            await generate(warmer, run)
        with pytest.raises(RunError) as template:
            await generate(config(endpoint.url, tasks, recipes=[{"name": "clair", "template": str(own)}]), run)
    assert str(shared.value).count("models.target.temperature: 0.7 -> 0.9") == 1
    assert "differ: 3 pairs of clair, 3 pairs of stronger-preferred)" in str(shared.value)
    assert f"template of the reviser: revise -> {own} (made again" in str(template.value)


async def test_nothing_is_said_of_pairs_that_were_never_made(tmp_path: Path) -> None:
    tasks, run, progress = write_tasks(tmp_path / "tasks.jsonl", questions(3)), tmp_path / "run", Progress()
    stop = asyncio.Event()

    def stopping(request: dict[str, Any]) -> Reply:
        stop.set()
        return Reply(played(request).body, delay_seconds=5)

    async with ScriptedEndpoint(stopping) as endpoint:
        first = await generate(config(endpoint.url, tasks), run, Options(drain_seconds=0), stop=stop)
        assert first.statuses["clair"] == {"pending": 3}
        endpoint.script = played
        changed = config(endpoint.url, tasks, target={"temperature": 0.9}, filters={"length_ratio": [0.5, 3.0]})
        await generate(changed, run, progress=progress)
    assert not [note for note in progress.notes if "again" in note]


async def test_another_filter_or_endpoint_asks_nothing(tmp_path: Path) -> None:
    tasks = write_tasks(tmp_path / "tasks.jsonl", questions(5))
    async with ScriptedEndpoint(played) as endpoint:
        await generate(config(endpoint.url, tasks), tmp_path / "run")
        progress = Progress()
        changed = config(endpoint.url, tasks, filters={"length_ratio": [2.0, 3.0]}, target={"concurrency": 3})
        summary = await generate(changed, tmp_path / "run", progress=progress)
    assert len(endpoint.asked) == 15
    assert summary.dropped["clair"] == {"length-ratio-below": 5}
    assert any(
        "filters.length_ratio.bounds: [0.5,2] -> [2,3] (all pairs are filtered again, without new requests)" in note
        for note in progress.notes
    )
    assert any("models.target.concurrency: 8 -> 3 (no new requests)" in note for note in progress.notes)


@pytest.mark.slow
async def test_endpoints_come_and_go_between_sessions_and_nothing_is_asked_again(tmp_path: Path) -> None:
    tasks, stops = write_tasks(tmp_path / "tasks.jsonl", questions(60)), iter((30, 60))

    async def session(progress: Progress, *urls: str) -> Summary:
        stop, until = asyncio.Event(), next(stops, 1000)

        def script(request: dict[str, Any]) -> Reply:
            if len(first.asked) + len(second.asked) >= until:
                stop.set()
            return Reply(played(request).body, delay_seconds=0.02)

        first.script = second.script = script
        target = {"endpoints": list(urls), "concurrency": 4}
        given = config(first.url, tasks, recipes=["clair"], target=target, reviser={"endpoints": [first.url]})
        return await generate(given, tmp_path / "run", progress=progress, stop=stop)

    async with ScriptedEndpoint(played) as first, ScriptedEndpoint(played) as second:
        alone, both, other = Progress(), Progress(), Progress()
        assert isinstance((await session(alone, first.url)).stopped_by, DrainedError)
        assert not second.asked
        assert isinstance((await session(both, first.url, second.url)).stopped_by, DrainedError)
        added, targets_before = len(second.asked), asked_models(first)[TARGET]
        assert added > 5
        summary = await session(other, second.url)
        assert asked_models(first)[TARGET] == targets_before  # it was taken away
        assert len(second.asked) > added
        assert summary.statuses == {"clair": {"made": 60}}
        seeds = Counter((asked["model"], asked["seed"]) for asked in (*first.asked, *second.asked))
    assert len(seeds) == seeds.total() == 120
    for progress in (both, other):
        assert any("models.target.endpoints: " in note and "no new requests" in note for note in progress.notes)


async def test_filters_set_by_the_filter_command_stay_in_force(tmp_path: Path) -> None:
    from clairgen.pipeline.refilter import filter_pairs

    tasks = write_tasks(tmp_path / "tasks.jsonl", questions(6))
    async with ScriptedEndpoint(played) as endpoint:
        await generate(config(endpoint.url, tasks), tmp_path / "run", Options(limit=3))
        await filter_pairs(tmp_path / "run", FilterSettings.model_validate({"length_ratio": [2.0, 3.0]}))
        summary = await generate(config(endpoint.url, tasks), tmp_path / "run")
    assert summary.dropped["clair"] == {"length-ratio-below": 6}


@pytest.mark.slow
async def test_a_recipe_added_later_reuses_what_is_there(tmp_path: Path) -> None:
    tasks = write_tasks(tmp_path / "tasks.jsonl", questions(5))
    async with ScriptedEndpoint(played) as endpoint:
        await generate(config(endpoint.url, tasks, recipes=["clair"]), tmp_path / "run")
        summary = await generate(config(endpoint.url, tasks), tmp_path / "run")
    assert summary.statuses == {"clair": {"made": 5}, "stronger-preferred": {"made": 5}}
    assert asked_models(endpoint) == {TARGET: 5, REVISER: 5, STRONGER: 5}


@pytest.mark.slow
async def test_reuse_takes_the_answers_of_another_run(tmp_path: Path) -> None:
    tasks = write_tasks(tmp_path / "tasks.jsonl", questions(5))
    async with ScriptedEndpoint(played) as endpoint:
        await generate(config(endpoint.url, tasks), tmp_path / "one")
        count = len(endpoint.asked)
        more = write_tasks(tmp_path / "more.jsonl", questions(6))
        await generate(config(endpoint.url, more), tmp_path / "two", Options(reuse=(tmp_path / "one",)))
        with pytest.raises(RunError, match="is the run itself"):
            await generate(config(endpoint.url, more), tmp_path / "two", Options(reuse=(tmp_path / "two",)))
    assert len(endpoint.asked) == count + 3
    roles = {role.role: role for role in (await api.status(tmp_path / "two")).roles}
    assert (roles["reviser"].completions, roles["reviser"].reused, roles["reviser"].prompt_tokens) == (6, 5, 200)


@pytest.mark.slow
async def test_what_is_in_flight_is_kept_when_asked_to_stop(tmp_path: Path) -> None:
    tasks = write_tasks(tmp_path / "tasks.jsonl", questions(50))
    stop = asyncio.Event()

    def script(request: dict[str, Any]) -> Reply:
        if len(endpoint.asked) == 12:
            stop.set()
        reply = played(request)
        return Reply(reply.body, delay_seconds=0.05)

    async with ScriptedEndpoint(script) as endpoint:
        summary = await generate(config(endpoint.url, tasks), tmp_path / "run", stop=stop)
        assert isinstance(summary.stopped_by, DrainedError)
        stopped_at = len(endpoint.asked)
        assert stopped_at < 40
        await generate(config(endpoint.url, tasks), tmp_path / "run")
    assert len(endpoint.asked) == 150  # nothing that was answered was asked again


@pytest.mark.slow
async def test_an_endpoint_that_refuses_everybody_stops_the_run_which_can_be_continued(tmp_path: Path) -> None:
    """With the real clock: under a fake one the time to drain is over at once, and what is in flight is cut off."""
    tasks = write_tasks(tmp_path / "tasks.jsonl", questions(30))
    refusing = True

    def script(request: dict[str, Any]) -> Reply:
        if refusing and request["model"] == REVISER:
            return refused(401, "Incorrect API key provided")
        return Reply(played(request).body, delay_seconds=0.02)

    async with ScriptedEndpoint(script) as endpoint:
        summary = await generate(config(endpoint.url, tasks), tmp_path / "run")
        assert isinstance(summary.stopped_by, EndpointsError)
        assert "Incorrect API key provided; check the API key" in str(summary.stopped_by)
        assert summary.failed == 0
        refusing = False
        summary = await generate(config(endpoint.url, tasks), tmp_path / "run")
    assert summary.statuses == {"clair": {"made": 30}, "stronger-preferred": {"made": 30}}
    assert asked_models(endpoint)[TARGET] == 30


async def test_ten_failures_alike_at_the_start_stop_the_run(tmp_path: Path) -> None:
    tasks = write_tasks(tmp_path / "tasks.jsonl", questions(200))
    async with ScriptedEndpoint(lambda _: refused(400, "temperature is not supported")) as endpoint:
        summary = await generate(config(endpoint.url, tasks, recipes=["clair"]), tmp_path / "run", runtime=quick())
    assert isinstance(summary.stopped_by, EndpointsError)
    assert "temperature is not supported" in str(summary.stopped_by)
    assert len(endpoint.asked) < 40


async def test_an_unreachable_endpoint_stops_the_run_with_its_name(tmp_path: Path) -> None:
    tasks = write_tasks(tmp_path / "tasks.jsonl", questions(3))
    summary = await generate(
        config("http://127.0.0.1:9/v1", tasks, recipes=["clair"]), tmp_path / "run", runtime=quick()
    )
    assert isinstance(summary.stopped_by, EndpointsError)
    assert "no connection to http://127.0.0.1:9/v1" in str(summary.stopped_by)
    assert summary.statuses == {"clair": {"pending": 3}}


async def test_passing_faults_are_tried_again_and_recorded(tmp_path: Path) -> None:
    tasks = write_tasks(tmp_path / "tasks.jsonl", questions(8))
    faults = [
        refused(429, retry_after="2"),
        refused(500),
        Reply(b"<html>", 502),
        Reply(b"", reset=True),
        Reply(b'{"choices": [', cut=2),
        said(""),
        Reply(b'{"choi'),
        said(None),
    ]

    def script(request: dict[str, Any]) -> Reply:
        number = len(endpoint.asked) - 1
        return faults[number] if number < len(faults) else played(request)

    async with ScriptedEndpoint(script) as endpoint:
        summary = await generate(config(endpoint.url, tasks, recipes=["clair"]), tmp_path / "run", runtime=quick())
    assert summary.statuses == {"clair": {"made": 8}}
    assert len(endpoint.asked) == 16 + len(faults)
    assert summary.progress.roles["target"].retried == len(faults)


async def test_an_empty_answer_is_drawn_again_with_another_seed(tmp_path: Path) -> None:
    tasks = write_tasks(tmp_path / "tasks.jsonl", ["q"])
    async with ScriptedEndpoint(lambda _: said("")) as endpoint:
        summary = await generate(config(endpoint.url, tasks, recipes=["clair"]), tmp_path / "run", runtime=quick())
    assert summary.failures[0][1] == "empty-answer"
    assert len({request["seed"] for request in endpoint.asked}) == len(endpoint.asked) == 3


async def test_a_missing_key_is_reported_before_anything_is_made(tmp_path: Path) -> None:
    tasks = write_tasks(tmp_path / "tasks.jsonl", questions(3))
    keyed = config("http://127.0.0.1:9/v1", tasks, reviser={"api_key_env": "MY_KEY"})
    with pytest.raises(ConfigError, match=r"MY_KEY, which models\.reviser\.api_key_env names, is not set"):
        await generate(keyed, tmp_path / "run", runtime=quick())
    assert not (tmp_path / "run").exists()


async def test_a_key_is_sent_and_is_in_no_file(tmp_path: Path) -> None:
    key = "sk-very-secret-0123456789"
    tasks = write_tasks(tmp_path / "tasks.jsonl", questions(3))

    def script(request: dict[str, Any]) -> Reply:
        return refused(500, f"bad key {key}") if len(endpoint.asked) == 1 else played(request)

    async with ScriptedEndpoint(script) as endpoint:
        clock = FakeClock()
        runtime = Runtime(clock=clock, sleep=clock.sleep, environment={"MY_KEY": key})
        keyed = config(
            endpoint.url, tasks, recipes=["clair"], target={"api_key_env": "MY_KEY"}, reviser={"api_key_env": "MY_KEY"}
        )
        summary = await generate(keyed, tmp_path / "run", runtime=runtime)
        assert endpoint.headers["authorization"] == f"Bearer {key}"
    assert summary.statuses == {"clair": {"made": 3}}
    assert all(key.encode() not in file.read_bytes() for file in (tmp_path / "run").iterdir())


async def test_answers_cost_what_their_tokens_cost(tmp_path: Path) -> None:
    tasks = write_tasks(tmp_path / "tasks.jsonl", questions(4))
    async with ScriptedEndpoint(played) as endpoint:
        summary = await generate(config(endpoint.url, tasks), tmp_path / "run")
    assert summary.progress.roles["reviser"].cost_usd == pytest.approx(4 * (200 * 10 + 30 * 30) / 1e6)
    report = (await api.report(tmp_path / "run"))[0]
    assert report.cost_usd == pytest.approx(4 * (200 * 10 + 30 * 30) / 1e6)


async def test_answers_that_cannot_be_parsed_are_kept_and_dropped_by_name(tmp_path: Path) -> None:
    tasks = write_tasks(tmp_path / "tasks.jsonl", questions(2))

    def script(request: dict[str, Any]) -> Reply:
        return played(request) if request["model"] == TARGET else said("I would rather not.")

    async with ScriptedEndpoint(script) as endpoint:
        summary = await generate(config(endpoint.url, tasks, recipes=["clair"]), tmp_path / "run")
    assert summary.dropped == {"clair": {"no-solution-header": 2}}
    stored = (await api.made_pairs(tmp_path / "run", "clair"))[0]
    assert isinstance(stored.outcome, Undecided)
    assert stored.outcome.unparsed is not None
    assert stored.outcome.unparsed.text == "I would rather not."
    assert [answer.model for answer in stored.outcome.replies] == [TARGET, REVISER]


async def test_usable_from_a_running_loop_beside_other_work(tmp_path: Path) -> None:
    tasks = write_tasks(tmp_path / "tasks.jsonl", questions(3))
    async with ScriptedEndpoint(played) as endpoint, asyncio.TaskGroup() as group:
        runs: list[asyncio.Task[Summary]] = [
            group.create_task(generate(config(endpoint.url, tasks), tmp_path / name)) for name in ("one", "two")
        ]
    assert [run.result().statuses["clair"] for run in runs] == [{"made": 3}, {"made": 3}]


async def test_a_run_in_use_is_refused(tmp_path: Path) -> None:
    tasks = write_tasks(tmp_path / "tasks.jsonl", questions(3))

    begun = asyncio.Event()

    def slow(request: dict[str, Any]) -> Reply:
        begun.set()
        return Reply(played(request).body, delay_seconds=0.5)

    async with ScriptedEndpoint(slow) as endpoint:
        first = asyncio.create_task(generate(config(endpoint.url, tasks), tmp_path / "run"))
        await asyncio.wait_for(begun.wait(), 10)
        with pytest.raises(RunError, match="is in use by process"):
            await generate(config(endpoint.url, tasks), tmp_path / "run")
        assert (await api.status(tmp_path / "run")).tasks == 3  # reading is allowed
        await first


async def test_resolved_configuration_is_kept_with_the_run(tmp_path: Path) -> None:
    tasks = write_tasks(tmp_path / "tasks.jsonl", questions(1))
    async with ScriptedEndpoint(played) as endpoint:
        given: RunConfig = config(endpoint.url, tasks)
        await generate(given, tmp_path / "run")
    from clairgen.config.file import load_config

    assert load_config(tmp_path / "run" / "config.yaml") == given
    assert json.loads(given.model_dump_json())["seed"] == 0


async def test_an_accepted_change_takes_effect_only_when_the_tasks_are_read(tmp_path: Path) -> None:
    tasks = write_tasks(tmp_path / "tasks.jsonl", questions(5))
    async with ScriptedEndpoint(played) as endpoint:
        await generate(config(endpoint.url, tasks, recipes=["clair"]), tmp_path / "run")
        tasks.write_text(tasks.read_text() + "{broken\n")
        changed = config(endpoint.url, tasks, recipes=["clair"], reviser={"temperature": 0.1})
        with pytest.raises(InputError, match="line 6"):
            await generate(changed, tmp_path / "run", Options(accept_changes=True))
        assert (await api.status(tmp_path / "run")).statuses == {"clair": {"made": 5}}


@pytest.mark.slow
async def test_a_finished_run_keeps_its_tasks_whatever_becomes_of_its_file(tmp_path: Path) -> None:
    tasks = write_tasks(tmp_path / "tasks.jsonl", questions(5))
    async with ScriptedEndpoint(played) as endpoint:
        await generate(config(endpoint.url, tasks, recipes=["clair"]), tmp_path / "run")
        write_tasks(tasks, [f"Another {number}" for number in range(2500)])
        tasks.write_text(tasks.read_text() + "{broken\n")
        with pytest.raises(InputError, match="line 2501"):
            await generate(
                config(endpoint.url, tasks, recipes=["clair"]), tmp_path / "run", Options(accept_changes=True)
            )
        write_tasks(tasks, [*questions(5), "one more"])
        options = Options(accept_changes=True, limit=5)
        summary = await generate(config(endpoint.url, tasks, recipes=["clair"]), tmp_path / "run", options)
    assert summary.statuses["clair"]["made"] == 5
    assert len(await pairs_of(tmp_path / "run", "clair")) == 5


async def test_failures_that_are_taken_up_again_are_no_failures_any_more(tmp_path: Path) -> None:
    tasks = write_tasks(tmp_path / "tasks.jsonl", questions(5))
    stop = asyncio.Event()
    async with ScriptedEndpoint(lambda _: refused(400, "no")) as endpoint:
        await generate(config(endpoint.url, tasks, recipes=["clair"]), tmp_path / "run")
        stop.set()
        options = Options(retry_failed=True)
        summary = await generate(config(endpoint.url, tasks, recipes=["clair"]), tmp_path / "run", options, stop=stop)
    assert summary.statuses == {"clair": {"pending": 5}}
    assert summary.failures == []


async def test_azures_classic_form_and_headers_from_the_environment(tmp_path: Path) -> None:
    tasks = write_tasks(tmp_path / "tasks.jsonl", questions(2))
    headers: dict[str, dict[str, str]] = {}

    def script(request: dict[str, Any]) -> Reply:
        headers[request["model"]] = endpoint.headers | {"path": endpoint.path}
        return refused(500, "gw-secret-012345") if len(endpoint.asked) == 1 else played(request)

    async with ScriptedEndpoint(script) as endpoint:
        runtime = Runtime(
            environment={"AZURE": "az-secret-0123", "GATEWAY": "gw-secret-012345"},
            clock=(clock := FakeClock()),
            sleep=clock.sleep,
        )
        azure = {"endpoints": [endpoint.url.removesuffix("/v1") + "/openai/deployments/gpt-4o/?api-version=2024-10-21"]}
        given = config(
            endpoint.url,
            tasks,
            recipes=["clair"],
            reviser=azure | {"api_key_env": "AZURE"},
            target={"headers": {"x-api-key": "${GATEWAY}", "x-team": "alignment"}},
        )
        summary = await generate(given, tmp_path / "run", runtime=runtime)
    assert summary.statuses == {"clair": {"made": 2}}
    assert headers[REVISER]["path"] == "/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21"
    assert headers[REVISER]["api-key"] == "az-secret-0123"
    assert "authorization" not in headers[REVISER]
    target = next(sent for model, sent in headers.items() if model != REVISER)
    assert (target["x-api-key"], target["x-team"]) == ("gw-secret-012345", "alignment")
    written = b"".join(file.read_bytes() for file in (tmp_path / "run").iterdir())
    assert b"gw-secret" not in written
    assert b"az-secret" not in written


@pytest.mark.slow
async def test_a_server_that_cuts_long_prompts_is_told_once(tmp_path: Path) -> None:
    long = [f"{number} " + "France has a capital. " * (900 + number) for number in range(6)]
    tasks = write_tasks(tmp_path / "tasks.jsonl", [*long, *questions(3)])

    def script(request: dict[str, Any]) -> Reply:
        size = sum(len(message["content"]) for message in request["messages"]) // 4
        text = json.loads(played(request).body)["choices"][0]["message"]["content"]
        return said(text, tokens=(min(size, 2048), 5))

    async with ScriptedEndpoint(script) as endpoint:
        given = config(endpoint.url, tasks, recipes=["stronger-preferred"])
        summary = await generate(given, tmp_path / "run", runtime=quick())
    notes = summary.progress.notes
    assert sum("seems to cut long prompts" in note and "'target'" in note for note in notes) == 1


async def test_a_key_that_an_answer_quotes_is_in_no_file(tmp_path: Path) -> None:
    tasks = write_tasks(tmp_path / "tasks.jsonl", questions(1))
    async with ScriptedEndpoint(lambda _: Reply(b"<html>Authorization: Bearer sk-0123456789</html>")) as endpoint:
        runtime = Runtime(environment={"MY_KEY": "sk-0123456789"}, clock=(clock := FakeClock()), sleep=clock.sleep)
        given = config(endpoint.url, tasks, recipes=["clair"], target={"api_key_env": "MY_KEY"})
        summary = await generate(given, tmp_path / "run", runtime=runtime)
    assert "[key]" in summary.failures[0][3]
    assert all(b"sk-0123456789" not in file.read_bytes() for file in (tmp_path / "run").iterdir())


@pytest.mark.slow
async def test_roles_of_one_model_at_one_provider_share_their_pace(tmp_path: Path) -> None:
    tasks = write_tasks(tmp_path / "tasks.jsonl", questions(30))
    clock = FakeClock()
    limited = {"model": STRONGER, "requests_per_minute": 60}

    def either(request: dict[str, Any]) -> Reply:
        revising = "{student_solution}" in request["messages"][-1]["content"]
        return played(request | {"model": REVISER} if revising else request)

    async with ScriptedEndpoint(either) as endpoint:
        start = clock()
        given = config(endpoint.url, tasks, reviser=limited, stronger=limited)
        await generate(given, tmp_path / "run", runtime=Runtime(clock=clock, sleep=clock.sleep))
    assert 58 <= clock() - start < 75  # apart they would need 30
