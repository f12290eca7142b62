"""Old names of recipes, templates and reasons, on a command line and in a configuration."""

import logging
import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner

from clairgen.cli.app import app
from clairgen.config.file import load_config
from clairgen.errors import ConfigError
from clairgen.templates import load_template
from tests.store.test_migration import OLD

pytestmark = pytest.mark.slow

NOTE = "Note: the recipe 'worsened' is now called 'degraded'; the old name is still read."
CONFIG = """
recipes: [{}]
tasks: {{path: tasks.jsonl}}
models:
  stronger: {{model: a, endpoints: ["http://127.0.0.1:9/v1"]}}
  reviser: {{model: b, endpoints: ["http://127.0.0.1:9/v1"]}}
"""


@pytest.fixture
def run(tmp_path: Path) -> Path:
    (tmp_path / "run").mkdir()
    with closing(sqlite3.connect(tmp_path / "run" / "run.db")) as database:
        database.executescript((OLD / "run.sql").read_text(encoding="utf-8"))
    assert CliRunner().invoke(app, ["migrate", str(tmp_path / "run")]).exit_code == 0
    return tmp_path / "run"


def test_commands_that_name_a_recipe_take_its_old_name_with_a_note(tmp_path: Path, run: Path) -> None:
    shown = CliRunner().invoke(app, ["show", str(run), "--recipe", "worsened"])
    assert "degraded  task task-1" in shown.stdout
    assert shown.stderr.splitlines() == [NOTE]
    exported = CliRunner().invoke(app, ["export", str(run), str(tmp_path / "out"), "--recipe", "worsened"])
    assert "degraded: 4 rows in train" in exported.stdout
    assert exported.stderr.splitlines() == [NOTE]


def test_a_configuration_may_name_a_recipe_by_its_old_name(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG.format("worsened"), encoding="utf-8")
    with caplog.at_level(logging.WARNING):
        assert [choice.name for choice in load_config(path).recipes] == ["degraded"]
    assert caplog.messages == [NOTE]
    path.write_text(CONFIG.format("worsened, degraded"), encoding="utf-8")
    with pytest.raises(ConfigError, match="degraded"):
        load_config(path)


def test_a_configuration_may_name_a_template_by_its_old_name(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG.format("{name: degraded, template: worsen}"), encoding="utf-8")
    with caplog.at_level(logging.WARNING):
        config = load_config(path)
    assert caplog.messages == ["Note: the template 'worsen' is now called 'degrade'; the old name is still read."]
    assert config.recipes[0].template == "degrade"
    slots = frozenset({"task", "good_solution"})
    assert load_template("worsen", slots) == load_template("degrade", slots)
    [old_hash] = re.findall(r"'([0-9a-f]{64})','worsen'", (OLD / "run.sql").read_text(encoding="utf-8"))
    assert load_template("degrade", slots).content_hash == old_hash  # so answers of older runs are still found


def test_a_reason_may_be_named_by_its_old_name(run: Path) -> None:
    shown = CliRunner().invoke(app, ["show", str(run), "--dropped", "alludes-to-revision"])
    note = "Note: the reason 'alludes-to-revision' is now called 'mentions-revision'; the old name is still read."
    assert shown.stderr.splitlines() == [note]
    assert "is dropped for 'mentions-revision'" in str(shown.exception)
