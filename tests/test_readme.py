"""The README is true and short: its first run is run, its commands and flags exist, its files are there."""

import re
from pathlib import Path

import pytest

from clairgen.cli.commands import COMMANDS, SUBCOMMANDS
from clairgen.config.file import load_config, parse_config
from docs.generator.commands import all_commands
from tests.cli.commands import clairgen
from tests.docs.blocks import blocks, run_console

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = {
    language: [block for block in blocks(README) if block.language == language] for language in ("console", "yaml")
}


@pytest.mark.slow
async def test_first_run_does_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("xllamacpp")
    monkeypatch.chdir(tmp_path)
    [commands] = BLOCKS["console"]
    printed = await run_console(commands)
    assert "3 tasks" in "".join(printed)
    assert (tmp_path / "datasets" / "first" / "clair").is_dir()


def test_own_models_are_configured_as_shown() -> None:
    [models] = BLOCKS["yaml"]
    config = parse_config("recipes: [clair]\ntasks: {path: prompts.jsonl}\n" + models.text)
    assert config.models["reviser"].api_key_env == "OPENAI_API_KEY"


@pytest.mark.slow
async def test_every_command_and_flag_exists() -> None:
    listed = await clairgen("--help")
    assert [name for name in re.findall(r"^│ (\w[\w-]*) ", listed.out, re.MULTILINE) if name != "install"] == list(
        COMMANDS
    )
    for line in re.findall(r"^(?:\$ )?clairgen (.*)$|`clairgen ([^`]*)`", README, re.MULTILINE):
        name, *words = "".join(line).split()
        if name in SUBCOMMANDS and words:
            name = f"{name} {words[0]}"
        if name in all_commands():
            flags = {flag for one in all_commands()[name].params for flag in one.opts}
            assert {word for word in words if word.startswith("--")} <= flags, line
        else:
            assert name in ("makes", "samples", *SUBCOMMANDS), line  # a sentence that begins a line


@pytest.mark.slow
@pytest.mark.parametrize("name", list(all_commands()))
async def test_the_help_of_a_command_shows_every_option_and_an_example(name: str) -> None:
    help_text = (await clairgen(*name.split(), "--help", environment={"COLUMNS": "200"})).out
    for parameter in all_commands()[name].params:
        if parameter.param_type_name == "option" and not parameter.hidden:
            assert parameter.opts[0] in help_text, parameter.opts
    assert "Example: clairgen" in help_text


def test_make_targets_and_linked_files_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"(?:^|`)make (\w+)", README, re.MULTILINE):
        assert f"\n{target}:" in makefile
    for link in re.findall(r"\]\((?!https?:)([^)]+)\)", README):
        assert (ROOT / link).is_file(), link


def test_it_is_short_and_its_results_are_those_of_the_documentation() -> None:
    assert len(README.split()) <= 900
    [table] = re.findall(r"^\| recipe \| kept of 500 .*?\n\n", README, re.MULTILINE | re.DOTALL)
    assert table in (ROOT / "docs" / "guides" / "reports.md").read_text(encoding="utf-8")


def test_every_guide_is_linked() -> None:
    for guide in (ROOT / "docs" / "guides").glob("*.md"):
        assert f"(docs/guides/{guide.name})" in README


@pytest.mark.parametrize("name", ["paper.yaml", "laptop.yaml"])
def test_examples_are_valid_configurations(name: str) -> None:
    assert load_config(ROOT / "data" / "examples" / name).recipes[0].name == "clair"
