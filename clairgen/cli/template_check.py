"""What a model's chat template and tokenizer make of pairs, found as training finds it."""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

from clairgen.errors import InputError, MissingExtraError
from clairgen.reporting.lint.pair_checks import Hit

if TYPE_CHECKING:
    from clairgen.reporting.lint.linter import TemplateCheck
    from clairgen.row_pairs import RowPair
    from clairgen_train.data.tokenize import PairTokenizer

_UNLIMITED: Final = 2**40
_COUNTED: Final = {
    "without_end_token": "template-without-end-token",
    "answers_rendered_differently": "template-changes-answer",
    "control_tokens_in_text": "special-tokens-in-text",
}
_DROPPED: Final = {
    "prompt_changed_by_answer": "template-changes-prompt",
    "made_identical_by_template": "template-makes-identical",
}


def template_check_of(model: str, chat_template: Path | None) -> "TemplateCheck":
    """The check of pairs by a model's tokenizer and its chat template, or the one given in its place.

    Raises InputError for a model without either, MissingExtraError without what training needs.
    """
    if any(find_spec(package) is None for package in ("torch", "transformers")):
        raise MissingExtraError("Rendering pairs by a model's chat template", "train")
    from clairgen_train import loading_libraries

    with loading_libraries():  # torch, an optional package, takes seconds to load
        from clairgen_train.data.tokenize import PairTokenizer, TokenLimits
        from clairgen_train.model import load_tokenizer, stop_tokens, vocabulary_size
        from clairgen_train.settings import load_settings

    template = {} if chat_template is None else {"chat_template": str(chat_template.absolute())}
    settings = load_settings(None, {"model": model, **template})
    vocabulary = vocabulary_size(settings)
    tokenizer = load_tokenizer(settings, vocabulary)
    unlimited = TokenLimits(_UNLIMITED, _UNLIMITED)
    ends = stop_tokens(settings, tokenizer)
    pairs = PairTokenizer(tokenizer, vocabulary, unlimited, end_tokens=ends)
    return lambda pair: list(_hits(pairs, pair))


def _hits(tokenizer: "PairTokenizer", pair: "RowPair") -> Iterator[Hit]:
    """What the counts of tokenizing a pair by itself say of it."""
    row = {
        "prompt": [{"role": message.role, "content": message.content} for message in pair.messages],
        "chosen": [{"role": "assistant", "content": pair.chosen}],
        "rejected": [{"role": "assistant", "content": pair.rejected}],
    }
    counts = tokenizer.counts
    before = {name: getattr(counts, name) for name in _COUNTED} | {name: counts.dropped[name] for name in _DROPPED}
    try:
        list(tokenizer.pairs([row]))
    except InputError as error:
        if "chat template cannot render" not in str(error):
            raise
        yield Hit("template-fails", str(error).replace("row 1 of the data set", "it"))
        return
    for name, rule in _COUNTED.items():
        if getattr(counts, name) > before[name]:
            yield Hit(rule, pair.chosen)
    for name, rule in _DROPPED.items():
        if counts.dropped[name] > before[name]:
            yield Hit(rule, pair.chosen)
