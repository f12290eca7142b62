"""What TRL and transformers have for purposes that this package has code for, and where it falls short (see CONTRIBUTING.md).

A test that fails here says that the piece may do by now.
"""

import inspect
import os
import signal
import time
from pathlib import Path

import pytest
import torch
import trl
from datasets import Dataset
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_jit_checkpoint import JITCheckpointCallback
from trl import DPOConfig, DPOTrainer, extract_prompt, maybe_apply_chat_template, unpair_preference_dataset

from clairgen.errors import InputError
from clairgen_train.data.rows import pair_row
from clairgen_train.data.tokenize import PairTokenizer, TokenLimits
from clairgen_train.data.unpair import labeled_answers
from clairgen_train.pair_trainer import PairTrainer
from clairgen_train.settings import Objective
from tests.exporting.test_trl import byte_tokenizer
from tests.training.tiny import pair_trainer, prepared_pairs, settings_for, tiny_llama, tokenizer


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def assistant(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


class _TermAt(TrainerCallback):
    """Sends SIGTERM to this process at the beginning of a step, and waits until transformers has seen it."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        if state.global_step == self.step:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.2)


def with_jit_checkpoints(folder: Path, *, jit: bool, stop_at: int | None = None) -> PairTrainer:
    trainer = pair_trainer(
        folder,
        prepared_pairs(16),
        Objective.APO_ZERO,
        model=tiny_llama(attention_dropout=0.3),
        settings={"max_steps": 4, "enable_jit_checkpoint": jit},
        callbacks=[] if stop_at is None else [_TermAt(stop_at)],
    )
    for callback in trainer.callback_handler.callbacks:
        if isinstance(callback, JITCheckpointCallback) and callback.jit_manager is not None:
            callback.jit_manager.kill_wait = 0  # three seconds, in which training goes on
    return trainer


def weights(trainer: PairTrainer) -> torch.Tensor:
    return torch.cat([weight.detach().flatten() for weight in trainer.model.parameters()])


def test_transformers_checkpoint_at_a_signal_has_random_numbers_of_a_step_that_is_repeated(tmp_path: Path) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    whole = with_jit_checkpoints(tmp_path / "whole", jit=False)
    whole.train()
    try:
        stopped = with_jit_checkpoints(tmp_path / "stopped", jit=True, stop_at=2)
        assert signal.getsignal(signal.SIGTERM) != before[0]  # from construction on
        assert signal.getsignal(signal.SIGINT) == before[1]  # Ctrl-C saves nothing
        stopped.train()
    finally:
        signal.signal(signal.SIGTERM, before[0])
    continued = with_jit_checkpoints(tmp_path / "stopped", jit=False)
    continued.train(resume_from_checkpoint=str(tmp_path / "stopped" / "checkpoint-2"))
    assert not torch.equal(weights(continued), weights(whole))


def test_trl_takes_the_first_turns_that_are_equal_for_the_prompt() -> None:
    first, question = [user("2+2?")], user("And 3+3?")
    rows = {
        side: [*first, assistant(begin), question, assistant(end)]
        for side, begin, end in (("chosen", "4", "6"), ("rejected", "5", "7"))
    }
    assert extract_prompt(rows)["prompt"] == first  # the second question becomes a part of the answers
    assert extract_prompt({"chosen": "2+2? It is 4.", "rejected": "2+2? It is 5."})["prompt"] == "2+2? It is"
    with pytest.raises(InputError, match="do not begin with the same prompt"):
        pair_row(rows, 1)


def test_trl_unpairs_without_a_thought_for_the_prompts_of_neighbours() -> None:
    def own_prompt(rows: Dataset, prompts: str, answers: list[object]) -> int:
        """Of how many rows the answer for the KL belongs to the row's own prompt, by the first id of both."""
        return sum(prompt[0] == answer[0] for prompt, answer in zip(rows[prompts], answers, strict=True))  # type: ignore[index]

    block = 4
    pairs = [{"prompt": [n // 4], "chosen": [n // 4, 1], "rejected": [n // 4, 2]} for n in range(32)]
    theirs = unpair_preference_dataset(Dataset.from_list(pairs))
    answers = theirs["completion"][:]
    rotated = [
        answers[row - 1 if row % block else row + block - 1] for row in range(len(answers))
    ]  # as KTOTrainer does
    assert own_prompt(theirs, "prompt", rotated) == 64
    renamed = [{f"{name}_ids": ids for name, ids in pair.items()} for pair in pairs]
    ours = labeled_answers(Dataset.from_list(renamed), block=block, seed=0, with_kl=True)
    assert own_prompt(ours, "prompt_ids", ours["KL_completion_ids"][:]) == 0


def test_trl_trains_on_a_prompt_that_the_template_moves() -> None:
    moving = byte_tokenizer()
    moving.chat_template = (
        "#{% for message in messages %}{% if message.role == 'user' %}{% if loop.last %}{{ messages[0].content }} {% endif %}"
        "Q{{ message.content }}{% elif message.role == 'assistant' %}A{{ message.content }}{% endif %}{% endfor %}"
    )
    row = {
        "prompt": [{"role": "system", "content": "Be kind."}, user("2+2?")],
        "chosen": [assistant("4")],
        "rejected": [assistant("5")],
    }
    assert maybe_apply_chat_template(row, moving) == {"prompt": "#", "chosen": "Q2+2?A4", "rejected": "Q2+2?A5"}
    ours = PairTokenizer(moving, len(moving), TokenLimits(100, 100))
    assert list(ours.pairs([row])) == []
    assert ours.counts.dropped == {"prompt_changed_by_answer": 1}


def test_orpo_and_simpo_are_no_part_of_trls_stable_interface() -> None:
    for name in ("ORPOTrainer", "ORPOConfig", "CPOTrainer", "CPOConfig"):
        assert not hasattr(trl, name), f"trl.{name} is back: look at it again"
    source = inspect.getsource(DPOTrainer._compute_loss)
    assert not any(f'loss_type == "{name}"' in source for name in ("orpo", "simpo"))


class _PreparedDPO(DPOTrainer):  # type: ignore[misc]  # trl is Any to mypy
    def _prepare_dataset(self, dataset: Dataset, *args: object, **kwargs: object) -> Dataset:
        return dataset


def test_trl_gives_the_rows_of_a_short_micro_batch_more_weight(tmp_path: Path) -> None:
    def step(size: int) -> torch.Tensor:
        given: dict[str, object] = {
            "per_device_train_batch_size": size,
            "gradient_accumulation_steps": 8 // size,
            "max_steps": 1,
        }
        given |= {"optim": "sgd", "learning_rate": 0.1, "max_grad_norm": 1e9, "loss_type": ["apo_zero"]}
        model = tiny_llama()
        before = torch.cat([weight.detach().flatten().clone() for weight in model.parameters()])
        args = DPOConfig(str(tmp_path / str(size)), **settings_for(given))
        trainer = _PreparedDPO(
            model, args=args, train_dataset=prepared_pairs(7), ref_model=tiny_llama(1), processing_class=tokenizer()
        )
        trainer.train()
        return weights(trainer) - before

    whole = step(8)
    assert (step(2) - whole).norm() > 0.01 * whole.norm()
