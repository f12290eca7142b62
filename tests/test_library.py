import ast
import asyncio
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import clairgen
from tests.runs import config_text, played, questions, write_tasks
from tests.scripted import ScriptedEndpoint

PUBLIC = {
    *("ClairgenError", "UserError", "RunConfig", "load_config"),
    *("Completion", "Message", "Pair", "Undecided", "Task", "Recipe", "RECIPES"),
    *("Candidate", "Fault", "Filter", "FILTERS", "Metric", "METRICS"),
    *("CheckableQuestion", "EvaluationResult", "Role", "compared", "evaluate_questions"),
    *("generate", "Options", "Progress", "Summary", "filter_pairs", "report", "export", "status"),
    *("estimate", "CostEstimate", "advise", "AdviseOptions", "AdviseSummary", "train", "TrainedModel", "sync"),
    *("import_pairs", "ImportOptions", "ImportSummary", "pairs", "StoredPair", "with_tasks"),
    *("FilterSettings", "filters_in_force", "lint", "LintReport", "Finding"),
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
async def test_the_example_of_the_docstring_is_a_script_that_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    example = "\n".join(re.findall(r"^(?: {4}(.*))?$", clairgen.__doc__ or "", re.MULTILINE))
    monkeypatch.chdir(tmp_path)
    tasks = write_tasks(tmp_path / "tasks.jsonl", questions(102))
    async with ScriptedEndpoint(played) as endpoint:
        (tmp_path / "config.yaml").write_text(config_text(endpoint.url, tasks))
        await asyncio.to_thread(exec, compile(example, "example", "exec"), {})
    summary, clair, stronger, exported = capsys.readouterr().out.splitlines()
    made = "clair 100 kept of 100 + 2 to be made, stronger-preferred 100 kept of 100 + 2 to be made"
    assert summary == f"<Summary of runs/first: {made}>"
    assert clair.startswith("<RecipeReport of clair in runs/first: 100 kept of 100, Jaccard 80 (n 100), ")
    assert stronger.startswith(
        "<RecipeReport of stronger-preferred in runs/first: 100 kept of 100, Jaccard 14.29 (n 100), "
    )
    assert exported == "<ExportSummary of 200 preference rows: clair 100 in train, stronger-preferred 100 in train>"


@pytest.mark.slow
async def test_what_it_returns_is_shown_on_one_short_line_with_its_counts(tmp_path: Path) -> None:
    tasks = write_tasks(tmp_path / "tasks.jsonl", questions(3))
    run, other = str(tmp_path / "run"), str(tmp_path / ("a\nlong name " * 12))
    async with ScriptedEndpoint(played) as endpoint:
        (tmp_path / "config.yaml").write_text(config_text(endpoint.url, tasks))
        config = clairgen.load_config(str(tmp_path / "config.yaml"))
        await clairgen.generate(config, run)
        summary = await clairgen.generate(config, other, clairgen.Options(reuse=(run,)))
    reports = await clairgen.report(run, other, html=str(tmp_path / "page.html"))
    status = await clairgen.status(other)
    exported = await clairgen.export(run, str(tmp_path / "data"))
    shown: list[object] = [config, summary, summary.progress, status, status.filters, exported, *reports]
    shown += [found for one in reports for found in (one.contrast_of_all, *one.judges, one.audit, *one.histograms)]
    for value in shown:
        assert len(repr(value)) < 200, repr(value)
        assert repr(value).isprintable()
    assert repr(exported) == "<ExportSummary of 6 preference rows: clair 3 in train, stronger-preferred 3 in train>"
    assert repr(reports[0]).startswith(f"<RecipeReport of clair in {run}: 3 kept of 3, Jaccard ")
    assert "(n 3)" in repr(reports[0])
    assert "clair 3 kept of 3" in repr(await clairgen.status(run))
