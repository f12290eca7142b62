"""The documentation is true: its commands and programs run, its configurations load, its words and links exist."""

import ast
import asyncio
import json
import os
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

import clairgen
from clairgen.cli.commands import SUBCOMMANDS
from clairgen.config.evaluated import load_evaluate_config
from clairgen.config.file import load_config, parse_config
from clairgen.config.key_reference import configuration_schema
from clairgen.config.renamed import RENAMED
from clairgen.experiment.experiment_config import load_experiment
from clairgen.pipeline.plans import plan_recipes
from clairgen.recipes.registry import RECIPES
from clairgen.records import ParseStatus
from clairgen_train.data.mixture import Mixture
from clairgen_train.settings import load_settings
from docs.generator.__main__ import PAGES, pages
from docs.generator.commands import all_commands
from tests.cli.commands import clairgen as run_command
from tests.docs.blocks import Block, blocks, run_console, run_python

pytestmark = pytest.mark.slow

SOURCES = {page.relative_to(PAGES).as_posix(): page.read_text(encoding="utf-8") for page in sorted(PAGES.rglob("*.md"))}
FILLED = pages()
FIRST = "getting-started.md"
RUN_ELSEWHERE = {"guides/plugins.md"}  # with the package that it shows installed: tests/test_plugins.py
SCHEMA = jsonschema.Draft202012Validator(configuration_schema(list(RECIPES)))
COMMANDS = all_commands()
FLAGS = {name: {flag for one in command.params for flag in one.opts} for name, command in COMMANDS.items()}
NOT_OURS = {
    "--help",
    "--index-url",
    "--entrypoint",
    "--port",
    "--profile",
    "--rm",
}  # click's, pip's, vLLM's and docker's
NOT_OURS |= {"--array", "--exclusive", "--nodes", "--requeue", "--signal", "--num-jobs"}  # Slurm's and SkyPilot's
NOT_OURS |= {"--detach-run", "--env", "--secret", "--from-literal"}  # SkyPilot's and kubectl's
NOT_OURS |= {"--head", "--generate", "--address"}  # those of ray start and its token
NOT_OURS |= {"--nnodes", "--node-rank", "--nproc-per-node", "--master-addr"}  # torchrun's
NOT_OURS |= {"--served-model-name", "--enable-lora", "--max-model-len"}  # vLLM's


def runnable(name: str) -> bool:
    return any(block.language in ("console", "python") for block in blocks(SOURCES[name]))


def write_files(name: str) -> None:
    for block in blocks(SOURCES[name]):
        if "." in block.title:
            Path(block.title).write_text(block.text, encoding="utf-8")


async def run_page(name: str) -> None:
    """Write the files that a page shows, and run its commands and programs, in order, in this folder."""
    write_files(name)
    for block in blocks(SOURCES[name]):
        if block.language == "console":
            await run_console(block)
        elif block.language == "python":
            await run_python(block)


