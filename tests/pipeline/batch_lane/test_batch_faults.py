"""Faults of a provider of batches: whatever it does, no answer is lost, paid for twice or given to another request."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clairgen.errors import EndpointsError
from clairgen.pipeline.generate import Options
from tests.batch_provider import BatchProvider, Line, StoredBatch, rejected, shuffled
from tests.batch_trials import TASKS, Trial
from tests.runs import played
from tests.scripted import Reply, refused

Fault = Callable[[BatchProvider], None]


def a_create_without_an_answer(provider: BatchProvider) -> None:
    def lost(method: str, path: str, reply: Reply) -> Reply | None:
        return None if (method, path) == ("POST", "/batches") and provider.calls["POST /batches"] == 1 else reply

    provider.sent = lost
    provider.hidden_seconds = 0.05


def an_upload_without_an_answer(provider: BatchProvider) -> None:
    def lost(method: str, path: str, reply: Reply) -> Reply | None:
        return None if (method, path) == ("POST", "/files") and provider.calls["POST /files"] == 1 else reply

    provider.sent = lost


def lines_in_another_order(provider: BatchProvider) -> None:
    provider.output = shuffled


def no_answer_to_a_look(provider: BatchProvider) -> None:
    def lost(method: str, path: str, reply: Reply) -> Reply | None:
        return None if method == "GET" and provider.calls.total() % 3 == 0 else reply

    provider.sent = lost


def too_many_calls(provider: BatchProvider) -> None:
    def limited(method: str, path: str) -> Reply | None:
        busy = provider.calls.total() % 3 == 0 and "chat" not in path
        return refused(429, "Rate limit reached", retry_after="0.01") if busy else None

    provider.call = limited


def once_status_0(provider: BatchProvider) -> None:
    """A line with status 0 and no error, in a batch whose counts say that none failed."""

    def result(line: Line, batch: StoredBatch) -> Line | None:
        batch.counts = {"total": TASKS, "completed": TASKS, "failed": 0}
        if batch is next(iter(provider.batches.values())) and line is batch.lines[2]:
            return {"custom_id": line["custom_id"], "response": {"status_code": 0, "body": None}, "error": None}
        return None

    provider.result = result


def once_overloaded(provider: BatchProvider) -> None:
    """Lines with status 503 and `error: null`, in the error file alone: there is no output file."""

    def result(line: Line, batch: StoredBatch) -> Line | None:
        first = batch is next(iter(provider.batches.values()))
        return rejected(line, 503, "The engine is currently overloaded") if first else None

    provider.result = result


def expired_with_a_part(provider: BatchProvider) -> None:
    provider.ends = lambda _: "expired" if len(provider.batches) == 1 else "completed"
    provider.processed = lambda batch: 2 if len(provider.batches) == 1 else len(batch.lines)


def cancelled_by_others_with_late_answers(provider: BatchProvider) -> None:
    provider.ends = lambda _: "cancelled" if len(provider.batches) == 1 else "completed"
    provider.late = 3


def a_clock_that_is_wrong(provider: BatchProvider) -> None:
    provider.clock_skew_seconds = -86_400
    a_create_without_an_answer(provider)


def downloads_that_break_off(provider: BatchProvider) -> None:
    def cut(method: str, path: str, reply: Reply) -> Reply:
        if path.endswith("/content") and provider.calls["GET /files/ID/content"] <= 2:
            return Reply(reply.body, headers=reply.headers, cut=len(reply.body) * 2 // (provider.calls.total() % 2 + 3))
        return reply

    provider.sent = cut


def a_download_that_ends_short(provider: BatchProvider) -> None:
    """It ends between two lines without any error; only the file's length says that it is not whole."""

    def cut(method: str, path: str, reply: Reply) -> Reply:
        if path.endswith("/content") and provider.calls["GET /files/ID/content"] == 1:
            return Reply(b"".join(reply.body.splitlines(keepends=True)[:3]), headers=reply.headers)
        return reply

    provider.sent = cut


def an_input_file_that_vanishes(provider: BatchProvider) -> None:
    def vanished(method: str, path: str) -> Reply | None:
        if (method, path) == ("POST", "/batches") and provider.calls["POST /batches"] == 1:
            provider.files.clear()
        return None

    provider.call = vanished


