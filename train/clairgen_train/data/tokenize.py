"""From conversations to token ids: the model's chat template, the cut, and why a pair cannot teach."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from itertools import islice, takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clairgen.errors import InputError
from clairgen_train.data.rows import PairRow, pair_row
from clairgen_train.settings import Truncation

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


Ids = list[int]


@dataclass(frozen=True, slots=True)
class PairIds:
    """A pair as token ids: what was asked, and both responses."""

    prompt: Ids
    chosen: Ids
    rejected: Ids


@dataclass(frozen=True, slots=True)
class Limits:
    """Most tokens of a prompt and of a response, and by which rule they hold."""

    prompt_tokens: int
    response_tokens: int
    truncation: Truncation = Truncation.EACH

    def cut(self, pair: PairIds, bos: int | None = None) -> PairIds:
        """The pair within the limits.

        A prompt loses its beginning, since its end says whose turn it is; the token `bos` that begins it stays, since
        models lean on it. A response loses its end. `each` holds both limits always; `trl-2024` does as TRL did when the paper
        was written: nothing is cut unless prompt and longer response together pass the sum of both limits, then the prompt is
        cut to its limit, and the responses to theirs if that was not enough.
        """
        if self.truncation is Truncation.EACH:
            return PairIds(
                _end(pair.prompt, self.prompt_tokens, bos),
                pair.chosen[: self.response_tokens],
                pair.rejected[: self.response_tokens],
            )
        longer = max(len(pair.chosen), len(pair.rejected))
        whole = self.prompt_tokens + self.response_tokens
        prompt = pair.prompt if len(pair.prompt) + longer <= whole else pair.prompt[-self.prompt_tokens :]
        if len(prompt) + longer <= whole:
            return PairIds(prompt, pair.chosen, pair.rejected)
        return PairIds(prompt, pair.chosen[: self.response_tokens], pair.rejected[: self.response_tokens])


def _end(prompt: Ids, most: int, bos: int | None) -> Ids:
    if len(prompt) <= most:
        return prompt
    if bos is not None and prompt[0] == bos and most > 1:
        return [bos, *prompt[1 - most :]]
    return prompt[-most:]


_ROWS_AT_ONCE = 500


@dataclass(slots=True)
class Counts:
    """What became of the rows of a data set; `dropped` by reason, `cut` by part, `shapes` by name (`rows.SHAPES`).

    `rendered_otherwise` counts pairs whose prompt the chat template writes otherwise when an answer follows: their end of
    the prompt is left out, as TRL does.
    """

    rows: int = 0
    kept: int = 0
    cut: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    shapes: Counter[str] = field(default_factory=Counter)
    objectives: Counter[str] = field(default_factory=Counter)
    rendered_otherwise: int = 0
    prompt_tokens: int = 0
    response_tokens: int = 0

    def facts(self) -> dict[str, int | dict[str, int]]:
        """The counts as JSON holds them."""
        values = ((each.name, getattr(self, each.name)) for each in fields(self))
        return {name: dict(value) if isinstance(value, Counter) else value for name, value in values}


@dataclass(frozen=True, slots=True)
class TokenizedPair:
    """A pair that can be learned from, as ids within the limits."""

    row: PairRow
    ids: PairIds


class PairTokenizer:
    """Turns rows into ids with a model's tokenizer and counts what it cuts and drops.

    `vocabulary` is how many embeddings the model has: ids beyond it mean that tokenizer and model do not belong together.
    """

    def __init__(self, tokenizer: "PreTrainedTokenizerBase", vocabulary: int, limits: Limits) -> None:
        self._tokenizer = tokenizer
        self._vocabulary = vocabulary
        self._limits = limits
        self.counts = Counts()

    def pairs(self, rows: Iterable[Mapping[str, Any]]) -> Iterator[TokenizedPair]:
        """The pairs of `rows` that can teach, in order. Raises InputError for a row that is no pair."""
        numbered = enumerate(rows, 1)
        while batch := [(number, pair_row(row, number)) for number, row in islice(numbered, _ROWS_AT_ONCE)]:
            yield from self._tokenized(batch)

    def _tokenized(self, batch: list[tuple[int, PairRow]]) -> Iterator[TokenizedPair]:
        texts = [text for number, row in batch for text in self._rendered(row, number)]
        ids = self._tokenizer(texts, add_special_tokens=False, return_attention_mask=False)["input_ids"]
        for position, (number, row) in enumerate(batch):
            self.counts.rows += 1
            self.counts.shapes[row.shape] += 1
            whole = self._split(*ids[3 * position : 3 * position + 3])
            self._require_known(whole, number)
            pair = self._limits.cut(whole, self._tokenizer.bos_token_id)
            reason = _reason_to_drop(row, whole, pair)
            if reason is not None:
                self.counts.dropped[reason] += 1
                continue
            self._count(whole, pair)
            yield TokenizedPair(row, pair)

    def _rendered(self, row: PairRow, number: int) -> Iterator[str]:
        """What was asked as the model is asked it, and the two whole conversations."""
        from jinja2 import TemplateError

        try:
            yield str(self._tokenizer.apply_chat_template(row.prompt, tokenize=False, add_generation_prompt=True))
            for answer in (row.chosen, row.rejected):
                conversation = [*row.prompt, {"role": "assistant", "content": answer}]
                yield str(self._tokenizer.apply_chat_template(conversation, tokenize=False))
        except (TemplateError, TypeError) as error:
            raise InputError(
                f"the model's chat template cannot write row {number:,} of the data set: {' '.join(str(error).split())}"
            ) from error

    def _split(self, prompt: list[int], chosen: list[int], rejected: list[int]) -> PairIds:
        """Prompt and responses; a response begins where it and the prompt's ids part."""
        shared = min(_common(prompt, chosen), _common(prompt, rejected))
        if shared < len(prompt):
            self.counts.rendered_otherwise += 1
        return PairIds(prompt[:shared], chosen[shared:], rejected[shared:])

    def _require_known(self, pair: PairIds, number: int) -> None:
        highest = max((max(ids) for ids in (pair.prompt, pair.chosen, pair.rejected) if ids), default=0)
        if highest >= self._vocabulary:
            raise InputError(
                f"the tokenizer gives the id {highest} in row {number:,}, and the model knows only {self._vocabulary}: they do "
                "not belong together; use the tokenizer that came with the model"
            )

    def _count(self, whole: PairIds, pair: PairIds) -> None:
        counts = self.counts
        counts.kept += 1
        counts.prompt_tokens += len(pair.prompt)
        counts.response_tokens += len(pair.chosen) + len(pair.rejected)
        for part in ("prompt", "chosen", "rejected"):
            counts.cut[part] += len(getattr(pair, part)) < len(getattr(whole, part))


