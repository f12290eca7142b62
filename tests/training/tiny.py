"""A tiny random Llama, prepared pairs of random tokens, and trainers over them: small enough for every commit."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from datasets import Dataset
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel, PreTrainedTokenizerFast, set_seed
from trl import DPOConfig, DPOTrainer, KTOConfig

from clairgen_train.pair_log_probs import PairCollator
from clairgen_train.pair_trainer import PairTrainer
from clairgen_train.settings import Objective
from clairgen_train.unpaired_trainer import UnpairedTrainer
from tests.exporting.test_trl import byte_tokenizer

TRL_PAIR_LOSSES = {
    Objective.DPO: "sigmoid",
    Objective.DPO_NORM: "sigmoid_norm",
    Objective.APO_ZERO: "apo_zero",
    Objective.APO_DOWN: "apo_down",
    Objective.SFT: "sft",
}
"""The objectives for pairs that TRL has a loss for, by TRL's names."""
VOCABULARY = 40
PAD, END = 0, 1


def tiny_llama(seed: int = 0, *, attention_dropout: float = 0.0) -> LlamaForCausalLM:
    set_seed(seed)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=64,
        initializer_range=0.5,  # far from uniform, so that log-ratios are no rounding errors
        attention_dropout=attention_dropout,
        pad_token_id=PAD,
        eos_token_id=END,
        bos_token_id=None,
    )
    return LlamaForCausalLM(config)


def tokenizer() -> PreTrainedTokenizerFast:
    """A tokenizer that the trainers want to see; prepared rows never pass through it."""
    made: PreTrainedTokenizerFast = byte_tokenizer()
    made.pad_token_id, made.eos_token_id = PAD, END
    return made


def prepared_pairs(count: int, *, seed: int = 0, **columns: Sequence[object]) -> Dataset:
    """`count` prepared rows with reference log-probs that no model gave, so that rewards differ from 0 at the start."""
    generator = torch.Generator().manual_seed(seed)

    def ids(low: int, high: int) -> list[int]:
        length = int(torch.randint(low, high, (), generator=generator))
        return torch.randint(2, VOCABULARY, (length,), generator=generator).tolist()

    rows = [{"pair_id": f"pair-{i}", "prompt_ids": ids(2, 6), "chosen_ids": ids(2, 9)} for i in range(count)]
    for row in rows:
        row["rejected_ids"] = ids(2, 9)
    made = Dataset.from_list(rows)
    for name, values in columns.items():
        made = made.add_column(name, list(values))
    return made


def settings_for(tests: Mapping[str, object]) -> dict[str, Any]:
    given: dict[str, object] = {
        "per_device_train_batch_size": 4,
        "per_device_eval_batch_size": 4,
        "max_steps": 2,
        "learning_rate": 1e-2,
        "max_length": None,
        "logging_steps": 1,
        "report_to": "none",
        "save_strategy": "no",
        "gradient_checkpointing": False,
        "use_cpu": True,
        "bf16": False,
        "beta": 0.1,
    }
    return given | dict(tests)


def pair_trainer(
    folder: Path,
    rows: Dataset,
    objective: Objective,
    *,
    kind: type[PairTrainer] = PairTrainer,
    model: PreTrainedModel | None = None,
    settings: Mapping[str, object] | None = None,
    **options: Any,  # noqa: ANN401 - PairTrainer's own
) -> PairTrainer:
    """A trainer whose reference is another random model than its policy, unless `options` name one."""
    options.setdefault("ref_model", tiny_llama(1))
    options.setdefault("data_collator", PairCollator(pad_token_id=PAD))
    return kind(
        model if model is not None else tiny_llama(0),
        args=DPOConfig(str(folder), **settings_for(settings or {})),
        train_dataset=rows,
        objective=objective,
        processing_class=tokenizer(),
        **options,
    )


def trl_loss(trainer: PairTrainer, model: Callable[..., object], inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """TRL's own loss of a batch, under the trainer's objective."""
    given = {name: values for name, values in inputs.items() if name not in ("objective", "weight", "margin")}
    before, trainer.loss_types = trainer.loss_types, [TRL_PAIR_LOSSES[trainer.objective]]
    loss: torch.Tensor = DPOTrainer._compute_loss(trainer, model, given, return_outputs=False)
    trainer.loss_types = before
    return loss


def unpaired_trainer(
    folder: Path,
    rows: Dataset,
    objective: Objective,
    *,
    model: PreTrainedModel | None = None,
    settings: Mapping[str, object] | None = None,
    **options: Any,  # noqa: ANN401 - UnpairedTrainer's own
) -> UnpairedTrainer:
    """As `pair_trainer`, for single answers."""
    options.setdefault("ref_model", tiny_llama(1))
    return UnpairedTrainer(
        model if model is not None else tiny_llama(0),
        args=KTOConfig(str(folder), **settings_for(settings or {})),
        train_dataset=rows,
        objective=objective,
        processing_class=tokenizer(),
        **options,
    )


def given_log_probs(log_probs: torch.Tensor) -> Callable[..., SimpleNamespace]:
    """A callable in place of a model that returns these log-probs [rows, T - 1], so that a loss can be held in float64."""

    def forward(**_: object) -> SimpleNamespace:
        zeros = torch.zeros_like(log_probs.detach())
        return SimpleNamespace(
            log_probs=log_probs, entropy=zeros, mean_logits=zeros, is_top1=zeros.bool(), aux_loss=None
        )

    return forward
