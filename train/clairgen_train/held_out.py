"""How held-out pairs are measured during a run: their log-likelihoods, and the lengths of sampled answers to their prompts."""

from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from clairgen_train.metrics_log import say
from clairgen_train.pair_log_probs import pair_log_probs, policy_score
from clairgen_train.sampling import sampled_answers
from clairgen_train.settings import TrainingSettings
from clairgen_train.trajectories import HeldOutMeasurement, TrajectoryRecorder
from clairgen_train.trl_config import is_sharded

if TYPE_CHECKING:
    from clairgen_train.data.prepare import PreparedPairs
    from clairgen_train.pair_trainer import PairTrainer
    from clairgen_train.unpaired_trainer import UnpairedTrainer

    Trainer = PairTrainer | UnpairedTrainer


def held_out_recorder(
    trainer: "Trainer", settings: TrainingSettings, file: Path, pairs: "PreparedPairs", pad_token_id: int
) -> TrajectoryRecorder:
    """The callback that measures a run's held-out pairs into `file`. Raises ValueError if there are none."""
    held_out, is_first = pairs.held_out, trainer.accelerator.is_main_process
    if held_out is None:
        raise ValueError("no pairs are held out")
    prompts = held_out["prompt_ids"][: settings.sampled_answers]
    if prompts and is_sharded(settings):
        prompts = []
        if is_first:
            say("no answers are sampled for the trajectories, since that is not supported for a sharded model")

    def measure(step: int) -> HeldOutMeasurement:
        log_probs = pair_log_probs(
            policy_score(trainer.model_wrapped, trainer.accelerator),
            held_out,
            accelerator=trainer.accelerator,
            pad_token_id=pad_token_id,
            batch_size=settings.device_batch_size,
        )
        return HeldOutMeasurement(log_probs, _answer_lengths(trainer, prompts, settings, pad_token_id, step))

    by_pair = pairs.facts["train"]["objectives"]
    facts = {
        "objective": next(iter(by_pair)) if len(by_pair) == 1 else "mixed",
        "beta": str(settings.beta),
        "data": str(pairs.facts["data"]),
        "model": settings.model,
        "version": version("clairgen"),
    }
    return TrajectoryRecorder(file, held_out, facts, measure, write=is_first)


def _answer_lengths(
    trainer: "Trainer",
    prompts: list[list[int]],
    settings: TrainingSettings,
    pad_token_id: int,
    step: int,
) -> list[int]:
    if not prompts:
        return []
    model = trainer.accelerator.unwrap_model(trainer.model)
    bare = model.get_base_model() if settings.lora else model
    answers = sampled_answers(
        bare,
        prompts,
        max_new_tokens=settings.response_tokens,
        pad_token_id=pad_token_id,
        seed=settings.seed + step,
    )
    return [len(answer) for answer in answers]
