"""Results that are damaged or missing: what may have been answered is paid for a second time only if the user says so."""

import json
import os
import random
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clairgen.pipeline.generate import Options, Summary
from tests.anthropic_provider import AnthropicProvider
from tests.batch_provider import BatchProvider, Line, StoredBatch
from tests.batch_trials import TASKS, Trial
from tests.runs import played
from tests.scripted import Reply

ALL_AT_ONCE = {"requests": TASKS, "quiet_seconds": 0.3}  # so that they are in one batch on a busy machine too
Output = Callable[[list[bytes]], list[bytes]]


DAMAGES = int(os.environ.get("CLAIRGEN_BATCH_DAMAGES", "6"))


def failures(summary: Summary) -> dict[str, int]:
    return {reason: count for _, reason, count, _ in summary.failures}


def cut_short(lines: list[bytes]) -> list[bytes]:
    """The first line ends in the middle of its answer, so that it still names its request."""
    return [lines[0][:-80] + b"\n", *lines[1:]]


def overwritten(lines: list[bytes]) -> list[bytes]:
    """The first line has nothing of a result, and the second is not there."""
    return [b"\x93NUL" * 9 + b"\n", *lines[2:]]


def named_without_an_answer(lines: list[bytes]) -> list[bytes]:
    """The first line says neither what was answered nor that it failed."""
    content = json.loads(lines[0])
    return [
        json.dumps({"custom_id": content["custom_id"], "response": None, "error": None}).encode() + b"\n",
        *lines[1:],
    ]


def an_empty_success(lines: list[bytes]) -> list[bytes]:
    content = json.loads(lines[0])
    content["response"]["body"] = None
    return [json.dumps(content).encode() + b"\n", *lines[1:]]


def an_answer_with_status(status: bytes) -> Output:
    """A line that has an answer and the status of something else."""
    return lambda lines: [lines[0].replace(b'"status_code": 200', b'"status_code": ' + status), *lines[1:]]


@pytest.mark.parametrize(
    ("damage", "failed", "strays"),
    [
        (cut_short, 1, 1),
        (overwritten, 2, 1),
        (named_without_an_answer, 1, 0),
        (an_empty_success, 1, 0),
        (an_answer_with_status(b"0"), 1, 0),
        (an_answer_with_status(b"204"), 1, 0),
        (an_answer_with_status(b'"ok"'), 1, 0),
    ],
)
async def test_a_result_that_cannot_be_read_is_paid_again_only_on_demand(
    damage: Output, failed: int, strays: int, tmp_path: Path
) -> None:
    async with BatchProvider(played) as provider:
        provider.output = lambda lines: damage(lines) if len(provider.batches) == 1 else lines
        trial = Trial(tmp_path, provider)
        summary = await trial.generate(batch=ALL_AT_ONCE)
        assert failures(summary) == {"result-unreadable": failed}
        assert trial.rows("SELECT count(*) FROM batch_strays") == [(strays,)]
        assert trial.rows("SELECT count(*) - count(cost) FROM spending") == [(failed,)]  # counted at its most
        assert (await trial.generate(batch=ALL_AT_ONCE)).stopped_by is None
        assert (len(provider.batches), provider.paid_twice) == (1, {})
        await trial.generate(Options(retry_failed=True), batch=ALL_AT_ONCE)
        await trial.check_pairs()
        assert len(provider.paid_twice) == failed


async def test_a_line_that_can_be_read_in_a_later_download_is_no_loss(tmp_path: Path) -> None:
    async with BatchProvider(played) as provider:

        def sent(_method: str, path: str, reply: Reply) -> Reply:
            if not path.endswith("/content") or provider.calls["GET /files/ID/content"] > 2:
                return reply
            start = reply.body.index(b"\n") - 40
            return Reply(reply.body[:start] + b"\0" * 40 + reply.body[start + 40 :], headers=reply.headers)

        provider.sent = sent
        trial = Trial(tmp_path, provider)
        summary = await trial.generate(batch=ALL_AT_ONCE | {"search_seconds": 5})
        assert failures(summary) == {}
        await trial.check_pairs()
        assert (len(provider.batches), provider.paid_twice) == (1, {})
        trial.check_account()


