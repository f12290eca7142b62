"""Conversations become token ids by the model's own template; truncated and dropped pairs are counted by reason."""

from pathlib import Path

import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from clairgen.errors import InputError
from clairgen_train.data.tokenize import PairTokenizer, TokenLimits
from tests.exporting.test_trl import byte_tokenizer
from tests.training.small_run import pair

STUDENT = Path(__file__).parents[3] / "data" / "classroom" / "student"


def test_ids_are_the_template_s_and_the_answer_ends_with_its_end_token() -> None:
    tokenizer = AutoTokenizer.from_pretrained(STUDENT)
    pair_tokenizer = PairTokenizer(tokenizer, 2048, TokenLimits(512, 512))
    prompt = [{"role": "user", "content": "3 + 3?"}]
    (made,) = pair_tokenizer.pairs([pair(3, prompt=prompt)])
    assert tokenizer.decode(made.ids.prompt) == tokenizer.apply_chat_template(
        prompt, tokenize=False, add_generation_prompt=True
    )
    assert tokenizer.decode(made.ids.chosen) == "It is 6.<|eot_id|>"
    assert made.ids.chosen[-1] == tokenizer.eos_token_id
    assert made.ids.prompt.count(tokenizer.bos_token_id) == 1


def test_unusable_pairs_are_dropped_by_reason() -> None:
    tokenizer: PreTrainedTokenizerFast = byte_tokenizer()
    rows: list[dict[str, object]] = [
        pair(1),
        pair(2, rejected=pair(2)["chosen"]),
        pair(3, rejected=[{"role": "assistant", "content": "It is 6, or so I was told by a friend"}]),
        pair(4, weight=0),
    ]
    pair_tokenizer = PairTokenizer(tokenizer, len(tokenizer), TokenLimits(64, 7))
    assert [made.row.pair_id for made in pair_tokenizer.pairs(rows)] == ["pair-1"]
    assert pair_tokenizer.counts.dropped == {"identical": 1, "identical_after_truncation": 1, "weight_zero": 1}
    assert (pair_tokenizer.counts.rows, pair_tokenizer.counts.kept) == (4, 1)
    assert pair_tokenizer.counts.truncated == {"prompt": 0, "chosen": 1, "rejected": 1}


@pytest.mark.parametrize("empty", ["", " \n"])
def test_an_empty_answer_is_dropped_in_every_shape(empty: str) -> None:
    tokenizer: PreTrainedTokenizerFast = byte_tokenizer()
    user, right, nothing = (
        {"role": role, "content": content}
        for role, content in (("user", "2?"), ("assistant", "2"), ("assistant", empty))
    )
    rows: list[dict[str, object]] = [
        {"prompt": [user], "chosen": [right], "rejected": [nothing]},
        {"chosen": [user, nothing], "rejected": [user, right]},
        {"prompt": "2?", "chosen": "2", "rejected": empty},
    ]
    pair_tokenizer = PairTokenizer(tokenizer, len(tokenizer), TokenLimits(64, 64))
    assert list(pair_tokenizer.pairs(rows)) == []
    assert pair_tokenizer.counts.dropped == {"empty": 3}


def test_a_prompt_that_the_template_renders_differently_before_an_answer_is_counted() -> None:
    tokenizer: PreTrainedTokenizerFast = byte_tokenizer()
    tokenizer.chat_template = (
        "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}<|end|>{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>Let me think.{% endif %}"
    )
    pair_tokenizer = PairTokenizer(tokenizer, len(tokenizer), TokenLimits(64, 64))
    (made,) = pair_tokenizer.pairs([pair(1)])
    assert pair_tokenizer.counts.prompts_rendered_differently == 1
    assert tokenizer.decode(made.ids.prompt) == "<|user|>1 + 1?<|end|><|assistant|>"
    assert tokenizer.decode(made.ids.chosen) == "It is 2..<|end|>"


def test_a_prompt_whose_messages_change_once_an_answer_follows_is_dropped_by_name() -> None:
    tokenizer: PreTrainedTokenizerFast = byte_tokenizer()
    tokenizer.chat_template = (  # as Mistral's: the system message goes into the last user message, if that is the last message
        "{% for message in messages %}{% if message['role'] == 'user' %}[INST]"
        "{% if loop.last and messages[0]['role'] == 'system' %}{{ messages[0]['content'] }} {% endif %}"
        "{{ message['content'] }}[/INST]{% elif message['role'] == 'assistant' %}{{ message['content'] }}</s>{% endif %}"
        "{% endfor %}"
    )
    system = {"role": "system", "content": "Be brief."}
    pair_tokenizer = PairTokenizer(tokenizer, len(tokenizer), TokenLimits(64, 64))
    rows = [pair(1), pair(2, prompt=[system, {"role": "user", "content": "2 + 2?"}])]
    (made,) = pair_tokenizer.pairs(rows)
    assert made.row.pair_id == "pair-1"
    assert tokenizer.decode(made.ids.prompt) == "[INST]1 + 1?[/INST]"
    assert pair_tokenizer.counts.dropped == {"prompt_changed_by_answer": 1}
    assert pair_tokenizer.counts.prompts_rendered_differently == 0


def test_ids_beyond_the_model_s_are_refused() -> None:
    tokenizer: PreTrainedTokenizerFast = byte_tokenizer()
    pair_tokenizer = PairTokenizer(tokenizer, 100, TokenLimits(64, 64))
    with pytest.raises(InputError, match="the model knows only 100: they do not belong together"):
        list(pair_tokenizer.pairs([pair(1)]))


def test_a_template_that_cannot_render_a_row_is_an_error_that_names_the_row() -> None:
    tokenizer: PreTrainedTokenizerFast = byte_tokenizer()
    tokenizer.chat_template = "{{ raise_exception('System role not supported') }}"
    with pytest.raises(InputError, match="row 1 of the data set: System role not supported"):
        list(PairTokenizer(tokenizer, 300, TokenLimits(64, 64)).pairs([pair(1)]))
