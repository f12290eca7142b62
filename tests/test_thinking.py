import time

import pytest

from clairgen.thinking import (
    _CLOSING_ALONE,
    _CONTROL_TOKENS,
    _PAIRS,
    _SIGNS,
    _WRAPPERS,
    Separated,
    _is_plain,
    separate,
)

ANSWER = "Paris is the capital of France."
THOUGHT = "The user asks for a capital. I know it."

BEFORE = {
    "think": f"<think>\n{THOUGHT}\n</think>\n\n{ANSWER}",
    "case": f"<Think>{THOUGHT}</THINK>{ANSWER}",
    "thinking": f"  <thinking>{THOUGHT}</thinking>\n{ANSWER}",
    "thought": f"<thought>{THOUGHT}</thought>{ANSWER}",
    "reasoning": f"<reasoning>{THOUGHT}</reasoning>\n{ANSWER}",
    "seed": f"<seed:think>{THOUGHT}</seed:think>{ANSWER}",
    "magistral": f"[THINK]{THOUGHT}[/THINK]{ANSWER}",
    "kimi": f"◁think▷{THOUGHT}◁/think▷{ANSWER}",
    "open-thoughts": f"<|begin_of_thought|>{THOUGHT}<|end_of_thought|>\n<|begin_of_solution|>{ANSWER}<|end_of_solution|>",
    "cohere": f"<|START_THINKING|>{THOUGHT}<|END_THINKING|><|START_RESPONSE|>{ANSWER}<|END_RESPONSE|>",
    "gemma": f"<|channel>thought\n{THOUGHT}<channel|>{ANSWER}",
    "medgemma": f"<unused94>thought\n{THOUGHT}<unused95>{ANSWER}",
    "granite": f"Here is my thought process: {THOUGHT}\nHere is my response: {ANSWER}",
    "closing alone": f"{THOUGHT}\n</think>\n\n{ANSWER}",
    "closing alone, magistral": f"{THOUGHT}[/THINK]{ANSWER}",
    "harmony": f"<|channel|>analysis<|message|>{THOUGHT}<|end|><|start|>assistant<|channel|>final<|message|>{ANSWER}<|return|>",
    "harmony, last final": "<|channel|>final<|message|>a draft<|end|><|start|>assistant<|channel|>analysis<|message|>"
    f"{THOUGHT}<|end|><|start|>assistant<|channel|>final<|message|>{ANSWER}",
    "harmony, bare": f"analysis{THOUGHT}assistantfinal{ANSWER}",
    "two blocks": f"<think>{THOUGHT}</think><think>Yes.</think>{ANSWER}",
}


@pytest.mark.parametrize("form", BEFORE)
def test_thinking_before_the_answer_is_taken_off_and_kept(form: str) -> None:
    found = separate(BEFORE[form])
    assert found.answer.strip() == ANSWER
    assert THOUGHT in found.thinking
    assert (found.unclosed, found.stripped, found.embedded) == (False, (), ())


@pytest.mark.parametrize(
    "text",
    [
        f"{ANSWER}\n<think>{THOUGHT}</think>",
        f"{ANSWER} <thinking>{THOUGHT}</thinking>\n",
        f"<think>{THOUGHT}</think>{ANSWER}[THINK]{THOUGHT}[/THINK]<|im_end|>",
    ],
)
def test_a_block_after_the_answer_is_taken_off_as_well(text: str) -> None:
    found = separate(text)
    assert (found.answer.strip(), found.embedded) == (ANSWER, ())
    assert THOUGHT in found.thinking
    assert separate(text, "What do <think>, [THINK] and <thinking> mean?").answer != found.answer


def test_a_block_after_the_answer_that_is_quoted_or_has_no_answer_before_it_stays() -> None:
    assert separate("Write `<think>so</think>").answer == "Write `<think>so</think>"
    assert separate(f"<b>{ANSWER}</b> <reasoning>{THOUGHT}</reasoning>").embedded == ("</reasoning>", "<reasoning>")


def test_an_empty_block_is_no_thinking() -> None:
    assert separate(f"<think>\n\n</think>\n\n{ANSWER}") == Separated(ANSWER)


