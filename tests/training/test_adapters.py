"""Adapters: merged into a model of their own, and as the model that a further run begins with."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM, LlamaForCausalLM

from clairgen.errors import ClairgenError, ConfigError, RunError
from clairgen_train.merging import merge_adapter
from clairgen_train.run import prepare
from tests.cli.commands import clairgen
from tests.training.small_run import pair, saved_model, settings, trained, written

IDS = torch.arange(3, 35)[None]


def logits(folder: Path) -> torch.Tensor:
    """Of the model in a folder; of an adapter, over the base that it names."""
    if (folder / "adapter_config.json").is_file():
        base = json.loads((folder / "adapter_config.json").read_text())["base_model_name_or_path"]
        model: torch.nn.Module = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), folder)
    else:
        model = AutoModelForCausalLM.from_pretrained(folder)
    with torch.no_grad():
        found: torch.Tensor = model(IDS).logits
    return found


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("adapter")
    return trained(folder, "adapted", lora={"rank": 2, "alpha": 4}, learning_rate=0.05).path


async def test_a_merged_adapter_gives_the_logits_of_base_and_adapter(adapter: Path, tmp_path: Path) -> None:
    done = await clairgen("merge-adapter", adapter, tmp_path / "merged")
    assert done.code == 0, done.err
    assert f"is merged into its base {adapter.parent / 'model'}; 0.0% of what the adapter changes was lost" in done.out
    assert not torch.allclose(logits(adapter.parent / "model"), logits(adapter), atol=1e-2)
    torch.testing.assert_close(logits(tmp_path / "merged"), logits(adapter), rtol=1e-4, atol=1e-4)
    assert (tmp_path / "merged" / "tokenizer.json").is_file()
    assert [path.name for path in tmp_path.iterdir()] == ["merged"]  # noqa: ASYNC240 - a look at one small folder


@pytest.mark.parametrize("lora", [None, {"rank": 2, "alpha": 4}])
def test_a_run_over_an_adapter_begins_at_base_and_adapter(
    adapter: Path, tmp_path: Path, lora: dict[str, int] | None, capsys: pytest.CaptureFixture[str]
) -> None:
    further = trained(tmp_path, "further", model=str(adapter), lora=lora, epochs=1)
    assert (
        f"what is trained, and the reference, is {adapter.parent / 'model'} with it merged in"
        in capsys.readouterr().err
    )
    first = json.loads(further.log.read_text().splitlines()[0])
    assert first["rewards/margins"] == pytest.approx(0, abs=1e-4)
    if lora is None:
        return
    base = json.loads((further.path / "adapter_config.json").read_text())["base_model_name_or_path"]
    assert base == str(further.path / "base")
    torch.testing.assert_close(logits(Path(base)), logits(adapter), rtol=1e-4, atol=1e-4)
    assert not torch.equal(logits(further.path), logits(adapter))
    merge_adapter(str(further.path), tmp_path / "merged")


def test_a_merge_that_changes_the_model_is_not_kept(
    adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import clairgen_train.merging as merging

    save = merging.save_whole

    def damaging(model: torch.nn.Module, *more: object, **options: object) -> None:
        with torch.no_grad():
            model.get_input_embeddings().weight.mul_(2)  # type: ignore[operator]
        save(model, *more, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(merging, "save_whole", damaging)
    with pytest.raises(RunError, match="the merged model's logits differ from those of base and adapter by"):
        merge_adapter(str(adapter), tmp_path / "merged")
    assert list(tmp_path.iterdir()) == []


def test_a_small_adapter_is_kept_in_fp32_and_refused_in_a_type_that_rounds_it_away(tmp_path: Path) -> None:
    small = trained(tmp_path, "small", lora={"rank": 2, "alpha": 4}, learning_rate=1e-5).path
    assert merge_adapter(str(small), tmp_path / "whole").lost < 0.01
    with pytest.raises(RunError, match="of what the adapter changes to rounding, so the model was not kept; write it"):
        merge_adapter(str(small), tmp_path / "rounded", dtype=torch.bfloat16)
    assert not (tmp_path / "rounded").exists()


def test_what_cannot_be_merged_or_trained_on_is_one_sentence(adapter: Path, tmp_path: Path) -> None:
    lost = tmp_path / "lost"
    shutil.copytree(adapter, lost)
    config = json.loads((lost / "adapter_config.json").read_text())
    torn = tmp_path / "torn"
    shutil.copytree(adapter, torn)
    weights = load_file(torn / "adapter_model.safetensors")
    save_file(
        {name: weight[:1, :1].contiguous() for name, weight in weights.items()}, torn / "adapter_model.safetensors"
    )
    (lost / "adapter_config.json").write_text(json.dumps(config | {"base_model_name_or_path": str(tmp_path / "gone")}))
    nameless = tmp_path / "nameless"
    nameless.mkdir()
    (nameless / "adapter_config.json").write_text(json.dumps(config | {"base_model_name_or_path": None}))
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "file").write_text("")
    for model, out, said in [
        (adapter.parent / "model", "out", "has no adapter_config.json, so it is not an adapter"),
        (adapter, "used", "is not empty; name a new folder"),
        (lost, "out", f"the model {tmp_path / 'gone'}, the base of the adapter {lost}, cannot be loaded"),
        (torn, "out", "does not load over its base"),
        (nameless, "out", "does not say in adapter_config.json which model it belongs to"),
    ]:
        with pytest.raises(ClairgenError) as caught:
            merge_adapter(str(model), tmp_path / out)
        assert said in str(caught.value)
        assert "\n" not in str(caught.value)
    data = written(tmp_path / "pairs.jsonl", [pair(number) for number in range(4)])
    with pytest.raises(ClairgenError, match="cannot be loaded"):
        prepare(str(data), tmp_path / "out", settings(tmp_path, model=str(lost)))


def test_four_bits_below_an_adapter_are_refused(adapter: Path, tmp_path: Path) -> None:
    from clairgen_train.model import load_model

    with pytest.raises(ConfigError, match="four bits; merge it first: clairgen merge-adapter"):
        load_model(settings(tmp_path, model=str(adapter), lora={"quantize_4bit": True}))


@pytest.mark.parametrize("tied", [False, True])
def test_whole_modules_train_beside_adapters_and_the_reference_keeps_the_old_ones(tmp_path: Path, tied: bool) -> None:
    if tied:
        config = AutoConfig.from_pretrained(saved_model(tmp_path / "model"), tie_word_embeddings=True)
        LlamaForCausalLM(config).save_pretrained(tmp_path / "model")
    modules = ["embed_tokens"] if tied else ["embed_tokens", "lm_head"]
    lora = {"rank": 2, "alpha": 4, "modules_to_save": modules}
    out = trained(tmp_path, "whole", lora=lora, epochs=1, learning_rate=0.01)
    first = json.loads(out.log.read_text().splitlines()[0])
    assert first["rewards/margins"] == pytest.approx(0, abs=1e-4)
    saved = load_file(out.path / "adapter_model.safetensors")
    start = load_file(tmp_path / "model" / "model.safetensors")
    for module in modules:
        (name,) = [name for name in saved if name.endswith(f"{module}.weight")]
        (old,) = [tensor for name, tensor in start.items() if name.endswith(f"{module}.weight")]
        assert not torch.equal(saved[name], old)
    merge_adapter(str(out.path), tmp_path / "merged")
    torch.testing.assert_close(logits(tmp_path / "merged"), logits(out.path), rtol=1e-4, atol=1e-4)
    if tied:
        with pytest.raises(ConfigError, match=r"lm_head of this model is its embed_tokens; name"):
            trained(tmp_path, "head", lora=lora | {"modules_to_save": ["lm_head"]})


def test_a_module_that_the_model_does_not_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"the model has no module 'embedding'; it has .*embed_tokens"):
        trained(tmp_path, lora={"modules_to_save": ["embedding"]})
