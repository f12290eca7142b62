"""Calls without `await`, made where an event loop is running already, as in a notebook."""

import asyncio
import signal
import subprocess
import sys
import threading
import types
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import clairgen
from clairgen import sync
from clairgen.api.waiting import LoopThread
from clairgen.cli.display import showing
from clairgen.config.models import TaskSource
from clairgen.errors import DrainedError, InputError
from clairgen.pipeline.progress import Progress
from tests.runs import config, played, questions, write_tasks
from tests.scripted import Reply, Script, ScriptedEndpoint

pytestmark = pytest.mark.slow


@contextmanager
def served(script: Script) -> Iterator[ScriptedEndpoint]:
    """An endpoint whose loop runs in another thread, so that it answers while this one waits."""
    with LoopThread() as loop:
        endpoint = ScriptedEndpoint(script)
        loop.wait(endpoint.__aenter__())
        yield endpoint
        loop.wait(endpoint.__aexit__(None, None, None))


async def test_the_work_of_a_run_is_done_where_a_loop_runs_already(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    with served(played) as endpoint:
        settings = config(endpoint.url, write_tasks(tmp_path / "tasks.jsonl", questions(1)))
        given = [*questions(2), [{"role": "user", "content": "Hello?"}], {"prompt": "Why?", "id": "named"}]
        expected = sync.estimate(settings, run, tasks=given)
        summary = sync.generate(settings, run, tasks=given)
        again = sync.generate(settings, run, tasks=given, show_progress=False)
    assert expected.tasks == 4
    assert summary.statuses == again.statuses == {"clair": {"made": 4}, "stronger-preferred": {"made": 4}}
    assert len(endpoint.asked) == 12  # and nothing again
    pairs = list(sync.pairs(run))
    assert len(pairs) == 8
    assert {stored.task.id for stored in sync.pairs(run, "clair")} >= {"named"}
    strict = (sync.filters_in_force(run) or clairgen.FilterSettings()).changed({"jaccard": {"bounds": [50, None]}})
    sync.filter_pairs(run, strict)
    assert [stored.outcome.recipe for stored in sync.pairs(run)] == ["clair"] * 4
    assert len(list(sync.pairs(run, kept=False))) == 8
    reports = sync.report(run)
    exported = sync.export(run, tmp_path / "data", recipes=["clair"])
    linted = sync.lint(tmp_path / "data")
    imported = sync.import_pairs(tmp_path / "data", tmp_path / "again", clairgen.ImportOptions(name="clair"))
    assert "is better than" in capsys.readouterr().err
    assert (exported.row_count, linted.pairs, imported.state.pairs) == (4, 4, 4)
    status = sync.status(run)
    for value in (
        expected,
        *expected.roles,
        summary,
        *pairs,
        *reports,
        exported,
        linted,
        imported,
        imported.state,
        status,
    ):
        assert len(repr(value)) < 200, repr(value)
        assert repr(value).isprintable()
    assert repr(expected).startswith("<CostEstimate of 4 tasks: ")
    with pytest.raises(InputError, match="has no recipe 'x'; it has clair"):
        next(sync.pairs(run, "x"))


def test_pairs_can_be_left_before_the_last(tmp_path: Path) -> None:
    with served(played) as endpoint:
        settings = config(endpoint.url, write_tasks(tmp_path / "tasks.jsonl", questions(3)))
        sync.generate(settings, tmp_path / "run", show_progress=False)
    before = set(threading.enumerate())
    for stored in sync.pairs(tmp_path / "run"):
        assert stored.outcome.recipe == "clair"
        break
    begun = set(threading.enumerate()) - before
    for thread in begun:
        thread.join(10)  # a database's thread ends a moment after it is closed
    assert not any(thread.is_alive() for thread in begun)


async def test_coroutines_of_the_same_names_are_awaited(tmp_path: Path) -> None:
    async with ScriptedEndpoint(played) as endpoint:
        settings = config(endpoint.url, write_tasks(tmp_path / "tasks.jsonl", questions(1)))
        await clairgen.generate(clairgen.with_tasks(settings, questions(2), tmp_path / "run"), tmp_path / "run")
    assert len([stored async for stored in clairgen.pairs(tmp_path / "run", "clair")]) == 2


@pytest.mark.process
def test_an_interrupt_lets_what_is_in_flight_finish(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main = threading.main_thread().ident
    assert main is not None

    def interrupted_once(request: dict[str, Any]) -> Reply:
        if len(endpoint.asked) == 3:
            signal.pthread_kill(main, signal.SIGINT)
        reply = played(request)
        return Reply(reply.body, headers=reply.headers, delay_seconds=0.3)

    with served(interrupted_once) as endpoint:
        target = {"concurrency": 2}
        tasks = write_tasks(tmp_path / "tasks.jsonl", questions(50))
        settings = config(endpoint.url, tasks, target=target, stronger=target, reviser=target)
        before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
        try:
            summary = sync.generate(settings, tmp_path / "run", show_progress=False)
        finally:
            signal.signal(signal.SIGINT, before)
    assert isinstance(summary.stopped_by, DrainedError)
    assert "Finishing what is in flight" in capsys.readouterr().err
    assert sum(role.answered for role in summary.progress.roles.values()) == len(endpoint.asked) < 50


async def test_progress_is_one_place_of_a_notebook_that_is_written_again(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[dict[str, str]] = []

    class Place:
        def update(self, view: Any) -> None:  # noqa: ANN401 - whatever a notebook can show
            shown.append(view._repr_mimebundle_([], []))

    def display(view: Any, *, display_id: bool) -> Place:  # noqa: ANN401
        assert display_id
        place = Place()
        place.update(view)
        return place

    notebook = types.ModuleType("IPython.display")
    notebook.display = display  # type: ignore[attr-defined]  # a stand-in for IPython, which is not installed
    monkeypatch.setitem(sys.modules, "IPython", types.ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", notebook)
    progress = Progress(pairs_to_make=2)
    async with showing(progress, Console(force_jupyter=True), asyncio.Event()):
        await asyncio.sleep(0)
        progress.made["clair"] = 2
    first, last = shown
    assert "0 of 2 pairs" in first["text/html"]
    assert "2 of 2 pairs" in last["text/html"]


@pytest.mark.process
def test_the_module_of_calls_loads_no_torch() -> None:
    code = "import sys, clairgen; clairgen.sync.train; print(*{'torch', 'trl', 'datasets', 'pyarrow'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_the_configuration_of_tasks_holds_for_rows_that_are_given(tmp_path: Path) -> None:
    import datasets

    settings = settings_of(tmp_path, column="question", sample=1)
    data = datasets.Dataset.from_list([{"question": f"What is {n}?", "extra": n} for n in range(3)])
    given = clairgen.with_tasks(settings, data, tmp_path / "run")
    assert given.tasks is not None
    assert given.tasks.path is not None
    assert (given.tasks.column, given.tasks.sample, given.recipes) == ("question", 1, settings.recipes)
    assert given.tasks.path.parent == tmp_path / "run"
    assert given.tasks.path.read_text().splitlines()[0] == '{"question": "What is 0?", "extra": 0}'
    assert clairgen.with_tasks(settings, list(data), tmp_path / "run") == given
    assert clairgen.with_tasks(settings, list(data)[:2], tmp_path / "run") != given


def test_what_holds_no_tasks_is_refused_in_a_sentence(tmp_path: Path) -> None:
    import datasets

    settings = settings_of(tmp_path)
    split = datasets.Dataset.from_dict({"prompt": ["a"]})
    refused: dict[str, Any] = {
        r"not as DatasetDict; name a split of it": datasets.DatasetDict(train=split),
        r"not as DataFrame; write tasks.to_dict\('records'\)": split.to_pandas(),
        "not as str; put them into a list": "What is 1?",
        "not as dict; put them into a list": {"prompt": "a"},
        r"tasks\[1\] is a int; a task is a text": ["a", 1],
        r"tasks\[0\] has 'image', which JSON cannot hold": [{"prompt": "a", "image": object()}],
        "there is no task": [],
    }
    for words, tasks in refused.items():
        with pytest.raises(InputError, match=words):
            clairgen.with_tasks(settings, tasks, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def settings_of(folder: Path, **tasks: Any) -> clairgen.RunConfig:  # noqa: ANN401 - keys of `tasks`
    path = write_tasks(folder / "tasks.jsonl", questions(1))
    return config("http://localhost:1", path).model_copy(update={"tasks": TaskSource(path=path, **tasks)})


@pytest.mark.process
def test_the_http_client_is_not_first_imported_in_a_thread_that_ends() -> None:
    """It would end the process when a later call uses it in another thread (pyreqwest 0.15)."""
    code = (
        "import sys\nfrom clairgen.api.waiting import waited\n"
        "async def work(_stop):\n    from pyreqwest.http import Url\n"
        "    for _ in range(20000):\n        Url('http://127.0.0.1:1/v1')\n"
        "for _ in range(4):\n    waited(work)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
