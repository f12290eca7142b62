import datetime
import json
from pathlib import Path
from typing import Any

import pytest

from clairgen.inference.runtime import Runtime
from clairgen.pipeline.generate import Options, generate
from clairgen.pipeline.progress import Progress
from clairgen.pipeline.run_log import RunLog, last_session
from tests.runs import TARGET, config, played, questions, write_tasks
from tests.scripted import Reply, ScriptedEndpoint, refused

KEY = "sk-made-up-0123456789"


def events(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "run.log").read_text().splitlines()]


async def logged(folder: Path, options: Options | None = None) -> tuple[Path, list[dict[str, Any]]]:
    """The log of a run in which everything happens: faults that quote the prompt and the key, and a task that fails."""
    seen: set[str] = set()

    def script(request: dict[str, Any]) -> Reply:
        prompt = request["messages"][-1]["content"]
        if request["model"] == TARGET and prompt.endswith("3"):
            return refused(400, f"cannot say {prompt} to {KEY}")
        if request["model"] == TARGET and prompt not in seen:
            seen.add(prompt)
            return refused(429, f"slow down with {prompt} and {KEY}", retry_after="61")
        return played(request)

    tasks = write_tasks(folder / "tasks.jsonl", questions(6))
    async with ScriptedEndpoint(script) as endpoint:
        given = config(endpoint.url, tasks, target={"api_key_env": "A_KEY"})
        passed = [0.0]

        async def sleep(seconds: float) -> None:
            passed[0] += seconds

        runtime = Runtime(clock=lambda: passed[0], sleep=sleep, environment={"A_KEY": KEY})
        await generate(given, folder / "run", options, runtime=runtime)
    return folder / "run", events(folder / "run")


async def test_a_session_stands_in_the_log_from_its_start_to_its_end(tmp_path: Path) -> None:
    run, found = await logged(tmp_path)
    assert [found[0]["event"], found[-1]["event"]] == ["started", "ended"]
    assert found[0]["models"]["target"]["model"] == TARGET
    assert {event["event"] for event in found} == {"started", "note", "counters", "attempt_failed", "failed", "ended"}
    assert {event["reason"] for event in found if event["event"] == "attempt_failed"} == {"rate-limited", "bad-request"}
    counters = [event for event in found if event["event"] == "counters"][-1]
    target = counters["roles"]["target"]
    # The 400 says nothing about whose fault it is, so a probe was sent too; its first attempt was a 429 as everybody's.
    assert (target["sent"], target["answered"], target["failed"], target["in_flight"]) == (13, 6, 1, 0)
    assert target["failed_attempts"] == {"rate-limited": 6, "bad-request": 1}
    [at_the_endpoint] = target["attempts"].values()
    assert at_the_endpoint["outcomes"] == {"rate-limited": 6, "answered": 6, "bad-request": 1}
    assert sum(at_the_endpoint["answer_seconds"]["counts"]) == 6
    assert sum(counters["commits"]["counts"]) > 0
    [endpoint] = target["endpoints"]
    assert endpoint == {
        "name": found[0]["models"]["target"]["endpoints"][0],
        "in_flight": 0,
        "in_flight_of_others": 0,
        "concurrency_limit": endpoint["concurrency_limit"],
        "requests_per_minute": endpoint["requests_per_minute"],
        "tokens_per_minute": None,
        "rate_limit_source": "learned",
        "circuit_breaker": "closed",
        "open_seconds": 0.0,
        "paused_seconds": 0.0,
    }
    assert counters["roles"]["reviser"]["cost_usd"] == pytest.approx(5 * (200 * 10 + 30 * 30) / 1e6)
    session = last_session(run / "run.log")
    assert session is not None
    assert (session.running, session.ended) == (False, "done")
    assert session.counters is not None
    assert session.counters.made == {"clair": 5, "stronger-preferred": 5}


async def test_neither_keys_nor_prompts_nor_what_servers_quote_stand_in_it(tmp_path: Path) -> None:
    run, _ = await logged(tmp_path)
    text = (run / "run.log").read_text()
    assert KEY not in text
    assert "Question number" not in text
    assert "cannot say" not in text


async def test_texts_stand_in_it_if_asked_for_but_never_the_key(tmp_path: Path) -> None:
    run, found = await logged(tmp_path, Options(log_texts=True))
    answers = [event for event in found if event["event"] == "answered"]
    assert len(answers) == 5 * 3 + 1  # the probe
    assert any(answer["messages"][-1]["content"].startswith("Question number") for answer in answers)
    assert answers[0]["text"]
    assert KEY not in (run / "run.log").read_text()


def test_it_never_grows_beyond_twice_its_limit(tmp_path: Path) -> None:
    log = RunLog(tmp_path / "run.log", max_bytes=10_000)
    for number in range(1000):
        log.event("note", text=f"note {number}")
    log.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run.log", "run.log.1"]
    assert all(path.stat().st_size <= 10_000 for path in tmp_path.iterdir())
    assert "note 999" in (tmp_path / "run.log").read_text()


def test_a_log_that_cannot_be_written_stops_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    log = RunLog(tmp_path / "not-there" / "run.log")
    log.event("note", text="lost")
    log.close()
    assert capfd.readouterr().err == ""


async def test_a_log_that_falls_silent_belongs_to_a_killed_session(tmp_path: Path) -> None:
    log = RunLog(tmp_path / "run.log")
    async with log.counting(Progress(pairs_to_make=7)):
        pass
    log.close()
    now = datetime.datetime.now(datetime.UTC)
    soon, late = (last_session(tmp_path / "run.log", now + datetime.timedelta(seconds=wait)) for wait in (5, 60))
    assert soon is not None
    assert late is not None
    assert (soon.running, late.running, late.ended) == (True, False, None)
    assert soon.counters is not None
    assert soon.counters.pairs_to_make == 7


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"not json",
        b"[1]",
        b'{"event": 1, "at": "x"}',
        b'{"event": "counters", "at": "2026-01-01"}',
        b"\xff\xfe",
        b"[" * 9000,
    ],
)
def test_whatever_stands_in_a_log_is_read_without_harm(line: bytes, tmp_path: Path) -> None:
    (tmp_path / "run.log").write_bytes(line + b"\n")
    assert last_session(tmp_path / "run.log") is None


def test_counters_that_are_none_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "run.log").write_text('{"event": "counters", "at": "2026-01-01T00:00:00+00:00", "seconds": "soon"}\n')
    session = last_session(tmp_path / "run.log")
    assert session is not None
    assert session.counters is None


async def test_counters_of_an_earlier_version_are_read_by_their_old_name(tmp_path: Path) -> None:
    log = RunLog(tmp_path / "run.log")
    progress = Progress(pairs_to_make=7)
    progress.role("target").failed_attempts["timed-out"] = 3
    async with log.counting(progress):
        pass
    log.close()
    written = (tmp_path / "run.log").read_text()
    assert '"failed_attempts": {"timed-out": 3}' in written
    (tmp_path / "run.log").write_text(
        written.replace('"failed_attempts"', '"refused"').replace(', "endpoints": []', "")
    )
    session = last_session(tmp_path / "run.log")
    assert session is not None
    assert session.counters is not None
    assert session.counters.roles["target"].failed_attempts == {"timed-out": 3}
