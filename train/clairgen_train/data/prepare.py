"""The pairs of a run as token ids on disk, written once: a continued run keeps the pairs that it began with."""

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from clairgen.errors import InputError, RunError
from clairgen.whole_files import write_whole
from clairgen_train.data.load import data_hash, read_split
from clairgen_train.data.mixture import DataSource, data_sources, is_mixture, rows_of_each
from clairgen_train.data.rows import RowKind, pair_row, row_kind
from clairgen_train.data.tokenize import DataCounts, PairTokenizer, TokenizedPair, TokenLimits, numbered_rows
from clairgen_train.run_folder import damaged, read_record
from clairgen_train.settings import Objective, TrainingSettings

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase

_PAIRS_PER_BATCH = 1000
_LARGEST_HELD_OUT_SHARE = 0.1
"""Of the training pairs, where the data set has no test split."""
_FACTS_FILE = "data.json"
_OLD_COUNTS = {"cut": "truncated", "rendered_otherwise": "prompts_rendered_differently"}
_OLD_REASONS = {"identical_after_cut": "identical_after_truncation"}


@dataclass(frozen=True, slots=True)
class PreparedPairs:
    """The pairs to train on and those held out; `facts` is what data.json holds, with the counts of both.

    The columns: `pair_id`; `prompt_ids`, `chosen_ids`, `rejected_ids` within the limits; `objective`, by name;
    `weight`; `margin`, in units of rewards; for objectives that train on single answers `label`. A single answer has no
    `rejected_ids`, and its own `label`, which is null for a pair.
    """

    train: "Dataset"
    held_out: "Dataset | None"
    facts: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What of a model its data must fit: how many token ids it knows, the most tokens it takes, and those at which it stops."""

    vocabulary: int
    context: int | None
    end_tokens: Collection[int]


def prepare_pairs(
    data: str,
    settings: TrainingSettings,
    tokenizer: "PreTrainedTokenizerBase",
    model: ModelFacts,
    out: Path,
) -> None:
    """Load, tokenize, truncate and write the pairs of `data` into `out`, once.

    Raises InputError where none can be used, RunError where `data` has changed since.
    """
    sources = data_sources(data, settings)
    digest = _hash_of(data, sources)
    if (out / _FACTS_FILE).is_file():
        if data_facts(out).get("files_sha256", digest) != digest:  # earlier versions did not record it
            raise RunError(f"the data set {data} has changed since {out} was begun; train on it in another folder")
        return
    parts = _parts(sources, settings)
    limits = TokenLimits(settings.prompt_tokens, settings.response_tokens, settings.truncation)
    (out / "pairs").mkdir(parents=True, exist_ok=True)
    facts: dict[str, Any] = {
        "data": data,
        "subset": settings.subset,
        "held_out_from": ", ".join(dict.fromkeys(part.held_out_from for part in parts)),
        "files_sha256": digest,
    }
    if is_mixture(data):
        facts["data_sets"] = [
            {"path": part.source.data, "rows": len(part.train), "left_out": part.left_out} for part in parts
        ]
    for name in ("train", "held_out"):
        splits = [(split, part.kind) for part in parts if (split := getattr(part, name)) is not None]
        if splits:
            pair_tokenizer = PairTokenizer(
                tokenizer,
                model.vocabulary,
                limits,
                context=model.context,
                end_tokens=model.end_tokens,
                own_objectives=settings.pair_objectives == "use",
                own_margins=settings.margin_scale > 0,
                keep_identical=settings.keep_identical and name == "train",  # held-out pairs are for their margin
                thinking=settings.thinking,
            )
            counts = pair_tokenizer.counts
            pairs = chain.from_iterable(pair_tokenizer.pairs(split, kind) for split, kind in splits)
            ids_digest = _write(pairs, counts, settings, out / "pairs" / f"{name}.arrow")
            facts[name] = counts.facts() | {"sha256": ids_digest}
            if name == "train" and not counts.kept:
                reasons = ", ".join(f"{count:,} {reason}" for reason, count in counts.dropped.items())
                raise InputError(
                    f"no pair of {data} can be trained on: {reasons or 'it is empty'}; look at the data, raise the limits, or "
                    "give another --chat-template"
                )
    write_whole(out / _FACTS_FILE, json.dumps(facts, indent=2) + "\n")


def prepared_pairs(out: Path) -> PreparedPairs:
    """The pairs that `prepare_pairs` wrote, memory-mapped."""
    facts = data_facts(out)
    train, held_out = (out / "pairs" / f"{name}.arrow" for name in ("train", "held_out"))
    has_held_out = bool(facts.get("held_out", {}).get("kept"))
    return PreparedPairs(_rows(train), _rows(held_out) if has_held_out else None, facts)


def _rows(file: Path) -> "Dataset":
    import pyarrow as pa
    from datasets import Dataset

    try:
        return Dataset.from_file(str(file))
    except (OSError, pa.ArrowException) as error:
        raise RunError(damaged(file, error)) from error


def data_facts(out: Path) -> dict[str, Any]:
    """What data.json says of the pairs in `out`; names that earlier versions wrote are given their present names."""
    facts = read_record(out / _FACTS_FILE)
    if not all(isinstance(facts.get(name, {}), dict) for name in ("train", "held_out")) or "train" not in facts:
        raise RunError(damaged(out / _FACTS_FILE, "it has no counts of what is trained on"))
    for name in ("train", "held_out"):
        if name in facts:
            counts = {_OLD_COUNTS.get(key, key): value for key, value in facts[name].items()}
            counts["dropped"] = {_OLD_REASONS.get(key, key): value for key, value in counts["dropped"].items()}
            facts[name] = counts
    return facts


@dataclass(frozen=True, slots=True)
class _Part:
    """The rows of one data set; `left_out` of those to train on for its ratio."""

    source: DataSource
    kind: RowKind
    train: "Dataset"
    held_out: "Dataset | None"
    held_out_from: str
    left_out: int = 0


def _parts(sources: Sequence[DataSource], settings: TrainingSettings) -> list[_Part]:
    """The rows of all data sets, in the shares that their ratios give."""
    parts = []
    for source in sources:
        held_out_pairs = settings.held_out_pairs
        if source.ratio is not None:
            held_out_pairs = round(held_out_pairs * source.ratio / sum(each.ratio or 0 for each in sources))
        elif len(sources) > 1:
            held_out_pairs = -(-held_out_pairs // len(sources))
        parts.append(_part(source, held_out_pairs, settings))
    counts = rows_of_each(sources, [len(part.train) for part in parts])
    return [
        part
        if count == len(part.train)
        else replace(
            part,
            train=part.train.select(sorted(_sample(len(part.train), count, settings.seed))),
            left_out=len(part.train) - count,
        )
        for part, count in zip(parts, counts, strict=True)
    ]


def _part(source: DataSource, wanted: int, settings: TrainingSettings) -> _Part:
    """The rows of a data set to train on, and up to `wanted` pairs to hold out; single answers, without a margin, never are."""
    rows = read_split(source.data, source.subset, source.split, revision=source.revision, required=True)
    if rows is None:
        raise InputError(f"{source.data} has no split `{source.split}`; name one that holds the rows to train on")
    kind = row_kind(rows.column_names, source.data)
    if settings.objective not in kind.objectives():
        raise InputError(
            f"{source.data} holds {kind.value}, which can be trained with --objective {' or '.join(kind.objectives())} and not "
            f"with {settings.objective}; give pairs (export with --format preference), or that objective"
        )
    if not wanted or kind is not RowKind.PAIRS:
        return _Part(source, kind, rows, None, source.test_split)
    if source.test_split != source.split:
        held_out = read_split(source.data, source.subset, source.test_split, revision=source.revision, required=False)
        if held_out is not None:
            chosen = _with_margin(held_out, wanted, settings)
            return _Part(source, kind, rows, held_out.select(chosen), source.test_split)
    sample = _whole_prompts(rows, min(wanted, int(len(rows) * _LARGEST_HELD_OUT_SHARE)), settings)
    train = rows.select([number for number in range(len(rows)) if number not in sample])
    return _Part(source, kind, train, rows.select(sorted(sample)), source.split)


def _hash_of(data: str, sources: Sequence[DataSource]) -> str | None:
    """The hash of the files of a data set, or of a mixture and all of its data sets; None for a data set on the hub."""
    if not is_mixture(data):
        return data_hash(data)
    of_each = [[str(source), data_hash(source.data)] for source in sources]
    return hashlib.sha256(json.dumps(of_each).encode()).hexdigest()


def _sample(of: int, count: int, seed: int) -> set[int]:
    return set(Random(seed).sample(range(of), min(count, of)))  # noqa: S311 - a sample of pairs, not a secret


def _with_margin(rows: "Dataset", most: int, settings: TrainingSettings) -> list[int]:
    """At most that many random rows whose two answers differ, in their order."""
    first = _sample(len(rows), most, settings.seed)
    others = [number for number in range(len(rows)) if number not in first]
    Random(settings.seed).shuffle(others)  # noqa: S311 - a sample of pairs, not a secret
    own = settings.pair_objectives == "use"
    different = (
        number
        for number in chain(sorted(first), others)
        if not pair_row(
            rows[number], number + 1, own_objective=own, own_margin=False, thinking=settings.thinking
        ).is_identical
    )
    return sorted(islice(different, most))


def _whole_prompts(rows: "Dataset", most: int, settings: TrainingSettings) -> set[int]:
    """At most that many random rows, all or none of each prompt's, so that no held-out prompt is trained on.

    Prompts whose pairs all have two equal answers, which have no margin to follow, are left to be trained on.
    """
    if not most:
        return set()
    by_prompt: dict[str, list[int]] = {}
    has_margin: set[str] = set()
    for number, row in numbered_rows(rows):
        own = settings.pair_objectives == "use"
        pair = pair_row(row, number, own_objective=own, own_margin=False, thinking=settings.thinking)
        prompt = json.dumps(pair.prompt)
        by_prompt.setdefault(prompt, []).append(number - 1)
        if not pair.is_identical:
            has_margin.add(prompt)
    prompts = list(by_prompt)
    Random(settings.seed).shuffle(prompts)  # noqa: S311 - a sample of pairs, not a secret
    found: set[int] = set()
    for prompt in prompts:
        if prompt in has_margin and len(found) + len(by_prompt[prompt]) <= most:
            found.update(by_prompt[prompt])
    return found


def _write(pairs: Iterator[TokenizedPair], counts: DataCounts, settings: TrainingSettings, path: Path) -> str:
    """Write an Arrow stream that `datasets` maps into memory; the hash of its token ids."""
    import pyarrow as pa

    ids = pa.list_(pa.int32())
    schema = pa.schema(
        [
            ("pair_id", pa.string()),
            ("prompt_ids", ids),
            ("chosen_ids", ids),
            ("rejected_ids", ids),
            ("objective", pa.string()),
            ("weight", pa.float32()),
            ("margin", pa.float32()),
        ]
    )
    labeled = not settings.objective.is_paired
    if labeled:
        schema = schema.append(pa.field("label", pa.bool_()))
    default = settings.objective
    per_pair = settings.pair_objectives == "use" and default.is_paired and default is not Objective.SFT
    digest = hashlib.sha256()
    partial = path.with_suffix(".partial")
    with pa.OSFile(str(partial), "wb") as file, pa.ipc.new_stream(file, schema) as stream:
        for batch in _batches(pairs):
            objectives = [(pair.row.objective if per_pair else None) or default for pair in batch]
            counts.objectives.update(objective.value for objective in objectives)
            counts.unused_objectives += sum(
                pair.row.objective not in (None, objective) for pair, objective in zip(batch, objectives, strict=True)
            )
            _require_usable_weights(batch, default)
            _require_usable_margins(batch, objectives)
            record = pa.record_batch(
                [
                    [pair.row.pair_id for pair in batch],
                    [pair.ids.prompt for pair in batch],
                    [pair.ids.chosen for pair in batch],
                    [pair.ids.rejected for pair in batch],
                    [objective.value for objective in objectives],
                    [pair.row.weight for pair in batch],
                    [pair.row.margin * settings.margin_scale for pair in batch],
                    *([[pair.row.label for pair in batch]] if labeled else []),
                ],
                schema=schema,
            )
            stream.write_batch(record)
            digest.update(record.select(["prompt_ids", "chosen_ids", "rejected_ids"]).serialize())
    partial.rename(path)
    return digest.hexdigest()


def _require_usable_weights(batch: list[TokenizedPair], objective: Objective) -> None:
    if not objective.is_paired and any(pair.row.weight != 1 for pair in batch):
        raise InputError(
            f"the pairs have weights, which {objective.value} cannot use, since it trains on single answers; use an objective "
            "for pairs, or remove the column `weight`"
        )


def _require_usable_margins(batch: list[TokenizedPair], objectives: Sequence[Objective]) -> None:
    for pair, objective in zip(batch, objectives, strict=True):
        if pair.row.margin and not objective.takes_margin:
            raise InputError(
                f"the pairs have a column `margin`, which {objective.value} has no use for; train with dpo or dpo-norm, or leave "
                "the column unread with --set margin_scale=0"
            )


def _batches(pairs: Iterable[TokenizedPair]) -> Iterator[list[TokenizedPair]]:
    remaining = iter(pairs)
    while batch := list(islice(remaining, _PAIRS_PER_BATCH)):
        yield batch
