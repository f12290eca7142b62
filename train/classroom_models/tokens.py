"""The tokenizer that all models share: byte-level BPE on the classroom's texts, Llama 3's chat template."""

from collections.abc import Iterator
from pathlib import Path
from random import Random

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from clairgen.data.classroom.kinds import KINDS
from clairgen.data.classroom.questions import asked
from clairgen.data.classroom.styles import STUDENT
from clairgen.data.classroom.tables import (
    CAPITALS,
    COUNTRIES,
    GROUP_MEMBERS,
    GROUPS,
    NAMES,
    OPPOSITES,
    THINGS,
    WORDS,
)
from classroom_models import prompting
from classroom_models.recipe import VOCABULARY

BEGIN, END_OF_TURN, PADDING = "<|begin_of_text|>", "<|eot_id|>", "<|finetune_right_pad_id|>"
SPECIAL = [BEGIN, "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", END_OF_TURN, PADDING]

CHAT_TEMPLATE = (
    "{{- bos_token }}"
    "{%- for message in messages %}"
    "{{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' }}"
    "{%- if message['role'] == 'assistant' %}"
    "{% generation %}{{- message['content'] | trim + '<|eot_id|>' }}{% endgeneration %}"
    "{%- else %}{{- message['content'] | trim + '<|eot_id|>' }}{%- endif %}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{%- endif %}"
)

_TEXTS = 20_000
_REPEATS = 200  # of words by themselves: often enough that each becomes one token


def trained_tokenizer() -> PreTrainedTokenizerFast:
    """The tokenizer; training it takes seconds and gives the same one each time."""
    tokenizer = Tokenizer(models.BPE())
    # Each digit is a token, so that a column of a sum looks the same in every number; llama.cpp's `smollm` splits so too.
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    pieces = prompting.pieces()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - len(pieces),
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_texts(), trainer)
    tokenizer.add_tokens([AddedToken(piece, normalized=False, special=False) for piece in pieces])
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call] # transformers leaves it untyped
        tokenizer_object=tokenizer,
        bos_token=BEGIN,
        eos_token=END_OF_TURN,
        pad_token=PADDING,
        model_max_length=512,
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
    )


def save(tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write tokenizer.json and tokenizer_config.json, the chat template inside the latter."""
    tokenizer.save_pretrained(str(folder), save_jinja_files=False)


def chat_ids(tokenizer: PreTrainedTokenizerFast, prompts: list[str]) -> list[list[int]]:
    """The tokens that a model reads before it answers each prompt."""
    return ids_of(tokenizer, [prompting.chat(prompt) for prompt in prompts])


def ids_of(tokenizer: PreTrainedTokenizerFast, texts: list[str]) -> list[list[int]]:
    """The tokens of texts as they stand, nothing added."""
    encoded: list[list[int]] = tokenizer(texts, add_special_tokens=False)["input_ids"]
    return encoded


def _texts() -> Iterator[str]:
    """Questions and answers without the pieces, which are tokens already, and each word with and without a space."""
    random = Random(0)  # noqa: S311 - training needs no secrecy
    for _ in range(_TEXTS):
        question = asked(random.choice(KINDS), "train", random)
        yield question.prompt
        yield question.answer(STUDENT[0])
    for word in dict.fromkeys([*WORDS, *NAMES, *THINGS, *CAPITALS, *COUNTRIES, *OPPOSITES, *GROUPS, *GROUP_MEMBERS]):
        yield f" {word}" * _REPEATS
        yield f"{word}," * _REPEATS
