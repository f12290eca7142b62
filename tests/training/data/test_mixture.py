"""Several data sets in one run: their shares, the rows that are chosen, and mistakes in a mixture file."""

import json
from pathlib import Path

import pytest

from clairgen.errors import ClairgenError, InputError, RunError
from clairgen_train.data.mixture import DataSource, rows_of_each
from clairgen_train.data.prepare import data_facts, prepared_pairs
from clairgen_train.run import prepare
from tests.training.small_run import pair, settings, written


def sources(*ratios: float | None) -> list[DataSource]:
    return [DataSource(f"set-{number}", None, "train", "test", None, ratio) for number, ratio in enumerate(ratios)]


@pytest.mark.parametrize(
    ("sizes", "ratios", "counts"),
    [
        ([100, 30], [None, None], [100, 30]),
        ([100, 30], [1, 1], [30, 30]),
        ([100, 30], [0.9, 0.1], [100, 11]),
        ([10, 1000, 40], [1, 2, 3], [10, 20, 30]),
    ],
)
def test_ratios_take_the_most_rows_without_repeating_one(
    sizes: list[int], ratios: list[float | None], counts: list[int]
) -> None:
    assert rows_of_each(sources(*ratios), sizes) == counts


def test_a_ratio_that_leaves_no_row_is_refused() -> None:
    with pytest.raises(InputError, match=r"the ratio 0.001 leaves no row of set-1"):
        rows_of_each(sources(1, 0.001), [100, 100])


def mixed(folder: Path, text: str) -> str:
    (folder / "mixture.yaml").write_text(text)
    return str(folder / "mixture.yaml")


def test_a_mixture_is_the_same_rows_each_time_and_its_parts_are_recorded(tmp_path: Path) -> None:
    (tmp_path / "sets").mkdir()
    for name, offset in (("a", 0), ("b", 100)):
        written(tmp_path / "sets" / f"{name}.jsonl", [pair(offset + number) for number in range(40)])
    data = mixed(tmp_path, "data_sets: [{path: sets/a.jsonl, ratio: 3}, {path: sets/b.jsonl, ratio: 1}]")
    chosen = settings(tmp_path, held_out_pairs=4)
    first, second = (prepare(data, tmp_path / name, chosen) for name in ("first", "second"))
    ids = [prepared_pairs(folder.path).train["pair_id"][:] for folder in (first, second)]
    assert ids[0] == ids[1]
    of_b = [pair_id for pair_id in ids[0] if int(pair_id.removeprefix("pair-")) >= 100]
    assert (len(ids[0]), len(of_b)) == (37 + 12, 12)
    facts = data_facts(first.path)
    assert [(part["rows"], part["left_out"]) for part in facts["data_sets"]] == [(37, 0), (12, 27)]
    assert facts["held_out"]["kept"] == 4
    written(tmp_path / "sets" / "b.jsonl", [pair(number) for number in range(40)])
    with pytest.raises(RunError, match="has changed since"):
        prepare(data, first.path, chosen)


@pytest.mark.parametrize(
    ("text", "given", "said"),
    [
        (
            "data_sets: []",
            {},
            "data_sets: [] is given; it must be a list of mappings with keys such as path, at least one",
        ),
        ("data_sets: [{path: pairs.jsonl, ratio: 1}, {path: pairs.jsonl}]", {}, "give a ratio to all data sets or"),
        ("data_sets: [{path: pairs.jsonl, weight: 1}]", {}, "unknown key 'data_sets.0.weight'"),
        (
            "data_sets: [{path: pairs.jsonl, ratio: 0}]",
            {},
            "data_sets.0.ratio: 0 is given; it must be a number, above 0",
        ),
        ("data_sets: [{path: pairs.jsonl, revision: v1}]", {}, "is on this machine and has no revision 'v1'"),
        ("data_sets: [{path: pairs.jsonl, split: validation}]", {}, "has the split `train` alone and no split 'valida"),
        ("data_sets: [{path: ./none.jsonl}]", {}, "there is no data set ./none.jsonl"),
        ("data_sets: [{path: pairs.jsonl}]", {"subset": "clair"}, "is a mixture, so subset is ambiguous"),
        ("data_sets: [{path: pairs.jsonl}, {path: answers.jsonl}]", {}, "answers.jsonl holds single answers, which"),
    ],
)
def test_a_mistake_in_a_mixture_is_one_sentence(tmp_path: Path, text: str, given: dict[str, object], said: str) -> None:
    written(tmp_path / "pairs.jsonl", [pair(number) for number in range(4)])
    written(tmp_path / "answers.jsonl", [{"prompt": "1?", "completion": "1"}])
    with pytest.raises(ClairgenError) as caught:
        prepare(mixed(tmp_path, text), tmp_path / "out", settings(tmp_path, **given))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_pairs_and_answers_mix_where_the_objective_takes_both(tmp_path: Path) -> None:
    written(tmp_path / "pairs.jsonl", [pair(number) for number in range(4)])
    written(tmp_path / "labeled.jsonl", [{"prompt": "9?", "completion": "no", "label": False}])
    data = mixed(tmp_path, json.dumps({"data_sets": [{"path": "pairs.jsonl"}, {"path": "labeled.jsonl"}]}))
    folder = prepare(data, tmp_path / "out", settings(tmp_path, objective="kto"))
    rows = prepared_pairs(folder.path).train
    assert rows["label"][:] == [None, None, None, None, False]
