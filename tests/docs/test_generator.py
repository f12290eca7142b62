"""The generated parts say all that there is to say: every key, command, name and table."""

import re

import pytest
from pydantic import BaseModel

import clairgen
from clairgen.config.key_reference import groups
from clairgen.config.models import RunConfig
from clairgen.store.schema import MIGRATIONS
from clairgen_train.settings import TrainingSettings
from docs.generator.__main__ import MARK, PAGES, PARTS, pages
from docs.generator.commands import all_commands

FILLED = pages()


@pytest.mark.parametrize("model", [RunConfig, TrainingSettings])
def test_every_key_says_what_it_does(model: type[BaseModel]) -> None:
    for group in groups(model).values():
        assert group.description, group.name
        for key in group.keys:
            assert key.description.endswith("."), (group.name, key.name)
            assert key.type != "any value", (group.name, key.name)


def test_the_reference_has_every_key_of_a_configuration() -> None:
    page = FILLED["reference/configuration.md"]
    for group in groups(RunConfig).values():
        for key in group.keys:
            assert re.search(rf"^\| `{key.name}`\{{ #[\w-]+-{key.name} \}} \|", page, re.MULTILINE), key.name
    for row in ("| number, at least 0 | not set |", "| whole number, at least 2, at most 512 | `4` |"):
        assert row in page


def test_the_reference_has_every_training_setting() -> None:
    page = FILLED["reference/training-settings.md"]
    for name in TrainingSettings.model_fields:
        assert f"| `{name}`{{ #all-keys-{name} }} |" in page
    assert page.count("May change.") >= 10


def test_the_reference_has_every_command_with_an_example() -> None:
    page = FILLED["reference/commands.md"]
    assert {"generate", "init", "config", "train"} <= all_commands().keys()
    for name, command in all_commands().items():
        section = page.partition(f"## clairgen {name} {{")[2].partition("\n## ")[0]
        assert re.search(rf"^clairgen {name}\b.*\n(?:clairgen .*\n)*```", section, re.MULTILINE), name
        assert "Example" in section, name
        for parameter in command.params:
            if parameter.param_type_name == "option" and not parameter.hidden:
                assert f"`{parameter.opts[0]}`" in section, (name, parameter.opts)
                assert parameter.help, (name, parameter.opts)


def test_the_reference_has_every_public_name() -> None:
    page = FILLED["reference/python.md"]
    for name in clairgen.__all__:
        assert f"## clairgen.{name} {{ #{name} }}" in page
    assert " at 0x" not in page


def test_the_reference_has_every_table() -> None:
    page = FILLED["reference/tables.md"]
    created = set(re.findall(r"CREATE TABLE (\w+)", "\n".join(MIGRATIONS)))
    renamed = dict(re.findall(r"ALTER TABLE (\w+) RENAME TO (\w+)", "\n".join(MIGRATIONS)))
    assert {renamed.get(table, table) for table in created} == set(re.findall(r"^## (\w+) \{", page, re.MULTILINE))
    assert "| `recipe` | TEXT | primary key |" in page


def test_every_part_is_used_once_and_none_is_left() -> None:
    used = [name for page in PAGES.rglob("*.md") for name in MARK.findall(page.read_text(encoding="utf-8"))]
    assert sorted(used) == sorted(PARTS)
    assert not [name for name, text in FILLED.items() if "<!-- " in text]
