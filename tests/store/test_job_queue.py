"""The queue of jobs: bounded, one job a run at a time, the same job for the same key, and in order again after a kill."""

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from clairgen.errors import RunError, StoreError
from clairgen.store.job_queue import JobQueue
from clairgen.store.job_records import Job, JobState, NewJob, OtherRequestError, QueueFullError
from clairgen.store.service_database import MIGRATIONS
from tests.clocks import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def queue(tmp_path: Path, clock: FakeClock) -> Iterator[JobQueue]:
    opened = JobQueue(tmp_path / "service.db", clock)
    yield opened
    opened.close()


def submitted(queue: JobQueue, run: str | None = "first", key: str | None = None, most: int = 100, by: str = "") -> Job:
    job = NewJob("generate", {"run": run}, run, {"run": run}, by, key, run)
    return queue.submit(job, lambda number: f"command {number}", most)[0]


def test_jobs_are_taken_in_order_and_one_at_a_time_of_a_run(queue: JobQueue) -> None:
    first, second, other = submitted(queue), submitted(queue), submitted(queue, "other")
    assert (first.command, first.state, first.arguments) == ("command 1", JobState.QUEUED, {"run": "first"})
    assert [first.waits_for, second.waits_for, other.waits_for] == [None, 1, None]
    taken = [queue.claim(["generate"]) for _ in range(3)]
    assert [job and job.id for job in taken] == [first.id, other.id, None]
    assert queue.claim(["train"]) is None
    queue.end(first.id, JobState.DONE, 0, "all made")
    taken_next = queue.claim(["generate"])
    assert taken_next is not None
    assert (taken_next.id, taken_next.waits_for, taken_next.starts) == (second.id, None, 1)
    ended = queue.job(first.id)
    assert ended is not None
    assert (ended.state, ended.exit_code, ended.sentence) == (JobState.DONE, 0, "all made")


def test_a_full_queue_refuses_but_knows_what_it_has(queue: JobQueue) -> None:
    first = submitted(queue, key="a", most=1)
    with pytest.raises(QueueFullError, match="the queue has 1 jobs, as many as it may"):
        submitted(queue, "other", most=1)
    assert submitted(queue, key="a", most=1).id == first.id
    queue.claim(["generate"])
    assert submitted(queue, "other", most=1).id == first.id + 1


def test_a_key_is_one_request_of_one_person_also_after_a_restart(queue: JobQueue, tmp_path: Path) -> None:
    first = submitted(queue, key="a", by="ada")
    with pytest.raises(OtherRequestError, match="'a' was used for job 1"):
        submitted(queue, "other", key="a", by="ada")
    assert submitted(queue, "other", key="a", by="ben").id != first.id
    queue.close()
    again = JobQueue(tmp_path / "service.db")
    assert submitted(again, key="a", by="ada").id == first.id
    again.close()


def test_what_a_killed_worker_had_begun_with_is_queued_again_and_what_was_cancelled_is_not(queue: JobQueue) -> None:
    first, second, third = submitted(queue, "a"), submitted(queue, "b"), submitted(queue, "c")
    for _ in range(2):
        queue.claim(["generate"])
    queue.cancel(second.id)
    assert queue.runs_of(["generate"]) == ["a", "b"]
    assert queue.recover(lambda _: None, 5) == [first.id]
    states = {job.id: job.state for job in queue.jobs()}
    assert states == {first.id: JobState.QUEUED, second.id: JobState.CANCELLED, third.id: JobState.QUEUED}
    claimed = queue.claim(["generate"])
    assert claimed is not None
    assert (claimed.id, claimed.starts) == (first.id, 2)
    queue.recover(lambda _: 0, 5)
    cancelled = queue.cancel(first.id)
    assert cancelled is not None
    assert cancelled.sentence == "cancelled before it went on; everything committed is kept"


def on_disk(count: int) -> Callable[[Job], int]:
    """What is committed of any job."""
    return lambda _: count


def test_a_job_that_ends_the_worker_each_time_fails_and_one_that_gets_further_does_not(queue: JobQueue) -> None:
    job = submitted(queue)
    for committed in (0, 0, 3, 3, 4, 4, 4):
        queue.claim(["generate"])
        assert queue.recover(on_disk(committed), 3) == [job.id]
    queue.claim(["generate"])
    assert queue.recover(lambda _: 4, 3) == []
    failed = queue.job(job.id)
    assert failed is not None
    assert (failed.state, "3 times in a row" in str(failed.sentence)) == (JobState.FAILED, True)
    queue.resume(job.id, 1)
    for _ in range(2):  # it is counted anew
        queue.claim(["generate"])
        assert queue.recover(lambda _: 4, 3) == [job.id]


