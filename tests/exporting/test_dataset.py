"""An exported folder, read back with `datasets` as a user would."""

import os
import signal
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from clairgen.errors import ConfigError, InputError, MissingExtraError
from clairgen.exporting.columns import ExportFormat, ExportSummary
from clairgen.exporting.dataset import DatasetWriter
from clairgen.exporting.reference_answers import ReferenceAnswer
from clairgen.records import FilterAction, Finding, StoredPair
from tests.exporting.stored_pairs import stored_pair, with_task_text

pytestmark = pytest.mark.slow

TOO_LONG = Finding("length_ratio", FilterAction.DROP, "too-long", 4.8)
SEEN_BEFORE = Finding("near_duplicate", FilterAction.MARK, "near-duplicate", "task-7")
KILLED = """
import os, signal, sys
from pathlib import Path
from clairgen.exporting.dataset import DatasetWriter
from tests.exporting.stored_pairs import stored_pair

with DatasetWriter(Path(sys.argv[1]), rows_per_shard=100) as writer:
    for number in range(2500):
        writer.add(stored_pair(number))
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.slow
def test_preference_rows_come_back_as_trl_wants_them(tmp_path: Path) -> None:
    export(tmp_path / "out", [stored_pair(findings=(SEEN_BEFORE,))])
    (row,) = load(tmp_path, split="train")
    assert row == {
        "prompt": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "2 + 2? (0)"}],
        "chosen": [{"role": "assistant", "content": "It is 4."}],
        "rejected": [{"role": "assistant", "content": "It is 5."}],
        "task_id": "task-0",
        "pair_id": "clair-0",
        "recipe": "clair",
        "chosen_model": "teacher",
        "rejected_model": "student",
        "jaccard": 43.11,
        "tokenizer": "treebank",
        "levenshtein": 12,
        "length_ratio": 1.25,
        "reasoning": "The sum is 4.",
        "marks": ["near-duplicate"],
    }


def test_kto_has_two_labelled_rows_a_pair(tmp_path: Path) -> None:
    summary = export(tmp_path / "out", [stored_pair()], ExportFormat.KTO)
    first, second = load(tmp_path, split="train")
    assert (first["completion"][0]["content"], first["label"]) == ("It is 4.", True)
    assert (second["completion"][0]["content"], second["label"]) == ("It is 5.", False)
    assert first["pair_id"] == second["pair_id"] == "clair-0"
    assert summary.rows == {"clair": {"train": 2}}


def test_sft_has_the_chosen_answer_alone(tmp_path: Path) -> None:
    export(tmp_path / "out", [stored_pair()], ExportFormat.SFT)
    (row,) = load(tmp_path, split="train")
    assert row["completion"] == [{"role": "assistant", "content": "It is 4."}]
    assert "rejected" not in row
    assert "label" not in row


def test_each_recipe_is_a_subset_and_clair_the_default(tmp_path: Path) -> None:
    pairs = [stored_pair(number, recipe=recipe) for number in range(3) for recipe in ("best-of-2", "clair")]
    summary = export(tmp_path / "out", pairs)
    assert summary.rows == {"best-of-2": {"train": 3}, "clair": {"train": 3}}
    assert set(load(tmp_path, split="train")["recipe"]) == {"clair"}
    assert set(load(tmp_path, "best-of-2", split="train")["recipe"]) == {"best-of-2"}


@pytest.mark.slow
@pytest.mark.parametrize("export_format", list(ExportFormat))
def test_no_task_is_in_both_splits_of_any_format_or_recipe(export_format: ExportFormat, tmp_path: Path) -> None:
    pairs = [stored_pair(number, recipe=recipe) for number in range(60) for recipe in ("clair", "best-of-2")]
    export(tmp_path / "out", pairs, export_format, test_fraction=0.3, revising={"clair", "best-of-2"})
    splits = [load(tmp_path, recipe) for recipe in ("clair", "best-of-2")]
    train, test = (set().union(*(split[name]["task_id"] for split in splits)) for name in ("train", "test"))
    assert not train & test
    assert len(train | test) == 60
    assert set(splits[0]["test"]["task_id"]) == set(splits[1]["test"]["task_id"])


@pytest.mark.parametrize("test_fraction", [0.0, 1e-9, 1 - 1e-9])
def test_empty_split_does_not_break_loading(test_fraction: float, tmp_path: Path) -> None:
    export(tmp_path / "out", [stored_pair(number) for number in range(3)], test_fraction=test_fraction)
    ((name, rows),) = load(tmp_path).items()
    assert name == ("test" if test_fraction > 0.5 else "train")
    assert len(rows) == 3


def test_a_run_that_is_unfinished_says_so_on_its_card(tmp_path: Path) -> None:
    with DatasetWriter(tmp_path / "out") as writer:
        writer.add(stored_pair(1))
        summary = writer.finish(pending={"clair": 1200, "judge-on-policy": 0})
    assert summary.pending == {"clair": 1200}
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert "The run was not finished: pairs still to be made, 1,200 of clair." in card
    with (
        pytest.raises(InputError, match="none was given; 3 are still to be made"),
        DatasetWriter(tmp_path / "b") as writer,
    ):
        writer.finish(pending={"clair": 3})


def test_second_export_of_the_same_name_is_not_read_from_the_cache_of_the_first(tmp_path: Path) -> None:
    for number in range(2):
        export(tmp_path / "out", [stored_pair(number)], overwrite=True)
        assert load(tmp_path, split="train")["task_id"][:] == [f"task-{number}"]


def test_same_pairs_make_the_same_files(tmp_path: Path) -> None:
    first, second = (export(tmp_path / name, [stored_pair(number) for number in range(5)]) for name in ("a", "b"))
    assert first == second


@pytest.mark.slow
def test_shards_hold_every_row_once_and_in_order(tmp_path: Path) -> None:
    export(tmp_path / "out", [stored_pair(number) for number in range(2505)], rows_per_shard=1001)
    assert sorted(path.name for path in (tmp_path / "out" / "clair").iterdir()) == [
        f"train-0000{number}-of-00003.parquet" for number in range(3)
    ]
    assert load(tmp_path, split="train")["task_id"][:] == [f"task-{number}" for number in range(2505)]


def test_skipped_pairs_are_counted_by_reason(tmp_path: Path) -> None:
    pairs = [stored_pair(0), stored_pair(1, findings=(SEEN_BEFORE, TOO_LONG)), stored_pair(2, chosen="It is 5. ")]
    summary = export(tmp_path / "out", [*pairs, stored_pair(3, chosen="It is 5.")])
    assert summary.skipped == {"identical": 2, "too-long": 1}
    assert summary.row_count == 1


IDENTICAL = Finding("identical", FilterAction.DROP, "identical", None)


def test_answers_that_the_reviser_confirmed_are_kept_on_request_and_marked(tmp_path: Path) -> None:
    pairs = [
        stored_pair(0),
        stored_pair(1, chosen="It is 5.", findings=(IDENTICAL,)),
        stored_pair(2, chosen="It is 5. "),  # whatever the filter is set to
        stored_pair(3, chosen="It is 5.", findings=(IDENTICAL, TOO_LONG)),
        stored_pair(4, recipe="judge-on-policy", chosen="It is 5.", findings=(IDENTICAL,)),
        stored_pair(5, recipe="judge-on-policy"),
        stored_pair(6, chosen=None),
    ]
    summary = export(tmp_path / "out", pairs, confirming={"clair"})
    rows = load(tmp_path, "clair", split="train")
    assert dict(zip(rows["pair_id"][:], rows["confirmed"][:], strict=True)) == {
        "clair-0": False,
        "clair-1": True,
        "clair-2": True,
    }
    assert rows["chosen"][1] == rows["rejected"][1]
    assert load(tmp_path, "judge-on-policy", split="train")["confirmed"][:] == [False]
    assert summary.confirmed == {"clair": 2, "judge-on-policy": 0}
    assert summary.skipped == {"too-long": 1, "identical": 1, "no-solution-header": 1}
    text = (tmp_path / "out" / "README.md").read_text()
    assert "| `confirmed` | true where the reviser changed nothing" in text
    assert "| clair | 2 |" in text
    assert 'split="train").filter(lambda row: not row["confirmed"])' in text


def test_a_confirmed_answer_is_one_desirable_answer_for_kto_and_a_row_like_any_other_for_sft(tmp_path: Path) -> None:
    pairs = [stored_pair(0), stored_pair(1, chosen="It is 5.", findings=(IDENTICAL,))]
    export(tmp_path / "out", pairs, ExportFormat.KTO, confirming={"clair"})
    rows = load(tmp_path, split="train")
    assert list(zip(rows["label"][:], rows["confirmed"][:], strict=True)) == [
        (True, False),
        (False, False),
        (True, True),
    ]
    export(tmp_path / "out", pairs, ExportFormat.SFT, confirming={"clair"}, overwrite=True)
    rows = load(tmp_path, split="train")
    assert rows["confirmed"][:] == [False, True]
    assert rows["completion"][1] == [{"role": "assistant", "content": "It is 5."}]


def test_pair_without_a_chosen_answer_is_skipped(tmp_path: Path) -> None:
    unparsed = stored_pair(1, chosen=None)
    summary = export(tmp_path / "out", [stored_pair(0), unparsed])
    assert summary.row_count == 1
    assert sum(summary.skipped.values()) == 1


def test_text_that_no_file_can_hold_is_replaced_and_counted(tmp_path: Path) -> None:
    summary = export(tmp_path / "out", [with_task_text(stored_pair(chosen="a\0b\ud800"), "\udfff\ud83d😀\r\n")])
    (row,) = load(tmp_path, split="train")
    assert row["chosen"][0]["content"] == "a\0b\ufffd"
    assert row["prompt"][0]["content"] == "\ufffd\ufffd😀\r\n"
    assert summary.replaced_characters == 3


@pytest.mark.slow
def test_memory_stays_flat(tmp_path: Path) -> None:
    with DatasetWriter(tmp_path / "out") as writer:
        writer.add(stored_pair())
        tracemalloc.start()
        for number in range(3000):
            writer.add(stored_pair(number, chosen=f"{number} " + "word " * 1200))
        _now, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 8e6  # 18 MB of chosen text went through


def test_failed_export_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), DatasetWriter(tmp_path / "out") as writer:
        writer.add(stored_pair())
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


@pytest.mark.process
def test_killed_export_leaves_no_data_set_and_the_next_one_cleans_up(tmp_path: Path) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "out")], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert not (tmp_path / "out").exists()
    export(tmp_path / "out", [stored_pair()])
    assert os.listdir(tmp_path) == ["out"]  # noqa: PTH208 - hidden names count
    assert len(load(tmp_path, split="train")) == 1


def test_nothing_to_export_is_said_with_the_reasons(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"No pair is left to export \(2 too-long\)"):
        export(tmp_path / "out", [stored_pair(number, findings=(TOO_LONG,)) for number in range(2)])
    assert list(tmp_path.iterdir()) == []


def test_full_folder_is_refused_unless_it_is_ours_to_overwrite(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    export(folder, [stored_pair(0), stored_pair(1)])
    with pytest.raises(InputError, match="not empty"):
        DatasetWriter(folder)
    export(folder, [stored_pair(2)], overwrite=True)
    assert load(tmp_path, split="train")["task_id"][:] == ["task-2"]
    assert os.listdir(tmp_path) == ["out"]  # noqa: PTH208 - hidden names count
    (folder / "README.md").write_text("my thesis")
    with pytest.raises(InputError, match="not an export of clairgen"):
        DatasetWriter(folder, overwrite=True)
    with pytest.raises(InputError, match="is a file"):
        DatasetWriter(folder / "README.md", overwrite=True)


def test_unwritable_place_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written: Not a directory"):
        export(tmp_path / "file" / "out", [stored_pair()])


@pytest.mark.parametrize("recipe", ["../elsewhere", ".hidden", "a/b", "", "a b", "*"])
def test_recipe_that_cannot_name_a_subset_is_refused(recipe: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot name a subset"):
        export(tmp_path / "out", [stored_pair(recipe=recipe)])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("fraction", [-0.1, 1.0, float("nan")])
def test_test_fraction_is_checked(fraction: float, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="test fraction"):
        DatasetWriter(tmp_path / "out", test_fraction=fraction)


def test_missing_packages_name_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r"clairgen\[data\]"):
        DatasetWriter(tmp_path / "out")


@pytest.mark.process
def test_import_is_cheap() -> None:
    code = "import clairgen.exporting.dataset, clairgen.exporting.hub, sys; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert not {"datasets", "pyarrow", "huggingface_hub", "pandas", "torch"} & set(modules)


def export(
    folder: Path,
    pairs: list[StoredPair],
    export_format: ExportFormat = ExportFormat.PREFERENCE,
    test_fraction: float = 0.0,
    **options: Any,  # noqa: ANN401 - the writer's own
) -> ExportSummary:
    with DatasetWriter(folder, export_format, test_fraction, **options) as writer:
        for pair in pairs:
            writer.add(pair, reference=ReferenceAnswer("It is four."))
        return writer.finish()


def load(tmp_path: Path, *names: str, split: str | None = None) -> Any:  # noqa: ANN401 - datasets has no types
    import datasets

    return datasets.load_dataset(str(tmp_path / "out"), *names, split=split, cache_dir=str(tmp_path.parent / "cache"))
