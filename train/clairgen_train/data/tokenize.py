"""From conversations to token ids by the model's chat template, truncated by one of two rules; what was lost is counted."""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from itertools import chain, islice, takewhile
from typing import TYPE_CHECKING, Any

from clairgen.errors import InputError
from clairgen.pair_cells import THOUGHTS, Messages, ThinkingPolicy
from clairgen_train.data.rows import RowKind, TrainingRow, answer_row, pair_row
from clairgen_train.settings import Truncation

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


_ROWS_PER_BATCH = 500
Ids = list[int]


@dataclass(frozen=True, slots=True)
class PairIds:
    """A pair as token ids: the prompt and both responses."""

    prompt: Ids
    chosen: Ids
    rejected: Ids


@dataclass(frozen=True, slots=True)
class TokenLimits:
    """The most tokens of a prompt and of a response, and the rule that applies them."""

    prompt_tokens: int
    response_tokens: int
    truncation: Truncation = Truncation.EACH

    def truncate(self, pair: PairIds, bos: int | None = None) -> PairIds:
        """The pair within the limits.

        A prompt loses its beginning, since its end says whose turn it is; a leading token `bos` stays, since models rely on it.
        A response loses its end. `each` always applies both limits; `trl-2024` does as TRL did when the paper was written:
        nothing is truncated unless the prompt and the longer response together exceed the sum of both limits; then the prompt is
        truncated to its limit, and the responses to theirs if that was not enough.
        """
        if self.truncation is Truncation.EACH:
            return PairIds(
                _last_tokens(pair.prompt, self.prompt_tokens, bos),
                pair.chosen[: self.response_tokens],
                pair.rejected[: self.response_tokens],
            )
        longer = max(len(pair.chosen), len(pair.rejected))
        whole = self.prompt_tokens + self.response_tokens
        prompt = pair.prompt if len(pair.prompt) + longer <= whole else pair.prompt[-self.prompt_tokens :]
        if len(prompt) + longer <= whole:
            return PairIds(prompt, pair.chosen, pair.rejected)
        return PairIds(prompt, pair.chosen[: self.response_tokens], pair.rejected[: self.response_tokens])


@dataclass(slots=True)
class DataCounts:
    """How many rows were read, kept, truncated (by part) and dropped (by reason), and in which shapes (`rows.SHAPES`).

    `prompts_rendered_differently` counts kept pairs whose generation header (the end of a prompt) the chat template renders
    differently once an answer follows: the differing end is left out, as in TRL. Where the messages of the prompt themselves are
    rendered differently, the pair is dropped, since a part of the prompt would be trained on as if it were the answer.
    `answers_rendered_differently` counts kept pairs with an answer whose text the template changes, such as by leaving its
    thinking out; `without_end_token` kept pairs with an answer that is rendered without any token at which the model stops;
    `control_tokens_in_text` kept pairs with a message in which the tokenizer reads a special token, such as its end token;
    `unused_objectives` those with an objective of their own that the run does not use; `identical_kept` pairs whose two answers
    are the same and that are trained on all the same; `with_thoughts` kept pairs with an answer whose thoughts are trained on;
    `unused_fields` rows by what their messages hold beside role and content.
    """

    rows: int = 0
    kept: int = 0
    truncated: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    shapes: Counter[str] = field(default_factory=Counter)
    objectives: Counter[str] = field(default_factory=Counter)
    unused_fields: Counter[str] = field(default_factory=Counter)
    prompts_rendered_differently: int = 0
    answers_rendered_differently: int = 0
    without_end_token: int = 0
    control_tokens_in_text: int = 0
    unused_objectives: int = 0
    identical_kept: int = 0
    with_thoughts: int = 0
    prompt_tokens: int = 0
    response_tokens: int = 0

    def facts(self) -> dict[str, int | dict[str, int]]:
        """The counts as data.json holds them."""
        values = ((each.name, getattr(self, each.name)) for each in fields(self))
        return {name: dict(value) if isinstance(value, Counter) else value for name, value in values}


@dataclass(frozen=True, slots=True)
class TokenizedPair:
    """What one row trains on, as ids within the limits; a single answer is `chosen`, and its `rejected` is empty."""

    row: TrainingRow
    ids: PairIds


