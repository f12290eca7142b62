"""Exported pairs go into TRL's trainers as they are. Slow: torch and trl are loaded and a step is taken on the CPU."""

import importlib.util
import math
import os
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from clairgen.exporting.columns import ExportFormat
from clairgen.exporting.dataset import DatasetWriter
from clairgen.exporting.reference_answers import ReferenceAnswer
from tests.exporting.stored_pairs import stored_pair

MISSING = [package for package in ("torch", "transformers", "trl") if importlib.util.find_spec(package) is None]
REQUIRED = os.environ.get("CLAIRGEN_REQUIRE_TRAIN") == "1"

pytestmark = [
    pytest.mark.train,
    pytest.mark.timeout(300),
    # TRL 1.16 calls activation checkpointing by the name that transformers has given up since
    pytest.mark.filterwarnings("ignore:`(is_)?gradient_checkpointing.*` is deprecated:FutureWarning"),
    pytest.mark.skipif(bool(MISSING) and not REQUIRED, reason=f"not installed: {', '.join(MISSING)}"),
]
CHAT_TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def test_dpo_trainer_takes_a_step_on_preference_rows(tmp_path: Path) -> None:
    loss = trained_loss("DPO", ExportFormat.PREFERENCE, tmp_path, loss_type="apo_zero", beta=0.1)
    assert loss == pytest.approx(1.0, abs=0.01)  # APO-zero of a policy that is still close to its reference


def test_kto_trainer_takes_a_step_on_labelled_rows(tmp_path: Path) -> None:
    loss = trained_loss("KTO", ExportFormat.KTO, tmp_path, loss_type="apo_zero_unpaired", beta=0.1)
    assert math.isfinite(loss)


def test_sft_trainer_takes_a_step_on_chosen_rows(tmp_path: Path) -> None:
    assert math.isfinite(trained_loss("SFT", ExportFormat.SFT, tmp_path))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::trl.import_utils.TRLExperimentalWarning")
def test_reward_models_and_the_experimental_trainers_take_a_step_on_their_formats(tmp_path: Path) -> None:
    loss = trained_loss("Reward", ExportFormat.REWARD, tmp_path / "reward")
    assert loss == pytest.approx(math.log(2), abs=0.1)  # -log sigmoid of a difference that is still close to 0
    assert math.isfinite(trained_loss("TPO", ExportFormat.TPO, tmp_path / "tpo"))
    generated: dict[str, Any] = {
        "max_completion_length": 8,
        "max_prompt_length": 64,
        "num_generations": 2,
        "max_length": None,
    }
    assert math.isfinite(trained_loss("SDFT", ExportFormat.SDFT, tmp_path / "sdft", **generated))
    # no answer is good enough for the reward, so that the feedback alone teaches
    feedback = generated | {"include_environment_feedback": True, "max_reprompt_len": 128}
    loss = trained_loss(
        "SDPO",
        ExportFormat.SDPO,
        tmp_path / "sdpo",
        reward_funcs=lambda completions, **_: [0.0] * len(completions),
        **feedback,
    )
    assert math.isfinite(loss)
    assert loss != 0


def trained_loss(
    method: str,
    export_format: ExportFormat,
    tmp_path: Path,
    *,
    reward_funcs: Callable[..., list[float]] | None = None,
    **objective: Any,  # noqa: ANN401 - the trainer's settings
) -> float:
    """The loss of one step of TRL's trainer for `method` on an export of eight pairs, with a small random model."""
    trl = import_module("trl")  # so that mypy needs no trl, which has no types anyway
    tmp_path.mkdir(exist_ok=True)
    with DatasetWriter(tmp_path / "pairs", export_format, revising={"clair"}) as writer:
        for number in range(8):
            writer.add(stored_pair(number), reference=ReferenceAnswer("It is four."))
        writer.finish()
    datasets = import_module("datasets")
    rows = datasets.load_dataset(str(tmp_path / "pairs"), "clair", split="train", cache_dir=str(tmp_path / "cache"))
    if not hasattr(trl, f"{method}Trainer"):
        trl = import_module(f"trl.experimental.{method.lower()}")
    settings = {"max_length": 128, "per_device_train_batch_size": 4, "max_steps": 1, "logging_steps": 1} | objective
    arguments = getattr(trl, f"{method}Config")(
        str(tmp_path / "checkpoints"),
        report_to="none",
        save_strategy="no",
        use_cpu=True,
        bf16=False,
        **{name: value for name, value in settings.items() if value is not None},
    )
    tiny_llama().save_pretrained(tmp_path / "model")
    byte_tokenizer().save_pretrained(tmp_path / "model")
    more = {} if reward_funcs is None else {"reward_funcs": reward_funcs}
    trainer = getattr(trl, f"{method}Trainer")(str(tmp_path / "model"), args=arguments, train_dataset=rows, **more)
    loss: float = trainer.train().training_loss
    return loss


def tiny_llama() -> Any:  # noqa: ANN401 - a LlamaForCausalLM
    transformers = import_module("transformers")
    transformers.set_seed(0)
    return transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            vocab_size=len(byte_tokenizer()),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=1,
            num_attention_heads=2,
            max_position_embeddings=128,
        )
    )


def byte_tokenizer() -> Any:  # noqa: ANN401 - a PreTrainedTokenizerFast
    tokenizers, transformers = import_module("tokenizers"), import_module("transformers")
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE({letter: i for i, letter in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    tokenizer.add_special_tokens(["<|pad|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>"])
    special = {"pad_token": "<|pad|>", "eos_token": "<|end|>"}
    return transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, chat_template=CHAT_TEMPLATE, **special)