@pytest.fixture(scope="module")
def first_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder as the first page leaves it, with its run."""
    pytest.importorskip("xllamacpp")
    folder = tmp_path_factory.mktemp("first")
    before = Path.cwd()
    os.chdir(folder)
    try:
        asyncio.run(run_page(FIRST))
    finally:
        os.chdir(before)
    return folder


@pytest.mark.slow
def test_the_first_page_makes_a_run_and_a_data_set(first_run: Path) -> None:
    assert (first_run / "runs" / "first" / "run.db").is_file()
    assert sorted(entry.name for entry in (first_run / "datasets" / "first").iterdir()) == [
        "README.md",
        "clair",
        "stronger-preferred",
    ]


@pytest.mark.slow
async def test_the_first_page_and_the_picture_show_a_pair_as_it_is_shown(first_run: Path) -> None:
    printed = await run_command("show", first_run / "runs" / "first", "--recipe", "clair")
    [shown] = [block.text for block in blocks(SOURCES[FIRST]) if block.language == "text"]
    titles = re.findall(r"^(.*?) ─", shown, re.MULTILINE)
    assert len(titles) == 3
    assert titles == re.findall(r"^(.*?) ─", printed.out, re.MULTILINE)[:3]
    picture = (PAGES / "images" / "pair.svg").read_text(encoding="utf-8").replace("&#160;", " ")
    assert all(f">{title}<" in picture for title in titles)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in SOURCES if runnable(name) and name not in {FIRST, *RUN_ELSEWHERE}])
async def test_commands_and_programs_of_a_page_run(
    name: str, first_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(first_run, tmp_path / "here", ignore=shutil.ignore_patterns("lock"))
    monkeypatch.chdir(tmp_path / "here")
    await run_page(name)


@pytest.mark.parametrize(
    ("name", "block"),
    [
        (name, block)
        for name, text in SOURCES.items()
        for block in blocks(text)
        if block.language == "yaml" and name not in RUN_ELSEWHERE
    ],
    ids=lambda value: value.title if isinstance(value, Block) else value,
)
def test_configurations_load(name: str, block: Block, tmp_path: Path) -> None:
    (tmp_path / "evaluation.jsonl").write_text("")
    file = tmp_path / "shown.yaml"
    content = yaml.safe_load(block.text)
    if block.title == "training.yaml":
        file.write_text(block.text)
        load_settings(file, {"model": "a/model"})
        return
    if block.title == "experiment.yaml":
        file.write_text(block.text)
        load_experiment(file)
        return
    if block.title == "mixture.yaml":
        Mixture.model_validate(content)
        return
    if block.title == "pairwise.yaml":
        file.write_text(block.text)
        load_evaluate_config(file)
        return
    base = {"recipes": ["clair"], "tasks": {"path": "prompts.jsonl"}, "models": {}}
    whole = content if "recipes" in content else base | content
    file.write_text(yaml.safe_dump(whole))
    config = load_config(file)
    SCHEMA.validate(json.loads(json.dumps(whole)))
    if "recipes" in content:
        assert block.title.endswith(".yaml"), f"a whole configuration in {name} needs a file's name as its title"
        plan_recipes(config, config.models)


@pytest.mark.parametrize("name", sorted(FILLED))
def test_every_command_and_flag_that_is_named_exists(name: str) -> None:
    shown = [block.text for block in blocks(FILLED[name]) if block.language in ("console", "sh")]
    lines = [line for text in shown for line in re.findall(r"^(?:\$ )?clairgen (.*)$", text, re.MULTILINE)]
    for line in lines + re.findall(r"`clairgen ([^`]*)`", FILLED[name]):
        command, *words = shlex.split(line)
        if command in SUBCOMMANDS:
            if words[:1] in ([], ["--help"]):
                continue
            command = f"{command} {words.pop(0)}"
        if command in ("COMMAND", "--help"):
            continue
        assert command in COMMANDS, line
        flags = {word for word in words if word.startswith("--")}
        assert flags <= FLAGS[command] | {"--help"}, line
    everywhere = set().union(*FLAGS.values()) | NOT_OURS
    named = re.findall(r"(?<![\w-])--[a-z][a-z-]+", re.sub(r"<!--.*?-->", "", FILLED[name]))
    assert set(named) <= everywhere, name


def anchors(text: str) -> set[str]:
    """The anchors of a page: those that it names, and those of headings."""
    plain = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    named = set(re.findall(r"\{ #([\w.-]+) \}", plain))
    titles = re.findall(r"^#+ (.+)$", plain, re.MULTILINE)
    return named | {re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", title).strip().lower()) for title in titles}


@pytest.mark.parametrize("name", sorted(FILLED))
def test_every_link_leads_somewhere(name: str) -> None:
    for link in re.findall(r"\]\((?!https?:)([^)\s]+)\)", FILLED[name]):
        path, _, anchor = link.partition("#")
        target = os.path.normpath(Path(name).parent / path) if path else name
        if target.endswith(".md"):
            assert target in FILLED, link
            assert not anchor or anchor in anchors(FILLED[target]), link
        else:
            assert (PAGES / target).is_file(), link


def test_every_reason_that_a_pair_has_no_chosen_answer_is_explained() -> None:
    for status in ParseStatus:
        assert f"`{status}`" in SOURCES["reference/errors.md"]


def test_every_reason_that_a_task_fails_for_is_explained() -> None:
    calls = [
        node
        for file in Path(clairgen.__path__[0]).rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args
    ]
    raised = [call.args[0] for call in calls if call.func.id in ("RequestFailedError", "RetryableError")]  # type: ignore[attr-defined]
    reasons = {str(reason.value) for reason in raised if isinstance(reason, ast.Constant)}
    assert {"rejected-alone", "timed-out"} <= reasons
    for reason in reasons:
        assert f"`{reason}`" in SOURCES["reference/errors.md"]


def test_every_old_name_is_listed_with_its_new_one() -> None:
    for names in (RENAMED.keys, RENAMED.recipes, RENAMED.filters, RENAMED.templates, RENAMED.reasons):
        for old, new in names.items():
            assert re.search(rf"^\|.*`{old}`.*\|.*`{new}`.*\|$", SOURCES["background/faq.md"], re.MULTILINE), old


def test_every_recipe_is_in_a_guide() -> None:
    guides = "".join(text for name, text in SOURCES.items() if name == "index.md" or name.startswith("guides/"))
    for recipe in RECIPES:
        assert f"`{recipe}`" in guides


def test_every_block_of_yaml_that_is_no_fragment_can_be_told() -> None:
    titles: list[Any] = [block.title for text in SOURCES.values() for block in blocks(text) if block.language == "yaml"]
    assert all(titles)
    assert parse_config("recipes: [clair]\ntasks: {path: x.jsonl}\nmodels: {}").seed == 0
