"""A training run: prepare the pairs, build TRL's trainer for the objective, train, keep the model and what was measured."""

import logging
import signal
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import datasets
import torch
import transformers
from accelerate import PartialState
from safetensors import SafetensorError
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from clairgen.errors import ConfigError, DrainedError, InputError
from clairgen_train.card import card
from clairgen_train.data.prepare import PreparedPairs, prepare_pairs, prepared_pairs
from clairgen_train.data.tokenize import tokenizer_of
from clairgen_train.held_out import held_out_trajectories, outcome
from clairgen_train.kl_anchor import Anchor, PaperEraAnchor, RunningAnchor
from clairgen_train.losses import Objective
from clairgen_train.model import loaded_model, lora_config, vocabulary_of
from clairgen_train.pair_log_probs import PairCollator
from clairgen_train.pair_trainer import PairTrainer
from clairgen_train.progress import Progress, say
from clairgen_train.reference import CachedReferences, cache_folder
from clairgen_train.run_folder import RunFolder
from clairgen_train.settings import TrainingSettings
from clairgen_train.trl_config import precision_here, trl_arguments
from clairgen_train.unpaired_trainer import UnpairedTrainer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

if TYPE_CHECKING:
    from accelerate import Accelerator


class StopWhenAsked(TrainerCallback):
    """Once a signal came to any rank, all of them save a checkpoint after the same step and stop; a second signal kills."""

    def __init__(self, accelerator: "Accelerator") -> None:
        self._accelerator = accelerator
        self._asked = False
        self.stopped = False

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take the signals meanwhile."""
        before = {number: signal.signal(number, self._take) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _take(self, number: int, _frame: FrameType | None) -> None:
        if self._asked:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        self._asked = True

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        """Agree with the other ranks on whether to stop here."""
        asked = self._asked
        if self._accelerator.num_processes > 1:
            flag = torch.tensor(int(asked), device=self._accelerator.device)
            asked = bool(self._accelerator.reduce(flag, reduction="sum") > 0)
        if asked and state.global_step < state.max_steps:
            self.stopped = control.should_training_stop = control.should_save = True


_LIBRARIES = ("clairgen", "trl", "transformers", "torch", "peft")


def prepare(data: str, out: Path, settings: TrainingSettings) -> RunFolder:
    """Open the output folder and put the pairs into it as token ids, unless it has them; all users' mistakes show here."""
    _quiet()
    folder = RunFolder(out)
    if settings.precision == "auto":
        precision = folder.settings().precision if folder.is_begun else precision_here()
        settings = settings.model_copy(update={"precision": precision})
    trl_arguments(settings, out, settings.gpus or 1)
    vocabulary = vocabulary_of(settings)
    tokenizer = _tokenizer(settings)
    for note in folder.open(settings, data):
        say(note)
    prepare_pairs(data, settings, tokenizer, vocabulary, folder.path)
    folder.save(settings, data)
    return folder


def run(folder: RunFolder) -> None:
    """Train what `prepare` prepared, or go on with it; on every rank of a launch.

    Raises DrainedError if a signal ended it early, ConfigError where memory does not suffice.
    """
    _quiet()
    settings, state = folder.settings(), PartialState()
    tokenizer, pairs = _tokenizer(settings), prepared_pairs(folder.path)
    with resources_told(settings, folder):
        trainer = _trainer(settings, folder, pairs, tokenizer, state.num_processes)
        stop = StopWhenAsked(trainer.accelerator)
        trainer.add_callback(stop)
        _add_callbacks(trainer, settings, folder, pairs, tokenizer)
        checkpoint = folder.newest_checkpoint(state.num_processes)
        with stop.listening():
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    if stop.stopped:
        raise DrainedError(
            f"Stopped as asked after step {trainer.state.global_step:,} of {trainer.state.max_steps:,}; a checkpoint is kept, "
            "run the same command to go on."
        )
    trainer.save_model(str(folder.path))
    if state.is_main_process:
        _finish(folder, settings, pairs, trainer.state.global_step)
    state.wait_for_everyone()


def _finish(folder: RunFolder, settings: TrainingSettings, pairs: PreparedPairs, steps: int) -> None:
    """Leave the card and the last numbers beside the model."""
    (folder.path / "training_args.bin").unlink(missing_ok=True)  # a pickle; training.yaml says the same
    result = outcome(folder.trajectories, settings.beta) | {"steps": steps}
    versions = {name: version(name) for name in _LIBRARIES}
    (folder.path / "README.md").write_text(card(settings, pairs.facts, result, versions), encoding="utf-8")
    folder.finish(result)


