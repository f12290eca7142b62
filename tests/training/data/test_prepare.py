"""The record of a run's data: data.json, also where an earlier version wrote it."""

import json
from pathlib import Path

import pytest

from clairgen.errors import InputError, RunError
from clairgen_train.data.prepare import data_facts, prepared_pairs
from clairgen_train.run import prepare
from tests.training.small_run import pair, settings, written


def test_the_record_counts_kept_truncated_and_dropped_pairs(tmp_path: Path) -> None:
    rows = [pair(number) for number in range(20)] + [pair(20, rejected=pair(20)["chosen"])]
    folder = prepare(
        str(written(tmp_path / "pairs.jsonl", rows)),
        tmp_path / "out",
        settings(tmp_path, response_tokens=8, held_out_pairs=0),
    )
    train = data_facts(folder.path)["train"]
    assert (train["rows"], train["kept"] + sum(train["dropped"].values())) == (21, 21)
    assert train["dropped"]["identical"] == 1
    assert train["truncated"] == {"prompt": 0, "chosen": train["kept"], "rejected": train["kept"]}
    assert train["prompts_rendered_differently"] == 0


def test_data_that_changed_under_its_name_is_refused_and_a_run_of_an_earlier_version_continues(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    written(data / "train.jsonl", [pair(number) for number in range(8)])
    chosen = settings(tmp_path, held_out_pairs=0)
    folder = prepare(str(data), tmp_path / "out", chosen)
    (data / "README.md").write_text("a card")
    prepare(str(data), tmp_path / "out", chosen)
    written(data / "train.jsonl", [pair(number) for number in range(9)])
    with pytest.raises(
        RunError, match=r"the data set .*data has changed since .*out was begun; train on it in another folder"
    ):
        prepare(str(data), tmp_path / "out", chosen)
    facts = json.loads((folder.path / "data.json").read_text())
    del facts["files_sha256"]
    (folder.path / "data.json").write_text(json.dumps(facts))
    prepare(str(data), tmp_path / "out", chosen)


def test_held_out_pairs_share_no_prompt_with_those_to_train_on(tmp_path: Path) -> None:
    rows = [pair(number // 3, pair_id=f"{number}") for number in range(60)]
    for number, row in enumerate(rows):
        row["chosen"] = [{"role": "assistant", "content": f"answer {number}"}]
    data = str(written(tmp_path / "pairs.jsonl", rows))
    for seed in range(3):
        folder = prepare(data, tmp_path / f"out-{seed}", settings(tmp_path, held_out_pairs=8, seed=seed))
        prepared = prepared_pairs(folder.path)
        assert prepared.held_out is not None
        assert (len(prepared.held_out), len(prepared.train)) == (6, 54)  # a tenth at most, in whole groups of three
        assert not {*map(tuple, prepared.held_out["prompt_ids"])} & {*map(tuple, prepared.train["prompt_ids"])}
    one_prompt = str(written(tmp_path / "one.jsonl", [row | {"prompt": rows[0]["prompt"]} for row in rows]))
    folder = prepare(one_prompt, tmp_path / "one", settings(tmp_path, held_out_pairs=8))
    assert prepared_pairs(folder.path).held_out is None


def test_objectives_that_a_run_does_not_use_are_counted_and_may_be_anything_where_they_are_ignored(
    tmp_path: Path,
) -> None:
    rows = [pair(number, objective="apo-down" if number % 2 else None) for number in range(8)]
    data = str(written(tmp_path / "pairs.jsonl", rows))
    for number, given in enumerate(({"objective": "sft"}, {"objective": "kto"})):
        folder = prepare(data, tmp_path / f"out-{number}", settings(tmp_path, held_out_pairs=0, **given))
        assert data_facts(folder.path)["train"]["unused_objectives"] == 4
    other = str(written(tmp_path / "other.jsonl", [row | {"objective": "ppo"} for row in rows]))
    ignoring = settings(tmp_path, held_out_pairs=2, pair_objectives="ignore")
    assert data_facts(prepare(other, tmp_path / "ignored", ignoring).path)["train"]["objectives"] == {"apo-zero": 8}


def test_weights_are_refused_where_single_answers_are_trained_on(tmp_path: Path) -> None:
    data = str(written(tmp_path / "pairs.jsonl", [pair(number, weight=2.0) for number in range(8)]))
    with pytest.raises(InputError, match="the pairs have weights, which kto cannot use"):
        prepare(data, tmp_path / "out", settings(tmp_path, held_out_pairs=0, objective="kto"))
    prepare(data, tmp_path / "out", settings(tmp_path, held_out_pairs=0, objective="sft"))


def test_margins_are_refused_where_single_answers_are_trained_on(tmp_path: Path) -> None:
    rows = [{"prompt": f"{number}?", "completion": str(number), "label": True, "margin": 1.5} for number in range(8)]
    data = str(written(tmp_path / "answers.jsonl", rows))
    given = settings(tmp_path, held_out_pairs=0, objective="kto")
    with pytest.raises(InputError, match="column `margin`, which kto has no use for"):
        prepare(data, tmp_path / "out", given)
    prepare(data, tmp_path / "unread", settings(tmp_path, held_out_pairs=0, objective="kto", margin_scale=0))


def test_names_of_earlier_versions_are_read_as_the_present_ones(tmp_path: Path) -> None:
    data = written(tmp_path / "pairs.jsonl", [pair(number) for number in range(8)])
    folder = prepare(str(data), tmp_path / "out", settings(tmp_path, held_out_pairs=0))
    file = folder.path / "data.json"
    facts = json.loads(file.read_text())
    train = facts["train"]
    train["dropped"] = {"identical_after_cut": 2}
    train["cut"], train["rendered_otherwise"] = train.pop("truncated"), train.pop("prompts_rendered_differently")
    file.write_text(json.dumps(facts))
    read = prepared_pairs(folder.path).facts["train"]
    assert read["dropped"] == {"identical_after_truncation": 2}
    assert read["truncated"] == {"prompt": 0, "chosen": 0, "rejected": 0}
    assert read["prompts_rendered_differently"] == 0
    assert not {"cut", "rendered_otherwise"} & read.keys()


@pytest.mark.parametrize("has_test_split", [False, True])
def test_pairs_whose_answers_are_the_same_are_trained_on_and_never_held_out(
    tmp_path: Path, has_test_split: bool
) -> None:
    rows = [pair(number) if number % 3 == 0 else pair(number, rejected=pair(number)["chosen"]) for number in range(60)]
    data = tmp_path / "data"
    data.mkdir()
    written(data / "train.jsonl", rows)
    if has_test_split:
        written(data / "test.jsonl", rows)
    chosen = settings(tmp_path, held_out_pairs=6, chosen_nll=1, keep_identical=True)
    folder = prepare(str(data), tmp_path / "out", chosen)
    prepared = prepared_pairs(folder.path)
    assert prepared.held_out is not None
    assert len(prepared.held_out) == 6
    assert all(int(name.removeprefix("pair-")) % 3 == 0 for name in prepared.held_out["pair_id"])
    assert len(prepared.train) == (60 if has_test_split else 54)
    facts = prepared.facts["train"]
    assert (facts["identical_kept"], facts["dropped"]) == (40, {})
    without = prepare(str(data), tmp_path / "without", settings(tmp_path, held_out_pairs=6))
    assert data_facts(without.path)["train"]["dropped"] == {"identical": 40}
    assert data_facts(without.path)["held_out"]["kept"] == 6