@pytest.mark.parametrize(
    "text",
    [
        f"<think>\n{THOUGHT}",
        f"[THINK]{THOUGHT}",
        f"<|channel|>analysis<|message|>{THOUGHT}",
        f"<think>{THOUGHT}</think><think>{THOUGHT}",
    ],
)
def test_thinking_that_never_ends_leaves_no_answer(text: str) -> None:
    found = separate(text)
    assert found.unclosed
    assert found.answer == ""
    assert THOUGHT in found.thinking


@pytest.mark.parametrize(
    "token", ["<|im_end|>", "<|eot_id|>", "</s>", "<end_of_turn>", "<｜end▁of▁sentence｜>", "<|endoftext|>"]
)
def test_control_tokens_at_the_end_are_taken_off(token: str) -> None:
    assert separate(f"{ANSWER}{token}").answer == ANSWER
    assert separate(f"{ANSWER}\n{token} {token}\n") == Separated(f"{ANSWER}\n", stripped=(token, token))


@pytest.mark.parametrize(
    ("text", "embedded"),
    [
        (f"{ANSWER}<|im_end|>\n<|im_start|>user\nAnd of Spain?", ("<|im_end|>", "<|im_start|>")),
        (f"{ANSWER} <think>Is it?</think> It is.", ("</think>", "<think>")),
        (f"{ANSWER}</s> [INST] and Spain? [/INST] Madrid", ("</s>", "[/inst]", "[inst]")),
    ],
)
def test_what_stands_inside_an_answer_is_named_and_not_touched(text: str, embedded: tuple[str, ...]) -> None:
    assert separate(text) == Separated(text, embedded=embedded)


@pytest.mark.parametrize(
    ("text", "prompt"),
    [
        (ANSWER, ""),
        ("", ""),
        ("Analysis of the poem: it is short.", ""),
        ("analysis is a branch of mathematics", ""),
        ("Here is my thought process: I add 2 and 2, which is 4.", ""),
        ("Close the block with `</think>` and go on.", ""),
        ("Use <s>old</s> and <s>older</s>", ""),
        ("<think>is how R1 begins, </think> how it ends", "What do <think> and </think> mean?"),
        ("It ends with <|im_end|>", "Which token ends a turn in ChatML, <|im_end|> or </s>?"),
        ("<reasoning>2 + 2</reasoning> 4", "Put your steps into <reasoning> tags."),
    ],
)
def test_what_only_looks_like_it_stays_as_it_is(text: str, prompt: str) -> None:
    assert separate(text, prompt) == Separated(text)


@pytest.mark.slow
@pytest.mark.parametrize(
    "piece",
    [
        "<think>",
        "</think>",
        "<think></think>",
        "</s>",
        "</s> ",
        "<|channel|>analysis<|message|>",
        "<|channel|>",
        "analysis",
        "İ<think>",
        "`<|end|>",
        " ",
    ],
)
def test_it_is_linear_in_the_text(piece: str) -> None:
    def seconds(length: int) -> float:
        text = piece * (length // len(piece))
        best = float("inf")
        for _ in range(3):
            start = time.process_time()
            separate(text)
            best = min(best, time.process_time() - start)
        return best

    assert seconds(100_000) < 40 * max(seconds(10_000), 1e-4)


def test_every_form_has_a_sign_or_words_by_which_it_is_looked_for() -> None:
    tags = [*(tag for pair in (*_PAIRS[:-1], *_WRAPPERS) for tag in pair), *_CLOSING_ALONE, *_CONTROL_TOKENS]
    assert [tag for tag in tags if not any(sign in tag for sign in _SIGNS)] == []
    assert separate("A plain answer, analysis included.\n") == Separated("A plain answer, analysis included.\n")


@pytest.mark.parametrize(
    "tag",
    [
        *(tag for pair in (*_PAIRS[:-1], *_WRAPPERS) for tag in pair),
        *_CONTROL_TOKENS,
        "<|channel|>final<|message|>",
    ],
)
def test_no_text_with_a_tag_or_a_control_token_is_plain(tag: str) -> None:
    assert not _is_plain(f"Some text. {tag.upper()} More.")
