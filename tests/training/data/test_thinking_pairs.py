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
from clairgen_train.data.tokenize import PairTokenizer, TokenLimits
from tests.exporting.test_trl import byte_tokenizer
from tests.runs import config, write_tasks
from tests.scripted import Reply, ScriptedEndpoint, said

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
