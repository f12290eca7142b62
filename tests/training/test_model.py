"""Loading the model to train and its tokenizer."""

from pathlib import Path

import pytest

from clairgen.errors import InputError
from clairgen_train.model import load_tokenizer
from clairgen_train.settings import load_settings
from tests.training.small_run import saved_model


def test_a_model_without_a_chat_template_needs_one(tmp_path: Path) -> None:
    model = saved_model(tmp_path / "model")
    (model / "chat_template.jinja").unlink()
    with pytest.raises(InputError, match=r"has no chat template.*--chat-template FILE"):
        load_tokenizer(load_settings(None, {"model": str(model)}))
    template = tmp_path / "own.jinja"
    template.write_text("{{ messages[0]['content'] }}")
    own = load_tokenizer(load_settings(None, {"model": str(model), "chat_template": template}))
    assert own.chat_template == "{{ messages[0]['content'] }}"
    with pytest.raises(InputError, match="cannot be read"):
        load_tokenizer(load_settings(None, {"model": str(model), "chat_template": tmp_path / "none.jinja"}))
