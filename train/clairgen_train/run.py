"""A training run: prepare the pairs, build TRL's trainer for the objective, train, save the model and its metrics."""

import gc
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import transformers
from accelerate import PartialState

from clairgen.errors import ConfigError, DrainedError
from clairgen.wording import counted
from clairgen_train.adapters import model_source
from clairgen_train.best_model import HeldOutWatch
from clairgen_train.data.prepare import ModelFacts, PreparedPairs, prepare_pairs, prepared_pairs
from clairgen_train.held_out import held_out_recorder
from clairgen_train.interruptions import StopOnDivergence, StopOnSignal, resource_errors
from clairgen_train.kl_anchor import Anchor, PaperEraAnchor, RunningAnchor
from clairgen_train.launch import process_state, require_one_folder
from clairgen_train.merging import name_base
from clairgen_train.metrics_log import ProgressLog, say
from clairgen_train.model import (
    check_generation_config,
    context_tokens,
    load_model,
    load_reference,
    load_tokenizer,
    lora_config,
    require_reference,
    require_target_modules,
    stop_tokens,
    vocabulary_size,
)
from clairgen_train.model_card import card
from clairgen_train.opening_remarks import opening_remarks
from clairgen_train.pair_log_probs import PairCollator
from clairgen_train.pair_trainer import PairTrainer
from clairgen_train.reference import CachedReferences, NoReferences, cache_folder, weights_hash
from clairgen_train.run_folder import RunFolder
from clairgen_train.saved_weights import round_to_bf16
from clairgen_train.settings import Objective, TrainingSettings
from clairgen_train.trajectories import final_metrics
from clairgen_train.trl_config import default_precision, require_batch_size, require_peak, total_steps, trl_config
from clairgen_train.unpaired_trainer import UnpairedTrainer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_LIBRARIES = ("clairgen", "trl", "transformers", "torch", "peft")


def prepare(data: str, out: Path, settings: TrainingSettings) -> RunFolder:
    """Open the output folder and write the pairs into it as token ids, unless it has them.

    All mistakes in settings and data are raised here, before a model is trained.
    """
    folder = RunFolder(out)
    if settings.precision == "auto":
        precision = folder.settings().precision if folder.is_begun else default_precision()
        settings = settings.model_copy(update={"precision": precision})
    trl_config(settings, out, settings.gpus or 1)
    vocabulary = vocabulary_size(settings)
    tokenizer = load_tokenizer(settings, vocabulary)
    require_reference(settings, tokenizer)
    source = model_source(settings.model, settings.revision)
    if source.adapter is not None:
        what = "what is trained" if settings.reference_model else "what is trained, and the reference,"
        say(f"{settings.model} is an adapter; {what} is {source.base} with it merged in")
    ineffective = check_generation_config(source.base, source.revision)
    for note in folder.open(settings, data):
        say(note)
    if ineffective:
        say(
            f"the generation_config.json of {source.base} sets {', '.join(ineffective)} without effect; the trained model's "
            "leaves that out"
        )
    with resource_errors(settings, folder.path):
        facts = ModelFacts(vocabulary, context_tokens(settings), stop_tokens(settings, tokenizer))
        prepare_pairs(data, settings, tokenizer, facts, folder.path)
        if (settings.early_stopping or settings.keep_best) and prepared_pairs(folder.path).held_out is None:
            raise ConfigError(
                "early_stopping and keep_best go by the margin of held-out pairs, and none are held out of this data; leave them "
                "out"
            )
        require_peak(settings, _rows(settings, prepared_pairs(folder.path)))
        folder.save(settings, data)
    return folder


def _rows(settings: TrainingSettings, pairs: PreparedPairs) -> int:
    """What an epoch goes through: pairs, or the answers that objectives for single answers take them apart into."""
    if settings.objective.is_paired:
        return len(pairs.train)
    return sum(2 if label is None else 1 for label in pairs.train["label"])


def examine(folder: RunFolder) -> list[str]:
    """What a run that `prepare` prepared for one process would begin with, in sentences; nothing is trained.

    The reference's log-probabilities are computed and cached, for the run itself to use.
    """
    settings = folder.settings()
    tokenizer, pairs = load_tokenizer(settings, vocabulary_size(settings)), prepared_pairs(folder.path)
    with resource_errors(settings, folder.path):
        trainer = _trainer(settings, folder, pairs, tokenizer, process_state().num_processes)
        steps = total_steps(settings, len(trainer.train_dataset))
        warm_up = trainer.args.get_warmup_steps(steps)
        length = f"it would take {counted(steps, 'step')}" + (f", {warm_up:,} of them to warm up" if warm_up else "")
        return [length, *opening_remarks(trainer.model, trainer.train_dataset, settings)]


