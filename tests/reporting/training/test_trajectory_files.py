"""A folder that holds no trajectory gets one sentence."""

import math
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from clairgen.errors import InputError
from clairgen.reporting.training.trajectory_files import FILE, read_trajectory, run_settings
from tests.reporting.training.made import HEALTHY, Planned, columns, write

SMALL = Planned(pairs=3, measurements=2)


def refused(out: Path) -> str:
    with pytest.raises(InputError) as caught:
        read_trajectory(out)
    sentence = str(caught.value)
    assert "\n" not in sentence
    return sentence


def rewritten(out: Path, table: pa.Table) -> Path:
    pq.write_table(table, out / FILE)
    return out


def test_what_was_written_is_read(tmp_path: Path) -> None:
    run = read_trajectory(write(tmp_path, HEALTHY))
    assert (run.objective, run.beta, run.data, run.model) == ("apo-zero", 0.1, "datasets/first", "models/base")
    assert run.steps == tuple(range(0, 1081, 60))
    assert run.epochs == tuple(float(epoch) for epoch in range(19))
    assert run.chosen.shape == (19, 100)
    assert run.measured.all()
    planned = columns(HEALTHY)
    assert run.chosen[3, 7] == planned["chosen_logps"][307]
    assert run.ref_rejected[18, 99] == planned["ref_rejected_logps"][1899]
    assert math.isnan(run.sampled_tokens[0, 0])


def test_a_folder_without_a_trajectory(tmp_path: Path) -> None:
    assert f"there is no {FILE} in {tmp_path}" in refused(tmp_path)
    assert f"there is no {FILE} in {tmp_path}/absent" in refused(tmp_path / "absent")
    (tmp_path / FILE).mkdir()
    assert f"there is no {FILE} in {tmp_path}" in refused(tmp_path)


def test_a_run_of_pairs_names_the_right_command(tmp_path: Path) -> None:
    (tmp_path / "run.db").touch()
    assert f"leave out --training: clairgen report {tmp_path}" in refused(tmp_path)


