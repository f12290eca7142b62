"""Old words in configurations and on the command line: read as the new ones, with a sentence that names these."""

import logging
from pathlib import Path

import pytest

from clairgen.config.file import load_config, parse_config
from clairgen.config.renamed import RENAMED, Renamed, with_new_names
from clairgen.errors import ConfigError
from clairgen.filters.registry import FILTERS
from clairgen.recipes.registry import RECIPES

NAMES = Renamed(keys={"colour": "color"}, recipes={"old": "new"}, filters={"sieve": "filter"})
CONFIG = """\
recipes: [clair]
tasks: {path: prompts.jsonl}
models:
  target: {model: m, endpoints: ["http://gpu1:8000/v1"]}
  reviser: {model: r, endpoints: ["http://gpu2:8000/v1"]}
"""


def test_keys_recipes_and_filters_get_their_new_names_with_a_sentence_each() -> None:
    old = {"recipes": ["old", {"name": "old", "samples": 2}, "other"], "filters": {"sieve": "drop"}, "colour": 1}
    found, notes = with_new_names(old, "c.yaml", NAMES)
    assert found == {
        "recipes": ["new", {"name": "new", "samples": 2}, "other"],
        "filters": {"filter": "drop"},
        "color": 1,
    }
    assert notes == [
        "Note: the key 'colour' is now called 'color'; the old name is still read.",
        "Note: the filter 'sieve' is now called 'filter'; the old name is still read.",
        "Note: the recipe 'old' is now called 'new'; the old name is still read.",
    ]
    assert with_new_names(found, "c.yaml", NAMES) == (found, [])


@pytest.mark.parametrize("content", [{"colour": 1, "color": 1}, {"filters": {"sieve": "off", "filter": "off"}}])
def test_both_names_are_a_mistake(content: dict[str, object]) -> None:
    with pytest.raises(
        ConfigError, match=r"^c\.yaml.* is the old name of '(color|filter)', which is given too; keep only"
    ):
        with_new_names(content, "c.yaml", NAMES)


@pytest.mark.parametrize("content", [{"filters": None, "recipes": "old"}, {"recipes": [1, None, {"name": ["old"]}]}])
def test_what_is_malformed_is_left_to_validation(content: dict[str, object]) -> None:
    assert with_new_names(content, "c.yaml", NAMES) == (content, [])


def test_new_names_exist_and_old_ones_do_not() -> None:
    assert set(RENAMED.recipes.values()) <= set(RECIPES)
    assert set(RENAMED.filters.values()) <= set(FILTERS)
    assert not RENAMED.recipes.keys() & set(RECIPES)
    assert not RENAMED.filters.keys() & set(FILTERS)


def test_a_file_of_the_users_leaves_a_note_and_a_saved_configuration_none(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(CONFIG + "tokeniser: word\n")
    with caplog.at_level(logging.WARNING):
        assert parse_config(path.read_text()).tokenizer == "word"
        assert caplog.messages == []
        assert load_config(str(path)).tokenizer == "word"
    assert caplog.messages == ["Note: the key 'tokeniser' is now called 'tokenizer'; the old name is still read."]
