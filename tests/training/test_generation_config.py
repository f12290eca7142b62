"""Generation settings that transformers would refuse to save are repaired or refused before training."""

import json
from pathlib import Path

import pytest
from transformers import GenerationConfig

from clairgen.errors import InputError
from clairgen_train.model import repair_generation_config
from clairgen_train.run import prepare
from tests.training.small_run import pair, saved_model, settings, trained, written


def with_generation_config(folder: Path, **content: object) -> None:
    (saved_model(folder / "model") / "generation_config.json").write_text(json.dumps(content))


def test_sampling_options_without_sampling_are_left_out_and_the_model_is_saved(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with_generation_config(tmp_path, do_sample=False, temperature=0.9, top_p=0.6, eos_token_id=2)
    out = trained(tmp_path, epochs=1)
    saved = GenerationConfig.from_pretrained(out.path)
    saved.validate(strict=True)
    assert (saved.temperature, saved.top_p) == (None, None)
    assert "sets temperature, top_p without effect; the trained model's leaves that out" in capsys.readouterr().err


def test_contradicting_options_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    with_generation_config(tmp_path, do_sample=False, num_return_sequences=3)
    data = written(tmp_path / "pairs.jsonl", [pair(number) for number in range(8)])
    with pytest.raises(InputError, match=r"generation_config.json of .*model; correct that file") as caught:
        prepare(str(data), tmp_path / "out", settings(tmp_path))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_valid_options_stay_as_they_are() -> None:
    config = GenerationConfig(do_sample=True, temperature=0.7, top_p=0.9)  # type: ignore[no-untyped-call]  # transformers' own is not annotated
    assert repair_generation_config(config, "m") == []
    assert (config.temperature, config.top_p) == (0.7, 0.9)
