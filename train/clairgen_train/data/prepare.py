"""The pairs of a run as token ids on disk, written once: a continued run keeps the pairs that it began with."""

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from clairgen.errors import InputError, RunError
from clairgen_train.data.load import data_hash, read_split
from clairgen_train.data.rows import pair_row
from clairgen_train.data.tokenize import DataCounts, PairTokenizer, TokenizedPair, TokenLimits, numbered_rows
from clairgen_train.run_folder import damaged, read_record, write_atomically
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

    The columns: `pair_id`; `prompt_ids`, `chosen_ids`, `rejected_ids` within the limits; `objective`, an index into
    `list(Objective)`; `weight`.
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
    digest = data_hash(data)
    if (out / _FACTS_FILE).is_file():
        if data_facts(out).get("files_sha256", digest) != digest:  # earlier versions did not record it
            raise RunError(f"the data set {data} has changed since {out} was begun; train on it in another folder")
        return
    train, held_out, held_out_from = _splits(data, settings)
    limits = TokenLimits(settings.prompt_tokens, settings.response_tokens, settings.truncation)
    (out / "pairs").mkdir(parents=True, exist_ok=True)
    facts: dict[str, Any] = {
        "data": data,
        "subset": settings.subset,
        "held_out_from": held_out_from,
        "files_sha256": digest,
    }
    for name, split in (("train", train), ("held_out", held_out)):
        if split is not None:
            pair_tokenizer = PairTokenizer(
                tokenizer,
                model.vocabulary,
                limits,
                context=model.context,
                end_tokens=model.end_tokens,
                own_objectives=settings.pair_objectives == "use",
            )
            counts = pair_tokenizer.counts
            ids_digest = _write(pair_tokenizer.pairs(split), counts, settings, out / "pairs" / f"{name}.arrow")
            facts[name] = counts.facts() | {"sha256": ids_digest}
            if name == "train" and not counts.kept:
                reasons = ", ".join(f"{count:,} {reason}" for reason, count in counts.dropped.items())
                raise InputError(
                    f"no pair of {data} can be trained on: {reasons or 'it is empty'}; look at the data, raise the limits, or "
                    "give another --chat-template"
                )
    write_atomically(out / _FACTS_FILE, json.dumps(facts, indent=2) + "\n")


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
    if "train" not in facts:
        raise RunError(damaged(out / _FACTS_FILE, "it has no key `train`"))
    for name in ("train", "held_out"):
        if name in facts:
            counts = {_OLD_COUNTS.get(key, key): value for key, value in facts[name].items()}
            counts["dropped"] = {_OLD_REASONS.get(key, key): value for key, value in counts["dropped"].items()}
            facts[name] = counts
    return facts


def _splits(data: str, settings: TrainingSettings) -> "tuple[Dataset, Dataset | None, str]":
    """The rows to train on, those to hold out, and the split that the latter come from."""
    rows = read_split(data, settings.subset, "train")
    if rows is None:
        raise InputError(f"{data} has no split `train`; name a data set that holds the pairs to train on")
    wanted = settings.held_out_pairs
    if not wanted:
        return rows, None, settings.test_split
    held_out = read_split(data, settings.subset, settings.test_split)
    if held_out is not None:
        return rows, held_out.select(sorted(_sample(len(held_out), wanted, settings.seed))), settings.test_split
    sample = _whole_prompts(rows, min(wanted, int(len(rows) * _LARGEST_HELD_OUT_SHARE)), settings)
    train = rows.select([number for number in range(len(rows)) if number not in sample])
    return train, rows.select(sorted(sample)), "train"


def _sample(of: int, count: int, seed: int) -> set[int]:
    return set(Random(seed).sample(range(of), min(count, of)))  # noqa: S311 - a sample of pairs, not a secret


def _whole_prompts(rows: "Dataset", most: int, settings: TrainingSettings) -> set[int]:
    """At most that many random rows, all or none of each prompt's, so that no held-out prompt is trained on."""
    if not most:
        return set()
    by_prompt: dict[str, list[int]] = {}
    for number, row in numbered_rows(rows):
        prompt = pair_row(row, number, own_objective=settings.pair_objectives == "use").prompt
        by_prompt.setdefault(json.dumps(prompt), []).append(number - 1)
    groups = list(by_prompt.values())
    Random(settings.seed).shuffle(groups)  # noqa: S311 - a sample of pairs, not a secret
    found: set[int] = set()
    for group in groups:
        if len(found) + len(group) <= most:
            found.update(group)
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
        ]
    )
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
            record = pa.record_batch(
                [
                    [pair.row.pair_id for pair in batch],
                    [pair.ids.prompt for pair in batch],
                    [pair.ids.chosen for pair in batch],
                    [pair.ids.rejected for pair in batch],
                    [objective.value for objective in objectives],
                    [pair.row.weight for pair in batch],
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


def _batches(pairs: Iterable[TokenizedPair]) -> Iterator[list[TokenizedPair]]:
    remaining = iter(pairs)
    while batch := list(islice(remaining, _PAIRS_PER_BATCH)):
        yield batch
