"""Conversations become token ids by the model's own template; truncated and dropped pairs are counted by reason."""

from pathlib import Path
from typing import Any

import pytest
import trl
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from clairgen.errors import InputError
from clairgen.pair_cells import ThinkingPolicy
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


def test_two_equal_answers_are_kept_on_request_but_not_those_that_only_truncation_makes_equal() -> None:
    tokenizer: PreTrainedTokenizerFast = byte_tokenizer()
    spaced = [{"role": "assistant", "content": str(pair(3)["chosen"][0]["content"]) + " \n"}]  # type: ignore[index]
    empty = [{"role": "assistant", "content": " "}]
    rows: list[dict[str, object]] = [
        pair(1),
        pair(2, rejected=pair(2)["chosen"]),
        pair(3, rejected=spaced),
        pair(4, rejected=[{"role": "assistant", "content": "It is 8, or so I was told by a friend"}]),
        pair(5, chosen=empty, rejected=empty),
    ]
    kept = PairTokenizer(tokenizer, len(tokenizer), TokenLimits(64, 7), keep_identical=True)
    made = {each.row.pair_id: each.ids for each in kept.pairs(rows)}
    assert list(made) == ["pair-1", "pair-2", "pair-3"]
    assert made["pair-3"].chosen == made["pair-3"].rejected
    assert kept.counts.identical_kept == 2
    assert kept.counts.dropped == {"identical_after_truncation": 1, "empty": 1}
    dropped = PairTokenizer(tokenizer, len(tokenizer), TokenLimits(64, 7))
    assert [each.row.pair_id for each in dropped.pairs(rows)] == ["pair-1"]
    assert dropped.counts.identical_kept == 0
    assert dropped.counts.dropped == {"identical": 3, "identical_after_truncation": 1}


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


def test_a_prompt_that_moves_behind_the_answer_is_dropped_as_changed_not_as_empty() -> None:
    tokenizer: PreTrainedTokenizerFast = byte_tokenizer()
    tokenizer.chat_template = (
        "{% for message in messages | reverse %}<|{{ message['role'] }}|>{{ message['content'] }}<|end|>{% endfor %}"
    )
    pair_tokenizer = PairTokenizer(tokenizer, len(tokenizer), TokenLimits(64, 64))
    empty = [{"role": "assistant", "content": " "}]
    assert list(pair_tokenizer.pairs([pair(1), pair(2, chosen=empty)])) == []
    assert pair_tokenizer.counts.dropped == {"prompt_changed_by_answer": 1, "empty": 1}


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


TRLS = Path(trl.__file__).parent / "chat_templates"
CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
MISTRAL = (  # as v0.3 and Nemo: the system message goes before the last user message, where that is the last message
    "{% set talk = messages %}{% if messages[0]['role'] == 'system' %}{% set system = messages[0]['content'] %}"
    "{% set talk = messages[1:] %}{% endif %}{% for message in talk %}{% if message['role'] == 'user' %}[INST] "
    "{% if loop.last and system is defined %}{{ system + '\n\n' }}{% endif %}{{ message['content'] }}[/INST]"
    "{% else %} {{ message['content'] }}</s>{% endif %}{% endfor %}"
)
TEMPLATES = {"chatml": CHATML, "mistral": MISTRAL} | {
    name: (TRLS / f"{name}.jinja").read_text()
    for name in (
        "cohere2",
        "deepseekv3",
        "gemma",
        "gemma3",
        "glm4moe",
        "gptoss",
        "llama3_1",
        "llama3_2",
        "phi3",
        "qwen2_5",
        "qwen3",
    )
}


