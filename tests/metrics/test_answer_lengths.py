"""Lengths in characters and in tokens: what a tokenizer may be, and what is refused."""

import json
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from clairgen.errors import ConfigError
from clairgen.metrics.answer_lengths import absolute, length_in, unit


def saved_tokenizer(folder: Path) -> Path:
    """A folder with a tokenizer that takes words as tokens, adds one at the beginning and cuts texts to two."""
    made = Tokenizer(models.WordLevel({"[BOS]": 0, "[UNK]": 1}, unk_token="[UNK]"))  # noqa: S106 - the name of a token
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing(single="[BOS] $A", special_tokens=[("[BOS]", 0)])
    made.enable_truncation(2)
    made.enable_padding(length=2)
    (folder / "words").mkdir()
    made.save(str(folder / "words" / "tokenizer.json"))
    return folder / "words"


def test_without_a_tokenizer_code_points_are_counted() -> None:
    assert [length_in(None)(text) for text in ("", "abc", "é\U0001f600\ud800")] == [0, 3, 3]
    assert (unit(None), unit("Qwen/Qwen3-8B")) == ("characters", "tokens of Qwen/Qwen3-8B")


def test_a_folder_and_its_file_count_all_tokens_but_special_ones(tmp_path: Path) -> None:
    folder = saved_tokenizer(tmp_path)
    for name in (folder, folder / "tokenizer.json"):
        length = length_in(str(name))
        assert [length(text) for text in ("", "one", "one two three four", "a\ud800b c")] == [0, 1, 4, 4]


def test_what_is_no_tokenizer_is_refused_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "tokenizer.json").write_text(json.dumps({"model": "none"}), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"has no tokenizer\.json; save the model's fast tokenizer there"):
        length_in(str(tmp_path / "empty"))
    with pytest.raises(ConfigError, match=r"cannot be read, so check its name or its tokenizer\.json"):
        length_in(str(tmp_path))
    for name in ("absent", "./absent/there", "absent/tokenizer.json", "a/b/c"):
        with pytest.raises(ConfigError, match=f"there is no tokenizer {name}; name a folder"):
            length_in(name)


def test_local_tokenizers_are_counted_from_a_folder_and_names_on_the_hub_stay(tmp_path: Path) -> None:
    saved_tokenizer(tmp_path)
    assert absolute("words", tmp_path) == str(tmp_path / "words")
    assert absolute("words/tokenizer.json", tmp_path) == str(tmp_path / "words" / "tokenizer.json")
    assert absolute("Qwen/Qwen3-8B", tmp_path) == "Qwen/Qwen3-8B"
    assert absolute("absent", tmp_path) == str(tmp_path / "absent")
