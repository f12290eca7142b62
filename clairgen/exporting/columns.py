"""The shapes of exported rows, their columns, which are a stable interface, and what an export came to."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import blake2b
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from clairgen.exporting.shards import FileFormat
from clairgen.exporting.thoughts import ThinkingField
from clairgen.metrics.length_balance import LengthShift
from clairgen.wording import counted, one_line_repr

if TYPE_CHECKING:
    from datasets import Features


_PROMPT = "what was asked: messages with `role` and `content`, the last one from the user"
CONTENT_COLUMNS: Mapping[str, Mapping[str, str]] = {
    "preference": {
        "prompt": _PROMPT,
        "chosen": "the better answer, one assistant message",
        "rejected": "the other answer, one assistant message",
    },
    "kto": {
        "prompt": _PROMPT,
        "completion": "an answer, one assistant message",
        "label": "true if it is the chosen answer of its pair, false if it is the rejected one",
    },
    "sft": {
        "prompt": _PROMPT,
        "completion": "the chosen answer, one assistant message",
    },
    "reward": {
        "chosen": "the conversation that ends with the better answer: messages with `role` and `content`",
        "rejected": "the same conversation with the other answer at its end",
    },
    "tpo": {
        "prompt": _PROMPT,
        "chosen": "the better answer, one assistant message",
        "rejected": "the other answer, one assistant message",
        "reference": "the answer whose likelihood is raised beside the contrast, one assistant message",
    },
    "sdft": {
        "prompt": _PROMPT,
        "privileged_context": "the chosen answer as a text: the demonstration that only the teacher sees",
    },
    "sdpo": {
        "prompt": _PROMPT,
        "privileged_context": "what the reviser says of the rejected answer, as a text: feedback that only the teacher sees",
    },
}
PROVENANCE_COLUMNS: Mapping[str, str] = {
    "task_id": "the task; it is in one split only, whatever the recipe",
    "pair_id": "the pair; the same in every format",
    "recipe": "how the pair was made",
    "chosen_model": "the model that wrote the chosen answer",
    "rejected_model": "the model that wrote the rejected answer",
    "jaccard": "Jaccard index of the two answers' tokens, x100 (higher is closer)",
    "tokenizer": "the tokenizer of `jaccard`",
    "levenshtein": "character edits from rejected to chosen",
    "length_ratio": "characters of chosen over characters of rejected",
    "reasoning": "the reviser's or judge's reasoning, where the recipe has any",
    "marks": "reasons of filters that marked the pair without dropping it",
}
ADVICE_COLUMNS: Mapping[str, str] = {
    "objective": "the variant of APO that fits the pair, `apo-zero` or `apo-down`; null without advice",
}
"""Only for preference pairs, in runs that `clairgen advise --per-pair` has seen."""
VOTE_COLUMNS: Mapping[str, str] = {
    "vote": "what most people said of the pair: `keep`, `swap` (the rejected answer is better), `tie`, `drop`, or `disputed` "
    "without a majority; null without votes",
}
"""Only in runs with votes of `clairgen vote`."""
CONFIRMED_COLUMNS: Mapping[str, str] = {
    "confirmed": "true where the reviser changed nothing, so that chosen and rejected are the same answer",
}
"""Only for exports with `--keep-identical`."""
VOTES_FILE: Final = "votes.jsonl"
"""All votes on the pairs of an export's recipes, one a line, where they are wanted."""
REVISIONS_FILE: Final = "revisions.jsonl"
"""All answers that people edited, likewise."""
_KINDS: Mapping[str, str] = {
    "boolean": "bool",
    "integer": "int64",
    "number": "float64",
    "text": "string",
    "json": "string",
}
_CLASH = "source_"


class ExportFormat(StrEnum):
    """The shape of the rows, by what is trained on them.

    Pairs for DPO and APO, single labelled answers for KTO, chosen answers alone for SFT, whole conversations for reward models;
    and for TRL's experimental trainers pairs with a reference answer (TPO, arXiv 2405.16681), and prompts with what only the
    teacher of self-distillation sees: a demonstration (SDFT, arXiv 2601.19897) or feedback (SDPO, arXiv 2601.20802).
    """

    PREFERENCE = "preference"
    KTO = "kto"
    SFT = "sft"
    REWARD = "reward"
    TPO = "tpo"
    SDFT = "sdft"
    SDPO = "sdpo"

    @property
    def has_both_answers(self) -> bool:
        """Whether both answers of a pair are written, so that one alone must not have thoughts."""
        return self in (self.PREFERENCE, self.KTO, self.REWARD, self.TPO)

    @property
    def has_contrast(self) -> bool:
        """Whether a row is a pair, from which nothing is learned if its two answers are the same."""
        return self in (self.PREFERENCE, self.REWARD, self.TPO)

    @property
    def has_answer_messages(self) -> bool:
        """Whether answers are messages, which may have their thoughts in a field."""
        return self not in (self.SDFT, self.SDPO)