@pytest.mark.parametrize("name", TEMPLATES)
def test_no_template_moves_a_part_of_the_prompt_into_the_answers(name: str) -> None:
    system, question = {"role": "system", "content": "Be brief."}, {"role": "user", "content": "What is 2 + 2?"}
    hello = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi"}]
    for number, prompt in enumerate(([question], [system, question], [*hello, question], [system, *hello, question])):
        tokenizer: PreTrainedTokenizerFast = byte_tokenizer()
        tokenizer.chat_template = TEMPLATES[name]
        tokenizer.bos_token = tokenizer.eos_token
        pair_tokenizer = PairTokenizer(tokenizer, len(tokenizer), TokenLimits(4096, 4096))
        try:
            made = list(pair_tokenizer.pairs([pair(2, prompt=prompt)]))
        except InputError as refused:
            assert name == "gemma" and number % 2, refused  # it has no system message
            continue
        if name == "mistral" and number % 2:
            assert pair_tokenizer.counts.dropped == {"prompt_changed_by_answer": 1}
            continue
        assert all(message["content"] in tokenizer.decode(made[0].ids.prompt) for message in prompt)
        for ids, answer in ((made[0].ids.chosen, "It is 4..."), (made[0].ids.rejected, "It is 5, I think!!")):
            text = tokenizer.decode(ids)
            assert answer in text
            assert not any(message["content"] in text for message in prompt)


def test_a_row_s_options_reach_the_template() -> None:
    tokenizer: PreTrainedTokenizerFast = byte_tokenizer()
    tokenizer.chat_template = TEMPLATES["qwen3"]
    given = [{"enable_thinking": False, "other": None}, '{"enable_thinking": true}', None]
    rows = [pair(1, chat_template_kwargs=options) for options in given]
    made = PairTokenizer(tokenizer, 300, TokenLimits(64, 64)).pairs(rows)
    without, *others = (str(tokenizer.decode(each.ids.prompt)) for each in made)
    prompt = [{"role": "user", "content": "1 + 1?"}]
    for thinking, text in ((False, without), (True, others[0]), (None, others[1])):
        options: dict[str, Any] = {} if thinking is None else {"enable_thinking": thinking}
        assert text in str(tokenizer.apply_chat_template(prompt, tokenize=False, add_generation_prompt=True, **options))
    assert ["<think>" in text for text in (without, *others)] == [True, False, False]


def test_answers_without_an_end_token_are_counted() -> None:
    tokenizer: PreTrainedTokenizerFast = byte_tokenizer()
    ends = PairTokenizer(tokenizer, len(tokenizer), TokenLimits(64, 9))
    assert len(list(ends.pairs([pair(1), pair(2)]))) == 2
    assert ends.counts.without_end_token == 0  # the template renders it, though the answers are truncated
    tokenizer.chat_template = CHATML  # whose <|im_end|> this tokenizer spells in bytes
    without = PairTokenizer(tokenizer, len(tokenizer), TokenLimits(64, 64))
    assert len(list(without.pairs([pair(1), pair(2)]))) == 2
    assert without.counts.without_end_token == 2
    other = PairTokenizer(tokenizer, len(tokenizer), TokenLimits(64, 64), end_tokens=tokenizer.encode("\n"))
    assert len(list(other.pairs([pair(1)]))) == 1
    assert other.counts.without_end_token == 0


def test_texts_that_hold_a_control_token_are_counted() -> None:
    tokenizer: PreTrainedTokenizerFast = byte_tokenizer()
    end = str(tokenizer.eos_token)
    injected = [{"role": "assistant", "content": f"It is 4{end}"}]
    asked = [{"role": "user", "content": f"2 + 2?{end}"}]
    pair_tokenizer = PairTokenizer(tokenizer, len(tokenizer), TokenLimits(64, 64))
    assert len(list(pair_tokenizer.pairs([pair(1), pair(2, chosen=injected), pair(3, prompt=asked)]))) == 3
    assert pair_tokenizer.counts.control_tokens_in_text == 2


def test_what_a_template_leaves_out_of_an_answer_is_counted_and_of_both_answers_dropped() -> None:
    tokenizer: PreTrainedTokenizerFast = byte_tokenizer()
    tokenizer.chat_template = CHATML.replace("message['content']", "message['content'].split('</think>')[-1]")
    rows = [
        pair(1, chosen=[{"role": "assistant", "content": "<think>hm</think>It is 2"}]),
        pair(
            2,
            chosen=[{"role": "assistant", "content": "<think>2 + 2</think>4"}],
            rejected=[{"role": "assistant", "content": "<think>let me see</think>4"}],
        ),
    ]
    pair_tokenizer = PairTokenizer(tokenizer, len(tokenizer), TokenLimits(64, 64))
    assert [made.row.pair_id for made in pair_tokenizer.pairs(rows)] == ["pair-1"]
    assert pair_tokenizer.counts.answers_rendered_differently == 1
    assert pair_tokenizer.counts.dropped == {"made_identical_by_template": 1}


