"""The record of rounds: read as it was written, and refused with one sentence where it cannot be."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from clairgen.errors import RunError
from clairgen.iteration.lineage import (
    Gain,
    Lineage,
    Model,
    PairCounts,
    Round,
    Score,
    Verdict,
    lineage_object,
    read_lineage,
    require_free,
    require_same,
    save_lineage,
)

ROUND = Round(
    1,
    0,
    "first",
    "2026-11-26T00:00:00Z",
    PairCounts("run", 300, 231, 2, {"target": 300, "reviser": 300}, {"reviser": 4}),
    None,
    Model("model-1", "sha256:1", "training-1", Score("evaluation", 300, 0.5, 0.45, 0.55, 1)),
    Gain(300, 0.1, 0.05, 0.15),
    Verdict.BETTER,
)
LINEAGE = Lineage({"recipe": "clair", "training.epochs": 2.0}, Model("first"), (ROUND,))


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    assert read_lineage(tmp_path) is None
    save_lineage(LINEAGE, tmp_path)
    assert read_lineage(tmp_path) == LINEAGE
    assert [path.name for path in tmp_path.iterdir()] == ["lineage.json"]
    content = json.loads((tmp_path / "lineage.json").read_text())
    assert content["rounds"][0]["gain"] == {"n": 300, "mean": 0.1, "low": 0.05, "high": 0.15}
    assert lineage_object(LINEAGE)["best"] == 1


def test_the_model_to_use_is_the_last_one_before_a_round_without_gain() -> None:
    models = [replace(ROUND, number=number, verdict=verdict) for number, verdict in enumerate(Verdict, start=1)]
    assert [each.verdict for each in models][:2] == [Verdict.BETTER, Verdict.NO_GAIN]
    assert replace(LINEAGE, rounds=tuple(models)).best == 1
    in_progress = replace(ROUND, number=2, verdict=None)
    assert replace(LINEAGE, rounds=(ROUND, in_progress)).best == 1


@pytest.mark.parametrize("text", ["", "{}", '{"settings": {}, "first": {"weights": 3}}', "\udcff"])
def test_a_damaged_record_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "lineage.json").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(
        RunError, match=r"lineage\.json cannot be read as the record of rounds, .* restore it, or begin"
    ):
        read_lineage(tmp_path)


def test_a_record_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    save_lineage(replace(LINEAGE, version=2), tmp_path)
    with pytest.raises(RunError, match="was written by a newer version of clairgen"):
        read_lineage(tmp_path)


def test_other_settings_than_before_are_refused_by_name(tmp_path: Path) -> None:
    require_same(LINEAGE, dict(LINEAGE.settings), tmp_path)
    with pytest.raises(RunError, match=r"were begun with training\.epochs 2\.0, and it is 3 now"):
        require_same(LINEAGE, {"recipe": "clair", "training.epochs": 3}, tmp_path)
    with pytest.raises(RunError, match="were begun with reference not set, and it is first now"):
        require_same(LINEAGE, dict(LINEAGE.settings) | {"reference": "first"}, tmp_path)


def test_a_folder_that_holds_something_else_is_refused(tmp_path: Path) -> None:
    require_free(tmp_path / "new")
    (tmp_path / "new" / "lock").touch()
    require_free(tmp_path / "new")
    (tmp_path / "new" / "notes.txt").touch()
    with pytest.raises(RunError, match=r"holds something that is not a record of rounds \(notes\.txt\)"):
        require_free(tmp_path / "new")
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match=r"cannot be used: .*; name another one with --out"):
        require_free(tmp_path / "file")
