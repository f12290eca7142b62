"""The band for length differences, in characters and in tokens of a tokenizer that is named."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from clairgen.errors import ConfigError
from clairgen.filters.filter import Candidate, Fault
from clairgen.filters.filter_settings import FilterSettings
from clairgen.filters.length_difference import LENGTH_DIFFERENCE, LengthDifference
from clairgen.filters.pipeline import FilterPipeline
from tests.filters.pairs import answer, pair
from tests.metrics.test_answer_lengths import saved_tokenizer


def looked(chosen: str, rejected: str, **options: object) -> Fault | None:
    assert LENGTH_DIFFERENCE.prepare is not None
    check = LENGTH_DIFFERENCE.prepare(LengthDifference.model_validate(options))
    return check(Candidate(pair(answer(chosen), answer(rejected))))


def test_a_difference_outside_the_band_is_found_with_its_value() -> None:
    assert looked("12345678", "12345", bounds=[-3, 3]) is None
    assert looked("123456789", "12345", bounds=[-3, 3]) == Fault("length-difference-above", 4)
    assert looked("1", "12345", bounds=[-3, 3]) == Fault("length-difference-below", -4)
    assert looked("1" * 900, "", bounds=[-3, None]) is None


def test_tokens_are_those_of_the_tokenizer_that_is_named(tmp_path: Path) -> None:
    folder = saved_tokenizer(tmp_path)
    words = {"chosen": "one two three", "rejected": "incomprehensibilities"}
    assert looked(**words, bounds=[-1, 1], tokenizer=str(folder)) == Fault("length-difference-above", 2)
    assert looked(**words, bounds=[None, -1]) is None  # 8 characters fewer


def test_the_band_its_unit_and_its_action_are_said() -> None:
    said = FilterSettings.model_validate({"length_difference": {"bounds": [-200, 200], "tokenizer": "Qwen/Qwen3-8B"}})
    assert "length_difference -200 to 200 tokens of Qwen/Qwen3-8B: drop" in said.phrases
    marked = FilterSettings.model_validate({"length_difference": {"bounds": [None, 50], "action": "mark"}})
    assert "length_difference at most 50 characters: mark" in marked.phrases
    assert "length_difference" not in FilterSettings().description


def test_a_tokenizer_without_a_band_is_refused() -> None:
    with pytest.raises(ValidationError, match="a tokenizer needs bounds"):
        LengthDifference.model_validate({"tokenizer": "Qwen/Qwen3-8B"})


def test_a_tokenizer_that_is_not_there_is_refused_before_any_pair_is_seen() -> None:
    written = {"length_difference": {"bounds": [-2, 2], "tokenizer": "./absent"}}
    with pytest.raises(ConfigError, match=r"there is no tokenizer \./absent; name a folder"):
        FilterPipeline(FilterSettings.model_validate(written))
    FilterPipeline(
        FilterSettings.model_validate({"length_difference": {**written["length_difference"], "action": "off"}})
    )
