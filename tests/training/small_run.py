"""A small but complete training run: a tiny model in a folder, a file of pairs, settings, and a run over them in this process."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from clairgen_train.run import prepare, run
from clairgen_train.run_folder import RunFolder
from clairgen_train.settings import TrainingSettings, load_settings
from tests.exporting.test_trl import byte_tokenizer, tiny_llama

Row = Mapping[str, object]


def saved_model(folder: Path) -> Path:
    """A tiny random Llama with a tokenizer of bytes and a chat template, as a folder."""
    if not folder.exists():
        model = tiny_llama()
        tokenizer = byte_tokenizer()
        model.generation_config.eos_token_id = tokenizer.eos_token_id
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    return folder


def pair(number: int, **columns: object) -> dict[str, object]:
    """An exported row: a sum, whose answers differ in length from row to row."""
    return {
        "prompt": [{"role": "user", "content": f"{number} + {number}?"}],
        "chosen": [{"role": "assistant", "content": f"It is {2 * number}" + "." * (1 + number % 3)}],
        "rejected": [{"role": "assistant", "content": f"It is {2 * number + 1}, I think" + "!" * (number % 4)}],
        "pair_id": f"pair-{number}",
    } | columns


def written(path: Path, rows: Sequence[Row]) -> Path:
    """Rows as a JSON Lines file."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def settings(folder: Path, **given: object) -> TrainingSettings:
    """Settings of a small run in fp32; `folder` holds the model and the cache."""
    small: dict[str, object] = {
        "model": str(saved_model(folder / "model")),
        "epochs": 2,
        "batch_size": 4,
        "device_batch_size": 2,
        "learning_rate": 1e-3,
        "precision": "fp32",
        "log_every": 1,
        "held_out_pairs": 3,
        "reference_cache": str(folder / "references"),
    }
    return load_settings(None, small | given)


def trained(folder: Path, name: str = "out", **given: object) -> RunFolder:
    """A finished run over 30 pairs, in `folder`/`name`."""
    data = folder / "pairs.jsonl"
    if not data.exists():
        written(data, [pair(number) for number in range(30)])
    prepared = prepare(str(data), folder / name, settings(folder, **given))
    run(prepared)
    return prepared
