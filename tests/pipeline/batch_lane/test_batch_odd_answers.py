"""Answers about batches that nobody expects: no run hangs at them, and nothing is paid for twice because of them."""

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clairgen.config.file import parse_config
from clairgen.errors import EndpointsError
from clairgen.inference.runtime import Runtime
from clairgen.pipeline.generate import Options, generate
from tests.anthropic_provider import AnthropicProvider
from tests.batch_provider import BatchProvider, StoredBatch, rejected
from tests.batch_trials import TASKS, Trial
from tests.runs import played
from tests.scripted import Reply, refused

Fault = Callable[[BatchProvider], None]


def a_look_that_gets(body: bytes, kind: str = "application/json") -> Fault:
    def fault(provider: BatchProvider) -> None:
        def call(method: str, path: str) -> Reply | None:
            is_first = provider.calls["GET /batches/ID"] == 1 and (method, path[:9]) == ("GET", "/batches/")
            return Reply(body, headers={"content-type": kind}) if is_first else None

        provider.call = call

    return fault


def changed(path: str, before: bytes, after: bytes) -> Fault:
    """Whatever is sent at a path has other words."""

    def fault(provider: BatchProvider) -> None:
        def sent(_method: str, asked: str, reply: Reply) -> Reply:
            return Reply(reply.body.replace(before, after)) if asked.startswith(path) else reply

        provider.sent = sent

    return fault


def lines(before: bytes, after: bytes) -> Fault:
    def fault(provider: BatchProvider) -> None:
        provider.output = lambda output: [line.replace(before, after) for line in output]

    return fault


def a_create_that_gets_no_batch(provider: BatchProvider) -> None:
    def sent(method: str, path: str, reply: Reply) -> Reply:
        return Reply(b"{}") if (method, path, provider.calls["POST /batches"]) == ("POST", "/batches", 1) else reply

    provider.sent = sent


def a_custom_id_that_is_no_text(provider: BatchProvider) -> None:
    strange = b'{"custom_id": "\\ud800", "response": {"status_code": 200, "body": {}}, "error": null}\n'
    provider.output = lambda output: [strange, *output]


