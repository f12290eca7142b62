"""TRL's own trainer with the shared forward installed: everything that it logs stays the same."""

from pathlib import Path
from typing import cast

import pytest
from datasets import Dataset
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import PreTrainedModel, PreTrainedTokenizerFast
from trl.trainer.dpo_config import DPOConfig
from trl.trainer.dpo_trainer import DPOTrainer

from clairgen_train.forward import install_shared_forward
from clairgen_train.forward.log_probs import head_rules
from tests.training.forward.batches import CONFIGS, OUTPUTS, VOCABULARY, Pair, batch_of, model_of

PAIRS = [Pair(7, 4, 8, 9), Pair(5, 0, 3, 9), Pair(6, 2, 2, 3), Pair(4, 9, 6, 5)]
OF_TIME = ("runtime", "per_second", "flos")


class _IdsTrainer(DPOTrainer):  # type: ignore[misc]  # trl is Any to mypy
    """Over pairs that are token ids already."""

    def _prepare_dataset(self, dataset: Dataset, *_: object, **__: object) -> Dataset:
        return dataset


def _data() -> Dataset:
    rows = []
    for pair, seed in zip(PAIRS, range(4), strict=True):
        ids = batch_of([pair], seed=seed)["input_ids"]
        ends = pair.prompt + pair.common + pair.chosen, pair.prompt + pair.common + pair.rejected
        chosen, rejected = (ids[side, pair.prompt : ends[side]].tolist() for side in (0, 1))
        prompt = ids[0, : pair.prompt].tolist()
        rows.append({"prompt_ids": prompt, "chosen_ids": chosen, "rejected_ids": rejected})
    return Dataset.from_list(rows)


def _history(place: Path, *, install: bool, checkpointing: bool) -> list[dict[str, float]]:
    words = {"<pad>": 0, "<s>": 1, "</s>": 2} | {f"w{number}": number for number in range(3, VOCABULARY)}
    special = dict(zip(("pad_token", "bos_token", "eos_token"), words, strict=False))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(WordLevel(words)), **special)  # type: ignore[no-untyped-call] # so it is in transformers
    arguments = DPOConfig(
        output_dir=str(place / "out"),
        per_device_train_batch_size=2,
        num_train_epochs=2,
        learning_rate=1e-2,
        loss_type=["apo_zero"],
        logging_steps=1,
        eval_strategy="epoch",
        save_strategy="no",
        report_to=[],
        bf16=False,
        use_cpu=True,
        disable_tqdm=True,
        gradient_checkpointing=checkpointing,
    )
    model, reference = (model_of(CONFIGS["llama"], seed=seed) for seed in (0, 1))
    trainer = _IdsTrainer(
        model, reference, arguments, train_dataset=_data(), eval_dataset=_data(), processing_class=tokenizer
    )
    if install:
        rules = head_rules(model.forward)
        assert rules is not None and rules.outputs == OUTPUTS
        assert install_shared_forward(cast("PreTrainedModel", trainer.model)) is None
    trainer.train()
    return [
        {name: value for name, value in entry.items() if not name.endswith(OF_TIME)}
        for entry in trainer.state.log_history
    ]


@pytest.mark.parametrize("checkpointing", [True, False])
def test_a_run_logs_what_it_logs_without_it(tmp_path: Path, checkpointing: bool) -> None:
    expected = _history(tmp_path, install=False, checkpointing=checkpointing)
    found = _history(tmp_path, install=True, checkpointing=checkpointing)
    assert len(found) == len(expected) == 7
    assert {"loss", "entropy", "logits/chosen", "logits/rejected", "mean_token_accuracy", "rewards/margins"} <= found[
        0
    ].keys()
    for mine, wanted in zip(found, expected, strict=True):
        assert mine == pytest.approx(wanted, rel=2e-3, abs=2e-4)
