"""Pairs of a thinking model, from its server to token ids: their thoughts are trained on only where that is asked, twice."""

from pathlib import Path
from typing import Any

import pytest
import trl
from transformers import PreTrainedTokenizerFast

from clairgen import api
from clairgen.errors import InputError
from clairgen.exporting.thoughts import Thinking as Exported
from clairgen.pair_cells import ThinkingPolicy
from clairgen.pipeline.generate import generate
from clairgen_train.data.load import read_split
from clairgen_train.data.prepare import prepared_pairs
from clairgen_train.data.tokenize import PairTokenizer, TokenLimits
from clairgen_train.run import prepare, run
from tests.exporting.test_trl import byte_tokenizer, tiny_llama
from tests.runs import config, write_tasks
from tests.scripted import Reply, ScriptedEndpoint, said
from tests.training.small_run import settings

TEMPLATE = Path(__file__).with_name("thinking_template.jinja")
QWEN3 = Path(trl.__file__).parent / "chat_templates" / "qwen3.jinja"


def trained_on(data: Path, thinking: ThinkingPolicy) -> list[str]:
    """The texts of both answers of the first pair, as they are trained on."""
    tokenizer: PreTrainedTokenizerFast = byte_tokenizer()
    tokenizer.chat_template = QWEN3.read_text(encoding="utf-8")
    rows = read_split(str(data), "stronger-preferred", "train", revision=None, required=True)
    assert rows is not None
    pair_tokenizer = PairTokenizer(tokenizer, len(tokenizer), TokenLimits(4096, 4096), thinking=thinking)
    [made] = pair_tokenizer.pairs(rows)
    return [str(tokenizer.decode(ids)) for ids in (made.ids.chosen, made.ids.rejected)]


async def test_thoughts_are_trained_on_only_where_export_and_training_keep_them(tmp_path: Path) -> None:
    tasks = write_tasks(tmp_path / "tasks.jsonl", ["What is 2 + 2?"])

    def answered(request: dict[str, Any]) -> Reply:
        return said(f"<think>\nThoughts of {request['model']}.\n</think>\n\nIt is 4, says {request['model']}.")

    async with ScriptedEndpoint(answered) as endpoint:
        await generate(config(endpoint.url, tasks, recipes=["stronger-preferred"]), tmp_path / "run")
    await api.export(tmp_path / "run", tmp_path / "plain")
    await api.export(tmp_path / "run", tmp_path / "kept", thinking=Exported.KEEP)
    for data, thinking in (
        ("plain", ThinkingPolicy.REFUSE),
        ("plain", ThinkingPolicy.KEEP),
        ("kept", ThinkingPolicy.DROP),
    ):
        assert not [text for text in trained_on(tmp_path / data, thinking) if "Thoughts" in text]
    with pytest.raises(InputError, match="row 1 of the data set has a message with `reasoning_content`"):
        trained_on(tmp_path / "kept", ThinkingPolicy.REFUSE)
    chosen, rejected = trained_on(tmp_path / "kept", ThinkingPolicy.KEEP)
    assert "<think>\nThoughts of stronger-model.\n</think>\n\nIt is 4, says stronger-model." in chosen
    assert "<think>\nThoughts of target-model.\n</think>\n\nIt is 4, says target-model." in rejected


def thinking_model(folder: Path) -> Path:
    """A tiny random model: its tokenizer has bytes and the tags of thinking as tokens, its template is in Qwen3's form."""
    tokenizer: PreTrainedTokenizerFast = byte_tokenizer()
    tokenizer.add_tokens(["<think>", "</think>"])
    tokenizer.add_special_tokens({"eos_token": "<|im_end|>", "additional_special_tokens": ["<|im_start|>"]})
    tokenizer.chat_template = TEMPLATE.read_text(encoding="utf-8")
    model = tiny_llama()
    model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    model.generation_config.eos_token_id = model.config.eos_token_id = tokenizer.eos_token_id
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


async def test_one_step_trains_on_thoughts_only_where_that_is_asked(tmp_path: Path) -> None:
    """Revisions by a model that thinks as well; what is trained on is looked at as token ids."""
    tasks = write_tasks(tmp_path / "tasks.jsonl", ["What is 2 + 2?"])

    def answered(request: dict[str, Any]) -> Reply:
        prompt, model = request["messages"][-1]["content"], request["model"]
        text = f"<think>\nThoughts of {model}.\n</think>\n\n"
        if "{student_solution}: " in prompt:
            assert "Thoughts" not in prompt
            return said(f"{text}{{teacher_reasoning}}: weak\n\n{{corrected_student_solution}}: It is four indeed.")
        return said(f"{text}It is 4, says {model}.")

    async with ScriptedEndpoint(answered) as endpoint:
        await generate(config(endpoint.url, tasks, recipes=["clair"]), tmp_path / "run")
    await api.export(tmp_path / "run", tmp_path / "plain")
    await api.export(tmp_path / "run", tmp_path / "kept", thinking=Exported.KEEP)
    model = thinking_model(tmp_path / "thinking-model")
    tokenizer = PreTrainedTokenizerFast.from_pretrained(model)
    opening, closing = tokenizer.convert_tokens_to_ids(["<think>", "</think>"])
    thoughts = tokenizer.encode("\nThoughts of target-model.\n", add_special_tokens=False)
    end = [tokenizer.eos_token_id, *tokenizer.encode("\n", add_special_tokens=False)]  # as the template ends a turn
    answers = {"chosen_ids": "It is four indeed.", "rejected_ids": "It is 4, says target-model."}
    plain = {side: [*tokenizer.encode(text, add_special_tokens=False), *end] for side, text in answers.items()}
    blank = tokenizer.encode("\n\n", add_special_tokens=False)
    for data, thinking, before in (
        ("plain", "refuse", []),
        ("plain", "keep", []),
        ("kept", "drop", []),
        ("kept", "keep", [opening, *thoughts, closing, *blank]),
    ):
        out = tmp_path / f"{data}-{thinking}"
        given = settings(
            tmp_path, model=str(model), thinking=thinking, epochs=1, batch_size=1, device_batch_size=1, held_out_pairs=0,
            response_tokens=256, prompt_tokens=256, subset="clair", learning_rate=1e-2,
        )  # fmt: skip
        folder = prepare(str(tmp_path / data), out, given)
        [row] = prepared_pairs(out).train.to_list()
        for side, ids in plain.items():
            assert row[side] == [*before, *ids], (data, thinking, side)
        assert opening not in row["prompt_ids"]
        run(folder)
        assert (out / "model.safetensors").is_file()
    with pytest.raises(InputError, match="has a message with `reasoning_content`"):
        prepare(str(tmp_path / "kept"), tmp_path / "refused", settings(tmp_path, model=str(model), subset="clair"))