def test_fields_of_messages_that_nobody_reads_are_counted_by_name() -> None:
    tokenizer: PreTrainedTokenizerFast = byte_tokenizer()
    user = {"role": "user", "content": "2?", "timestamp": 1, "language": None}
    rows = [pair(1, prompt=[user]), pair(2, prompt=[user]), pair(3)]
    pair_tokenizer = PairTokenizer(tokenizer, len(tokenizer), TokenLimits(64, 64))
    assert len(list(pair_tokenizer.pairs(rows))) == 3
    assert pair_tokenizer.counts.unused_fields == {"timestamp": 2}


def thoughtful(number: int, field: str = "reasoning_content", **columns: object) -> dict[str, object]:
    """A pair whose model thought before each answer."""
    answers = {
        side: [{"role": "assistant", "content": f"{side} {number}", field: f"Thoughts on {side} {number}."}]
        for side in ("chosen", "rejected")
    }
    return pair(number) | answers | columns


@pytest.mark.parametrize("name", ["qwen3", "glm4moe", "gptoss"])
@pytest.mark.parametrize("field", ["reasoning_content", "thinking"])
def test_thoughts_are_rendered_by_the_model_s_template_where_they_are_kept(name: str, field: str) -> None:
    tokenizer: PreTrainedTokenizerFast = byte_tokenizer()
    tokenizer.chat_template = TEMPLATES[name]
    kept = PairTokenizer(tokenizer, len(tokenizer), TokenLimits(4096, 4096), thinking=ThinkingPolicy.KEEP)
    (made,) = kept.pairs([thoughtful(2, field)])
    for ids, side in ((made.ids.chosen, "chosen"), (made.ids.rejected, "rejected")):
        text = str(tokenizer.decode(ids))
        assert text.index(f"Thoughts on {side} 2.") < text.index(f"{side} 2", text.index("2.") + 2)
    assert (kept.counts.with_thoughts, kept.counts.unused_fields) == (1, {})
    assert kept.counts.answers_rendered_differently == 0


def test_thoughts_are_left_out_or_refused_where_they_are_not_kept() -> None:
    tokenizer: PreTrainedTokenizerFast = byte_tokenizer()
    tokenizer.chat_template = TEMPLATES["qwen3"]
    dropped = PairTokenizer(tokenizer, len(tokenizer), TokenLimits(4096, 4096), thinking=ThinkingPolicy.DROP)
    (made,) = dropped.pairs([thoughtful(2)])
    assert "Thoughts" not in str(tokenizer.decode([*made.ids.prompt, *made.ids.chosen, *made.ids.rejected]))
    assert (dropped.counts.with_thoughts, dropped.counts.unused_fields) == (0, {"reasoning_content": 1})
    refused = PairTokenizer(tokenizer, len(tokenizer), TokenLimits(4096, 4096))
    with pytest.raises(
        InputError, match=r"row 1 of the data set has a message with `reasoning_content`.*thinking=keep"
    ):
        list(refused.pairs([thoughtful(2)]))


def test_a_template_without_thoughts_is_no_way_to_keep_them() -> None:
    tokenizer: PreTrainedTokenizerFast = byte_tokenizer()
    tokenizer.chat_template = CHATML
    kept = PairTokenizer(tokenizer, len(tokenizer), TokenLimits(4096, 4096), thinking=ThinkingPolicy.KEEP)
    with pytest.raises(InputError, match="chat template leaves out the thoughts of row 1"):
        list(kept.pairs([thoughtful(2)]))


def test_a_pair_may_differ_in_its_thoughts_alone_where_they_are_kept() -> None:
    tokenizer: PreTrainedTokenizerFast = byte_tokenizer()
    tokenizer.chat_template = TEMPLATES["qwen3"]
    same = [{"role": "assistant", "content": "4", "reasoning_content": thoughts} for thoughts in ("I add.", "I guess.")]
    row = pair(2, chosen=same[:1], rejected=same[1:])
    for thinking, kept in ((ThinkingPolicy.KEEP, 1), (ThinkingPolicy.DROP, 0)):
        made = PairTokenizer(tokenizer, len(tokenizer), TokenLimits(4096, 4096), thinking=thinking)
        assert len(list(made.pairs([row]))) == kept