class PairTokenizer:
    """Turns rows into ids with a model's tokenizer and counts what it truncates and drops.

    `vocabulary` is the model's number of embeddings: ids beyond it mean that tokenizer and model do not belong together.
    `context` is the most tokens that the model takes, if it has a limit. `end_tokens` are the ids at which the model stops, by
    default the tokenizer's. Without `own_objectives` the column `objective` is not read, without `own_margins` the column
    `margin`. `keep_identical` keeps the pairs whose
    answers are the same, but not those that only the template or the limits make the same: nobody confirmed these answers.
    `thinking` is what becomes of thoughts beside the text; the template renders those that are kept.
    """

    def __init__(
        self,
        tokenizer: "PreTrainedTokenizerBase",
        vocabulary: int,
        limits: TokenLimits,
        *,
        context: int | None = None,
        end_tokens: Collection[int] | None = None,
        own_objectives: bool = True,
        own_margins: bool = True,
        keep_identical: bool = False,
        thinking: ThinkingPolicy = ThinkingPolicy.REFUSE,
    ) -> None:
        self._tokenizer = tokenizer
        self._thinking = thinking
        self._thoughts_field = _thoughts_field(tokenizer) if thinking is ThinkingPolicy.KEEP else THOUGHTS
        self._vocabulary = vocabulary
        self._limits = limits
        self._context = context
        self._end_tokens = {tokenizer.eos_token_id} if end_tokens is None else set(end_tokens)
        self._own_objectives, self._own_margins = own_objectives, own_margins
        self._keep_identical = keep_identical
        special = (each.content for each in tokenizer.added_tokens_decoder.values() if each.special)
        self._control_tokens = re.compile("|".join(map(re.escape, special)) or r"(?!)")
        self.counts = DataCounts()

    def pairs(self, rows: Iterable[Mapping[str, Any]], kind: RowKind = RowKind.PAIRS) -> Iterator[TokenizedPair]:
        """The usable pairs or single answers of `rows`, in order. Raises InputError for a row that is not of its `kind`."""
        numbered = numbered_rows(rows)
        while batch := [(number, self._read(row, number, kind)) for number, row in islice(numbered, _ROWS_PER_BATCH)]:
            yield from self._tokenized(batch)

    def _read(self, row: Mapping[str, Any], number: int, kind: RowKind) -> TrainingRow:
        if kind is not RowKind.PAIRS:
            return answer_row(row, number, thinking=self._thinking)
        return pair_row(
            row,
            number,
            own_objective=self._own_objectives,
            own_margin=self._own_margins,
            thinking=self._thinking,
        )

    def _tokenized(self, batch: list[tuple[int, TrainingRow]]) -> Iterator[TokenizedPair]:
        texts = [list(self._rendered(row, number)) for number, row in batch]
        flat = list(chain.from_iterable(texts))
        ids = iter(self._tokenizer(flat, add_special_tokens=False, return_attention_mask=False)["input_ids"])
        for (number, row), rendered in zip(batch, texts, strict=True):
            self.counts.rows += 1
            self.counts.shapes[row.shape] += 1
            self.counts.unused_fields.update(row.unused_fields)
            prompt, chosen = next(ids), next(ids)
            rejected = None if row.rejected is None else next(ids)
            shared = _shared_length(prompt, chosen)
            if rejected is not None:
                shared = min(shared, _shared_length(prompt, rejected))
            whole = PairIds(prompt[:shared], chosen[shared:], [] if rejected is None else rejected[shared:])
            self._require_known(whole, number)
            if row.is_identical and self._keep_identical:
                whole = replace(whole, rejected=whole.chosen)  # they may differ in white space around the text
            pair = self._limits.truncate(whole, self._tokenizer.bos_token_id)
            reason = _reason_to_drop(row, whole, pair, keep_identical=self._keep_identical)
            answers = [answer for answer in (row.chosen, row.rejected) if answer is not None]
            if reason == "empty" and prompt and not shared and all(map(str.strip, answers)):
                reason = None  # the template moves the whole prompt, which is then not empty but changed
            if shared < len(prompt) and reason is None:
                if shared < self._message_tokens(row, prompt):
                    reason = "prompt_changed_by_answer"
                else:
                    self.counts.prompts_rendered_differently += 1
            if reason is not None:
                self.counts.dropped[reason] += 1
                continue
            self._require_room(pair, number)
            self._count(whole, pair)
            self.counts.identical_kept += row.is_identical
            self.counts.answers_rendered_differently += any(
                answer.strip() not in text for answer, text in zip(answers, rendered[1:], strict=True)
            )
            self.counts.with_thoughts += bool(row.chosen_thoughts or row.rejected_thoughts)
            said = [text for message in (*row.prompt, *row.answers) for name, text in message.items() if name != "role"]
            self.counts.control_tokens_in_text += any(map(self._control_tokens.search, said))
            yield TokenizedPair(row, pair)

    def _rendered(self, row: TrainingRow, number: int) -> Iterator[str]:
        """The prompt as the model sees it before it answers, then the whole conversation with each answer."""
        from jinja2 import TemplateError

        try:
            yield self._text(row, row.prompt, add_generation_prompt=True)
            for answer in row.answers:
                text = self._text(row, [*row.prompt, answer], add_generation_prompt=False)
                if answer.get(THOUGHTS, "").strip() not in text:
                    raise InputError(
                        f"the model's chat template leaves out the thoughts of row {number:,} of the data set; train without "
                        "them (--set thinking=drop), or give a template that renders them with --chat-template FILE"
                    )
                yield text
        except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
            raise InputError(
                f"the model's chat template cannot render row {number:,} of the data set: {' '.join(str(error).split())}; "
                "fix or remove that row, or give another template with --chat-template FILE"
            ) from error

    def _text(self, row: TrainingRow, conversation: Messages, *, add_generation_prompt: bool) -> str:
        named = [
            {self._thoughts_field if name == THOUGHTS else name: value for name, value in message.items()}
            for message in conversation
        ]
        return str(
            self._tokenizer.apply_chat_template(
                named, tokenize=False, add_generation_prompt=add_generation_prompt, **row.template_options
            )
        )

    def _message_tokens(self, row: TrainingRow, prompt: list[int]) -> int:
        """How many of the `prompt` tokens render its messages, without the generation header."""
        bare = self._text(row, row.prompt, add_generation_prompt=False)
        ids = self._tokenizer(bare, add_special_tokens=False, return_attention_mask=False)["input_ids"]
        return _shared_length(ids, prompt)

    def _require_known(self, pair: PairIds, number: int) -> None:
        highest = max((max(ids) for ids in (pair.prompt, pair.chosen, pair.rejected) if ids), default=0)
        if highest >= self._vocabulary:
            raise InputError(
                f"the tokenizer gives the id {highest} in row {number:,}, and the model knows only {self._vocabulary}: they do "
                "not belong together; use the tokenizer that came with the model"
            )

    def _require_room(self, pair: PairIds, number: int) -> None:
        tokens = len(pair.prompt) + max(len(pair.chosen), len(pair.rejected))
        if self._context is not None and tokens > self._context:
            raise InputError(
                f"the prompt and an answer of row {number:,} have {tokens:,} tokens, and the model takes at most "
                f"{self._context:,} (max_position_embeddings); lower prompt_tokens and response_tokens, so that they add up to "
                "no more"
            )

    def _count(self, whole: PairIds, pair: PairIds) -> None:
        counts = self.counts
        counts.kept += 1
        counts.prompt_tokens += len(pair.prompt)
        counts.response_tokens += len(pair.chosen) + len(pair.rejected)
        counts.without_end_token += any(
            self._end_tokens.isdisjoint(ids) for ids in (whole.chosen, whole.rejected) if ids
        )
        for part in ("prompt", "chosen", "rejected"):
            counts.truncated[part] += len(getattr(pair, part)) < len(getattr(whole, part))


