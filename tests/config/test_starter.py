"""The configuration that `clairgen init` writes: it loads and runs, and each of its comments is a key that may be switched on."""

import re
from pathlib import Path

import pytest
import yaml

from clairgen.config.file import load_config, parse_config
from clairgen.config.key_reference import groups
from clairgen.config.models import RunConfig
from clairgen.config.starter import starter_configuration
from clairgen.recipes.registry import RECIPES
from tests.cli.commands import clairgen

pytestmark = pytest.mark.slow

TEXT = starter_configuration({name: recipe.summary for name, recipe in RECIPES.items()}, prompts="prompts.jsonl")
_COMMENTED_KEY = re.compile(r"^( *)# ([a-z_0-9]+:(?: .*|))$")


async def test_what_it_writes_loads_and_can_be_generated_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = await clairgen("init")
    assert (done.code, done.err) == (0, "")
    assert "Wrote config.yaml and prompts.jsonl." in done.out
    assert [choice.name for choice in load_config(tmp_path / "config.yaml").recipes] == ["clair", "stronger-preferred"]
    estimated = await clairgen("generate", "config.yaml", "--run", "run", "--dry-run")
    assert estimated.code == 0, estimated
    assert estimated.out.startswith("3 tasks")


async def test_nothing_is_overwritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.yaml").write_text("mine")
    done = await clairgen("init")
    assert done.code == 2
    assert done.err == "Error: config.yaml exists already; name another file, or remove it first\n"
    assert (tmp_path / "config.yaml").read_text() == "mine"
    (tmp_path / "prompts.jsonl").write_text("mine")
    done = await clairgen("init", "new/other.yaml")
    assert (done.code, done.out.splitlines()[0]) == (0, "Wrote new/other.yaml and new/prompts.jsonl.")
    done = await clairgen("init", "third.yaml")
    assert (done.code, done.out.splitlines()[0]) == (0, "Wrote third.yaml.")
    assert (tmp_path / "prompts.jsonl").read_text() == "mine"


def test_every_key_is_there_and_lines_are_short() -> None:
    for group in groups(RunConfig).values():
        if group.name in ("RunConfig", "RecipeChoice", "TaskSource", "Role", "FilterSettings"):
            for key in group.keys:
                if key.name != "name":
                    assert re.search(rf"^[ #]*{key.name}:", TEXT, re.MULTILINE), key.name
    assert max(map(len, TEXT.splitlines())) <= 120


def test_every_comment_that_is_a_key_may_be_switched_on() -> None:
    plain = parse_config(TEXT)
    lines = TEXT.splitlines()
    switched = 0
    for number, line in enumerate(lines):
        if (found := _COMMENTED_KEY.match(line)) and not found[2].startswith(("others:", "judge:")):
            changed = [*lines[:number], found[1] + found[2], *lines[number + 1 :]]
            assert parse_config("\n".join(changed)) == plain, line
            switched += 1
    assert switched >= 40


def test_the_commented_roles_may_be_switched_on() -> None:
    switched = re.sub(r"^  # (judge: \{|others:|  - \{)", r"  \1", TEXT, flags=re.MULTILINE)
    assert sorted(parse_config(switched).models) == ["judge", "other-1", "other-2", "reviser", "stronger", "target"]
    assert yaml.safe_load(switched)["models"]["others"][0]["model"] == "classroom-weaker"


async def test_config_prints_what_a_configuration_means(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(TEXT)
    done = await clairgen("config", tmp_path / "c.yaml")
    assert done.code == 0
    shown = yaml.safe_load(done.out)
    assert shown["tasks"]["path"] == str(tmp_path / "prompts.jsonl")
    assert shown["models"]["reviser"]["timeout_seconds"] == 600
    refused = await clairgen("config")
    assert (refused.code, refused.err) == (2, "Error: give either a configuration to check, or --schema\n")