def columns(
    export_format: ExportFormat, *, advised: bool = False, confirmed: bool = False, voted: bool = False
) -> Mapping[str, str]:
    """The columns and what each contains."""
    return {
        **CONTENT_COLUMNS[export_format],
        **PROVENANCE_COLUMNS,
        **(ADVICE_COLUMNS if advised else {}),
        **(CONFIRMED_COLUMNS if confirmed else {}),
        **(VOTE_COLUMNS if voted else {}),
    }


def exported_name(column: str) -> str:
    """What a further column of imported pairs is called in an export: `source_` is put before a name that exports have."""
    own = {name for columns in CONTENT_COLUMNS.values() for name in columns}
    own |= {*PROVENANCE_COLUMNS, *ADVICE_COLUMNS, *CONFIRMED_COLUMNS, *VOTE_COLUMNS}
    return f"{_CLASH}{column}" if column in own else column


def features(
    export_format: ExportFormat,
    *,
    advised: bool = False,
    confirmed: bool = False,
    voted: bool = False,
    thinking: ThinkingField | None = None,
    source_columns: Mapping[str, str] = MappingProxyType({}),
) -> "Features":
    """The columns with their types, as `datasets` writes them into a Parquet file's metadata."""
    from datasets import Features, List, Value

    text = Value("string")
    message = {"role": text, "content": text}
    answer = message | ({} if thinking is None else {thinking.value: text})
    types: dict[str, Any] = {column: List(answer) for column in ("chosen", "rejected", "completion", "reference")}
    types |= {"prompt": List(message), "label": Value("bool"), "marks": List(text), "levenshtein": Value("int64")}
    types |= {"jaccard": Value("float64"), "length_ratio": Value("float64"), "confirmed": Value("bool")}
    named = columns(export_format, advised=advised, confirmed=confirmed, voted=voted)
    own = {column: types.get(column, text) for column in named}
    return Features(own | {exported_name(name): Value(_KINDS[kind]) for name, kind in source_columns.items()})


def is_test(task_id: str, fraction: float, seed: int = 0) -> bool:
    """Whether a task belongs to the test split: decided by its id alone, the same for every recipe, format and run.

    A larger fraction contains the tasks of a smaller one.
    """
    if not fraction:
        return False
    digest = blake2b(f"{seed}:{task_id}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest) < fraction * 2**64


@dataclass(frozen=True, slots=True)
class ExportSummary:
    """What an export wrote: rows by recipe and split ("train", "test"), and the pairs that were skipped, by reason.

    `confirmed` counts the pairs of each recipe whose answers are the same, where the export was to keep them, else it is None.
    `content_hashes` has the hash of each recipe's files. `test_fraction` and `seed` determined the split.
    `replaced_characters` counts lone surrogates, which no file can encode and which became U+FFFD. `pending` counts the pairs
    of each recipe that were still to be made, which makes it the export of an unfinished run; `rows_read` is how many rows of the
    tasks' source were read if not all were, else None. `with_thoughts` counts the pairs of each recipe that have thoughts, in the
    field `thinking` of their answers; both are None where the export leaves them out. `voted` is whether there is a column with
    what people said. `source_columns` are the further columns of pairs. `file_format` is that of the files; `reference` says
    where the reference answers are from. `files` are those with votes and edits, where they were wanted. `lengths` has how much
    longer chosen is by recipe, before and after pairs were left out to balance it, where that was wanted, else it is None;
    `length_unit` is what lengths are counted in. `missing_shards` are those that the exported folder of shards lacks, as i/N.
    """

    export_format: ExportFormat
    rows: Mapping[str, Mapping[str, int]]
    skipped: Mapping[str, int]
    content_hashes: Mapping[str, str]
    test_fraction: float = 0.0
    seed: int = 0
    replaced_characters: int = 0
    pending: Mapping[str, int] = field(default_factory=dict)
    rows_read: int | None = None
    confirmed: Mapping[str, int] | None = None
    with_thoughts: Mapping[str, int] | None = None
    thinking: ThinkingField | None = None
    voted: bool = False
    source_columns: tuple[str, ...] = ()
    file_format: FileFormat = FileFormat.PARQUET
    reference: str | None = None
    files: tuple[str, ...] = ()
    lengths: Mapping[str, tuple[LengthShift, LengthShift]] | None = None
    length_unit: str = "characters"
    missing_shards: tuple[str, ...] = ()

    @property
    def row_count(self) -> int:
        """Rows in all files together."""
        return sum(sum(splits.values()) for splits in self.rows.values())

    @property
    def missing_splits(self) -> Mapping[str, str]:
        """The split, of `train` and `test`, that a recipe should have by the test fraction and has no row for, by recipe."""
        wanted = ("train", "test") if self.test_fraction else ()
        return {recipe: name for recipe, splits in self.rows.items() for name in wanted if name not in splits}

    def __repr__(self) -> str:
        rows = [
            f"{recipe} {count:,} in {split}" for recipe, splits in self.rows.items() for split, count in splits.items()
        ]
        skipped = [f"{sum(self.skipped.values()):,} left out"] if self.skipped else []
        return one_line_repr(self, counted(self.row_count, f"{self.export_format} row"), *rows, *skipped)