def test_jobs_that_are_over_are_deleted_by_hand_or_by_number_and_the_budget_still_knows_their_runs(
    queue: JobQueue,
) -> None:
    removed: list[int] = []
    for run in "abcd":
        submitted(queue, run)
    for number in (1, 2, 3):
        queue.claim(["generate"])
        queue.end(number, JobState.DONE, 0, "done")
    with pytest.raises(RunError, match="job 4 is queued; it can be deleted when it is over"):
        queue.delete(4, removed.append)
    assert queue.delete(9, removed.append) is None
    assert queue.delete(2, removed.append) is not None
    assert queue.prune(1, removed.append) == [1]
    assert removed == [2, 1]
    assert [job.id for job in queue.jobs()] == [4, 3]
    assert queue.runs_of(["generate"]) == ["a", "b", "c"]
    assert submitted(queue, "e").id == 5

    def fails(number: int) -> None:
        raise RunError(f"job {number} has a folder that stays")

    with pytest.raises(RunError, match="stays"):
        queue.prune(0, fails)
    assert queue.job(3) is not None


def test_cancel_and_resume(queue: JobQueue) -> None:
    queued, running = submitted(queue, "b"), submitted(queue, "a")
    cancelled = queue.cancel(queued.id)
    assert cancelled is not None
    assert (cancelled.state, cancelled.sentence) == (JobState.CANCELLED, "cancelled before it began")
    with pytest.raises(RunError, match="job 1 is cancelled already"):
        queue.cancel(queued.id)
    queue.claim(["generate"])
    with pytest.raises(RunError, match="job 2 is running; it can be resumed when it is over"):
        queue.resume(running.id, 100)
    for times in (1, 2):
        found = queue.cancel(running.id)
        assert found is not None
        assert (found.state, queue.cancels()) == (JobState.STOPPING, {running.id: times})
    queue.put_back(running.id, "interrupted, goes on by itself")  # as the service ends meanwhile
    found = queue.job(running.id)
    assert found is not None
    kept = "cancelled before it went on; everything committed is kept"
    assert (found.state, found.sentence) == (JobState.CANCELLED, kept)
    with pytest.raises(QueueFullError):
        queue.resume(running.id, 0)
    resumed = queue.resume(running.id, 100)
    assert resumed is not None
    assert (resumed.state, resumed.cancels, resumed.sentence) == (JobState.QUEUED, 0, None)
    assert (queue.job(99), queue.cancel(99), queue.resume(99, 1)) == (None, None, None)


def test_a_job_that_was_put_back_waits_for_its_time(queue: JobQueue, clock: FakeClock) -> None:
    job = submitted(queue)
    queue.claim(["generate"])
    queue.put_back(job.id, "waits: in use", 3.0)
    assert queue.claim(["generate"]) is None
    clock.seconds += 3.0
    claimed = queue.claim(["generate"])
    assert claimed is not None
    assert claimed.id == job.id


def test_a_clock_that_was_put_back_keeps_no_job_waiting(queue: JobQueue, clock: FakeClock) -> None:
    clock.seconds = 1e9
    job = submitted(queue)
    queue.claim(["generate"])
    queue.put_back(job.id, "waits: in use", 2.0)
    clock.seconds -= 86_400
    assert queue.claim(["generate"]) is not None


def test_a_job_waits_for_the_one_before_it_on_its_run_also_if_that_is_of_another_verb(queue: JobQueue) -> None:
    first = submitted(queue)
    later = NewJob("filter", {}, "first", {"later": True}, target="first")
    second, _ = queue.submit(later, str, 100)
    reading, _ = queue.submit(NewJob("export", {}, "first", {}), str, 100)
    assert (second.waits_for, reading.waits_for) == (first.id, None)
    assert [queue.claim(["filter"]), queue.claim(["export"])] == [None, queue.job(reading.id)]
    queue.claim(["generate"])
    queue.end(first.id, JobState.DONE, 0, "all made")
    assert queue.claim(["filter"]) == queue.job(second.id)


def test_jobs_that_write_one_folder_or_need_one_that_is_not_there_yet_wait(queue: JobQueue) -> None:
    first = submitted(queue)
    exports = [
        queue.submit(NewJob("export", {"run": run}, run, {}, target="exports/data", awaits=awaits), str, 100)[0]
        for run, awaits in (("first", ("first",)), ("old", ()), ("old", ()))
    ]
    report, _ = queue.submit(NewJob("report", {}, "old", {}, awaits=("exports/data",)), str, 100)
    assert [job.waits_for for job in (*exports, report)] == [first.id, exports[0].id, exports[0].id, exports[0].id]
    assert not any(job.writes for job in exports)
    assert queue.targets() == {"first", "exports/data"}
    assert queue.claim(["export", "report"]) is None
    queue.claim(["generate"])
    assert queue.claim(["export", "report"]) is None
    queue.end(first.id, JobState.DONE, 0, "all made")
    for job in exports:
        claimed = queue.claim(["export", "report"])
        assert claimed is not None
        assert (claimed.id, queue.claim(["export", "report"])) == (job.id, None)
        queue.end(job.id, JobState.DONE, 0, "written")
    assert queue.claim(["report"]) == queue.job(report.id)
    assert queue.targets() == set()


