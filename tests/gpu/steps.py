"""Steps of training on a CUDA card: the real trainers over an 8B-shaped Llama, timed and measured one after the other."""

import gc
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

import torch
from datasets import Dataset
from peft import LoraConfig
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, PrinterCallback, TrainerCallback
from trl.trainer.dpo_config import DPOConfig

from tests.bench.training_shapes import IdsTrainer, OurTrainer, Shape, pairs

_WARM_UP = 2


@dataclass(frozen=True, slots=True)
class Variant:
    """A way to train: TRL's, with the reference at every step or precomputed, or ours, for which it always is."""

    precompute: bool = True
    checkpointing: bool = False
    liger: bool = False
    ours: bool = False
    share: bool = True
    flex: bool = False


VARIANTS = {
    "trl": Variant(precompute=False, checkpointing=True),
    "trl precomputed": Variant(checkpointing=True),
    "trl no checkpointing": Variant(),
    "trl liger": Variant(liger=True),
    "ours": Variant(ours=True),
    "ours checkpointed": Variant(ours=True, checkpointing=True),
    "ours unshared": Variant(ours=True, share=False),
    "ours flex": Variant(ours=True, flex=True),
}


@dataclass(frozen=True, slots=True)
class Cell:
    """One shape of training that all variants are compared on: pairs a step, and tokens of a prompt on the average."""

    lora: bool
    prompt: int
    layers: int
    batch: int

    def title(self) -> str:
        """The line above its variants."""
        kind = "LoRA (bf16 weights)" if self.lora else "full fine-tuning (fp32 weights, bf16 autocast)"
        return f"{kind}, {self.layers} layers, {self.batch} pairs a step, prompts {self.prompt}, answers 310"


@dataclass(frozen=True, slots=True)
class Step:
    """What a variant's step takes: seconds (median and range) and the most memory that tensors held, GB; or why it failed."""

    cell: Cell
    variant: str
    seconds: float = float("nan")
    fastest: float = float("nan")
    slowest: float = float("nan")
    memory_gb: float = float("nan")
    failure: str | None = None

    def line(self, base: "Step") -> str:
        """One line of the table, with the ratio to `base`."""
        if self.failure is not None:
            return f"  {self.variant:24} {self.failure}"
        return (
            f"  {self.variant:24} {self.seconds:6.3f} s ({self.fastest:.3f} to {self.slowest:.3f})  "
            f"x{base.seconds / self.seconds:.2f}  {self.memory_gb:5.1f} GB ({self.memory_gb / base.memory_gb - 1:+.0%})"
        )

    def as_row(self) -> dict[str, object]:
        """Flat, for JSON."""
        row = asdict(self)
        cell: dict[str, object] = row.pop("cell")
        return cell | row


class Clock(TrainerCallback):
    """Seconds of every optimizer step, with the card's queue empty at both ends."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def on_step_begin(self, *_: object, **__: object) -> None:
        """Start."""
        torch.cuda.synchronize()
        if len(self.seconds) == _WARM_UP:
            torch.cuda.reset_peak_memory_stats()
        self._start = time.perf_counter()

    def on_step_end(self, *_: object, **__: object) -> None:
        """Stop."""
        torch.cuda.synchronize()
        self.seconds.append(time.perf_counter() - self._start)


def measured(name: str, cell: Cell, rounds: int) -> Step:
    """Train a few steps of the variant from a new random model."""
    clock = Clock()
    data = pairs(Shape(cell.prompt), cell.batch * (rounds + _WARM_UP))
    with tempfile.TemporaryDirectory() as folder, _freed():
        try:
            _trainer(VARIANTS[name], cell, data, folder, clock).train()
        except (torch.OutOfMemoryError, RuntimeError, ImportError) as fault:
            return Step(cell, name, failure=f"{type(fault).__name__}: {' '.join(str(fault).split())[:160]}")
        peak = torch.cuda.max_memory_allocated() / 1e9
    counted = clock.seconds[_WARM_UP:]
    return Step(cell, name, statistics.median(counted), min(counted), max(counted), peak)


def large_llama(*, layers: int, dtype: torch.dtype) -> LlamaForCausalLM:
    """A random model in the shape of Llama 3.1 8B, on the card."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=128256,
        hidden_size=4096,
        intermediate_size=14336,
        num_hidden_layers=layers,
        num_attention_heads=32,
        num_key_value_heads=8,
        max_position_embeddings=8192,
        rope_parameters={"rope_type": "default", "rope_theta": 500000.0},
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        dtype=dtype,
    )
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device("cuda"):
            return LlamaForCausalLM(config)
    finally:
        torch.set_default_dtype(before)


def _trainer(variant: Variant, cell: Cell, data: Dataset, folder: str, clock: Clock) -> IdsTrainer:
    arguments = DPOConfig(
        output_dir=folder,
        per_device_train_batch_size=cell.batch,
        max_steps=len(data) // cell.batch,
        precompute_ref_log_probs=variant.precompute,
        gradient_checkpointing=variant.checkpointing,
        use_liger_kernel=variant.liger,
        bf16=True,
        report_to=[],
        save_strategy="no",
        disable_tqdm=True,
    )
    model = large_llama(layers=cell.layers, dtype=torch.bfloat16 if cell.lora else torch.float32)
    live = not variant.precompute and not cell.lora
    reference = large_llama(layers=cell.layers, dtype=torch.float32) if live else None
    trainer = (OurTrainer if variant.ours else IdsTrainer)(
        model,
        reference,
        args=arguments,
        train_dataset=data,
        processing_class=_tokenizer(),
        peft_config=LoraConfig(r=16, lora_alpha=32, target_modules="all-linear") if cell.lora else None,
        callbacks=[clock],
    )
    trainer.remove_callback(PrinterCallback)
    if isinstance(trainer, OurTrainer):
        trainer.install(data, share=variant.share, flex=variant.flex)
    return trainer


def _tokenizer() -> PreTrainedTokenizerFast:
    words = {"<pad>": 0, "<s>": 1, "</s>": 2}
    special = dict(zip(("pad_token", "bos_token", "eos_token"), words, strict=True))
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(WordLevel(words, unk_token="<pad>")),  # noqa: S106 - no password
        **special,
    )  # type: ignore[no-untyped-call] # so it is in transformers


@contextmanager
def _freed() -> Iterator[None]:
    """Give all memory back after the block."""
    torch.cuda.reset_peak_memory_stats()
    try:
        yield
    finally:
        gc.collect()
        torch.cuda.empty_cache()