def tokenizer_of(
    model: str, revision: str | None, chat_template: Path | None, *, trust: bool
) -> "PreTrainedTokenizerBase":
    """The model's tokenizer, with a chat template. Raises InputError where either is missing."""
    from transformers import AutoTokenizer

    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            model, revision=revision, trust_remote_code=trust
        )
    except (OSError, ValueError) as error:
        raise InputError(f"the tokenizer of {model} cannot be loaded: {' '.join(str(error).split())[:300]}") from error
    if chat_template is not None:
        try:
            tokenizer.chat_template = chat_template.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"the chat template {chat_template} cannot be read: {error}") from error
    if not tokenizer.chat_template:
        raise InputError(
            f"{model} has no chat template, so it is not known how to ask it; give one with --chat-template FILE (Jinja), "
            "or train an instruct model"
        )
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def _common(first: list[int], second: list[int]) -> int:
    if first == second[: len(first)]:
        return len(first)
    return sum(1 for _ in takewhile(lambda ids: ids[0] == ids[1], zip(first, second, strict=False)))


def _reason_to_drop(row: PairRow, whole: PairIds, pair: PairIds) -> str | None:
    """Why a pair cannot teach; such a pair has a constant loss under APO-zero and is pushed down by APO-down."""
    if whole.chosen == whole.rejected:
        return "identical"
    if pair.chosen == pair.rejected:
        return "identical_after_cut"
    if not pair.chosen or not pair.rejected or not pair.prompt:
        return "empty"
    return "weight_zero" if row.weight == 0 else None