def test_a_queue_of_an_older_version_knows_what_its_jobs_write(tmp_path: Path) -> None:
    path = tmp_path / "older.db"
    with sqlite3.connect(path) as database:
        database.executescript("".join(MIGRATIONS[:2]))
        for verb, run, writes in (("train", "trained/model", 1), ("export", "first", 0), ("report", "first", 0)):
            database.execute(
                "INSERT INTO jobs (verb, arguments, run, writes, submitted_by, request_digest, state, submitted_at) "
                "VALUES (?, ?, ?, ?, '', '', 'queued', '')",
                (verb, '{"name": "data"}', run, writes),
            )
        database.execute("PRAGMA user_version = 2")
    database.close()
    queue = JobQueue(path)
    assert queue.targets() == {"trained/model", "exports/data"}
    assert [job.writes for job in queue.jobs()] == [False, False, True]
    queue.close()


def test_nothing_is_taken_into_a_file_that_is_no_longer_in_its_place(queue: JobQueue, tmp_path: Path) -> None:
    job = submitted(queue)
    (tmp_path / "service.db").rename(tmp_path / "moved.db")
    for _ in range(2):
        with pytest.raises(StoreError, match="removed or replaced while it was open"):
            submitted(queue, "other")
        (tmp_path / "service.db").touch()
    (tmp_path / "moved.db").replace(tmp_path / "service.db")
    assert queue.claim(["generate"]) == queue.job(job.id)


def test_ids_begin_above_those_of_a_queue_that_was_lost_and_never_go_back(queue: JobQueue) -> None:
    queue.number_above(7)
    assert submitted(queue).id == 8
    queue.number_above(20)
    assert submitted(queue, "other").id == 9


def test_jobs_are_listed_latest_first_by_state_run_and_page(queue: JobQueue) -> None:
    for number in range(5):
        submitted(queue, f"run-{number % 2}")
    queue.claim(["generate"])
    assert [job.id for job in queue.jobs(limit=2)] == [5, 4]
    assert [job.id for job in queue.jobs(before=4, limit=2)] == [3, 2]
    assert [job.id for job in queue.jobs(run="run-0")] == [5, 3, 1]
    assert [job.id for job in queue.jobs(state=JobState.QUEUED, run="run-0")] == [5, 3]


def test_two_processes_may_write_it(queue: JobQueue, tmp_path: Path) -> None:
    other = JobQueue(tmp_path / "service.db")
    submitted(queue)
    claimed = other.claim(["generate"])
    assert claimed is not None
    assert queue.claim(["generate"]) is None
    other.close()


def test_a_database_of_a_newer_version_or_a_damaged_one_is_refused(queue: JobQueue, tmp_path: Path) -> None:
    queue.close()
    with sqlite3.connect(tmp_path / "service.db") as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(RunError, match="written by a newer clairgen"):
        JobQueue(tmp_path / "service.db")
    (tmp_path / "broken.db").write_bytes(b"no database" * 1000)
    with pytest.raises(StoreError, match=r"is not a database of jobs, or is damaged .*: restore it, or move it away"):
        JobQueue(tmp_path / "broken.db")


def test_a_waiting_job_is_due_in_time_holds_up_its_run_and_is_not_a_dead_workers(
    queue: JobQueue, clock: FakeClock
) -> None:
    first, _, other = submitted(queue), submitted(queue), submitted(queue, "other")
    for job, seconds in ((first, 50), (other, 20)):
        queue.claim(["generate"])
        queue.wait_for_batches(job.id, "waits", seconds)
    assert [job.state for job in queue.jobs()] == [JobState.WAITING, JobState.QUEUED, JobState.WAITING]
    assert (queue.claim(["generate"]), queue.jobs()[1].waits_for) == (None, first.id)
    assert queue.recover(lambda _: 0, 5) == []
    assert queue.to_look_at(9, ()) == []
    clock.seconds += 60
    assert [job.id for job in queue.to_look_at(9, ())] == [other.id, first.id]
    assert [job.id for job in queue.to_look_at(1, ())] == [other.id]
    assert [job.id for job in queue.to_look_at(9, (other.id,))] == [first.id]
    queue.look_again(other.id, 10**9)
    queue.go_on(first.id)
    assert queue.to_look_at(9, ()) == []
    clock.seconds += 6 * 3600 + 1  # no pause is longer
    assert [job.id for job in queue.to_look_at(9, ())] == [other.id]
    assert [job and job.id for job in (queue.claim(["generate"]), queue.claim(["generate"]))] == [first.id, None]


def test_what_was_cancelled_in_time_does_not_wait(queue: JobQueue) -> None:
    running, waiting = submitted(queue), submitted(queue, "other")
    for _ in range(2):
        queue.claim(["generate"])
    queue.wait_for_batches(waiting.id, "waits", 10)
    for job in (running, waiting):
        queue.cancel(job.id)
    queue.wait_for_batches(running.id, "waits", 10)
    queue.look_again(waiting.id, 10)
    queue.go_on(waiting.id)
    assert [(job.state, job.ended_at is None) for job in queue.jobs()] == [(JobState.CANCELLED, False)] * 2
    assert queue.to_look_at(9, ()) == []
