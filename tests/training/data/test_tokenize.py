"""Conversations become token ids by the model's own template; what is cut or cannot teach is counted by reason."""

from pathlib import Path

import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from clairgen.errors import InputError
from clairgen_train.data.tokenize import Limits, PairTokenizer, tokenizer_of
from tests.exporting.test_trl import byte_tokenizer
from tests.training.small_run import pair, saved_model

STUDENT = Path(__file__).parents[2] / "data" / "classroom" / "student"


def test_ids_are_the_template_s_and_the_answer_ends_with_its_end_token() -> None:
    tokenizer = AutoTokenizer.from_pretrained(STUDENT)
    pair_tokenizer = PairTokenizer(tokenizer, 2048, Limits(512, 512))
    prompt = [{"role": "user", "content": "3 + 3?"}]
    (made,) = pair_tokenizer.pairs([pair(3, prompt=prompt)])
    assert tokenizer.decode(made.ids.prompt) == tokenizer.apply_chat_template(
        prompt, tokenize=False, add_generation_prompt=True
    )
    assert tokenizer.decode(made.ids.chosen) == "It is 6.<|eot_id|>"
    assert made.ids.chosen[-1] == tokenizer.eos_token_id
    assert made.ids.prompt.count(tokenizer.bos_token_id) == 1


def test_what_cannot_teach_is_dropped_by_name() -> None:
    tokenizer: PreTrainedTokenizerFast = byte_tokenizer()
    rows = [
        pair(1),
        pair(2, rejected=pair(2)["chosen"]),
        pair(3, rejected=[{"role": "assistant", "content": "It is 6, or so I was told by a friend"}]),
        pair(4, weight=0),
    ]
    pair_tokenizer = PairTokenizer(tokenizer, len(tokenizer), Limits(64, 7))
    assert [made.row.pair_id for made in pair_tokenizer.pairs(rows)] == ["pair-1"]
    assert pair_tokenizer.counts.dropped == {"identical": 1, "identical_after_cut": 1, "weight_zero": 1}
    assert (pair_tokenizer.counts.rows, pair_tokenizer.counts.kept) == (4, 1)
    assert pair_tokenizer.counts.cut == {"prompt": 0, "chosen": 1, "rejected": 1}


def test_a_prompt_that_the_template_writes_otherwise_before_an_answer_is_counted() -> None:
    tokenizer: PreTrainedTokenizerFast = byte_tokenizer()
    tokenizer.chat_template = (
        "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}<|end|>{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>Let me think.{% endif %}"
    )
    pair_tokenizer = PairTokenizer(tokenizer, len(tokenizer), Limits(64, 64))
    (made,) = pair_tokenizer.pairs([pair(1)])
    assert pair_tokenizer.counts.rendered_otherwise == 1
    assert tokenizer.decode(made.ids.prompt) == "<|user|>1 + 1?<|end|><|assistant|>"
    assert tokenizer.decode(made.ids.chosen) == "It is 2..<|end|>"


def test_ids_beyond_the_model_s_are_refused() -> None:
    tokenizer: PreTrainedTokenizerFast = byte_tokenizer()
    pair_tokenizer = PairTokenizer(tokenizer, 100, Limits(64, 64))
    with pytest.raises(InputError, match="the model knows only 100: they do not belong together"):
        list(pair_tokenizer.pairs([pair(1)]))


def test_a_template_that_cannot_write_a_row_is_told_by_that_row() -> None:
    tokenizer: PreTrainedTokenizerFast = byte_tokenizer()
    tokenizer.chat_template = "{{ raise_exception('System role not supported') }}"
    with pytest.raises(InputError, match="row 1 of the data set: System role not supported"):
        list(PairTokenizer(tokenizer, 300, Limits(64, 64)).pairs([pair(1)]))


def test_a_model_without_a_template_needs_one(tmp_path: Path) -> None:
    model = saved_model(tmp_path / "model")
    (model / "chat_template.jinja").unlink()
    with pytest.raises(InputError, match=r"has no chat template.*--chat-template FILE"):
        tokenizer_of(str(model), None, None, trust=False)
    template = tmp_path / "own.jinja"
    template.write_text("{{ messages[0]['content'] }}")
    assert tokenizer_of(str(model), None, template, trust=False).chat_template == "{{ messages[0]['content'] }}"
    with pytest.raises(InputError, match="cannot be read"):
        tokenizer_of(str(model), None, tmp_path / "none.jinja", trust=False)
