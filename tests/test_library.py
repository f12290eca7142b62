import ast
import asyncio
import inspect
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import clairgen
from clairgen.config.file import load_config
from tests.runs import config_text, played, questions, write_tasks
from tests.scripted import ScriptedEndpoint

PUBLIC = {
    *("ClairgenError", "UserError", "RunConfig", "load_config"),
    *("Completion", "Message", "Pair", "Undecided", "Task", "Recipe", "RECIPES"),
    *("Candidate", "Fault", "Filter", "FILTERS", "Metric", "METRICS"),
    *("generate", "Options", "Progress", "Summary", "filter_pairs", "report", "export", "status"),
}


def test_public_names_are_these_and_documented() -> None:
    assert sorted(clairgen.__all__) == sorted(PUBLIC) == dir(clairgen)
    for name in PUBLIC:
        assert inspect.getdoc(getattr(clairgen, name)), name


def test_type_checkers_see_the_same_names() -> None:
    tree = ast.parse(Path(clairgen.__file__).read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    declared = [alias.asname for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names]
    assert sorted(name for name in declared if name) == sorted(PUBLIC)


@pytest.mark.process
def test_importing_it_loads_nothing_heavy() -> None:
    heavy = ("pydantic", "aiosqlite", "rich", "torch", "datasets")
    code = f"import sys, clairgen; print(*[name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


@pytest.mark.slow
async def test_the_example_of_the_docstring_runs_inside_a_running_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    example = "\n".join(re.findall(r"^ {4}(.*)$", clairgen.__doc__ or "", re.MULTILINE))
    monkeypatch.chdir(tmp_path)
    tasks = write_tasks(tmp_path / "tasks.jsonl", questions(102))
    names: dict[str, Any] = {}
    async with ScriptedEndpoint(played) as endpoint:
        (tmp_path / "config.yaml").write_text(config_text(endpoint.url, tasks))
        await eval(compile(example, "example", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), names)  # noqa: S307 - our own
    assert names["config"] == load_config(tmp_path / "config.yaml")
    assert names["summary"].statuses["clair"] == {"made": 100, "pending": 2}
    assert (names["clair"].n, names["stronger"].n) == (100, 100)
    assert names["exported"].row_count == 200
    assert asyncio.get_running_loop().is_running()
