"""The other ways of batches: Anthropic's, which tell nothing of whose they are, and files that a cluster job answers."""

import asyncio
import json
from pathlib import Path
from typing import Any

from clairgen.errors import DetachedError, EndpointsError
from clairgen.inference.batch_lines import request_line
from clairgen.inference.batch_service import Tags
from clairgen.inference.file_batches import FileBatches
from clairgen.pipeline.cancel_batches import cancel_batches
from clairgen.pipeline.generate import Options, Summary
from tests.anthropic_provider import AnthropicProvider
from tests.batch_provider import BatchProvider, Line, StoredBatch, rejected, shuffled
from tests.batch_trials import TASKS, Trial
from tests.runs import played
from tests.scripted import Reply

BODY = {"model": "target-model", "messages": [{"role": "user", "content": "another question"}]}
ANTHROPIC: dict[str, Any] = {"batch": {"api": "anthropic"}}


async def test_message_batches_are_read_as_chat_completions_are(tmp_path: Path) -> None:
    async with AnthropicProvider(played) as provider:
        provider.output = shuffled
        provider.unknown = ({"custom_id": "x", "result": {"type": "paused"}}, {"no": "result"})
        trial = Trial(tmp_path, provider)
        summary = await trial.generate(**ANTHROPIC, system="Be brief.", stop=["END"], temperature=0.5)
        assert summary.stopped_by is None
        await trial.check_pairs()
        assert provider.paid_twice == {}
        trial.check_account()
        [batch] = provider.batches.values()
        assert batch.lines[0]["body"]["stop_sequences"] == ["END"]
        assert batch.lines[0]["body"]["messages"][0] == {"role": "system", "content": "Be brief."}
        rows = trial.rows(
            "SELECT DISTINCT finish_reason, thinking, prompt_tokens FROM completions WHERE role = 'reviser'"
        )
        assert rows == [("end_turn", "I weigh it.", 200)]
        assert trial.rows("SELECT count(*) FROM batch_strays") == [(2,)]


async def test_a_message_batch_without_an_answer_is_adopted_by_its_requests(tmp_path: Path) -> None:
    async with AnthropicProvider(played) as provider:

        def lost(method: str, path: str, reply: Reply) -> Reply | None:
            if (method, path) != ("POST", "/messages/batches") or created.is_set():
                return reply
            created.set()
            return None

        created = asyncio.Event()
        provider.sent = lost
        provider.states = ["in_progress"] * 3
        trial = Trial(tmp_path, provider)

        async def goes_on() -> None:
            await created.wait()
            await asyncio.sleep(0.4)  # longer than a batch is looked for that does not show itself
            [batch] = provider.batches.values()
            provider._end(batch, "completed", TASKS)

        going = asyncio.create_task(goes_on())
        summary = await trial.generate(**ANTHROPIC)
        await going
        assert summary.stopped_by is None
        await trial.check_pairs()
        assert (len(provider.batches), provider.paid_twice) == (1, {})
        trial.check_account()


async def test_a_message_batch_of_somebody_else_is_not_adopted(tmp_path: Path) -> None:
    async with AnthropicProvider(played) as provider:
        other = StoredBatch("msgbatch_900", "", None, provider._now(), [])
        other.lines = [{"custom_id": f"other-{number}", "body": {"model": "m"}} for number in range(TASKS)]
        good = b"".join(json.dumps(provider.good(line | {"body": BODY})).encode() + b"\n" for line in other.lines)
        other.status, other.output_file_id = "completed", provider._store(("other", good), "batch_output").id
        provider.batches[other.id] = other
        first = True

        def lost(method: str, path: str) -> Reply | None:
            nonlocal first
            fails, first = (
                (method, path, first) == ("POST", "/messages/batches", True),
                first and path != "/messages/batches",
            )
            return Reply(b"", 503) if fails else None

        provider.call = lost
        trial = Trial(tmp_path, provider)
        assert (await trial.generate(**ANTHROPIC)).stopped_by is None
        await trial.check_pairs()
        assert (len(provider.batches), provider.paid_twice) == (2, {})


async def test_failures_of_message_batches_have_the_names_of_direct_ones(tmp_path: Path) -> None:
    async with AnthropicProvider(played) as provider:

        def result(line: Line, batch: StoredBatch) -> Line | None:
            if line is batch.lines[0]:
                return rejected(line, 400, "prompt is too long: 9 tokens > 8 maximum", "invalid_request_error")
            first = batch is next(iter(provider.batches.values()))
            return rejected(line, 529, "Overloaded", "overloaded_error") if first and line is batch.lines[1] else None

        provider.result = result
        trial = Trial(tmp_path, provider)
        summary = await trial.generate(**ANTHROPIC)
        assert next((reason, count) for _, reason, count, _ in summary.failures) == ("context-overflow", 2)
        attempts = trial.rows("SELECT reason, count(*) FROM attempts GROUP BY reason ORDER BY reason")
        assert attempts == [("context-overflow", 2), ("server-error", 1)]


async def test_an_unknown_state_of_a_message_batch_is_refused_by_name(tmp_path: Path) -> None:
    async with AnthropicProvider(played) as provider:
        provider.states = ["sleeping"]
        summary = await Trial(tmp_path, provider).generate(**ANTHROPIC)
        assert isinstance(summary.stopped_by, EndpointsError)
        assert "'sleeping'" in str(summary.stopped_by)


