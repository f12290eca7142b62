"""Loading the model to train and its tokenizer."""

from pathlib import Path

import pytest

from clairgen.errors import InputError
from clairgen_train.model import load_model, load_tokenizer
from clairgen_train.settings import load_settings
from tests.exporting.test_trl import byte_tokenizer
from tests.training.small_run import saved_model, trained

VOCABULARY = 300


def test_a_model_without_a_chat_template_needs_one(tmp_path: Path) -> None:
    model = saved_model(tmp_path / "model")
    (model / "chat_template.jinja").unlink()
    with pytest.raises(InputError, match=r"has no chat template.*--chat-template FILE"):
        load_tokenizer(load_settings(None, {"model": str(model)}), VOCABULARY)
    template = tmp_path / "own.jinja"
    template.write_text("{{ messages[0]['content'] }}")
    own = load_tokenizer(load_settings(None, {"model": str(model), "chat_template": template}), VOCABULARY)
    assert own.chat_template == "{{ messages[0]['content'] }}"
    with pytest.raises(InputError, match="cannot be read"):
        load_tokenizer(load_settings(None, {"model": str(model), "chat_template": tmp_path / "none.jinja"}), VOCABULARY)


def test_a_missing_or_unknown_padding_token_is_replaced(tmp_path: Path) -> None:
    model = saved_model(tmp_path / "model")
    chosen = load_settings(None, {"model": str(model)})
    assert load_tokenizer(chosen, VOCABULARY).pad_token_id == byte_tokenizer().pad_token_id
    tokenizer = byte_tokenizer()
    tokenizer.add_special_tokens({"pad_token": "<|beyond|>"})
    assert tokenizer.pad_token_id >= len(byte_tokenizer())
    tokenizer.save_pretrained(model)
    assert load_tokenizer(chosen, len(byte_tokenizer())).pad_token_id == byte_tokenizer().eos_token_id
    tokenizer = byte_tokenizer()
    tokenizer.pad_token = tokenizer.eos_token = None
    tokenizer.save_pretrained(model)
    assert load_tokenizer(chosen, VOCABULARY).pad_token_id == 0


@pytest.mark.parametrize("objective", ["apo-zero", "kto"])
def test_a_padding_token_without_an_embedding_does_not_stop_training(tmp_path: Path, objective: str) -> None:
    tokenizer = byte_tokenizer()
    tokenizer.add_special_tokens({"pad_token": "<|beyond|>"})
    tokenizer.save_pretrained(saved_model(tmp_path / "model"))
    assert trained(tmp_path, objective=objective, epochs=1).is_finished


def test_attention_is_the_one_that_is_named(tmp_path: Path) -> None:
    given = {"model": str(saved_model(tmp_path / "model")), "precision": "fp32"}
    model = load_model(load_settings(None, given | {"attn_implementation": "eager"}))
    assert model.config._attn_implementation == "eager"
    with pytest.raises(InputError, match=r"cannot be loaded; .*fast_attention"):
        load_model(load_settings(None, given | {"attn_implementation": "fast_attention"}))
