"""Every usual shape of preference data, imported, exported and trained on: what was understood trains a model for a step."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from clairgen import api
from clairgen.pipeline.import_pairs import ImportOptions, import_pairs
from clairgen_train.run import prepare, run
from tests.test_pair_shapes import ASKED, BETTER, SHAPES, WORSE
from tests.training.small_run import settings

PAIRS = 4
UNDERSTOOD: Mapping[str, str] = {
    "texts": "`chosen` is better than `rejected`; the prompt is `prompt`",
    "message lists": "`chosen` is better than `rejected`; the prompt is `prompt`",
    "a text prompt and messages": "`chosen` is better than `rejected`; the prompt is `prompt`",
    "implicit prompts": "whole conversations: `chosen` is better than `rejected`; the prompt is what both begin with",
    "HH": "`rejected` (dialogues in one text, Human and Assistant); the prompt is what both begin with",
    "orca": "the prompt is `question`, after the system prompt in `system`",
    "ShareGPT": "the prompt is `conversations` (ShareGPT, with from and value)",
    "UltraFeedback": "the one with the highest `fine-grained_score` or `overall_score` is chosen",
    "UltraFeedback binarized": "whole conversations: `chosen` is better than `rejected`",
    "generations and ratings": "of the answers in `generations` the one with the highest `ratings` is chosen",
    "Nectar": "the one with the lowest `rank` is chosen and the one with the highest rejected",
    "HelpSteer": "the `response` with the highest `helpfulness` is chosen and the one with the lowest rejected",
    "HelpSteer2": "`response_1` is better where `preference_strength` is below 0, `response_2` where it is above 0",
    "HelpSteer3": "`response1` is better where `overall_preference` is below 0, `response2` where it is above 0",
    "conversations as JSON text": "`rejected` (messages as JSON text); the prompt is what both begin with",
}


def several(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The rows as JSON lines, once for each of several questions."""
    return [json.dumps(row).replace("2 plus 2", f"{number} plus 2") for number in range(PAIRS) for row in rows]


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A folder with the export of a run that has the pairs of each shape under its name, and what each was understood as."""
    folder = tmp_path_factory.mktemp("shapes")
    understood: dict[str, str] = {}

    async def work() -> None:
        for shape, (_, rows) in SHAPES.items():
            path = folder / f"{subset(shape)}.jsonl"
            path.write_text("\n".join(several(rows)), encoding="utf-8")
            summary = await import_pairs(str(path), folder / "run", ImportOptions(subset(shape)))
            assert (summary.state.pairs, summary.kept, summary.state.left_out) == (PAIRS, PAIRS, {})
            understood[shape] = summary.state.sentence
        await api.export(folder / "run", folder / "data")

    asyncio.run(work())
    return folder, understood


def subset(shape: str) -> str:
    return shape.replace(" ", "-")


def test_the_shapes_are_fifteen() -> None:
    assert len(SHAPES) == 15
    assert list(UNDERSTOOD) == list(SHAPES)


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
def test_a_step_is_trained_on_what_a_shape_was_understood_as(shape: str, imported: tuple[Path, dict[str, str]]) -> None:
    folder, understood = imported
    assert UNDERSTOOD[shape] in understood[shape]
    given = settings(
        folder,
        subset=subset(shape),
        epochs=1,
        batch_size=PAIRS,
        device_batch_size=PAIRS,
        held_out_pairs=1,
        warmup_steps=0,
    )
    prepared = prepare(str(folder / "data"), folder / f"out-{subset(shape)}", given)
    run(prepared)
    result = json.loads((prepared.path / "result.json").read_text())
    assert result["steps"] == 1
    before, after = (load_file(one / "model.safetensors") for one in (folder / "model", prepared.path))
    assert any(not torch.equal(before[name], after[name]) for name in before)


def test_every_shape_is_exported_as_the_same_pairs(imported: tuple[Path, dict[str, str]]) -> None:
    import pyarrow.parquet as pq

    folder, _ = imported
    for shape in SHAPES:
        [file] = (folder / "data" / subset(shape)).glob("*.parquet")
        rows = pq.read_table(file).to_pylist()
        assert [row["prompt"][-1]["content"] for row in rows] == [
            ASKED.replace("2 plus", f"{number} plus") for number in range(PAIRS)
        ], shape
        assert {row["chosen"][-1]["content"] for row in rows} == {BETTER}
        assert {row["rejected"][-1]["content"] for row in rows} == {WORSE}