async def test_what_is_kept_of_a_line_has_no_key_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROVIDERS_KEY", "secret-of-nobody-0123456789")
    async with BatchProvider(played) as provider:
        provider.output = lambda lines: [b"no access for secret-of-nobody-0123456789\n", *lines]
        trial = Trial(tmp_path, provider)
        await trial.generate(api_key_env="PROVIDERS_KEY", batch=ALL_AT_ONCE)
        await trial.check_pairs()
        [(body,)] = trial.rows("SELECT body FROM batch_strays")
        assert zlib.decompress(body).startswith(b"no access for ")
        assert b"secret-of-nobody" not in zlib.decompress(body)


async def test_a_missing_result_that_nothing_explains_is_paid_again_only_on_demand(tmp_path: Path) -> None:
    async with BatchProvider(played) as provider:

        def result(_line: Line, batch: StoredBatch) -> None:
            batch.counts = {"total": TASKS, "completed": TASKS - 2, "failed": 2}

        provider.result = result
        provider.output = lambda lines: lines[:-2] if len(provider.batches) == 1 else lines
        trial = Trial(tmp_path, provider)
        assert failures(await trial.generate(batch=ALL_AT_ONCE)) == {"missing-result": 2}
        await trial.generate(batch=ALL_AT_ONCE)
        assert (len(provider.batches), provider.paid_twice) == (1, {})
        assert trial.rows("SELECT count(*) - count(cost) FROM spending") == [(2,)]
        await trial.generate(Options(retry_failed=True), batch=ALL_AT_ONCE)
        await trial.check_pairs()


@pytest.mark.parametrize("ends", ["failed", "expired", "cancelled"])
async def test_what_a_state_says_was_not_processed_goes_into_another_batch(ends: str, tmp_path: Path) -> None:
    async with BatchProvider(played) as provider:
        provider.ends = lambda _: ends if len(provider.batches) == 1 else "completed"
        provider.processed = lambda batch: 2 if len(provider.batches) == 1 else len(batch.lines)
        provider.late = 2
        trial = Trial(tmp_path, provider)
        assert failures(await trial.generate(batch=ALL_AT_ONCE)) == {}
        await trial.check_pairs()
        assert (len(provider.batches), provider.paid_twice) == (2, {})
        found = trial.rows("SELECT reason, count(*) FROM attempts GROUP BY reason")
        assert found == [(f"batch-{ends}", TASKS - 2)]


async def test_an_answer_that_is_counted_and_has_no_line_is_not_taken_for_one_that_was_not_processed(
    tmp_path: Path,
) -> None:
    async with BatchProvider(played) as provider:
        provider.ends = lambda _: "cancelled" if len(provider.batches) == 1 else "completed"
        provider.late = 3
        provider.output = lambda lines: lines[1:] if len(provider.batches) == 1 else lines
        trial = Trial(tmp_path, provider)
        assert failures(await trial.generate(batch=ALL_AT_ONCE)) == {"result-lost": 1}
        assert (len(provider.batches), provider.paid_twice) == (2, {})
        await trial.check_pairs(TASKS - 1)


async def test_an_unreadable_line_of_a_batch_that_expired_may_be_of_any_request_without_one(tmp_path: Path) -> None:
    async with BatchProvider(played) as provider:
        provider.ends = lambda _: "expired"
        provider.processed = lambda _: 3

        def sent(_method: str, path: str, reply: Reply) -> Reply:
            batch = next(iter(provider.batches.values()), None)
            if batch is None or not path.endswith("/content"):
                return reply
            is_output = path == f"/files/{batch.output_file_id}/content"
            return Reply(b"?" * 20 + reply.body[reply.body.index(b"\n") :]) if is_output else Reply(b"")

        provider.sent = sent
        trial = Trial(tmp_path, provider)
        assert failures(await trial.generate(batch=ALL_AT_ONCE)) == {"result-unreadable": TASKS - 2}
        assert (len(provider.batches), provider.paid_twice) == (1, {})


