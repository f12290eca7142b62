"""Damaged and unfit models, runs, checkpoints and caches: each is one sentence, or is passed over where something is left."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer, BertConfig, BertForMaskedLM, MixtralConfig, MixtralForCausalLM

from clairgen.errors import ConfigError, InputError, RunError, UserError
from clairgen_train.model import load_model, require_target_modules
from clairgen_train.run import prepare, run
from clairgen_train.run_folder import RunFolder
from clairgen_train.settings import Lora
from tests.training.small_run import pair, saved_model, settings, trained, written

BERT = BertConfig(vocab_size=300, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32)


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:90])


def without(file: Path, part: str) -> None:
    weights = load_file(file)
    kept = {name: tensor for name, tensor in weights.items() if part not in name}
    assert len(kept) < len(weights)
    save_file(kept, file, metadata={"format": "pt"})


def configured(model: Path, **changes: object) -> None:
    file = model / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda model: cut(model / "model.safetensors"), "cannot be loaded; give a folder with config.json"),
        (
            lambda model: without(model / "model.safetensors", "q_proj"),
            r"lack weights .*q_proj.* which would be random",
        ),
        (lambda model: configured(model, hidden_size=64), "its weights have other shapes than its config.json says"),
        (lambda model: BertForMaskedLM(BERT).save_pretrained(model), "no causal language model: its tokens see later"),
    ],
)
def test_a_model_that_is_not_what_it_says_is_refused(tmp_path: Path, damage: Callable[[Path], None], said: str) -> None:
    chosen = settings(tmp_path)
    load_model(chosen)
    damage(tmp_path / "model")
    with pytest.raises(InputError, match=said) as caught:
        load_model(chosen)
    assert "\n" not in str(caught.value)


def test_every_layer_to_adapt_must_be_there(tmp_path: Path) -> None:
    model = load_model(settings(tmp_path))
    require_target_modules(model, Lora(target_modules=["q_proj", "layers.0.mlp.up_proj"]))
    require_target_modules(model, Lora())
    with pytest.raises(ConfigError, match=r"has no layer 'q_prj'; use all-linear, or of: .*q_proj"):
        require_target_modules(model, Lora(target_modules=["v_proj", "q_prj"]))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"optimizer": "lomo"}, "You need to install"),
        ({"prompt_tokens": 4, "response_tokens": 128}, None),
        ({"response_tokens": 300}, "have 1[0-9]{2} tokens, and the model takes at most 128"),
    ],
)
def test_what_a_model_or_machine_cannot_do_is_refused_before_training(
    tmp_path: Path, given: dict[str, object], said: str | None
) -> None:
    long = [{"role": "assistant", "content": "well " * 30}]
    data = str(written(tmp_path / "pairs.jsonl", [pair(number, chosen=long) for number in range(4)]))
    configured(saved_model(tmp_path / "model"), max_position_embeddings=128 if said else 200)
    chosen = settings(tmp_path, held_out_pairs=0, **given)
    if said is None:
        prepare(data, tmp_path / "out", chosen)
        return
    with pytest.raises(UserError, match=said):
        prepare(data, tmp_path / "out", chosen)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    (trained(folder, epochs=2).path / "result.json").unlink()
    return folder


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("data.json", lambda file: file.write_text("{")),
        ("data.json", lambda file: file.write_text("[]")),
        ("data.json", lambda file: file.write_text("{}")),
        ("data.json", lambda file: file.write_text('{"train": 3}')),
        ("pairs/train.arrow", cut),
        ("pairs/train.arrow", lambda file: file.unlink()),
        ("model.json", cut),
        ("trajectories.parquet", cut),
        ("trajectories.parquet", lambda file: file.unlink()),
    ],
)
def test_a_damaged_file_of_a_run_is_named(
    finished: Path, tmp_path: Path, name: str, damage: Callable[[Path], None]
) -> None:
    out = tmp_path / "out"
    shutil.copytree(finished / "out", out)
    damage(out / name)
    with pytest.raises(RunError, match=f"{name} is damaged, so the run cannot go on .*; restore the file, or train in"):
        run(prepare(str(finished / "pairs.jsonl"), out, settings(finished)))


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("model.safetensors", cut),
        ("optimizer.pt", cut),
        ("scheduler.pt", lambda file: file.write_bytes(b"cos\nsystem\n(S'true'\ntR.")),
        ("optimizer.pt", lambda file: file.unlink()),
        ("scheduler.pt", lambda file: file.unlink()),
        ("rng_state.pth", lambda file: file.unlink()),
    ],
)
def test_a_damaged_checkpoint_is_passed_over(
    finished: Path, tmp_path: Path, name: str, damage: Callable[[Path], None]
) -> None:
    shutil.copytree(finished / "out", tmp_path / "out")
    out = RunFolder(tmp_path / "out")
    assert out.newest_checkpoint(1) == out.path / "checkpoint-14"
    damage(out.path / "checkpoint-14" / name)
    assert out.newest_checkpoint(1) == out.path / "checkpoint-7"
    assert out.newer_checkpoints(out.path / "checkpoint-7") == [out.path / "checkpoint-14"]


def test_checkpoints_of_another_number_of_processes_are_passed_over_and_named(
    finished: Path,
) -> None:
    out = RunFolder(finished / "out")
    assert out.newest_checkpoint(2) is None
    assert [path.name for path in out.newer_checkpoints(None)] == ["checkpoint-14", "checkpoint-7"]


@pytest.mark.parametrize("objective", ["apo-zero", "kto"])
def test_a_checkpoint_with_other_weights_ends_the_run_and_is_not_trained_on_from(
    tmp_path: Path, objective: str
) -> None:
    out = trained(tmp_path, "run", epochs=2, objective=objective)
    newest = out.newest_checkpoint(1)
    assert newest is not None
    (out.path / "result.json").unlink()
    weights = load_file(newest / "model.safetensors")
    renamed = {name.replace("layers.0", "layers.9"): tensor for name, tensor in weights.items()}
    save_file(renamed, newest / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(RunError, match=r"checkpoint-\d+ does not hold the weights of this model .*; remove"):
        run(out)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("optimizer.pt", {}),
        ("optimizer.pt", [1, 2]),
        ("optimizer.pt", {"state": {}, "param_groups": []}),
        ("scheduler.pt", 7),
    ],
)
def test_a_checkpoint_with_another_optimizer_is_one_sentence(
    finished: Path, tmp_path: Path, name: str, content: object
) -> None:
    shutil.copytree(finished / "out", tmp_path / "out")
    out = RunFolder(tmp_path / "out")
    torch.save(content, out.path / "checkpoint-14" / name)
    with pytest.raises(
        RunError, match=r"checkpoint-14 does not hold the state of this run's optimizer and schedule .*; remove"
    ):
        run(out)


def test_experts_that_are_saved_one_by_one_are_all_there_when_the_run_goes_on(tmp_path: Path) -> None:
    vocabulary = len(AutoTokenizer.from_pretrained(saved_model(tmp_path / "model")))
    shape = MixtralConfig(
        vocab_size=vocabulary,
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        num_local_experts=4,
    )
    MixtralForCausalLM(shape).save_pretrained(tmp_path / "model")
    out = trained(tmp_path, "run", epochs=2)
    uninterrupted = load_file(out.path / "model.safetensors")
    assert "model.layers.0.block_sparse_moe.experts.3.w1.weight" in uninterrupted
    (out.path / "result.json").unlink()
    shutil.rmtree(out.path / "checkpoint-14")
    run(out)
    resumed = load_file(out.path / "model.safetensors")
    assert all(torch.equal(resumed[name], tensor) for name, tensor in uninterrupted.items())


def test_a_measurement_that_a_kill_left_out_after_its_checkpoint_is_made_when_the_run_goes_on(
    finished: Path, tmp_path: Path
) -> None:
    out = RunFolder(tmp_path / "out")
    shutil.copytree(finished / "out", out.path)
    whole = pq.read_table(out.trajectories)
    shutil.rmtree(out.path / "checkpoint-14")
    pq.write_table(whole.filter(pc.field("step") == 0), out.trajectories)
    run(out)
    assert pq.read_table(out.trajectories).equals(whole)


@pytest.mark.parametrize("damage", [cut, lambda file: file.write_bytes(b"")])
def test_damaged_references_are_computed_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: Callable[[Path], None]
) -> None:
    first = trained(tmp_path, "first", epochs=0.2)
    (file,) = (tmp_path / "references").glob("*.arrow")
    damage(file)
    capsys.readouterr()
    second = trained(tmp_path, "second", epochs=0.2)
    assert "computing the reference" in capsys.readouterr().err
    one, other = (load_file(run.path / "model.safetensors") for run in (first, second))
    assert all(one[name].equal(other[name]) for name in one)