FAULTS: dict[str, Fault] = {
    "a look that gets {}": a_look_that_gets(b"{}"),
    "a look that gets a list": a_look_that_gets(b"[]"),
    "a look that gets a page": a_look_that_gets(b"<html>Sign in</html>", "text/html"),
    "a create that gets no batch": a_create_that_gets_no_batch,
    "an expiry that is no time": changed("/batches", b'"expires_at": ', b'"expires_at": 1' + b"0" * 400),
    "errors that are none": changed("/batches", b'"errors": null', b'"errors": {"data": [{"code": 1}, null, "x"]}'),
    "a batch without times": changed("/batches", b'"created_at"', b'"created"'),
    "a custom_id that is no text": a_custom_id_that_is_no_text,
    "a status in quotes": lines(b'"status_code": 200', b'"status_code": "200"'),
    "a status with a point": lines(b'"status_code": 200', b'"status_code": 200.0'),
    "no status": lines(b'"status_code": 200, ', b""),
    "BOM and CRLF": lambda provider: setattr(
        provider,
        "output",
        lambda output: [b"\xef\xbb\xbf", *(line.rstrip() + b"\r\n" for line in output), b"\0\r\n\r\n"],
    ),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
async def test_odd_answers_neither_hang_a_run_nor_cost_anything_twice(fault: Fault, tmp_path: Path) -> None:
    async with BatchProvider(played) as provider:
        fault(provider)
        trial = Trial(tmp_path, provider)
        summary = await trial.generate(patience_seconds=2)
        assert summary.stopped_by is None
        await trial.check_pairs()
        assert (len(provider.batches), provider.paid_twice) == (1, {})
        trial.check_account()


async def test_half_a_surrogate_pair_in_a_message_batch_is_read_over(tmp_path: Path) -> None:
    class Halves(AnthropicProvider):
        def _results(self, batch: StoredBatch) -> Reply:
            return Reply(super()._results(batch).body.replace(b"now better", b"now better\\ud800"))

    async with Halves(played) as provider:
        trial = Trial(tmp_path, provider)
        assert (await trial.generate(batch={"api": "anthropic"})).stopped_by is None
        assert provider.paid_twice == {}
        found = trial.rows("SELECT count(*) FROM batch_lines WHERE outcome = 'answered'")
        assert found == [(TASKS,)]


@pytest.mark.parametrize("ends", ["completed", "failed"])
async def test_files_that_are_named_one_after_the_other_are_all_read(ends: str, tmp_path: Path) -> None:
    async with BatchProvider(played) as provider:
        long = "This model's maximum context length is 8 tokens"
        provider.ends = lambda _: ends
        if ends == "completed":
            provider.result = lambda line, batch: (
                rejected(line, 400, long, "context_length_exceeded") if line is batch.lines[0] else None
            )

        def sent(_method: str, path: str, reply: Reply) -> Reply:
            is_early = path.startswith("/batches/") and provider.calls["GET /batches/ID"] <= 4
            return Reply(json.dumps(json.loads(reply.body) | {"output_file_id": None}).encode()) if is_early else reply

        provider.sent = sent
        trial = Trial(tmp_path, provider)
        summary = await trial.generate(batch={"search_seconds": 3})
        assert sum(count for _, _, count, _ in summary.failures) == (ends == "completed")
        await trial.check_pairs(TASKS - (ends == "completed"))
        assert (len(provider.batches), provider.paid_twice) == (1, {})
        trial.check_account()


async def test_answers_that_the_provider_counts_and_does_not_send_are_not_paid_again(tmp_path: Path) -> None:
    async with BatchProvider(played) as provider:
        provider.output = lambda output: output[:4]
        trial = Trial(tmp_path, provider)
        summary = await trial.generate()
        assert [(reason, count) for _, reason, count, _ in summary.failures] == [("result-lost", 2)]
        assert (len(provider.batches), provider.paid_twice) == (1, {})


async def test_a_batch_is_looked_for_also_after_a_refusal_that_followed_a_create_without_an_answer(
    tmp_path: Path,
) -> None:
    async with BatchProvider(played) as provider:
        provider.hidden_seconds = 0.6

        def call(method: str, path: str) -> Reply | None:
            is_second = (method, path, provider.calls["POST /batches"]) == ("POST", "/batches", 2)
            return refused(401, "Incorrect API key provided", "invalid_api_key") if is_second else None

        def sent(method: str, path: str, reply: Reply) -> Reply | None:
            return None if (method, path, provider.calls["POST /batches"]) == ("POST", "/batches", 1) else reply

        provider.call, provider.sent = call, sent
        trial = Trial(tmp_path, provider)
        assert isinstance((await trial.generate()).stopped_by, EndpointsError)
        await asyncio.sleep(0.6)
        assert (await trial.generate()).stopped_by is None
        await trial.check_pairs()
        assert (len(provider.batches), provider.paid_twice) == (1, {})
        trial.check_account()


async def test_a_list_whose_pages_are_all_the_first_is_read_once(tmp_path: Path) -> None:
    async with BatchProvider(played) as provider:

        def sent(method: str, path: str, reply: Reply) -> Reply:
            if (method, path) != ("GET", "/batches"):
                return reply
            data = [one.shown() for one in provider.batches.values()]
            return Reply(json.dumps({"object": "list", "data": data, "has_more": True}).encode())

        provider.sent = sent
        trial = Trial(tmp_path, provider)
        assert (await asyncio.wait_for(trial.generate(), 20)).stopped_by is None
        await trial.check_pairs()
        assert provider.calls["GET /batches"] < 10


async def test_a_provider_that_lists_no_files_gets_an_upload_again(tmp_path: Path) -> None:
    async with BatchProvider(played) as provider:
        none = refused(404, "Not Found", "not_found")
        provider.call = lambda method, path: none if (method, path) == ("GET", "/files") else None
        provider.sent = lambda _method, path, reply: None if path == "/files" else reply
        trial = Trial(tmp_path, provider)
        assert isinstance((await trial.generate()).stopped_by, EndpointsError)
        provider.sent = lambda _method, _path, reply: reply
        assert (await trial.generate()).stopped_by is None
        await trial.check_pairs()
        assert provider.paid_twice == {}


async def test_a_message_batch_of_another_run_with_a_part_of_the_requests_is_not_adopted(tmp_path: Path) -> None:
    async with AnthropicProvider(played) as provider:

        def sent(method: str, path: str, reply: Reply) -> Reply | None:
            if (method, path) != ("POST", "/messages/batches") or len(provider.batches) > 1:
                return reply
            [mine] = provider.batches.values()
            other = StoredBatch("msgbatch_900", "", None, provider._now(), [])
            other.lines = [
                mine.lines[0],
                *(line | {"custom_id": f"other-{n}"} for n, line in enumerate(mine.lines[1:])),
            ]
            answers = b"".join(json.dumps(provider.good(line)).encode() + b"\n" for line in other.lines)
            other.status, other.output_file_id = "completed", provider._store(("other", answers), "batch_output").id
            provider.batches[other.id] = other
            provider._end(mine, "completed", TASKS)
            return None

        provider.sent = sent
        trial = Trial(tmp_path, provider)
        assert (await trial.generate(batch={"api": "anthropic"})).stopped_by is None
        await trial.check_pairs()
        assert provider.paid_twice == {}
        assert trial.rows("SELECT count(*) FROM batch_strays") == [(0,)]


@pytest.mark.parametrize("obeys", [True, False])
async def test_a_batch_that_outlives_its_expiry_is_named_then_cancelled_then_given_up(
    obeys: bool, tmp_path: Path
) -> None:
    async with BatchProvider(played) as provider:
        provider.late = 2
        provider.states = ["in_progress"] * 100_000
        if not obeys:
            provider.call = lambda _, path: refused(400, "no", "invalid_request") if path.endswith("/cancel") else None
        trial = Trial(tmp_path, provider)
        hours = 3600.0 if not obeys else 1.0
        runtime = Runtime(
            clock=lambda: time.monotonic() * hours * 2,
            wall_clock=lambda: time.time() + 3 * 86_400,
            sleep=lambda seconds: asyncio.sleep(seconds / hours / 2),
        )
        keys: dict[str, Any] = {"batch": {"poll_seconds": 0.02 * hours}, "patience_seconds": hours}
        if obeys:  # what the cancelled batch leaves is answered by the next one

            def sent(_method: str, path: str, reply: Reply) -> Reply:
                if path.endswith("/cancel"):
                    provider.states = []
                return reply

            provider.sent = sent
        config = parse_config(trial.config(TASKS, **keys))
        options = Options(detach=not obeys)  # which does not leave what is given up soon
        summary = await asyncio.wait_for(
            generate(config, trial.run, options, progress=trial.progress, runtime=runtime), 30
        )
        assert any("though it expired" in note for note in trial.progress.notes)
        assert provider.paid_twice == {}
        if obeys:
            assert summary.failures == []
            await trial.check_pairs()
        else:
            assert [(reason, count) for _, reason, count, _ in summary.failures] == [("result-lost", TASKS)]
            assert "in_progress, long after its expiry" in summary.failures[0][3]