def test_a_torn_file(tmp_path: Path) -> None:
    whole = (write(tmp_path, HEALTHY) / FILE).read_bytes()
    for kept in (0, 3, len(whole) // 2, len(whole) - 1):
        (tmp_path / FILE).write_bytes(whole[:kept])
        assert "cannot be read as a trajectory" in refused(tmp_path)
    (tmp_path / FILE).write_text("step,epoch\n")
    assert "cannot be read as a trajectory" in refused(tmp_path)


@pytest.mark.slow
def test_a_damaged_file_is_refused_or_read_but_never_a_traceback(tmp_path: Path) -> None:
    whole = (write(tmp_path, SMALL) / FILE).read_bytes()
    for at in range(0, len(whole), 7):
        (tmp_path / FILE).write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
        try:
            read_trajectory(tmp_path)
        except InputError as error:  # some damage leaves a file that can be read
            assert FILE in str(error)


def test_a_file_of_another_shape(tmp_path: Path) -> None:
    table = pq.read_table(write(tmp_path, SMALL) / FILE)
    assert "it has no column chosen_logps, sampled_tokens" in refused(
        rewritten(tmp_path, table.drop_columns(["chosen_logps", "sampled_tokens"]))
    )
    texts = table.set_column(3, "chosen_logps", pa.array(["a"] * 6))
    assert "cannot be read as a trajectory" in refused(rewritten(tmp_path, texts))
    lists = table.set_column(2, "pair_id", pa.array([["a"]] * 6))
    assert "cannot be read as a trajectory" in refused(rewritten(tmp_path, lists))
    halves = table.set_column(0, "step", pa.array([0.5] * 6))
    assert "cannot be read as a trajectory" in refused(rewritten(tmp_path, halves))


def test_columns_of_narrower_types_are_read(tmp_path: Path) -> None:
    table = pq.read_table(write(tmp_path, SMALL) / FILE)
    narrow = table.set_column(0, "step", table["step"].cast(pa.int32())).set_column(
        3, "chosen_logps", table["chosen_logps"].cast(pa.float32())
    )
    coded = narrow.set_column(2, "pair_id", narrow["pair_id"].dictionary_encode())
    assert read_trajectory(rewritten(tmp_path, coded)).pair_ids == ("pair-0", "pair-1", "pair-2")


def test_an_empty_file(tmp_path: Path) -> None:
    table = pq.read_table(write(tmp_path, SMALL) / FILE)
    assert "contains no measurement" in refused(rewritten(tmp_path, table.slice(0, 0)))


def test_missing_or_wrong_metadata(tmp_path: Path) -> None:
    table = pq.read_table(write(tmp_path, SMALL) / FILE)
    bare = table.replace_schema_metadata(None)
    assert "does not say clairgen_objective and clairgen_beta" in refused(rewritten(tmp_path, bare))
    for beta in ("much", "nan", "inf", "0", "-0.1", "1e300"):
        said = table.replace_schema_metadata({"clairgen_objective": "dpo", "clairgen_beta": beta})
        assert f"clairgen_beta = {beta!r}, which is not a beta" in refused(rewritten(tmp_path, said))
    enough = table.replace_schema_metadata({"clairgen_objective": "dpo", "clairgen_beta": "0.1"})
    assert read_trajectory(rewritten(tmp_path, enough)).model == ""


def test_empty_cells_negative_steps_and_epochs_that_are_no_numbers(tmp_path: Path) -> None:
    assert "its column step has empty cells" in refused(write(tmp_path, SMALL, {"step": [None, 0, 0, 60, 60, 60]}))
    assert "its column pair_id has empty cells" in refused(write(tmp_path, SMALL, {"pair_id": [None, "b", "c"] * 2}))
    assert "negative or not numbers" in refused(write(tmp_path, SMALL, {"step": [-1, -1, -1, 60, 60, 60]}))
    assert "negative or not numbers" in refused(write(tmp_path, SMALL, {"epoch": [math.nan] * 3 + [1.0] * 3}))


def test_a_pair_measured_twice_at_a_step(tmp_path: Path) -> None:
    assert "measures the pair 'b' twice at one step" in refused(
        write(tmp_path, SMALL, {"pair_id": ["a", "b", "b"] * 2})
    )


def test_steps_of_different_pairs_are_refused_before_they_fill_the_memory(tmp_path: Path) -> None:
    n = 20_000
    planned = Planned(pairs=n, measurements=1)
    scattered: dict[str, list[object]] = {"step": list(range(n)), "epoch": [float(step) for step in range(n)]}
    assert "its steps measure different pairs" in refused(write(tmp_path, planned, scattered))


def test_settings_are_flat_texts(tmp_path: Path) -> None:
    assert run_settings(tmp_path) == {}
    (tmp_path / "training.yaml").write_text(
        "learning_rate: 2.0e-07\nlora: {rank: 8, modules: [q, v]}\nwhen: 2026-11-25\nnothing: null\nall: &all {all: *all}\n"
    )
    settings = run_settings(tmp_path)
    assert settings["learning_rate"] == "2e-07"
    assert settings["lora.rank"] == "8"
    assert settings["lora.modules"] == "q, v"
    assert settings["when"] == "2026-11-25"
    assert settings["nothing"] == "None"


@pytest.mark.parametrize("text", ["a: [1", "[" * 800, "a: !!python/object/apply:os.system [ls]", "\x00"])
def test_settings_that_are_no_yaml_are_told_with_their_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "training.yaml").write_text(text)
    with pytest.raises(InputError, match=r"training\.yaml.* not valid YAML; fix or remove the file"):
        run_settings(tmp_path)


def test_settings_that_unfold_without_end_are_cut_short(tmp_path: Path) -> None:
    layers = "\n".join(f"l{at}: &l{at} [{', '.join([f'*l{at - 1}'] * 9)}]" for at in range(1, 30))
    (tmp_path / "training.yaml").write_text(f"l0: &l0 [lol]\n{layers}\n")
    assert len(run_settings(tmp_path)) == 30
    (tmp_path / "training.yaml").write_text("\n".join(f"key{at}: {at}" for at in range(1000)))
    assert len(run_settings(tmp_path)) == 200
