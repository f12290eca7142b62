"""The pairs of a run as token ids on disk, made once: a continued run goes on with the pairs that it began with."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from clairgen.errors import InputError
from clairgen_train.data.load import read_split
from clairgen_train.data.tokenize import Counts, Limits, PairTokenizer, TokenizedPair
from clairgen_train.losses import Objective
from clairgen_train.run_folder import put
from clairgen_train.settings import TrainingSettings

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase

_PAIRS_AT_ONCE = 1000
_LARGEST_SHARE_HELD_OUT = 0.1
"""Of the training pairs, where the data set has no test split."""


@dataclass(frozen=True, slots=True)
class PreparedPairs:
    """What is trained on and what is held out, each with its counts; `facts` is what data.json says.

    The columns: `pair_id`; `prompt_ids`, `chosen_ids`, `rejected_ids` within the limits; `objective`, an index into
    `list(Objective)`; `weight`.
    """

    train: "Dataset"
    held_out: "Dataset | None"
    facts: dict[str, Any]


def prepare_pairs(
    data: str, settings: TrainingSettings, tokenizer: "PreTrainedTokenizerBase", vocabulary: int, out: Path
) -> None:
    """Read, tokenize, cut and write the pairs of `data` into `out`, once. Raises InputError where none can teach."""
    facts_file = out / "data.json"
    if facts_file.is_file():
        return
    rows = read_split(data, settings.subset, "train")
    if rows is None:
        raise InputError(f"{data} has no split `train`; name the data set that holds the pairs to train on")
    limits = Limits(settings.prompt_tokens, settings.response_tokens, settings.truncation)
    default = settings.objective
    per_pair = settings.pair_objectives == "use" and default.is_paired and default is not Objective.SFT

    held_out = read_split(data, settings.subset, settings.test_split) if settings.held_out_pairs else None
    held_from = settings.test_split
    if settings.held_out_pairs and held_out is None:
        held_from = "train"
        drawn = _drawn(len(rows), min(settings.held_out_pairs, int(len(rows) * _LARGEST_SHARE_HELD_OUT)), settings.seed)
        held_out = rows.select(sorted(drawn))
        rows = rows.select([number for number in range(len(rows)) if number not in drawn])
    elif held_out is not None:
        held_out = held_out.select(sorted(_drawn(len(held_out), settings.held_out_pairs, settings.seed)))
    (out / "pairs").mkdir(parents=True, exist_ok=True)
    facts: dict[str, Any] = {"data": data, "subset": settings.subset, "held_out_from": held_from}
    for name, split in (("train", rows), ("held_out", held_out)):
        if split is not None:
            pair_tokenizer = PairTokenizer(tokenizer, vocabulary, limits)
            counts = pair_tokenizer.counts
            digest = _write(
                pair_tokenizer.pairs(split), counts, default, out / "pairs" / f"{name}.arrow", per_pair=per_pair
            )
            facts[name] = counts.facts() | {"sha256": digest}
            if name == "train" and not counts.kept:
                reasons = ", ".join(f"{count:,} {reason}" for reason, count in counts.dropped.items())
                raise InputError(
                    f"no pair of {data} can teach: {reasons or 'it is empty'}; look at the data or raise the limits"
                )
    put(facts_file, json.dumps(facts, indent=2) + "\n")


def prepared_pairs(out: Path) -> PreparedPairs:
    """The pairs that `prepare_pairs` wrote, memory-mapped."""
    from datasets import Dataset

    facts = json.loads((out / "data.json").read_text(encoding="utf-8"))
    train, held_out = (out / "pairs" / f"{name}.arrow" for name in ("train", "held_out"))
    has_held_out = bool(facts.get("held_out", {}).get("kept"))
    return PreparedPairs(
        Dataset.from_file(str(train)), Dataset.from_file(str(held_out)) if has_held_out else None, facts
    )


def _drawn(of: int, count: int, seed: int) -> set[int]:
    return set(Random(seed).sample(range(of), min(count, of)))  # noqa: S311 - a draw of pairs, no secret


def _write(pairs: Iterator[TokenizedPair], counts: Counts, default: Objective, path: Path, *, per_pair: bool) -> str:
    """Write an Arrow stream that `datasets` maps into memory; the hash of its token ids."""
    import pyarrow as pa

    ids = pa.list_(pa.int32())
    schema = pa.schema(
        [
            ("pair_id", pa.string()),
            ("prompt_ids", ids),
            ("chosen_ids", ids),
            ("rejected_ids", ids),
            ("objective", pa.int64()),
            ("weight", pa.float32()),
        ]
    )
    digest = hashlib.sha256()
    partial = path.with_suffix(".partial")
    with pa.OSFile(str(partial), "wb") as file, pa.ipc.new_stream(file, schema) as stream:
        for batch in _batches(pairs):
            objectives = [(pair.row.objective if per_pair else None) or default for pair in batch]
            counts.objectives.update(objective.value for objective in objectives)
            record = pa.record_batch(
                [
                    [pair.row.pair_id for pair in batch],
                    [pair.ids.prompt for pair in batch],
                    [pair.ids.chosen for pair in batch],
                    [pair.ids.rejected for pair in batch],
                    [objective.code for objective in objectives],
                    [pair.row.weight for pair in batch],
                ],
                schema=schema,
            )
            stream.write_batch(record)
            digest.update(record.select(["prompt_ids", "chosen_ids", "rejected_ids"]).serialize())
    partial.rename(path)
    return digest.hexdigest()


def _batches(pairs: Iterable[TokenizedPair]) -> Iterator[list[TokenizedPair]]:
    remaining = iter(pairs)
    while batch := list(islice(remaining, _PAIRS_AT_ONCE)):
        yield batch
