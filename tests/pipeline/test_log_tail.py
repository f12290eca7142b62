import dataclasses
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from clairgen.pipeline.log_tail import LogTail
from clairgen.pipeline.progress import Counters, Money, RoleCounters


def role(answered: int = 0, in_flight: int = 0) -> RoleCounters:
    return RoleCounters(answered, answered, 0, {}, 0, 0, 0, None, in_flight, 0)


def line(second: int, event: str = "note", **facts: Any) -> str:  # noqa: ANN401 - whatever JSON holds
    at = f"2026-06-01T10:{second // 60:02}:{second % 60:02}.000+00:00"
    return f"{json.dumps({'at': at, 'event': event, **facts})}\n"


def counted(second: int, seconds: float, answered: int, spent: float = 0.0, in_flight: int = 0) -> str:
    counters = Counters(seconds, 10, {}, {}, {"target": role(answered, in_flight)}, Money(spent_usd=spent))
    return line(second, "counters", **dataclasses.asdict(counters))


def texts(lines: Iterable[Any]) -> list[str]:
    return [one.facts["text"] for one in lines]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "run.log"


def add(log: Path, *lines: str) -> None:
    with log.open("a") as file:
        file.writelines(lines)


def test_each_line_is_read_once_when_it_is_whole(log: Path) -> None:
    tail = LogTail(log)
    assert tail.first(9)[0] == []
    add(log, line(0, text="a"), line(1, text="b")[:20])
    assert texts(tail.read()) == ["a"]
    assert tail.read() == []
    add(log, line(1, text="b")[20:], line(2, text="c"))
    assert texts(tail.read()) == ["b", "c"]
    assert tail.unreadable == 0


def test_nothing_is_lost_when_the_log_is_moved_away(log: Path) -> None:
    add(log, line(0, text="a"))
    tail = LogTail(log)
    assert texts(tail.first(9)[0]) == ["a"]
    add(log, line(1, text="b"))
    log.rename(log.with_name("run.log.1"))
    assert texts(tail.read()) == []  # until the new one has begun nobody can tell
    add(log, line(2, text="c"))
    assert [*texts(tail.read()), *texts(tail.read())] == ["b", "c"]
    assert texts(LogTail(log).first(9)[0]) == ["a", "b", "c"]


def test_another_log_in_its_place_is_read_from_its_beginning(log: Path) -> None:
    add(log, *(line(n, text=f"old {n}") for n in range(5)))
    tail = LogTail(log)
    tail.first(9)
    log.write_text(line(60, text="x") + line(61, text="y"))
    assert [*texts(tail.read()), *texts(tail.read())] == ["x", "y"]


def test_a_log_that_is_cut_goes_on_at_its_new_end(log: Path) -> None:
    add(log, line(0, text="a"), line(1, text="b"))
    tail = LogTail(log)
    tail.first(9)
    os.truncate(log, len(line(0, text="a")))
    assert tail.read() == []
    add(log, line(2, text="c"))
    assert texts(tail.read()) == ["c"]


def test_half_a_line_of_a_killed_writer_is_counted_and_passed_over(log: Path) -> None:
    add(log, line(0, text="a"))
    tail = LogTail(log)
    tail.first(9)
    add(
        log,
        line(1, text="b")[:25],
        line(2, text="lost with it"),
        line(3, text="c"),
        "x" * (1 << 20),
        "\n",
        line(4, text="d"),
    )
    assert texts(tail.read()) == ["c", "d"]
    assert tail.unreadable == 3  # the line that is too long comes in two pieces


@pytest.mark.parametrize("number", ["NaN", "1e999", "-Infinity", "1" * 30, '{"a": 1}'])
def test_numbers_that_cannot_be_shown_are_no_counters(number: str, log: Path) -> None:
    add(log, line(0, text="a"), counted(1, 5.0, 3).replace('"seconds": 5.0', f'"seconds": {number}'))
    lines, history = LogTail(log).first(9)
    assert (history.last, history.points()) == (None, [])
    assert texts(lines[:1]) == ["a"]


def test_events_that_are_passed_over_still_say_when_the_log_was_written(log: Path) -> None:
    add(log, line(0, text="a"), line(1, "attempt_failed"))
    tail = LogTail(log, ("attempt_failed",))
    assert texts(tail.first(9)[0]) == ["a"]
    assert tail.latest is not None
    assert tail.latest.facts["at"].startswith("2026-06-01T10:00:01")
    add(log, line(2, "attempt_failed"), line(3, text="b"), line(4, "attempt_failed"))
    assert texts(tail.read()) == ["b"]
    assert tail.latest.facts["at"].startswith("2026-06-01T10:00:04")


def test_a_link_or_a_pipe_in_its_place_is_not_opened(log: Path, tmp_path: Path) -> None:
    (tmp_path / "other").write_text(line(0, text="a"))
    log.symlink_to(tmp_path / "other")
    assert LogTail(log).first(9)[0] == []
    log.unlink()
    os.mkfifo(log)
    assert LogTail(log).first(9)[0] == []


def test_points_have_rates_within_sessions_and_stay_few(log: Path) -> None:
    add(log, counted(0, 0.0, 0), counted(5, 5.0, 10, 0.5, 3), counted(20, 0.0, 0, 0.5), counted(25, 5.0, 5, 0.75))
    tail = LogTail(log)
    _, history = tail.first(2)
    points = history.points()
    assert [one.answers_per_second for one in points] == [None, 2.0, None, 1.0]
    assert [(one.spent_usd, one.in_flight) for one in points] == [(0.0, 0), (0.5, 3), (0.5, 0), (0.75, 0)]
    assert points[1].at - points[0].at == 5
    add(log, *(counted(30 + n, 10.0 + n, 10 + n) for n in range(2000)))
    _, history = LogTail(log).first(2)
    assert 300 <= len(history.points()) <= 601
    assert history.points()[-1].at - points[0].at == 2029
