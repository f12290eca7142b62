"""How a command ends, as a shell sees it: exit code, results on stdout, one sentence on stderr."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.cli.commands import Done, clairgen, pairs_in, process
from tests.runs import config_text, played, write_tasks
from tests.scripted import Script, ScriptedEndpoint, refused


@pytest.mark.process
@pytest.mark.parametrize(
    ("script", "prompts", "code", "pairs", "err"),
    [
        (played, ["one"], 0, {"made": 1, "failed": 0}, ""),
        (played, ["one", " "], 1, {"made": 1, "failed": 1}, ""),
        (played, [], 2, {}, "Error: "),
        (lambda _: refused(401, "Incorrect API key"), ["one"], 3, {"made": 0, "failed": 0, "to be made": 1}, "Error: "),
    ],
    ids=["done", "some failed", "to be fixed by the user", "no endpoint can serve"],
)
async def test_a_process_ends_as_the_tests_see_it_in_theirs(
    tmp_path: Path, script: Script, prompts: list[str], code: int, pairs: dict[str, int], err: str
) -> None:
    tasks = write_tasks(tmp_path / "tasks.jsonl", prompts)
    async with ScriptedEndpoint(script) as endpoint:
        (tmp_path / "config.yaml").write_text(config_text(endpoint.url, tasks, recipes=["clair"]))
        arguments = ("generate", tmp_path / "config.yaml", "--run")
        done = await process(*arguments, tmp_path / "one")
        here = await clairgen(*arguments, tmp_path / "two")
    assert done.code == code, done
    assert not pairs or pairs.items() <= pairs_in(done.out, "clair").items()
    assert (done.err[: len(err)], done.err.count("\n")) == (err, int(code >= 2))
    assert _of_run(here, tmp_path / "two") == _of_run(done, tmp_path / "one")


def _of_run(done: Done, run: Path) -> Done:
    return replace(done, out=done.out.replace(str(run), "RUN"), err=done.err.replace(str(run), "RUN"))
