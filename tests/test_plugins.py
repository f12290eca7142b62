"""The plugin of the guide is installed and used; plugins with faults are refused."""

import json
import os
import re
import shutil
import sys
import tomllib
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
import yaml

import clairgen
from clairgen import api
from clairgen.errors import ConfigError, RunStoppedError
from clairgen.filters.filter import Candidate, Check, Fault, Filter, always
from clairgen.filters.filter_settings import FilterSettings
from clairgen.filters.options import Marking
from clairgen.filters.pipeline import FilterPipeline, RunFilters
from clairgen.pipeline.refilter import filter_pairs
from clairgen.plugins import Registry
from clairgen.records import FilterAction, Finding
from tests.cli.commands import clairgen as command
from tests.cli.commands import interpreter
from tests.filters.pairs import pair
from tests.runs import config_text, played, questions, write_tasks
from tests.scripted import Reply, ScriptedEndpoint, said

GUIDE = Path(__file__).parent.parent / "docs" / "guides" / "plugins.md"
IMPORTS = "from clairgen import Filter\nfrom clairgen.filters.options import Marking\n"
REGISTRIES = (clairgen.RECIPES, clairgen.FILTERS, clairgen.METRICS)


def block(title: str) -> str:
    """The code block of the guide with this title."""
    found = re.search(
        rf'^```\w+ title="{re.escape(title)}"\n(.*?)^```$', GUIDE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    assert found is not None, title
    return found[1]


def install(folder: Path, name: str, entry_points: dict[str, dict[str, str]], code: str = "", module: str = "") -> None:
    """What an installer leaves in a folder for packages: a module, and the distribution's metadata."""
    information = folder / f"{name.replace('-', '_')}-0.1.0.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.1.0\n")
    groups = (
        f"[{group}]\n" + "".join(f"{key} = {value}\n" for key, value in points.items())
        for group, points in entry_points.items()
    )
    (information / "entry_points.txt").write_text("\n".join(groups))
    if module:
        (folder / f"{module}.py").write_text(code, encoding="utf-8")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for packages on the path of this process; what is installed there is forgotten afterwards."""
    folder = tmp_path / "packages"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    yield folder
    monkeypatch.undo()
    forget(folder)


def forget(folder: Path) -> None:
    """Let this process look for plugins again, without the modules of this folder."""
    for module in folder.glob("*.py"):
        sys.modules.pop(module.stem, None)
    for registry in REGISTRIES:
        registry.refresh()


@pytest.fixture
def brevity(site: Path) -> Path:
    """The plugin of the guide, installed; the folder that it is in."""
    entry_points = tomllib.loads(block("pyproject.toml"))["project"]["entry-points"]
    install(site, "clairgen-brevity", entry_points, block("clairgen_brevity.py"), "clairgen_brevity")
    forget(site)
    return site


def regretful() -> Callable[[dict[str, Any]], Reply]:
    """A model that regrets, and says a word more with each answer."""
    lengths = count(1)
    return lambda request: said("I regret" + " that" * next(lengths))


async def test_the_plugin_of_the_guide_makes_filters_reports_and_exports_pairs(brevity: Path, tmp_path: Path) -> None:
    tasks, run = write_tasks(tmp_path / "tasks.jsonl", questions(4)), tmp_path / "run"
    async with ScriptedEndpoint(regretful()) as endpoint:
        shown = yaml.safe_load(block("config.yaml"))
        (tmp_path / "config.yaml").write_text(config_text(endpoint.url, tasks, **shown), encoding="utf-8")
        summary = await clairgen.generate(clairgen.load_config(tmp_path / "config.yaml"), run)
    assert summary.statuses == {"shorter-preferred": {"made": 4}}
    [report] = await clairgen.report(run)
    assert report.dropped == {"chosen-apologizes": 4}
    saved = report.metrics["words_saved"]
    assert (saved.of_all.n, saved.of_kept.n) == (4, 0)
    assert (saved.of_all.mean or 0) >= 1

    await filter_pairs(
        run, FilterSettings.model_validate({"length_ratio": "off", "apology": {"phrases": ["i regret"]}})
    )
    [stored, *_] = await api.find_pairs(run)
    assert stored.findings == (Finding("apology", FilterAction.MARK, "chosen-apologizes", "i regret"),)
    await clairgen.export(run, tmp_path / "out")
    rows = pyarrow.parquet.read_table(next((tmp_path / "out").rglob("*.parquet"))).to_pylist()
    assert [row["marks"] for row in rows] == [["chosen-apologizes"]] * 4


@pytest.mark.slow
async def test_the_command_line_knows_a_plugin_and_misses_one_that_is_gone(brevity: Path, tmp_path: Path) -> None:
    tasks, run = write_tasks(tmp_path / "tasks.jsonl", questions(4)), tmp_path / "run"
    async with ScriptedEndpoint(regretful()) as endpoint:
        text = config_text(endpoint.url, tasks, recipes=["shorter-preferred"], filters={"length_ratio": "off"})
        (tmp_path / "config.yaml").write_text(text, encoding="utf-8")
        made = await command("generate", tmp_path / "config.yaml", "--run", run)
    assert made.code == 0, made.err
    filtered = await command("filter", run, "--mark", "apology", "--drop", "words-saved")
    assert (filtered.code, filtered.out) == (2, "")
    assert "words_saved: drop needs bounds" in filtered.err
    filtered = await command("filter", run, "--drop", "apology", "--off", "allusion")
    assert "apology: drop" in filtered.out
    assert filtered.err == "Note: the filter 'allusion' is now called 'revision_mention'; the old name is still read.\n"
    [content] = json.loads((await command("report", run, "--json")).out)
    assert content["metrics"]["words_saved"]["kept"]["n"] == 4

    shutil.rmtree(brevity)
    forget(brevity)
    uninstalled = await command("filter", run, "--mark", "refusal")
    assert (uninstalled.code, uninstalled.out) == (2, "")
    assert "the filter 'apology' is in force in this run, but its plugin is not installed" in uninstalled.err
    status = json.loads((await command("status", run, "--json")).out)
    assert status["filters"]["apology"] == {"action": "drop", "phrases": ["i'm sorry", "i apologize"]}
    assert (await command("export", run, tmp_path / "out")).code == 0
    without = await command("filter", run, "--off", "apology")
    assert (without.code, "apology" in without.out) == (0, False)


def test_a_plugin_is_in_the_registries_and_imported_only_when_it_is_used(brevity: Path) -> None:
    assert [*clairgen.FILTERS][-2:] == ["apology", "words_saved"]
    assert "shorter-preferred" in clairgen.RECIPES
    assert "words_saved" in clairgen.METRICS
    assert FilterSettings.model_validate({"refusal": "drop"}).description
    assert "clairgen_brevity" not in sys.modules
    assert clairgen.RECIPES["shorter-preferred"].summary == "the target answers twice, and the shorter answer is chosen"
    assert "apology" in FilterSettings.known_fields()
    assert [*FilterSettings.model_validate({"apology": "mark"}).model_dump()][-2:] == ["apology", "near_duplicate"]


def test_a_filter_of_a_plugin_is_in_force_only_where_it_is_named(brevity: Path) -> None:
    assert "apology" not in FilterSettings().model_dump()
    named = FilterSettings.model_validate({"apology": {}, "words_saved": [-3, None]})
    assert named.phrases[-2:] == ("apology: mark", "words_saved at least -3: drop")
    assert FilterSettings.from_record(named.model_dump_json()) == named


@pytest.mark.parametrize(
    ("entry_points", "code", "sentence"),
    [
        (
            {"own": "broken_plugin:OWN"},
            "import a_package_that_nobody_has",
            r"^the plugin broken-plugin 0\.1\.0: the filter 'own' \(broken_plugin:OWN\) cannot be loaded \(ModuleNotFound",
        ),
        ({"own": "broken_plugin:OWN"}, "", r"plugin broken-plugin 0\.1\.0: .* cannot be loaded \(AttributeError"),
        (
            {"own": "broken_plugin:OWN"},
            "OWN = len",
            r"is of type builtin.*, but has to be a clairgen\.filters\.filter\.Filter",
        ),
        (
            {"own": "broken_plugin:OWN"},
            IMPORTS + "OWN = Filter('other', Marking, 'Other.', None)",
            "has the name 'other'; register it under that name",
        ),
        (
            {"own": "broken_plugin:OWN"},
            IMPORTS + "OWN = Filter('my own', Marking, 'Own.', None)",
            r"cannot be loaded \(ValueError: 'my own' is not a name for a filter",
        ),
        (
            {"refusal": "broken_plugin:OWN"},
            "",
            r"the plugin broken-plugin 0\.1\.0 registers a filter 'refusal', which is the name of one of clairgen's own; rename",
        ),
    ],
)
def test_a_faulty_plugin_is_refused_in_a_sentence(
    entry_points: dict[str, str], code: str, sentence: str, site: Path
) -> None:
    install(site, "broken-plugin", {"clairgen.filters": entry_points}, code, "broken_plugin")
    registry = Registry(Filter, "clairgen.filters", clairgen.FILTERS.built_in.values())
    registry.refresh()
    with pytest.raises(ConfigError, match=sentence) as refused:
        registry.named("own")
    assert "\n" not in str(refused.value)


def test_two_plugins_with_one_name_are_both_named(site: Path) -> None:
    for name in ("one-plugin", "other-plugin"):
        install(site, name, {"clairgen.metrics": {"length": f"{name.replace('-', '_')}:LENGTH"}})
    registry = Registry(clairgen.Metric, "clairgen.metrics", ())
    registry.refresh()
    with pytest.raises(
        ConfigError, match="both register a metric 'length'; rename or uninstall one of them"
    ) as refused:
        list(registry)
    assert "the plugin one-plugin 0.1.0" in str(refused.value)
    assert "the plugin other-plugin 0.1.0" in str(refused.value)


@pytest.mark.process
async def test_a_broken_plugin_is_named_where_it_is_used_and_disturbs_nothing_else(site: Path, tmp_path: Path) -> None:
    tasks = write_tasks(tmp_path / "tasks.jsonl", questions(2))
    entry_points = {"clairgen.recipes": {"own": "broken_plugin:OWN"}}
    install(site, "broken-plugin", entry_points, "raise RuntimeError('no')", "broken_plugin")
    environment = {"PYTHONPATH": os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")])}
    async with ScriptedEndpoint(played) as endpoint:
        (tmp_path / "config.yaml").write_text(config_text(endpoint.url, tasks, recipes=["own"]))
        broken = await interpreter(
            "generate", tmp_path / "config.yaml", "--run", tmp_path / "run", environment=environment
        )
        (tmp_path / "config.yaml").write_text(config_text(endpoint.url, tasks, recipes=["clair"]))
        good = await interpreter(
            "generate", tmp_path / "config.yaml", "--run", tmp_path / "run", environment=environment
        )
    assert broken.code == 2
    assert broken.err.startswith(
        "Error: the plugin broken-plugin 0.1.0: the recipe 'own' (broken_plugin:OWN) cannot be loaded (RuntimeError: no); fix"
    )
    assert "Traceback" not in broken.err
    assert good.code == 0


@pytest.fixture
def added() -> Iterator[list[str]]:
    """Names that a test adds to the filters of this process, to be forgotten afterwards."""
    names: list[str] = []
    yield names
    for name in names:
        clairgen.FILTERS._added.pop(name)


def test_a_filter_can_be_added_for_the_running_process(added: list[str]) -> None:
    own = Filter("shouting", Marking, "Answers in capitals.", always(lambda _: Fault("shouts")))
    clairgen.FILTERS.add(own)
    added.append(own.name)
    assert clairgen.FILTERS.named("shouting") is own
    assert FilterSettings.model_validate({"shouting": "drop"}).phrases[-1] == "shouting: drop"
    with pytest.raises(ConfigError, match="there is already a filter 'shouting'"):
        clairgen.FILTERS.add(own)


def repeats(options: Marking) -> Check:
    seen: set[str] = set()

    def check(candidate: Candidate) -> Fault | None:
        text = candidate.pair.chosen.text
        if text in seen:
            return Fault("chosen-repeats")
        seen.add(text)
        return None

    return check


def test_a_filter_that_compares_pairs_sees_those_that_are_kept_in_their_order(added: list[str]) -> None:
    own = Filter("repetition", Marking, "Chosen answers that were chosen before.", repeats, whole_run=True)
    clairgen.FILTERS.add(own)
    added.append(own.name)
    settings = FilterSettings.model_validate({"repetition": "drop"})
    assert settings.compares_pairs
    over_the_run = RunFilters(settings, revises=False)
    dropped = Finding("empty", FilterAction.DROP, "rejected-empty", None)
    repeated = Finding("repetition", FilterAction.DROP, "chosen-repeats", None)
    found = [over_the_run.settle(pair(), None, findings) for findings in ((dropped,), (), (), (repeated,))]
    assert found == [(dropped,), (), (repeated,), (repeated,)]


@pytest.mark.parametrize(
    ("check", "sentence"),
    [
        (
            lambda candidate: 1 / 0,
            r"failed on the pair of task 't' \(ZeroDivisionError: division by zero\); fix it or leave",
        ),
        (
            lambda candidate: True,
            r"failed on the pair of task 't' \(TypeError: it returned True, which is not a Fault\)",
        ),
    ],
)
def test_a_check_that_fails_stops_instead_of_passing_the_pair(
    check: Callable[[Candidate], Any], sentence: str, added: list[str]
) -> None:
    own: Filter[Marking] = Filter("failing", Marking, "Fails.", always(check))
    clairgen.FILTERS.add(own)
    added.append(own.name)
    pipeline = FilterPipeline(FilterSettings.model_validate({"failing": "mark"}))
    with pytest.raises(RunStoppedError, match=sentence):
        pipeline.apply(pair(), None, revises=False)


def test_the_metrics_of_the_paper_are_metrics_too() -> None:
    measured = {name: metric.measure("a b", "a c") for name, metric in clairgen.METRICS.built_in.items()}
    assert measured == {"jaccard": pytest.approx(100 / 3), "levenshtein": 1, "length_ratio": 1.0}
    assert Candidate(pair()).contrast is None
