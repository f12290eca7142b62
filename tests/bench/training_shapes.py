"""The model, the pairs and the trainers that the training benchmark compares."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from datasets import Dataset
from peft import PeftModel
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    PrinterCallback,
    TrainerCallback,
)
from trl.trainer.dpo_config import DPOConfig
from trl.trainer.dpo_trainer import DPOTrainer

from clairgen_train.forward import install_shared_forward

VOCABULARY = 8192
FIRST = 3  # padding, start and end come before


@dataclass(frozen=True, slots=True)
class Shape:
    """Pairs of a benchmark: tokens of a prompt, of an answer on the average, and the part that two answers share."""

    prompt: int
    answer: int = 310
    shared: float = 0.0


@dataclass(frozen=True, slots=True)
class Variant:
    """A way to train: TRL's, with the reference at every step or precomputed, or ours, for which it always is.

    TRL checkpoints activations by default.
    """

    precompute: bool = False
    ours: bool = False
    share: bool = True
    checkpointing: bool = True


VARIANTS = {
    "trl": Variant(),
    "trl-precomputed": Variant(precompute=True),
    "trl-no-checkpointing": Variant(precompute=True, checkpointing=False),
    "unshared": Variant(ours=True, share=False, checkpointing=False),
    "shared": Variant(ours=True, checkpointing=False),
    "shared-checkpointed": Variant(ours=True, checkpointing=True),
}


def save_model(folder: Path) -> None:
    """A Llama of 384 x 8 with random weights, and a tokenizer of its vocabulary."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=384,
        intermediate_size=1024,
        num_hidden_layers=8,
        num_attention_heads=6,
        num_key_value_heads=6,
        max_position_embeddings=2048,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    words = {"<pad>": 0, "<s>": 1, "</s>": 2} | {f"w{number}": number for number in range(FIRST, VOCABULARY)}
    special = dict(zip(("pad_token", "bos_token", "eos_token"), words, strict=False))
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(WordLevel(words, unk_token=next(iter(words)))), **special
    )  # type: ignore[no-untyped-call] # so it is in transformers
    tokenizer.save_pretrained(folder)


def pairs(shape: Shape, count: int, *, seed: int = 0) -> Dataset:
    """Random pairs; prompts vary by a tenth and answers by 30 percent around their average, evenly."""
    draw = torch.Generator().manual_seed(seed)

    def some(average: int, spread: float) -> int:
        low, high = round(average * (1 - spread)), round(average * (1 + spread))
        return int(torch.randint(low, high + 1, (1,), generator=draw))

    def ids(length: int) -> list[int]:
        found: list[int] = torch.randint(FIRST, VOCABULARY, (length,), generator=draw).tolist()
        return found

    def rows() -> Iterator[dict[str, list[int]]]:
        for _ in range(count):
            lengths = some(shape.answer, 0.3), some(shape.answer, 0.3)
            common = ids(round(min(lengths) * shape.shared))
            answers = [common + ids(length - len(common)) for length in lengths]
            yield {"prompt_ids": ids(some(shape.prompt, 0.1)), "chosen_ids": answers[0], "rejected_ids": answers[1]}

    return Dataset.from_list(list(rows()))


class IdsTrainer(DPOTrainer):  # type: ignore[misc]  # trl is Any to mypy
    """TRL's trainer over pairs that are token ids already."""

    ours = False

    def _prepare_dataset(self, dataset: Dataset, *_: object, **__: object) -> Dataset:
        return dataset

    def _precompute_ref_logps(self, dataset: Dataset, name: str, batch_size: int) -> Dataset:
        return dataset if self.ours else super()._precompute_ref_logps(dataset, name, batch_size)


class OurTrainer(IdsTrainer):
    """The same, whose reference is computed on the path of training."""

    ours = True

    def install(self, data: Dataset, *, share: bool, flex: bool = False) -> None:
        """Our forward, then the reference with it."""
        model = cast("PreTrainedModel | PeftModel", self.model)
        inner = model.get_base_model() if isinstance(model, PeftModel) else model
        refusal = install_shared_forward(cast("PreTrainedModel", inner), share=share, flex=flex)
        if refusal is not None:
            raise RuntimeError(refusal)
        size = self.args.per_device_train_batch_size
        chosen: list[float] = []
        rejected: list[float] = []
        for start in range(0, len(data), size):
            batch = self.data_collator([data[number] for number in range(start, start + size)])
            batch = {name: values.to(self.accelerator.device) for name, values in batch.items()}
            of_chosen, of_rejected = self.compute_ref_log_probs(model, batch)
            chosen += of_chosen.tolist()
            rejected += of_rejected.tolist()
        self.train_dataset = data.add_column("ref_chosen_logps", chosen).add_column("ref_rejected_logps", rejected)


def trainer_of(
    variant: Variant, model: Path, data: Dataset, output: Path, *, batch: int, bf16: bool, clock: TrainerCallback
) -> IdsTrainer:
    """A trainer at TRL's default settings but for what the variant says, ready to train."""
    arguments = DPOConfig(
        output_dir=str(output),
        per_device_train_batch_size=batch,
        max_steps=len(data) // batch,
        precompute_ref_log_probs=variant.precompute or variant.ours,
        report_to=[],
        save_strategy="no",
        disable_tqdm=True,
        use_cpu=True,
        bf16=None if bf16 else False,
        gradient_checkpointing=variant.checkpointing,
    )
    kind = OurTrainer if variant.ours else IdsTrainer
    trainer = kind(str(model), args=arguments, train_dataset=data, callbacks=[clock])
    trainer.remove_callback(PrinterCallback)
    if isinstance(trainer, OurTrainer):
        trainer.install(data, share=variant.share)
    return trainer
