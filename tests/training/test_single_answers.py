"""Runs over single answers: exports for KTO and SFT train what the same pairs train, and other objectives are refused."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from clairgen.errors import InputError
from clairgen.exporting.columns import ExportFormat
from clairgen.exporting.dataset import DatasetWriter
from clairgen_train.data.prepare import data_facts
from clairgen_train.run import prepare, run
from clairgen_train.run_folder import RunFolder
from tests.exporting.stored_pairs import stored_pair
from tests.training.small_run import settings


def trained_on(folder: Path, export_format: ExportFormat, **given: object) -> RunFolder:
    """A finished run over an export of eight pairs."""
    with DatasetWriter(folder / export_format, export_format) as writer:
        for number in range(8):
            writer.add(stored_pair(number))
        writer.finish()
    chosen = settings(folder, epochs=1, held_out_pairs=0, **given)
    out = prepare(str(folder / export_format), folder / f"out-{export_format}", chosen)
    run(out)
    return out


@pytest.mark.parametrize(
    ("export_format", "objective"),
    [(ExportFormat.KTO, "kto"), (ExportFormat.KTO, "apo-zero-unpaired"), (ExportFormat.SFT, "sft")],
)
def test_single_answers_train_the_weights_that_their_pairs_train(
    tmp_path: Path, export_format: ExportFormat, objective: str
) -> None:
    of_answers = trained_on(tmp_path, export_format, objective=objective)
    of_pairs = trained_on(tmp_path, ExportFormat.PREFERENCE, objective=objective)
    one, other = (load_file(out.path / "model.safetensors") for out in (of_answers, of_pairs))
    start = load_file(tmp_path / "model" / "model.safetensors")
    assert any(not torch.equal(start[name], one[name]) for name in one)
    assert max(float((one[name] - other[name]).abs().max()) for name in one) < 1e-5
    assert not of_answers.trajectories.exists()
    answers = 16 if export_format is ExportFormat.KTO else 8
    assert data_facts(of_answers.path)["train"]["kept"] == answers
    assert f"\n{answers} answers of " in (of_answers.path / "README.md").read_text()
    logged = json.loads(of_answers.log.read_text().splitlines()[0])
    if objective == "sft":
        assert "logps/chosen" in logged
        assert not [name for name in logged if "rejected" in name or "margin" in name]


@pytest.mark.parametrize(
    ("export_format", "objective", "said"),
    [
        (
            ExportFormat.KTO,
            "apo-zero",
            "holds single answers with a label, .* --objective kto or apo-zero-unpaired and",
        ),
        (ExportFormat.KTO, "sft", "not with sft"),
        (ExportFormat.SFT, "kto", "holds single answers, which can be trained with --objective sft and not with kto"),
    ],
)
def test_an_objective_that_needs_more_than_the_answers_is_refused(
    tmp_path: Path, export_format: ExportFormat, objective: str, said: str
) -> None:
    with pytest.raises(InputError, match=said):
        trained_on(tmp_path, export_format, objective=objective)