def results_that_are_away_for_a_while(provider: BatchProvider) -> None:
    def away(method: str, path: str) -> Reply | None:
        is_early = path.endswith("/content") and provider.calls["GET /files/ID/content"] <= 1
        return refused(404, "No such File object", "not_found") if is_early else None

    provider.call = away


def results_that_are_named_late(provider: BatchProvider) -> None:
    def late(method: str, path: str, reply: Reply) -> Reply:
        content = reply.body.replace(b'"output_file_id": "', b'"output_file_id": null, "x": "')
        return Reply(content) if "/batches/" in path and provider.calls["GET /batches/ID"] <= 3 else reply

    provider.sent = late


def too_many_requests_in_a_file(provider: BatchProvider) -> None:
    provider.lines_most = 2


def too_many_tokens_wait(provider: BatchProvider) -> None:
    said = {"code": "token_limit_exceeded", "message": "Enqueued token limit reached for m. Limit: 9 enqueued tokens."}
    provider.refusals = lambda batch: [said] if list(provider.batches.values()).index(batch) < 2 else []


FAULTS: list[Fault] = [
    *(
        a_create_without_an_answer,
        an_upload_without_an_answer,
        lines_in_another_order,
        no_answer_to_a_look,
        too_many_calls,
    ),
    *(
        once_status_0,
        once_overloaded,
        expired_with_a_part,
        cancelled_by_others_with_late_answers,
        a_clock_that_is_wrong,
    ),
    *(downloads_that_break_off, a_download_that_ends_short, an_input_file_that_vanishes),
    *(
        results_that_are_away_for_a_while,
        results_that_are_named_late,
        too_many_requests_in_a_file,
        too_many_tokens_wait,
    ),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
async def test_nothing_is_lost_paid_twice_or_mixed_up(fault: Fault, tmp_path: Path) -> None:
    async with BatchProvider(played) as provider:
        fault(provider)
        trial = Trial(tmp_path, provider)
        summary = await trial.generate()
        assert summary.stopped_by is None, summary.stopped_by
        await trial.check_pairs()
        assert provider.paid_twice == {}
        assert len(provider.bill) == TASKS
        unknown = fault in (once_status_0, once_overloaded)  # counted at the most that they can have cost
        if not unknown:
            trial.check_account()


async def test_a_second_batch_of_one_request_is_cancelled_and_what_it_cost_is_counted(tmp_path: Path) -> None:
    async with BatchProvider(played) as provider:
        provider.twice, provider.late = True, 2
        trial = Trial(tmp_path, provider)
        summary = await trial.generate()
        assert summary.stopped_by is None
        await trial.check_pairs()
        assert Counter(provider.bill.values()) == {
            2: 2,
            1: TASKS - 2,
        }  # what the provider had answered of its own second batch
        assert {batch.status for batch in provider.batches.values()} == {"completed", "cancelled"}
        trial.check_account()
        assert trial.rows("SELECT count(*) FROM batch_strays WHERE reason LIKE 'no request%'")[0][0] >= 2
        assert any("second batch" in note for note in trial.progress.notes)


async def test_what_names_no_request_or_cannot_be_read_is_kept_and_counted(tmp_path: Path) -> None:
    async with BatchProvider(played) as provider:
        other = b'{"custom_id": "another", "response": {"status_code": 200, "body": {}}, "error": null}\n'
        provider.output = lambda lines: [b"\xff\xfe not JSON\n", *lines, other, b'{"response": 1}\n']
        trial = Trial(tmp_path, provider)
        await trial.generate()
        await trial.check_pairs()
        kept = trial.rows("SELECT custom_id, reason FROM batch_strays ORDER BY reason")
        assert kept == [
            (None, "it has no custom_id"),
            (None, "it is not a JSON object"),
            ("another", "no request of this batch waits for it"),
        ]


async def test_an_unknown_state_is_refused_by_its_name_and_the_batch_is_collected_once_it_is_known(
    tmp_path: Path,
) -> None:
    async with BatchProvider(played) as provider:
        provider.states = ["in_progress", "warming_up"]
        trial = Trial(tmp_path, provider)
        summary = await trial.generate()
        assert isinstance(summary.stopped_by, EndpointsError)
        assert "'warming_up'" in str(summary.stopped_by)
        assert (await trial.generate()).stopped_by is None
        await trial.check_pairs()
        assert provider.paid_twice == {}
        assert len(provider.batches) == 1
        trial.check_account()


async def test_one_line_that_fails_validation_is_found_and_fails_alone(tmp_path: Path) -> None:
    async with BatchProvider(played) as provider:
        bad: list[str] = []

        def refusals(batch: StoredBatch) -> list[dict[str, Any]]:
            bad.extend([batch.lines[3]["custom_id"]] if not bad else [])
            found = [number for number, line in enumerate(batch.lines, 1) if line["custom_id"] == bad[0]]
            says = {"code": "invalid_json_line", "message": "This line is not parseable as valid JSON."}
            return [says | {"line": number if len(provider.batches) % 2 else None} for number in found]

        provider.refusals = refusals
        trial = Trial(tmp_path, provider)
        summary = await trial.generate()
        assert summary.stopped_by is None
        assert summary.failures == [
            ("clair", "batch-refused", 1, "invalid_json_line: This line is not parseable as valid JSON.")
        ]
        await trial.check_pairs(TASKS - 1)
        assert provider.paid_twice == {}
        trial.check_account()


@pytest.mark.parametrize(
    "code", ["duplicate_custom_id", "model_mismatch", "invalid_model", "billing_hard_limit_reached"]
)
async def test_a_provider_that_takes_no_batch_stops_the_run_with_its_words(code: str, tmp_path: Path) -> None:
    async with BatchProvider(played) as provider:
        provider.refusals = lambda _: [{"code": code, "message": "This is not allowed.", "line": None}]
        trial = Trial(tmp_path, provider)
        summary = await trial.generate(batch={"quiet_seconds": 0.01})
        assert isinstance(summary.stopped_by, EndpointsError) or summary.failed == TASKS
        assert f"{code}: This is not allowed." in f"{summary.stopped_by} {summary.failures}"
        assert provider.bill == {}
        provider.refusals = lambda _: []
        assert (await trial.generate(Options(retry_failed=True))).stopped_by is None
        await trial.check_pairs()
        trial.check_account()


@pytest.mark.parametrize("status", [400, 401, 404])
async def test_rejected_lines_are_named_as_they_are_directly(status: int, tmp_path: Path) -> None:
    words = {
        400: ("This model's maximum context length is 8 tokens", "context_length_exceeded"),
        401: ("Incorrect API key provided", "invalid_api_key"),
        404: ("The model `m` does not exist", "model_not_found"),
    }
    async with BatchProvider(played) as provider:
        provider.result = lambda line, _: rejected(line, status, *words[status])
        trial = Trial(tmp_path, provider)
        summary = await trial.generate()
        if status == 400:
            [(_, reason, count, _)] = summary.failures
            assert (reason, count) == ("context-overflow", TASKS)
        else:
            assert isinstance(summary.stopped_by, EndpointsError)
            assert words[status][0] in str(summary.stopped_by)
        assert trial.rows("SELECT sum(cost) FROM spending") == [(0,)]


async def test_results_that_the_provider_lost_fail_by_name_and_are_paid_again_only_on_demand(tmp_path: Path) -> None:
    async with BatchProvider(played) as provider:
        gone = refused(404, "No such File object", "not_found")
        provider.call = lambda _, path: gone if path.endswith("/content") else None
        trial = Trial(tmp_path, provider)
        summary = await trial.generate()
        assert [(reason, count) for _, reason, count, _ in summary.failures] == [("result-lost", TASKS)]
        await trial.generate()
        assert provider.paid_twice == {}
        assert trial.rows("SELECT count(*), count(cost) FROM spending") == [
            (TASKS, 0)
        ]  # counted at the most they can cost
        provider.call = lambda _method, _path: None
        await trial.generate(Options(retry_failed=True))
        await trial.check_pairs()


async def test_a_batch_that_always_expires_gives_its_requests_up_after_three(tmp_path: Path) -> None:
    async with BatchProvider(played) as provider:
        provider.ends, provider.processed = lambda _: "expired", lambda _: 0
        trial = Trial(tmp_path, provider)
        summary = await trial.generate()
        assert len(provider.batches) == 3
        assert [(reason, count) for _, reason, count, _ in summary.failures] == [("batch-expired", TASKS)]
        trial.check_account()
