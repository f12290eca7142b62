"""The reference's log-probabilities: computed once for all that shapes them, checked against the model, and none for SFT."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from clairgen.errors import ConfigError, InputError, RunError, RunStoppedError
from clairgen_train import run as training
from clairgen_train.data.prepare import prepared_pairs
from clairgen_train.model import lora_config
from clairgen_train.reference import reference_key
from clairgen_train.run import run
from clairgen_train.settings import Lora
from tests.training.small_run import saved_model, trained
from tests.training.test_run import same

ONE_STEP: dict[str, object] = {"epochs": 1, "batch_size": 60, "device_batch_size": 60, "held_out_pairs": 0}
"""One batch, which holds all pairs, and all their answers."""
COMPUTED = "computing the reference log-probabilities"


def test_references_are_computed_once_for_all_runs_over_the_same_pairs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trained(tmp_path, "first")
    assert COMPUTED in capsys.readouterr().err
    trained(tmp_path, "second", objective="dpo", seed=0)
    assert COMPUTED not in capsys.readouterr().err
    trained(tmp_path, "third", precision="bf16")
    assert COMPUTED in capsys.readouterr().err


def test_references_are_not_reused_for_the_same_weights_under_another_configuration(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trained(tmp_path, "first", epochs=1)
    file = tmp_path / "model" / "config.json"
    config = json.loads(file.read_text())
    config["rope_parameters"] = config["rope_parameters"] | {"rope_theta": 50.0}
    file.write_text(json.dumps(config))
    capsys.readouterr()
    other = trained(tmp_path, "other", epochs=1)
    assert COMPUTED in capsys.readouterr().err
    assert json.loads(other.log.read_text().splitlines()[0])["rewards/margins"] == pytest.approx(0, abs=1e-5)


def test_a_cached_reference_that_does_not_match_the_model_is_computed_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trained(tmp_path, "first", epochs=1)
    (file,) = (tmp_path / "references").glob("*.arrow")
    with pa.OSFile(str(file), "rb") as source, pa.ipc.open_stream(source) as stream:
        table = stream.read_all()
    stale = pa.table({name: pc.add(table[name], pa.scalar(6.0, pa.float32())) for name in table.column_names})
    with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_stream(sink, stale.schema) as stream:
        stream.write_table(stale)
    capsys.readouterr()
    trained(tmp_path, "second", epochs=1)
    said = capsys.readouterr().err
    assert "the cached reference log-probabilities do not match the model" in said
    assert COMPUTED in said
    assert same(tmp_path / "first", tmp_path / "second")


def test_another_adapter_or_seed_shares_the_references_and_another_template_or_forward_does_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small: dict[str, object] = {"epochs": 1, "held_out_pairs": 0, "shared_prompt": True}
    trained(tmp_path, "first", lora={"rank": 2}, **small)
    assert COMPUTED in capsys.readouterr().err
    trained(tmp_path, "other-adapter", lora={"rank": 4, "alpha": 1}, seed=7, objective="dpo", **small)
    assert COMPUTED not in capsys.readouterr().err
    trained(tmp_path, "plain", lora={"rank": 2}, **(small | {"shared_prompt": False}))
    assert COMPUTED in capsys.readouterr().err
    template = tmp_path / "own.jinja"
    template.write_text("{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}\n{% endfor %}")
    trained(tmp_path, "template", lora={"rank": 2}, chat_template=str(template), **small)
    assert COMPUTED in capsys.readouterr().err


def test_the_key_of_the_references_has_all_that_shapes_a_log_probability() -> None:
    given = {"model_hash": "a", "config": '{"rope_theta": 1.0}', "pairs_hash": "b", "dtype": "c", "forward": "d"}
    key = reference_key(**given)
    assert key == reference_key(**given | {"config": '{"rope_theta": 1.0, "transformers_version": "5"}'})
    others = [given | {name: '{"rope_theta": 2.0}' if name == "config" else "e"} for name in given]
    assert len({key, *(reference_key(**other) for other in others)}) == 6


@pytest.mark.parametrize("objective", ["kto", "apo-zero-unpaired"])
def test_single_answers_share_their_references_as_well(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], objective: str
) -> None:
    first = trained(tmp_path, "first", objective=objective, epochs=1)
    assert COMPUTED in capsys.readouterr().err
    second = trained(tmp_path, "second", objective=objective, epochs=1, device_batch_size=4)
    assert COMPUTED not in capsys.readouterr().err
    for log in (first.log, second.log):
        start = json.loads(log.read_text().splitlines()[0])
        assert start["rewards/chosen"] == pytest.approx(0, abs=1e-5)
        assert start["rewards/rejected"] == pytest.approx(0, abs=1e-5)


def test_sft_has_no_reference_and_logs_no_rewards(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = trained(tmp_path, objective="sft", epochs=1)
    assert COMPUTED not in capsys.readouterr().err
    assert not (tmp_path / "references").exists()
    logged = json.loads(out.log.read_text().splitlines()[0])
    assert "logps/chosen" in logged
    assert not [name for name in logged if name.startswith("rewards/")]


@pytest.mark.parametrize(
    "given",
    [{}, {"objective": "kto"}, {"objective": "kto-pair"}, {"lora": {"rank": 2}, "shared_prompt": False}],
    ids=str,
)
def test_rewards_begin_at_the_log_ratio_of_the_model_to_another_reference(
    tmp_path: Path, given: dict[str, object]
) -> None:
    first = trained(tmp_path, "first", epochs=1, held_out_pairs=0)
    begun = json.loads(first.log.read_text().splitlines()[0])
    assert begun["rewards/chosen"] == pytest.approx(0, abs=1e-5)
    second = trained(
        tmp_path, "second", model=str(first.path), reference_model=str(tmp_path / "model"), **ONE_STEP, **given
    )
    moved = json.loads(second.log.read_text().splitlines()[0])
    own = trained(tmp_path, "own", model=str(first.path), **ONE_STEP, **given)
    still = json.loads(own.log.read_text().splitlines()[0])
    assert still["rewards/chosen"] == pytest.approx(0, abs=1e-5)
    assert moved["rewards/chosen"] == pytest.approx(_reward(first.path, tmp_path / "model", second.path), abs=1e-4)
    assert abs(moved["rewards/chosen"]) > 1e-3


def _reward(policy: Path, reference: Path, run: Path) -> float:
    """0.1 times the mean log-ratio of the chosen answers of all the pairs of a run, by plain forward passes."""
    rows = prepared_pairs(run).train
    ratios = []
    for row in rows:
        ids = torch.tensor([row["prompt_ids"] + row["chosen_ids"]])
        sums = []
        for folder in (policy, reference):
            with torch.no_grad():
                log_probs = AutoModelForCausalLM.from_pretrained(folder)(input_ids=ids).logits[0, :-1].log_softmax(-1)
            of_answer = log_probs.gather(1, ids[0, 1:, None])[len(row["prompt_ids"]) - 1 :]
            sums.append(of_answer.sum().item())
        ratios.append(sums[0] - sums[1])
    return float(0.1 * sum(ratios) / len(ratios))


def test_a_reference_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="sft has no reference; leave reference_model out"):
        trained(tmp_path, objective="sft", reference_model="elsewhere")
    other = saved_model(tmp_path / "other")
    tokenizer = AutoTokenizer.from_pretrained(other)
    tokenizer.add_tokens(["<another>"])
    tokenizer.save_pretrained(other)
    with pytest.raises(
        InputError, match=r"the reference .*other has another tokenizer than .*model, .* with the same one"
    ):
        trained(tmp_path, reference_model=str(other))


def test_an_adapter_that_does_not_start_at_the_reference_is_refused_before_the_first_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def with_an_effect(lora: Lora, model: PreTrainedModel) -> object:
        config = lora_config(lora, model)
        config.init_lora_weights = False  # both matrices are random
        return config

    monkeypatch.setattr(training, "lora_config", with_an_effect)
    said = r"differ from the reference's by up to .* nats a response, .* remove the cached reference .*\.arrow and run"
    with pytest.raises(RunStoppedError, match=said):
        trained(tmp_path, lora={"rank": 4, "alpha": 64}, epochs=1)


def test_a_model_with_weights_that_are_not_numbers_is_refused_before_the_first_step(tmp_path: Path) -> None:
    out = trained(tmp_path, "first", epochs=1)
    file = tmp_path / "model" / "model.safetensors"
    weights = load_file(file)
    save_file({name: tensor * torch.nan for name, tensor in weights.items()}, file, metadata={"format": "pt"})
    with pytest.raises(RunStoppedError, match=r"before the first step .* are not finite numbers, .* check its weights"):
        trained(tmp_path, "second", epochs=1, shared_prompt=False)
    save_file({name: tensor * 1.1 for name, tensor in weights.items()}, file, metadata={"format": "pt"})
    (out.path / "result.json").unlink()
    with pytest.raises(RunError, match=r"model .* has changed since .*first was begun, and with it the reference"):
        run(out)
