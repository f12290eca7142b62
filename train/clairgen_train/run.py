"""A training run: prepare the pairs, build TRL's trainer for the objective, train, save the model and its metrics."""

import logging
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import datasets
import torch
import transformers
from accelerate import PartialState

from clairgen.errors import DrainedError
from clairgen_train.data.prepare import ModelFacts, PreparedPairs, prepare_pairs, prepared_pairs
from clairgen_train.held_out import held_out_recorder
from clairgen_train.interruptions import StopOnDivergence, StopOnSignal, resource_errors
from clairgen_train.kl_anchor import Anchor, PaperEraAnchor, RunningAnchor
from clairgen_train.metrics_log import ProgressLog, say
from clairgen_train.model import (
    check_generation_config,
    context_tokens,
    load_model,
    load_tokenizer,
    lora_config,
    require_target_modules,
    stop_tokens,
    vocabulary_size,
)
from clairgen_train.model_card import card
from clairgen_train.pair_log_probs import PairCollator
from clairgen_train.pair_trainer import PairTrainer
from clairgen_train.reference import CachedReferences, NoReferences, cache_folder, weights_hash
from clairgen_train.run_folder import RunFolder
from clairgen_train.saved_weights import round_to_bf16
from clairgen_train.settings import Objective, TrainingSettings
from clairgen_train.trajectories import final_metrics
from clairgen_train.trl_config import default_precision, require_batch_size, trl_config
from clairgen_train.unpaired_trainer import UnpairedTrainer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_LIBRARIES = ("clairgen", "trl", "transformers", "torch", "peft")


def prepare(data: str, out: Path, settings: TrainingSettings) -> RunFolder:
    """Open the output folder and write the pairs into it as token ids, unless it has them.

    All mistakes in settings and data are raised here, before a model is trained.
    """
    _silence_libraries()
    folder = RunFolder(out)
    if settings.precision == "auto":
        precision = folder.settings().precision if folder.is_begun else default_precision()
        settings = settings.model_copy(update={"precision": precision})
    trl_config(settings, out, settings.gpus or 1)
    vocabulary = vocabulary_size(settings)
    tokenizer = load_tokenizer(settings, vocabulary)
    ineffective = check_generation_config(settings)
    for note in folder.open(settings, data):
        say(note)
    if ineffective:
        say(
            f"the generation_config.json of {settings.model} sets {', '.join(ineffective)} without effect; the trained model's "
            "leaves that out"
        )
    with resource_errors(settings, folder.path):
        facts = ModelFacts(vocabulary, context_tokens(settings), stop_tokens(settings, tokenizer))
        prepare_pairs(data, settings, tokenizer, facts, folder.path)
        folder.save(settings, data)
    return folder


def run(folder: RunFolder) -> None:
    """Train what `prepare` prepared, or continue it; called on every rank.

    Raises DrainedError if a signal ended it early, RunStoppedError if it diverged, ConfigError where memory does not suffice,
    InputError where the disk is full.
    """
    _silence_libraries()
    settings, state = folder.settings(), PartialState(cpu=not torch.accelerator.is_available())
    tokenizer, pairs = load_tokenizer(settings, vocabulary_size(settings)), prepared_pairs(folder.path)
    with resource_errors(settings, folder.path):
        trainer = _trainer(settings, folder, pairs, tokenizer, state.num_processes)
        if state.is_main_process:
            folder.require_model(weights_hash(trainer), settings.model)
        stop = StopOnSignal(trainer.accelerator)
        trainer.add_callback(stop)
        trainer.add_callback(StopOnDivergence(trainer.accelerator, folder))
        _add_callbacks(trainer, settings, folder, pairs, tokenizer)
        checkpoint = folder.newest_checkpoint(state.num_processes)
        with stop.handling_signals():
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        if stop.stopped:
            raise DrainedError(
                f"Stopped after step {trainer.state.global_step:,} of {trainer.state.max_steps:,} because a signal came; a "
                "checkpoint is saved, run the same command to continue."
            )
        trainer.save_model(str(folder.path))
        if state.is_main_process:
            _finish(folder, settings, pairs, trainer.state.global_step)
    state.wait_for_everyone()


def _finish(folder: RunFolder, settings: TrainingSettings, pairs: PreparedPairs, steps: int) -> None:
    """Write the card and the final metrics beside the model."""
    if settings.save_dtype == "bf16":
        round_to_bf16(folder.path)
    (folder.path / "training_args.bin").unlink(missing_ok=True)  # a pickle; training.yaml says the same
    metrics = final_metrics(folder.trajectories, settings.beta) | {"steps": steps}
    versions = {name: version(name) for name in _LIBRARIES}
    (folder.path / "README.md").write_text(card(settings, pairs.facts, metrics, versions), encoding="utf-8")
    folder.finish(metrics)


def _trainer(
    settings: TrainingSettings,
    folder: RunFolder,
    pairs: PreparedPairs,
    tokenizer: "PreTrainedTokenizerBase",
    ranks: int,
) -> PairTrainer | UnpairedTrainer:
    config = trl_config(settings, folder.path, ranks)
    require_batch_size(config, settings, ranks)
    model = load_model(settings)
    if settings.lora:
        require_target_modules(model, settings.lora)
    peft_config = lora_config(settings.lora) if settings.lora else None
    references = _references(settings, pairs.facts["train"]["sha256"], tokenizer.pad_token_id)
    if not settings.objective.is_paired:
        return UnpairedTrainer(
            model,
            args=config,
            train_dataset=pairs.train,
            objective=settings.objective,
            processing_class=tokenizer,
            peft_config=peft_config,
            reference_pass=references,
        )
    return PairTrainer(
        model,
        args=config,
        train_dataset=pairs.train,
        objective=settings.objective,
        anchor=_anchor(settings, pairs),
        processing_class=tokenizer,
        peft_config=peft_config,
        data_collator=PairCollator(pad_token_id=tokenizer.pad_token_id),
        reference_pass=references,
    )


def _references(settings: TrainingSettings, ids_hash: str, pad_token_id: int) -> CachedReferences | NoReferences:
    """Where the reference's log-probabilities come from; SFT has none."""
    share = settings.objective.is_paired and _shares_prompts(settings)
    if settings.objective is Objective.SFT:
        return NoReferences(share=share)
    if settings.objective is Objective.KTO:  # its KL answers depend on these
        ids_hash = f"{ids_hash}, {settings.seed}, {settings.batch_size}"
    return CachedReferences(cache_folder(settings.reference_cache), ids_hash, share=share, pad_token_id=pad_token_id)


def _shares_prompts(settings: TrainingSettings) -> bool:
    if settings.shared_prompt == "auto":
        return not torch.accelerator.is_available()
    return settings.shared_prompt


def _anchor(settings: TrainingSettings, pairs: PreparedPairs) -> Anchor | None:
    if Objective.KTO_PAIR.value not in set(pairs.train.unique("objective")):
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
        trainer.add_callback(ProgressLog(folder.log))
    if pairs.held_out is not None:
        trainer.add_callback(held_out_recorder(trainer, settings, folder.trajectories, pairs, tokenizer.pad_token_id))


def _silence_libraries() -> None:
    """Turn off the libraries' progress bars and those of their warnings that a user can do nothing about."""
    for silence in (transformers.logging.set_verbosity_error, transformers.utils.logging.disable_progress_bar):
        silence()  # type: ignore[no-untyped-call]  # transformers leaves them so
    datasets.disable_progress_bars()
    logging.getLogger("accelerate").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", category=FutureWarning)
