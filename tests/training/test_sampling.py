"""Sampled answers follow the model's own distribution, are the same for a seed, and leave the run unchanged."""

import math

import torch
from transformers import GenerationConfig
from trl.trainer.utils import add_fused_lm_head

from clairgen_train.sampling import sampled_answers
from tests.training.tiny import END, PAD, VOCABULARY, tiny_llama

PROMPT = [7, 8, 9]
LENGTH = 2


def test_samples_follow_the_models_own_distribution_whatever_its_generation_settings_say() -> None:
    model = tiny_llama(0)
    model.generation_config = GenerationConfig(  # type: ignore[no-untyped-call]  # transformers' own is not annotated
        do_sample=True, temperature=0.1, top_k=1, repetition_penalty=3.0, eos_token_id=END, pad_token_id=PAD
    )
    own, training = model.generation_config, model.training
    state = torch.get_rng_state()
    answers = sampled_answers(model, [PROMPT] * 4000, max_new_tokens=LENGTH, pad_token_id=PAD, seed=1)
    assert torch.equal(torch.get_rng_state(), state)
    assert model.generation_config is own
    assert model.training is training
    firsts = torch.bincount(torch.tensor([answer[0] for answer in answers]), minlength=VOCABULARY) / 4000
    with torch.no_grad():
        wanted = model.train(False)(torch.tensor([PROMPT])).logits[0, -1].softmax(-1)
    assert (firsts - wanted).abs().max().item() < 4 * math.sqrt(0.25 / 4000)
    assert all(END not in answer[:-1] for answer in answers)


def test_left_padding_of_shorter_prompts_changes_no_sample_and_a_seed_gives_the_same_again() -> None:
    model = tiny_llama(0)
    prompts = [PROMPT, [3, 4, 5, 6, 7, 8]]
    both = sampled_answers(model, prompts, max_new_tokens=6, pad_token_id=PAD, seed=3)
    assert both == sampled_answers(model, prompts, max_new_tokens=6, pad_token_id=PAD, seed=3)
    assert both != sampled_answers(model, prompts, max_new_tokens=6, pad_token_id=PAD, seed=4)
    with torch.no_grad():
        alone = model.train(False)(torch.tensor([PROMPT])).logits[0, -1].softmax(-1)
        add_fused_lm_head(model)  # as the trainers patch it
        padded = (
            model(torch.tensor([[PAD] * 3 + PROMPT]), attention_mask=torch.tensor([[0] * 3 + [1] * 3]))
            .logits[0, -1]
            .softmax(-1)
        )
    torch.testing.assert_close(alone, padded, rtol=0, atol=1e-5)