def run(folder: RunFolder) -> None:
    """Train what `prepare` prepared, or continue it; called on every rank.

    Raises DrainedError if a signal ended it early, RunStoppedError if it diverged, ConfigError where memory does not suffice,
    InputError where the disk is full, RunError where the ranks do not share the folder.
    """
    state = process_state()
    require_one_folder(folder)
    settings = folder.settings()
    tokenizer, pairs = load_tokenizer(settings, vocabulary_size(settings)), prepared_pairs(folder.path)
    with resource_errors(settings, folder.path):
        trainer = _trainer(settings, folder, pairs, tokenizer, state.num_processes)
        if state.is_main_process:
            folder.require_model(weights_hash(trainer), settings.reference_model or settings.model)
        stop = StopOnSignal(trainer.accelerator)
        trainer.add_callback(stop)
        trainer.add_callback(StopOnDivergence(trainer.accelerator, folder))
        watch = HeldOutWatch(folder, settings, is_main=state.is_main_process)
        _add_callbacks(trainer, settings, folder, pairs, tokenizer, watch)
        checkpoint = folder.newest_checkpoint(state.num_processes)
        if state.is_main_process and (passed_over := folder.newer_checkpoints(checkpoint)):
            say(
                f"{passed_over[0].name} is incomplete, or was saved by another number of processes than {state.num_processes}; "
                f"training goes on from {'the start' if checkpoint is None else checkpoint.name}"
            )
        if state.is_main_process and checkpoint is None:
            for remark in opening_remarks(trainer.model, trainer.train_dataset, settings):
                say(remark)
        with stop.handling_signals():
            _train(trainer, checkpoint, watch if pairs.held_out is not None else None)
        if stop.stopped:
            raise DrainedError(
                f"Stopped after step {trainer.state.global_step:,} of {trainer.state.max_steps:,} because a signal came; a "
                "checkpoint is saved, run the same command to continue."
            )
        best = watch.best_checkpoint(trainer.state.global_step) if pairs.held_out is not None else None
        if best is not None:
            trainer.state.best_model_checkpoint = str(best[1])
            trainer._load_best_model()  # noqa: SLF001 - transformers does so itself only where it has evaluated
        trainer.save_model(str(folder.path))
        if state.is_main_process:
            _finish(folder, settings, pairs, trainer.state.global_step, None if best is None else best[0])
    state.wait_for_everyone()


def _train(trainer: PairTrainer | UnpairedTrainer, checkpoint: Path | None, watch: HeldOutWatch | None) -> None:
    """Train from a checkpoint on, unless the run stopped early there and was killed before it saved its model."""
    if checkpoint is not None and watch is not None:
        state = transformers.TrainerState.load_from_json(str(checkpoint / "trainer_state.json"))
        if watch.has_stopped(state.global_step):
            trainer._load_from_checkpoint(str(checkpoint))  # noqa: SLF001 - as `train` does
            trainer.state = state
            return
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)


def _finish(folder: RunFolder, settings: TrainingSettings, pairs: PreparedPairs, steps: int, best: int | None) -> None:
    """Write the card and the metrics of the saved model beside it; `best` is its step, where it is not the last one."""
    if settings.save_dtype == "bf16":
        round_to_bf16(folder.path)
    (folder.path / "training_args.bin").unlink(missing_ok=True)  # a pickle; training.yaml says the same
    per_token = settings.objective is Objective.DPO_NORM
    metrics = final_metrics(folder.trajectories, settings.beta, best, per_token=per_token) | {"steps": steps}
    metrics |= {} if best is None else {"best_step": best}
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
    name_base(model, settings, folder.path / "base", write=PartialState().is_main_process)
    if settings.lora:
        require_target_modules(model, settings.lora)
    peft_config = lora_config(settings.lora, model) if settings.lora else None
    references = _references(settings, pairs.facts["train"]["sha256"], tokenizer.pad_token_id)
    reference = load_reference(settings)
    if not settings.objective.is_paired:
        return UnpairedTrainer(
            model,
            args=config,
            train_dataset=pairs.train,
            objective=settings.objective,
            ref_model=reference,
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
        ref_model=reference,
        chosen_nll=settings.chosen_nll,
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
    if settings.ld_alpha is not None:  # which shortens the reference's sums too
        ids_hash = f"{ids_hash}, ld_alpha {settings.ld_alpha}"
    return CachedReferences(
        cache_folder(settings.reference_cache),
        ids_hash,
        share=share,
        pad_token_id=pad_token_id,
        is_start=settings.reference_model is None,
    )


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
    watch: HeldOutWatch,
) -> None:
    trainer.remove_callback(transformers.PrinterCallback)
    if trainer.accelerator.is_main_process:
        trainer.add_callback(ProgressLog(folder.log))
    if pairs.held_out is not None:
        trainer.add_callback(held_out_recorder(trainer, settings, folder, pairs, tokenizer.pad_token_id, watch))


def free_memory() -> None:
    """Give the memory of a finished run back to the device, for whoever serves its model next."""
    gc.collect()
    if torch.accelerator.is_available():
        torch.accelerator.empty_cache()