async def test_a_message_batch_result_of_an_unknown_kind_is_not_paid_again(tmp_path: Path) -> None:
    class Paused(AnthropicProvider):
        def _results(self, batch: StoredBatch) -> Reply:
            first, *others = super()._results(batch).body.splitlines(keepends=True)
            content = json.loads(first)
            return Reply(json.dumps(content | {"result": {"type": "paused"}}).encode() + b"\n" + b"".join(others))

    async with Paused(played) as provider:
        trial = Trial(tmp_path, provider)
        summary = await trial.generate(batch=ALL_AT_ONCE | {"api": "anthropic"})
        assert failures(summary) == {"result-unreadable": 1}
        assert '"paused"' in summary.failures[0][3]
        assert (len(provider.batches), provider.paid_twice) == (1, {})


@pytest.mark.parametrize("digits", [25, 5000])
async def test_a_number_of_thousands_of_digits_makes_no_line_unreadable(digits: int, tmp_path: Path) -> None:
    async with BatchProvider(played) as provider:
        number = b"1" * digits
        provider.output = lambda lines: [
            line.replace(b'"id": "batch', b'"n": ' + number + b', "id": "batch') for line in lines
        ]
        provider.result = lambda line, _: _with_body(provider.good(line), created=int("1" * 25))
        trial = Trial(tmp_path, provider)
        assert failures(await trial.generate(batch=ALL_AT_ONCE)) == {}
        await trial.check_pairs()
        trial.check_account()


def _with_body(line: Line, **further: Any) -> Line:  # noqa: ANN401 - JSON
    line["response"]["body"] |= further
    return line


def damaged(lines: list[bytes], rng: random.Random) -> list[bytes]:
    """Lines of results with one to three damages."""
    lines = list(lines)
    for _ in range(rng.randrange(1, 4)):
        index = rng.randrange(len(lines))
        line = lines[index]
        status = rng.choice((b"0", b"-1", b"204", b"500", b"null", b"true", b"1e999", b'"x"'))
        ways: list[list[bytes]] = [
            *([], [line, line], [b"{}\n"], [b"null\n"], [rng.randbytes(60).replace(b"\n", b"") + b"\n"]),
            *([line[: rng.randrange(len(line))] + b"\n"], [line.rstrip() + line], [b"[" + line.rstrip() + b"]\n"]),
            [line.replace(b'"custom_id"', b'"custom_ix"', 1)],
            [line.replace(b'"custom_id": "', b'"custom_id": "x', 1)],
            [line.replace(b'"status_code": 200', b'"status_code": ' + status)],
            [line.replace(b'"response": ', b'"responses": ', 1)],
        ]
        lines[index : index + 1] = rng.choice(ways)
        if not lines:
            break
    return lines


@pytest.mark.parametrize("number", range(DAMAGES))
async def test_whatever_damage_results_have_nothing_is_lost_unnamed_paid_twice_or_mixed_up(
    number: int, tmp_path: Path
) -> None:
    seed = int(os.environ.get("CLAIRGEN_BATCH_SEED", "0")) + number or random.randrange(10**6)
    rng = random.Random(seed)
    async with BatchProvider(played) as provider:
        ends = rng.choice(("completed", "expired", "cancelled", "failed"))
        provider.ends = lambda _: ends if len(provider.batches) == 1 else "completed"
        provider.processed = lambda batch: 4 if ends != "completed" and len(provider.batches) == 1 else len(batch.lines)
        provider.late = 4
        provider.output = lambda lines: damaged(lines, rng) if len(provider.batches) == 1 else lines
        trial = Trial(tmp_path, provider)
        summary = await trial.generate(batch=ALL_AT_ONCE)
        failed = failures(summary)
        assert failed.keys() <= {"result-lost", "result-unreadable", "missing-result"}, (seed, failed)
        assert (summary.stopped_by, provider.paid_twice) == (None, {}), seed
        await trial.check_pairs(TASKS - sum(failed.values()))