def _thoughts_field(tokenizer: "PreTrainedTokenizerBase") -> str:
    """The field of a message in which the chat template has thoughts: gpt-oss' in `thinking`, most in `reasoning_content`."""
    template = tokenizer.get_chat_template()
    named = (name for name in (THOUGHTS, "thinking", "reasoning") if re.search(rf"""[.'"]{name}\b""", template))
    return next(named, THOUGHTS)


def numbered_rows(rows: Iterable[Mapping[str, Any]]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Rows with their number from 1; the text of a row is decoded only here."""
    number = 0
    try:
        for number, row in enumerate(rows, 1):
            yield number, row
    except UnicodeDecodeError as error:
        raise InputError(f"row {number + 1:,} of the data set is not UTF-8 text; convert the file to UTF-8") from error


def _shared_length(first: list[int], second: list[int]) -> int:
    if first == second[: len(first)]:
        return len(first)
    return sum(1 for _ in takewhile(lambda ids: ids[0] == ids[1], zip(first, second, strict=False)))


def _reason_to_drop(row: TrainingRow, whole: PairIds, pair: PairIds, *, keep_identical: bool) -> str | None:
    """Why a pair is not trained on; identical answers have a constant loss under APO-zero and are pushed down by APO-down."""
    if row.is_identical:
        if not keep_identical:
            return "identical"
    elif row.rejected is not None and whole.chosen == whole.rejected:
        return "made_identical_by_template"
    elif row.rejected is not None and pair.chosen == pair.rejected:
        return "identical_after_truncation"
    if not pair.chosen or not pair.prompt or not row.chosen.strip():
        return "empty"
    if row.rejected is not None and (not pair.rejected or not row.rejected.strip()):
        return "empty"
    return "weight_zero" if row.weight == 0 else None


def _last_tokens(prompt: Ids, most: int, bos: int | None) -> Ids:
    if len(prompt) <= most:
        return prompt
    if bos is not None and prompt[0] == bos and most > 1:
        return [bos, *prompt[1 - most :]]
    return prompt[-most:]