async def in_files(trial: Trial, options: Options | None = None) -> Summary:
    """Run it with a reviser whose batches are files."""
    return await trial.generate(options, endpoints=[f"file:{trial.folder / 'jobs'}"])


def answer(folder: Path, most: int = TASKS) -> None:
    """What a cluster job does: `vllm run-batch -i REQUESTS -o RESULTS` for each file of requests."""
    for requests in folder.glob("clairgen-*.jsonl"):
        if requests.name.endswith(".results.jsonl"):
            continue
        lines = [json.loads(line) for line in requests.read_text().splitlines()]
        results: list[dict[str, Any]] = []
        for line in lines[:most]:
            body = json.loads(played(line["body"]).body)
            response = {"status_code": 200, "request_id": "vllm-1", "body": body}
            results.append({"id": "vllm-1", "custom_id": line["custom_id"], "response": response, "error": None})
        text = "".join(f"{json.dumps(one)}\n" for one in reversed(results))
        requests.with_suffix(".results.jsonl").write_text(text)


async def test_files_are_written_for_a_job_and_its_results_are_read(tmp_path: Path) -> None:
    async with BatchProvider(played) as provider:
        trial, jobs = Trial(tmp_path, provider), tmp_path / "jobs"
        assert isinstance((await in_files(trial, Options(detach=True))).stopped_by, DetachedError)
        [file] = jobs.iterdir()
        first = json.loads(file.read_text().splitlines()[0])
        assert (first["method"], first["url"]) == ("POST", "/v1/chat/completions")
        assert request_line(first["custom_id"], json.dumps(first["body"]).encode())
        answer(jobs, most=2)
        assert isinstance((await in_files(trial, Options(detach=True))).stopped_by, DetachedError)  # it is not whole
        answer(jobs)
        assert (await in_files(trial)).stopped_by is None
        await trial.check_pairs()


async def test_a_cancelled_file_is_begun_by_no_job_and_what_is_answered_is_kept(tmp_path: Path) -> None:
    async with BatchProvider(played) as provider:
        trial, jobs = Trial(tmp_path, provider), tmp_path / "jobs"
        await in_files(trial, Options(detach=True))
        answer(jobs, most=2)
        assert await cancel_batches(trial.run) == {"cancelled": 1}
        assert not [path for path in jobs.glob("clairgen-*.jsonl") if not path.name.endswith(".results.jsonl")]
        assert trial.rows("SELECT outcome, count(*) FROM batch_lines GROUP BY outcome") == [
            ("answered", 2),
            ("batch-cancelled", TASKS - 2),
        ]


async def test_lines_that_a_job_wrote_twice_do_not_end_a_batch(tmp_path: Path) -> None:
    async with BatchProvider(played) as provider:
        trial, jobs = Trial(tmp_path, provider), tmp_path / "jobs"
        await in_files(trial, Options(detach=True))
        answer(jobs, most=TASKS // 2)
        [results] = jobs.glob("*.results.jsonl")
        results.write_text(results.read_text() * 2)  # a job that was begun again goes on with the same file
        assert isinstance((await in_files(trial, Options(detach=True))).stopped_by, DetachedError)
        assert trial.rows("SELECT status, completed FROM batches") == [("in_progress", TASKS // 2)]
        whole = results.read_text()
        answer(jobs)
        results.write_text(whole + results.read_text())
        assert (await in_files(trial)).failures == []
        await trial.check_pairs()


async def test_results_are_whole_without_a_last_newline(tmp_path: Path) -> None:
    async with BatchProvider(played) as provider:
        trial, jobs = Trial(tmp_path, provider), tmp_path / "jobs"
        await in_files(trial, Options(detach=True))
        answer(jobs)
        [results] = jobs.glob("*.results.jsonl")
        whole = results.read_text().rstrip("\n")
        results.write_text(whole[:-1])
        assert isinstance((await in_files(trial, Options(detach=True))).stopped_by, DetachedError)
        results.write_text(whole)
        assert (await in_files(trial, Options(detach=True))).failures == []
        await trial.check_pairs()


async def test_results_that_are_written_again_are_counted_again(tmp_path: Path) -> None:
    trial_ids = [f"{number:064x}" for number in range(4)]
    path = tmp_path / "given.jsonl"
    path.write_bytes(b"".join(request_line(one, b"{}") for one in trial_ids))
    batches = FileBatches(tmp_path / "jobs")
    name = (await batches.upload(path, Tags("b"))).id.removesuffix(".jsonl")
    results = tmp_path / "jobs" / f"{name}.results.jsonl"

    async def looked_at(*lines: str) -> tuple[str, int | None]:
        results.write_text("".join(f"{line}\n" for line in lines))
        remote = await batches.retrieve(name)
        return remote.status, remote.completed

    named = [json.dumps({"custom_id": one, "response": {"status_code": 200}}) for one in trial_ids]
    assert await looked_at(*named[:3]) == ("in_progress", 3)
    assert await looked_at(named[0]) == ("in_progress", 1)
    of_an_older_run = [json.dumps({"custom_id": f"{number:064x}", "response": {}}) for number in range(4, 8)]
    assert await looked_at(*of_an_older_run) == ("in_progress", 0)
    assert await looked_at(named[0], named[1], "?", "", "?") == ("in_progress", 2)
    assert await looked_at(named[0], named[1], named[2], "?") == (
        "completed",
        3,
    )  # it may be the fourth that is damaged