def _trainer(
    settings: TrainingSettings,
    folder: RunFolder,
    pairs: PreparedPairs,
    tokenizer: "PreTrainedTokenizerBase",
    ranks: int,
) -> PairTrainer | UnpairedTrainer:
    arguments = trl_arguments(settings, folder.path, ranks)
    model = loaded_model(settings)
    peft_config = lora_config(settings.lora) if settings.lora else None
    if not settings.objective.is_paired:
        return UnpairedTrainer(
            model,
            args=arguments,
            train_dataset=pairs.train,
            objective=settings.objective,
            processing_class=tokenizer,
            peft_config=peft_config,
        )
    return PairTrainer(
        model,
        args=arguments,
        train_dataset=pairs.train,
        objective=settings.objective,
        anchor=_anchor(settings, pairs),
        processing_class=tokenizer,
        peft_config=peft_config,
        data_collator=PairCollator(pad_token_id=tokenizer.pad_token_id),
        reference_pass=CachedReferences(
            cache_folder(settings.reference_cache),
            pairs.facts["train"]["sha256"],
            share=settings.shared_prompt,
            pad_token_id=tokenizer.pad_token_id,
        ),
    )


def _anchor(settings: TrainingSettings, pairs: PreparedPairs) -> Anchor | None:
    if Objective.KTO_PAIR.code not in set(pairs.train.unique("objective")):
        return None
    chosen = settings.kto_pair
    if chosen.anchor == "paper-era":
        return PaperEraAnchor()
    return RunningAnchor(
        every=chosen.every_steps,
        answers=chosen.samples,
        max_new_tokens=settings.response_tokens,
        keep=chosen.momentum,
        seed=settings.seed,
    )


def _add_callbacks(
    trainer: PairTrainer | UnpairedTrainer,
    settings: TrainingSettings,
    folder: RunFolder,
    pairs: PreparedPairs,
    tokenizer: "PreTrainedTokenizerBase",
) -> None:
    trainer.remove_callback(transformers.PrinterCallback)
    if trainer.accelerator.is_main_process:
        trainer.add_callback(Progress(folder.log))
    if pairs.held_out is not None:
        trainer.add_callback(
            held_out_trajectories(trainer, settings, folder.trajectories, pairs, tokenizer.pad_token_id)
        )


def _tokenizer(settings: TrainingSettings) -> "PreTrainedTokenizerBase":
    return tokenizer_of(settings.model, settings.revision, settings.chat_template, trust=settings.trust_remote_code)


def _quiet() -> None:
    """Leave to clairgen what is said: progress bars and remarks of the libraries are about things that users cannot mend."""
    for quieten in (transformers.logging.set_verbosity_error, transformers.utils.logging.disable_progress_bar):
        quieten()  # type: ignore[no-untyped-call]  # transformers leaves them so
    datasets.disable_progress_bars()
    logging.getLogger("accelerate").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", category=FutureWarning)


@contextmanager
def resources_told(settings: TrainingSettings, folder: RunFolder) -> Iterator[None]:
    """Turn what the libraries raise then into ConfigError or InputError; other errors pass."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise ConfigError(_too_little_memory(settings)) from error
    except (RuntimeError, OSError, SafetensorError) as error:  # which have no types of their own for these
        if "can't allocate memory" in str(error):
            raise ConfigError(_too_little_memory(settings)) from error
        if "No space left on device" in str(error):
            raise InputError(
                f"the disk of {folder.path} is full; free some space, or set keep_checkpoints, and run the same command to go on"
            ) from error
        raise


def _too_little_memory(settings: TrainingSettings) -> str:
    lower = [f"device_batch_size (now {settings.device_batch_size})"] if settings.device_batch_size > 1 else []
    lower += [f"response_tokens (now {settings.response_tokens})"]
    further = [] if settings.gradient_checkpointing else ["set gradient_checkpointing"]
    further += [] if settings.lora else ["train adapters (lora.yaml)"]
    return f"memory ran out; lower {' or '.join(lower)}" + "".join(f", or {advice}" for advice in further)
