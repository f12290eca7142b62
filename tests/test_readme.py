"""The README is true: its first run is run, its commands and flags exist, its files are there."""

import re
import shlex
from pathlib import Path

import pytest

from clairgen.config.file import parse_config
from clairgen.pipeline.plans import plan_recipes
from tests.cli.commands import clairgen, process

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


@pytest.mark.process
async def test_first_run_does_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("xllamacpp")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "prompts.jsonl").write_text(blocks("jsonl")[0])
    (tmp_path / "config.yaml").write_text(blocks("yaml")[0])
    for line in blocks("console")[0].splitlines():
        dollar, command, *arguments = shlex.split(line)
        assert (dollar, command) == ("$", "clairgen")
        done = await process(*arguments)
        assert done.code == 0, (line, done)
    assert "3 tasks" in done.out


def test_own_models_are_configured_as_shown() -> None:
    config = parse_config("recipes: [clair]\ntasks: {path: prompts.jsonl}\n" + blocks("yaml")[1])
    assert config.models["reviser"].api_key_env == "OPENAI_API_KEY"
    judged = parse_config(blocks("yaml")[2])
    assert sorted(judged.models) == ["judge", "judge-2", "reviser", "stronger", "target"]
    assert len(plan_recipes(judged, judged.models)) == 4


async def test_every_command_and_flag_exists() -> None:
    rows = re.findall(r"^\| `clairgen (\w+)[^`]*` \| (.*) \|$", README, re.MULTILINE)
    listed = await clairgen("--help")
    assert {name for name, _ in rows} == set(re.findall(r"^│ (\w+) ", listed.out, re.MULTILINE)) - {"install"}
    for name, text in rows:
        help_text = (await clairgen(name, "--help", environment={"COLUMNS": "200"})).out
        for flag in re.findall(r"--[a-z-]+", text):
            assert flag in help_text, (name, flag)
        assert "Example: clairgen" in help_text


def test_make_targets_and_linked_files_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"^make (\w+)", README, re.MULTILINE):
        assert f"\n{target}:" in makefile
    for link in re.findall(r"\]\((?!https?:)([^)]+)\)", README):
        assert (ROOT / link).exists(), link


@pytest.mark.parametrize("name", ["paper.yaml", "laptop.yaml"])
def test_examples_are_valid_configurations(name: str) -> None:
    from clairgen.config.file import load_config

    config = load_config(ROOT / "data" / "examples" / name)
    assert config.recipes[0].name == "clair"
